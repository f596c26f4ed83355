"""What is written by CF conventions is understood by xarray, rioxarray and pyproj."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 (registers .rio)
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyproj import Proj
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, sinusoidal
from pipeline.storage import cf, repository
from pipeline.variables import Variable

GRID = Grid(first_row=4 * 4800 + 4752, first_col=11 * 4800, rows=96, cols=144, tile_cells=48)
GPP = Variable("gpp", "g m-2 d-1", "gross primary production, carbon")


def _open(folder: Path, year: int) -> xr.Dataset:
    group = zarr.open_group(folder, mode="w")
    cf.write_time(group, year)
    cf.write_yx(group, GRID)
    cf.create(group, GPP, cf.Layout.daily(GRID, year))
    cf.create(group, Variable("days", "1", "days filled", dtype="uint16"), cf.Layout.map(GRID))
    return xr.open_zarr(folder, consolidated=False)


@pytest.mark.parametrize(("year", "days"), [(2011, 365), (2012, 366)])
def test_xarray_reads_every_calendar_day_of_the_year(tmp_path: Path, year: int, days: int) -> None:
    time = _open(tmp_path, year)["time"]
    assert time.size == days
    assert time.values[0] == np.datetime64(f"{year}-01-01")
    assert time.values[-1] == np.datetime64(f"{year}-12-31")


def test_rioxarray_finds_the_projection_and_the_edges(tmp_path: Path) -> None:
    gpp = _open(tmp_path, 2011)["gpp"]
    place = Proj(gpp.rio.crs)(-89.5, 40.0)
    np.testing.assert_allclose(place, sinusoidal(np.array(-89.5), np.array(40.0)), rtol=1e-12)
    np.testing.assert_allclose(gpp.rio.bounds()[::3], [GRID.x_edges_m[0], GRID.y_edges_m[0]], rtol=1e-12)


def test_an_empty_array_is_missing_where_real_and_zero_where_counted(tmp_path: Path) -> None:
    dataset = _open(tmp_path, 2011)
    assert np.isnan(dataset["gpp"][0].values).all()
    assert (dataset["days"].values == 0).all()


@pytest.mark.parametrize("tile_cells", [48, 100, 240, 4800])
def test_chunks_divide_the_shard_that_is_one_tile(tile_cells: int) -> None:
    layout = cf.Layout.daily(Grid(0, 0, tile_cells, tile_cells, tile_cells), 2012)
    assert layout.shards == (366, tile_cells, tile_cells)
    assert all(shard % chunk == 0 for shard, chunk in zip(layout.shards, layout.chunks, strict=True))


def test_the_days_of_a_cell_lie_side_by_side_and_partial_reads_and_writes_keep_the_dimensions() -> None:
    """Cells without values, as those that no run models, then take next to nothing."""
    grid = Grid(first_row=0, first_col=0, rows=48, cols=48, tile_cells=48)
    layout, memory = cf.Layout.daily(grid, 2012), {}
    root, rng = zarr.open_group(MemoryStore(memory), mode="w"), np.random.default_rng(0)
    season = np.sin(np.arange(366) / 58)[:, None, None] * rng.random(grid.shape)
    values = np.where(rng.random(grid.shape) < 0.2, season.astype(np.float16), np.nan).astype(np.float32)
    layer = cf.create(root, GPP, layout)
    layer[...] = values
    layer[100:103, 5:9, :] = values[100:103, 5:9] + 1
    assert layer.shape == (366, 48, 48)
    np.testing.assert_array_equal(layer[:, 7, 11], values[:, 7, 11] + np.isin(np.arange(366), [100, 101, 102]))
    np.testing.assert_array_equal(layer[200], values[200])
    layer[100:103] = values[100:103]
    plain = cf.create(root, Variable("plain", "1", "any"), replace(layout, dims=("day", "y", "x")))
    plain[...] = values
    sizes = {
        name: sum(len(value) for path, value in memory.items() if path.startswith(f"{name}/c/"))
        for name in ("gpp", "plain")
    }
    assert sizes["gpp"] < 0.7 * sizes["plain"]


@pytest.mark.parametrize("sharded", [True, False])
def test_any_byte_that_changes_where_it_lies_is_noticed(sharded: bool) -> None:
    grid = Grid(first_row=0, first_col=0, rows=8, cols=8, tile_cells=8)
    layout = cf.Layout.daily(grid, 2011) if sharded else cf.Layout.map(grid)
    memory: dict[str, Buffer] = {}
    root = zarr.open_group(MemoryStore(memory), mode="w")
    rng = np.random.default_rng(1)
    values = rng.normal(size=layout.shape).astype(np.float32)
    cf.create(root, Variable("a", "1", "any"), layout)[...] = values
    np.testing.assert_array_equal(repository.part(root, "a", ...), values)
    (chunk,) = (name for name in memory if "/c/" in name)
    whole = memory[chunk].to_bytes()
    for place in rng.choice(len(whole), 40, replace=False):
        broken = bytearray(whole)
        broken[place] ^= 1 << rng.integers(8)
        memory[chunk] = default_buffer_prototype().buffer.from_bytes(bytes(broken))
        with pytest.raises(repository.DamagedError, match="array a is damaged"):
            repository.part(root, "a", ...)


@given(arrays(np.int16, (2, 5), elements=st.integers(-32767, 32767)), st.sampled_from([0.001, 0.002, 0.01, 1.0]))
def test_multiples_of_the_step_come_back_bit_by_bit(steps: np.ndarray, scale: float) -> None:
    values = steps * np.float32(scale)
    stored = cf.packed(values, scale, missing=-32768)
    np.testing.assert_array_equal(stored, steps)
    np.testing.assert_array_equal(cf.Packing(scale, -32768).unpacked(stored), values)
    np.testing.assert_array_equal(cf.quantised(values, scale), values)


def test_missing_values_are_packed_and_larger_ones_refused() -> None:
    stored = cf.packed(np.array([[1.2344, np.nan]], np.float32), 0.001, missing=-32768)
    assert stored.tolist() == [[1234, -32768]]
    assert np.isnan(cf.Packing(0.001, -32768).unpacked(stored)).tolist() == [[False, True]]
    with pytest.raises(UserError, match=r"33 is beyond 32\.767, the largest value that is stored in steps of 0\.001"):
        cf.packed(np.array([[33.0]], np.float32), 0.001, missing=-32768)
