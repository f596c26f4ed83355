"""Reading the inputs store gives what the archives hold, cell by cell."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs.view import InputsView, nearest_defined, open_inputs
from pipeline.simulate.crops import CropOfYear
from pipeline.simulate.tile_year import TileYear
from pipeline.sources.nldas2.product import Window
from pipeline.storage import repository
from regions import load_region
from tests.helpers import small_archives

TILE = Grid(4 * 4800 + 4752, 11 * 4800 + 624, 48, 48, 48)
WINDOW = Window.around(*(degrees.ravel() for degrees in TILE.lonlat()), margin=1)
DAYS = np.array(small_archives.DAYS) - 1


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    run_file = small_archives.write_archives(tmp_path_factory.mktemp("small"))
    ingest(plan_ingest(run_file), executor=Serial())
    return run_file


@pytest.fixture
def view(run_file: RunFile) -> InputsView:
    return open_inputs(run_file.stores.inputs)


def tiles(run_file: RunFile) -> tuple[Tile, ...]:
    return domain_of(load_region(run_file.region)).tiles


def read(view: InputsView, tile: Tile, year: int, *, mask: NDArray[np.bool_] | None = None) -> TileYear:
    """Read the cells of a mask, or all with soil, as if they grew corn."""
    mask = view.soil_defined(tile) if mask is None else mask
    crop = CropOfYear(np.ones(mask.sum(), np.uint8), np.ones(mask.sum(), bool))
    fractions_2N = view.crop_fractions(tile, year)[:, mask]
    return view.read_tile_year(tile, year, mask=mask, crop=crop, fractions_2N=fractions_2N)


def stored(view: InputsView, tile: Tile, path: str) -> NDArray[Any]:
    """Values of a stored array (rows, cols) in a tile."""
    return repository.values(view.root, path)[view.grid.window(tile)]


def great_circle(longitude: float, latitude: float, window: Window) -> NDArray[np.float64]:
    """Haversine distance [radian] to the centres of the window's cells (rows, cols)."""
    lat, lon = np.meshgrid(np.radians(window.latitudes), np.radians(window.longitudes), indexing="ij")
    here, there = np.radians(latitude), np.radians(longitude)
    half = np.sin((lat - here) / 2) ** 2 + np.cos(lat) * np.cos(here) * np.sin((lon - there) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(half))


def test_climate_is_that_of_the_cell_around_or_of_the_nearest_defined(run_file: RunFile, view: InputsView) -> None:
    window, (lost_row, lost_col) = view.extent.window, small_archives.UNDEFINED
    defined = np.ones((window.rows, window.cols), bool)
    south_west = small_archives.LATITUDES[0], small_archives.LONGITUDES[0]
    rows, cols = (np.rint((axis - first) / 0.125).astype(int) for axis, first in
                  zip((window.latitudes, window.longitudes), south_west, strict=True))  # fmt: skip
    defined[rows == lost_row, cols == lost_col] = False
    warmth = 285 - 273.15 + 5 + (6 * rows[:, None] + cols) / 10
    for tile in tiles(run_file):
        got, mask = read(view, tile, 2011).inputs, view.soil_defined(tile)
        places = zip(*(degrees[mask] for degrees in view.grid.of(tile).lonlat()), strict=True)
        nearest = [np.where(defined, great_circle(*place, window), np.inf).argmin() for place in places]
        tmax_N = got.climate_7TC[1][0, got.climate_of_N]
        np.testing.assert_allclose(tmax_N, warmth.ravel()[nearest], atol=1e-4)


def test_climate_comes_in_the_networks_units(run_file: RunFile, view: InputsView) -> None:
    climate = read(view, tiles(run_file)[0], 2012).inputs.climate_7TC
    assert climate.shape[:2] == (7, 366)
    low, high = (humidity * 98.0 / (0.622 + 0.378 * humidity) for humidity in (0.00575, 0.00625))
    for feature, value in {0: 200 * 0.0864, 2: 10.0, 3: high, 4: high - low, 5: 432.0, 6: 2.4}.items():
        np.testing.assert_allclose(climate[feature], value, rtol=1e-5, atol=1e-4)


def test_gpp_is_that_of_its_own_cell(run_file: RunFile, view: InputsView) -> None:
    for tile in tiles(run_file):
        cells, mask = read(view, tile, 2011), view.soil_defined(tile)
        _, cols = view.grid.window(tile)
        col_N = np.broadcast_to(np.arange(cols.start, cols.stop), mask.shape)[mask]
        expected = np.broadcast_to(5 + 0.001 * col_N, (DAYS.size, col_N.size))
        np.testing.assert_allclose(cells.inputs.gpp_TN[DAYS], expected, rtol=1e-6)
        assert (cells.inputs.gpp_TN[:106] == 0).all()
        assert (stored(view, tile, "gpp/2011/filled_days")[mask] == 198 - DAYS.size).all()
        assert cells.gpp_filled_N.all()


def test_gpp_has_the_bits_of_the_files_and_is_what_xarray_decodes(run_file: RunFile, view: InputsView) -> None:
    session = repository.open_existing(run_file.stores.inputs, made_by="test").readonly_session("main")
    decoded = xr.open_zarr(session.store, group="gpp/2011", consolidated=False)["gpp"]
    for tile in tiles(run_file):
        mask, (rows, cols) = view.soil_defined(tile), view.grid.window(tile)
        got = view.read_gpp(tile, 2011, mask=mask)
        assert got.dtype == np.float32
        steps = 5000 + np.broadcast_to(np.arange(cols.start, cols.stop, dtype=np.int16), mask.shape)[mask]
        np.testing.assert_array_equal(got[DAYS], np.broadcast_to(steps * np.float32(0.001), (DAYS.size, steps.size)))
        np.testing.assert_allclose(decoded.values[:, rows, cols][:, mask], got, rtol=1e-6)


def test_a_modelled_cell_without_stored_gpp_is_refused_with_the_remedy(run_file: RunFile, view: InputsView) -> None:
    for tile in tiles(run_file):
        missing = stored(view, tile, "gpp/2011/filled_days") == 65535
        if missing.any():
            with pytest.raises(
                UserError, match=rf"GPP of 2011 is not stored at {missing.sum()} modelled .*make a new cube"
            ):
                view.read_gpp(tile, 2011, mask=np.ones((8, 8), bool))
            return
    raise AssertionError("all cells are stored")


def test_soil_is_that_of_the_map_units_and_cells_of_water_cannot_be_modelled(
    run_file: RunFile, view: InputsView
) -> None:
    defined = {tile: view.soil_defined(tile) for tile in tiles(run_file)}
    assert not all(mask.all() for mask in defined.values())
    soc = np.concatenate([read(view, tile, 2011).inputs.soil_9N[6] for tile in defined])
    # 3.448 and 1.724 % organic matter; cells across the border of the two soils lie between.
    assert np.isclose(soc, 20, rtol=1e-5).any()
    assert np.isclose(soc, 10, rtol=1e-5).any()
    assert ((soc > 10 - 1e-4) & (soc < 20 + 1e-4)).all()
    coverage = np.concatenate([stored(view, tile, "soil/soil_coverage")[mask] for tile, mask in defined.items()])
    assert coverage.min() > 0
    assert (coverage < 1 - 1e-6).any()
    partial = np.concatenate([read(view, tile, 2011).partial_soil_N for tile in defined])
    np.testing.assert_array_equal(partial, coverage < 0.999)


def test_crops_rotate_from_year_to_year(run_file: RunFile, view: InputsView) -> None:
    for tile in tiles(run_file):
        (corn, soybean), (corn_after, soybean_after) = (view.crop_fractions(tile, year) for year in (2011, 2012))
        np.testing.assert_allclose(corn, soybean_after, atol=1e-6)
        np.testing.assert_allclose(soybean, corn_after, atol=1e-6)


def test_a_mask_takes_the_same_cells_as_choosing_afterwards(run_file: RunFile, view: InputsView) -> None:
    tile = tiles(run_file)[-1]
    mask = view.soil_defined(tile)
    every, some = read(view, tile, 2012).inputs, mask & (np.arange(8) % 3 == 0)
    few = read(view, tile, 2012, mask=some).inputs
    chosen = some[mask]
    np.testing.assert_array_equal(few.gpp_TN, every.gpp_TN[:, chosen])
    np.testing.assert_array_equal(few.soil_9N, every.soil_9N[:, chosen])
    np.testing.assert_array_equal(
        few.climate_7TC[:, :, few.climate_of_N], every.climate_7TC[:, :, every.climate_of_N[chosen]]
    )


def test_climate_changes_the_digests_of_the_tiles_that_read_it_and_a_pinned_view_stays(
    run_file: RunFile, tmp_path: Path
) -> None:
    source = Path(run_file.region).parent
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    copied = RunFile.model_validate_json(run_file.model_dump_json().replace(str(source), str(tmp_path)))
    before = open_inputs(copied.stores.inputs)
    small_archives.write_granules(copied.archives.nldas2, 2011, warmer=(2, 2))  # 39.9375 N, 89.5625 W
    ingest(plan_ingest(copied, products=["climate"]), executor=Serial())
    after = open_inputs(copied.stores.inputs)
    for tile in tiles(copied):
        old, new = before.tile_digests(tile, 2011), after.tile_digests(tile, 2011)
        longitude, latitude = before.grid.of(tile).lonlat()
        reads = ((longitude < -89.5) & (latitude < 40)).any()
        assert (old.climate != new.climate) == reads
        assert (old.gpp, old.soil, old.crop) == (new.gpp, new.soil, new.crop)
        assert before.tile_digests(tile, 2012) == after.tile_digests(tile, 2012)
    south_west = max(tiles(copied), key=lambda tile: (tile.v, -tile.col))
    old, new = (read(view, south_west, 2011).inputs.climate_7TC[1] for view in (before, after))
    np.testing.assert_allclose((new - old).sum(1), 1.0, atol=1e-4)  # one of the cells that it reads


def test_what_is_not_ingested_is_refused_by_name(run_file: RunFile, view: InputsView, tmp_path: Path) -> None:
    tile = tiles(run_file)[0]
    assert view.ingested("gpp") == {2011, 2012}
    with pytest.raises(UserError, match="crop/2013 is not ingested; run `agcarbon ingest`"):
        view.crop_fractions(tile, 2013)
    with pytest.raises(UserError, match="gpp/2013 is not ingested"):
        view.tile_digests(tile, 2013)
    with pytest.raises(UserError, match="no store here; make it with `agcarbon ingest`"):
        open_inputs(str(tmp_path / "nothing"))


def test_cells_without_soil_never_reach_the_network(run_file: RunFile, view: InputsView) -> None:
    lake = next(tile for tile in tiles(run_file) if not view.soil_defined(tile).all())
    with pytest.raises(UserError, match=f"{(~view.soil_defined(lake)).sum()} modelled cells of tile {lake.name}"):
        read(view, lake, 2011, mask=np.ones((8, 8), bool))


@given(arrays(bool, (WINDOW.rows, WINDOW.cols)).filter(np.any), st.integers(0, 47), st.integers(0, 47))
def test_the_climate_cell_is_the_one_around_or_the_nearest_by_great_circle(
    defined: NDArray[np.bool_], row: int, col: int
) -> None:
    longitude, latitude = (degrees[row, col] for degrees in TILE.lonlat())
    around = np.outer(np.abs(WINDOW.latitudes - latitude) <= 0.0625, np.abs(WINDOW.longitudes - longitude) <= 0.0625)
    found = np.zeros_like(defined)
    found.ravel()[nearest_defined(TILE, WINDOW, defined_YX=defined)[row, col]] = True
    if (around & defined).any():
        np.testing.assert_array_equal(found, around)
    else:
        distance = np.where(defined, great_circle(longitude, latitude, WINDOW), np.inf)
        assert distance[found] == pytest.approx(distance.min(), rel=1e-12)


def test_a_region_without_any_climate_is_refused() -> None:
    with pytest.raises(UserError, match="undefined everywhere in the region"):
        nearest_defined(TILE, WINDOW, defined_YX=np.zeros((WINDOW.rows, WINDOW.cols), bool))
