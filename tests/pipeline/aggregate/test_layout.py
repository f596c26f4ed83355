"""The aggregates in the cube open with xarray, with units and names, and say which years they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from pipeline.aggregate import layout, room
from pipeline.aggregate.frame import Frame, Mask, frame_of
from pipeline.aggregate.layout import AREA, COARSE, FINE, MIDDLE
from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.cube import layout as cube
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.storage import formats, repository
from regions import Region, load_region, zones
from tests.helpers.filled_cube import FIRST, LAST, fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube whose first year is aggregated; its last year is incomplete."""
    job = fill_cube(tmp_path_factory.mktemp("cube")).job
    aggregate_cube(job, Serial())
    return job


class NoResults(layout.CubeYear):
    """A year of a cube without modelled cells."""

    def mask(self, tile: Tile) -> Mask:
        return np.zeros((tile.cells, tile.cells), bool)


def identity_of(region: Region) -> cube.Identity:
    return cube.Identity(region.name, "", domain_of(region).grid, region.first_year, (), 0.5, "fp32", "numba")


def chunks_of(array: zarr.Array[Any], part: layout.Part) -> Iterator[tuple[int, ...]]:
    """Yield the places of the shards, or of the chunks of an array without shards, that a part meets."""
    spans = []
    for place, (size, chunk) in enumerate(zip(array.shape, array.shards or array.chunks, strict=True)):
        where = part.where[place] if place < len(part.where) else slice(None)
        first, end, _ = where.indices(size) if isinstance(where, slice) else (where, where + 1, 1)
        spans.append(range(first // chunk, (end - 1) // chunk + 1))
    return product(*spans)


def opened(job: Job, group: str) -> xr.Dataset:
    session = job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, chunks=None, consolidated=False)


@pytest.mark.parametrize("group", [FINE, MIDDLE, COARSE])
def test_maps_open_with_units_and_area_types_by_name(job: Job, group: str) -> None:
    found = opened(job, group).sel(year=FIRST)
    assert found["gpp"].sel(cover="corn").attrs["units"] == "g m-2 yr-1"
    assert found["lat"].attrs["standard_name"] == "latitude"
    assert found[AREA.name].dtype == np.float64
    assert float(found[AREA.name].sel(cover="cells").sum()) > 0


def test_daily_means_open_on_the_days_of_their_year(job: Job) -> None:
    found = opened(job, f"aggregates/daily/{FIRST}")
    assert found["time"].values[[0, -1]].astype("datetime64[D]").tolist() == [
        np.datetime64(f"{FIRST}-01-01").item(),
        np.datetime64(f"{FIRST}-12-31").item(),
    ]
    assert found["nee"].attrs["units"] == "g m-2 d-1"
    assert np.isfinite(found["nee"].where(found[AREA.name] > 0, 0)).all()


@pytest.mark.parametrize("group", layout.MONTHLY_MAPS)
def test_monthly_sums_open_by_month_and_are_those_of_the_days(job: Job, group: str) -> None:
    """Half-degree days stand for the reference; the other grids have the same totals."""
    found = opened(job, group).sel(year=FIRST)
    assert found["nee"].attrs["units"] == "g m-2"
    assert found["month"].values.tolist() == list(range(1, 13))
    days = opened(job, f"aggregates/daily/{FIRST}")
    expected = (days["nee"] * days[AREA.name]).sum(["lat", "lon"]).groupby("time.month").sum()
    total = (found["nee"].astype(float) * found[AREA.name]).sum(["lat", "lon"])
    np.testing.assert_allclose(total, expected, rtol=1e-9 if found["nee"].dtype == float else 1e-5)
    assert np.abs(expected).min() > 0


def test_sources_name_the_years_that_have_data(job: Job, tmp_path: Path) -> None:
    root = repository.read(job.open_cube())
    assert list(layout.sources(root, FINE)) == list(layout.sources(root, COARSE)) == [FIRST]
    assert layout.sources(repository.read(fill_cube(tmp_path).job.open_cube())) == {}


@pytest.mark.parametrize("tile_cells", [48, pytest.param(96, marks=pytest.mark.slow), 320])
def test_no_two_bands_write_into_the_same_chunk_and_together_they_fill_all(tile_cells: int) -> None:
    """Two workers in one chunk lose data without an error. Bands of tiles of 320 cells are 2 degrees high."""
    region = replace(load_region("three_i"), tile_cells=tile_cells)
    frame = frame_of(region)
    root = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    formats.describe(root, "cube", title="bands")
    root.attrs["identity"] = identity_of(region).as_json()
    room.make_room(root, frame, [region.first_year])
    results = NoResults(root, region.first_year)
    writers: dict[tuple[str, tuple[int, ...]], int] = {}
    filled: Counter[str] = Counter()
    for band in frame.bands:
        for part in layout.band_parts(results, frame, band, first_year=region.first_year):
            filled[part.path] += part.values.size
            for chunk in chunks_of(repository.array(root, part.path), part):
                assert writers.setdefault((part.path, chunk), band.number) == band.number
    assert filled == {path: repository.array(root, path).size for path in filled}
    maps = 3 * (len(layout.ANNUAL_LAYERS) + len(layout.MONTHLY_LAYERS)) + len(layout.DAILY_LAYERS)
    assert len(filled) == maps + 3


def test_room_is_made_once(job: Job) -> None:
    repo = job.open_cube()
    frame = Frame.of(job.domain, zones(job.region))
    session = repo.writable_session(repository.BRANCH)
    room.make_room(repository.writable(session), frame, [FIRST])
    assert not session.has_uncommitted_changes
    room.make_room(repository.writable(session), frame, [FIRST, LAST])
    root = repository.writable(session)
    assert repository.values(root, f"{FINE}/year").tolist() == [FIRST, LAST]
    assert list(layout.sources(root)) == [FIRST]
