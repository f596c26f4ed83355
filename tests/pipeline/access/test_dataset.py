"""The cube as datasets: every way to ask for values gives those that Zarr alone reads from the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.access import dataset
from pipeline.access.dataset import OpenCube
from pipeline.access.window import Window
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.storage import repository as store
from regions import counties
from tests.helpers.filled_cube import FIRST, LAST, REGION, Filled, fill_cube


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("cube"))


@pytest.fixture(scope="module")
def cube(filled: Filled) -> OpenCube:
    return OpenCube.at(filled.job.stores.cube)


@pytest.fixture(scope="module")
def root(filled: Filled) -> zarr.Group:
    return store.read(filled.job.open_cube())


def stored_days(root: zarr.Group, name: str) -> NDArray[np.float32]:
    return np.concatenate([np.asarray(root[f"daily/{year}/{name}"]) for year in (FIRST, LAST)])


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"time": slice(360, 370)},  # across the years
        {"time": [400, 3, 364, 365], "y": slice(90, 2, -7), "x": 5},
        {"time": 365, "y": [8, 3], "x": [5, 5, 90]},
        {"time": slice(None, None, -50), "y": slice(40, 60), "x": slice(1, None, 30)},
        {"time": slice(5, 5)},
    ],
)
def test_daily_fluxes_of_all_years_are_indexed_as_one_array(cube: OpenCube, root: zarr.Group, key: dict) -> None:
    found = dataset.daily(cube)
    for name in ("ra", "rh", "nee"):
        expected = xr.DataArray(stored_days(root, name), dims=("time", "y", "x")).isel(key)
        np.testing.assert_array_equal(found[name].isel(key).values, expected.values)
    reco = stored_days(root, "ra") + stored_days(root, "rh")
    expected = xr.DataArray(reco, dims=("time", "y", "x")).isel(key)
    np.testing.assert_array_equal(found.reco.isel(key).values, expected.values)


def test_days_have_their_dates_across_the_turn_of_the_year(cube: OpenCube) -> None:
    time = dataset.daily(cube).time
    assert time.size == 365 + 366
    assert (np.diff(time) == np.timedelta64(1, "D")).all()
    assert str(time.values[365])[:10] == f"{LAST}-01-01"


def test_annual_layers_are_those_of_the_store(cube: OpenCube, root: zarr.Group) -> None:
    annual = dataset.annual(cube)
    assert annual.year.values.tolist() == [FIRST, LAST]
    for name in ("dsoc", "nee", "yield", "crop", "quality"):
        np.testing.assert_array_equal(annual[name].values, np.asarray(root[f"annual/{name}"]))
        assert annual[name].attrs["units"] == root[f"annual/{name}"].attrs["units"]
    assert "flag_meanings" in annual.quality.attrs
    np.testing.assert_array_equal(annual.modelled.values, np.asarray(root["static/mask"]).astype(bool))


def test_longitude_and_latitude_are_those_of_proj(cube: OpenCube) -> None:
    annual = dataset.annual(cube)
    to_lonlat = Transformer.from_crs(SINUSOIDAL, "EPSG:4326", always_xy=True)
    longitude, latitude = to_lonlat.transform(*np.meshgrid(annual.x, annual.y))
    # The same sphere in both: PROJ takes latitudes on it for those on WGS84, as MODIS does.
    np.testing.assert_allclose(annual.longitude.values, longitude, atol=1e-3)
    np.testing.assert_allclose(annual.latitude.isel(y=7, x=slice(3, 9)).values, latitude[7, 3:9], atol=0.2)


def test_each_cell_has_the_county_of_its_centre_except_at_borders(cube: OpenCube) -> None:
    import shapely

    annual = dataset.annual(cube).isel(y=slice(10, 70), x=slice(20, 90))
    centres = shapely.points(annual.longitude.values, annual.latitude.values)
    expected = np.zeros(centres.shape, np.int32)
    for zone in counties():
        if zone.state == "IL":
            expected[shapely.within(centres, zone.geometry)] = int(zone.fips)
    assert (annual.county.values == expected).mean() > 0.98
    assert len(np.unique(expected)) > 1


def test_a_window_shows_its_cells_only(cube: OpenCube, root: zarr.Group) -> None:
    shown = np.zeros((20, 30), bool)
    shown[3:9, 4:25] = True
    part = dataset.daily(cube, Window(slice(40, 60), slice(50, 80), shown)).nee.isel(time=slice(0, 4))
    expected = np.where(shown, stored_days(root, "nee")[:4, 40:60, 50:80], np.nan)
    np.testing.assert_array_equal(part.values, expected)
    np.testing.assert_array_equal(part.isel(y=[5, 2], x=slice(3, 20, 2)).values, expected[:, [5, 2], 3:20:2])


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # of rioxarray
def test_rioxarray_clips_and_reprojects_what_was_cut_before(cube: OpenCube) -> None:
    import rioxarray  # noqa: F401  (registers `rio`)

    whole = dataset.annual(cube).dsoc.sel(year=FIRST)
    part = whole.isel(y=slice(10, 60), x=slice(20, 80))
    west, south, _, north = part.rio.bounds()
    assert (west, north) == pytest.approx((float(part.x[0]) - 115.83, float(part.y[0]) + 115.83), abs=0.1)
    box = {
        "type": "Polygon",
        "coordinates": [
            [[west, south], [west + 3000, south], [west + 3000, south + 2000], [west, south + 2000], [west, south]]
        ],
    }
    clipped = part.rio.clip([box])
    np.testing.assert_array_equal(
        clipped.values, part.isel(y=slice(-clipped.sizes["y"], None), x=slice(0, clipped.sizes["x"])).values
    )
    assert clipped.sizes == {"y": 9, "x": 13}
    assert part.rio.reproject("EPSG:5070").rio.crs.to_epsg() == 5070


def test_incomplete_years_are_named(cube: OpenCube, filled: Filled) -> None:
    assert list(cube.incomplete()) == [f"{LAST}: 1 of {len(filled.job.domain.tiles)} tiles have no result"]


def test_a_folder_without_a_cube_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here; make it with `agcarbon run`"):
        OpenCube.at(str(tmp_path / "nothing"))


def test_cells_outside_the_counties_have_none(tmp_path: Path) -> None:
    """Canada begins at 49 N, where a cell on the border is the county's, which holds a part of it."""
    region = REGION.replace("[-89.52, 39.97, -89.48, 40.03]", "[-97.6, 48.99, -97.59, 49.01]")
    annual = dataset.annual(OpenCube.at(fill_cube(tmp_path, region=region).job.stores.cube))
    latitude, county = annual.latitude.values, annual.county.values
    assert set(np.unique(county[latitude > 49.005])) == {0}
    assert set(np.unique(county[latitude < 48.995])) == {38067}
