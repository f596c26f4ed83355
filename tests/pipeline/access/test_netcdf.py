"""A netCDF file holds the values of the cube where the area is, and opens with its coordinates and units."""

from __future__ import annotations

from pathlib import Path

import geopandas
import netCDF4
import numpy as np
import pytest
import rioxarray  # noqa: F401
import shapely
import xarray as xr
from pyproj import CRS, Transformer
from typer.testing import CliRunner

from pipeline.access import netcdf
from pipeline.access.dataset import OpenCube
from pipeline.access.netcdf import Area, Extract, window_of, write_netcdf
from pipeline.cli.exports.cog import app
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.storage import repository
from regions import zones
from tests.helpers.filled_cube import FIRST, LAST, Filled, fill_cube

# The second one is moved by half a cell.
BOXES = ((-89.515, 39.98, -89.49, 40.01), (-89.51364, 39.98104, -89.48864, 40.01104))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("cube"))


@pytest.fixture(scope="module")
def cube(filled: Filled) -> OpenCube:
    return OpenCube.at(filled.job.stores.cube)


def _stored(filled: Filled, group: str) -> xr.Dataset:
    session = filled.job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, consolidated=False)


@pytest.mark.parametrize("name", ["nee", "reco"])
def test_a_thousand_cell_days_equal_the_cube(
    filled: Filled, cube: OpenCube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(netcdf, "_BLOCK_ROWS", 48)
    path, rng = tmp_path / "nee.nc", np.random.default_rng(6)
    assert write_netcdf(cube, Extract(name, "daily"), str(path), attributes={}) == 365 + 366
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        values = file[name][:]
        days = netCDF4.num2date(file["time"][:], file["time"].units, only_use_cftime_datetimes=False)
        assert (file["time_bounds"][:] == file["time"][:][:, None] + [0, 1]).all()
        assert file[name].filters()["zlib"]
        assert file["time"].bounds == "time_bounds", "CF 7.1"
        places = file["longitude"][:], file["latitude"][:]
    assert values.dtype == np.float32
    np.testing.assert_allclose(places, cube.grid.lonlat(), rtol=1e-12)  # of all blocks of rows
    years = [_stored(filled, f"daily/{year}") for year in (FIRST, LAST)]
    parts = [year[name] if name == "nee" else year["ra"] + year["rh"] for year in years]
    whole = np.concatenate([part.values for part in parts])
    assert days[0].isoformat() == f"{FIRST}-01-01T00:00:00"
    assert days[-1].isoformat() == f"{LAST}-12-31T00:00:00"
    places = tuple(rng.integers(0, size, 1000) for size in whole.shape)
    assert np.isfinite(whole[places]).any()
    np.testing.assert_array_equal(values[places], whole[places])


def test_annual_layers_have_bounds_of_a_year_and_codes_a_fill_value(
    filled: Filled, cube: OpenCube, tmp_path: Path
) -> None:
    for name in ("dsoc", "crop"):
        write_netcdf(cube, Extract(name, "annual", (LAST,)), str(tmp_path / f"{name}.nc"), attributes={})
    opened = xr.open_dataset(tmp_path / "dsoc.nc")
    assert opened["time"].values.tolist() == [np.datetime64(f"{LAST}-01-01", "ns").astype(int)]
    assert opened["time_bounds"].values.astype("datetime64[D]").astype(str).tolist() == [["2012-01-01", "2013-01-01"]]
    np.testing.assert_array_equal(opened["dsoc"][0].values, _stored(filled, "annual")["dsoc"].sel(year=LAST).values)
    assert opened["dsoc"].attrs["cell_methods"] == "time: sum area: mean"
    with netCDF4.Dataset(tmp_path / "crop.nc") as file:
        crop, mask = file["crop"][0], _stored(filled, "static")["mask"].values == 1
        assert file["crop"].flag_values.dtype == np.uint8
    missing = filled.job.grid.window(filled.job.domain.tiles[-1])  # of the last year
    assert mask[missing].any()
    mask[missing] = False
    np.testing.assert_array_equal(np.ma.getmaskarray(crop), ~mask)
    np.testing.assert_array_equal(crop.filled(0)[mask], _stored(filled, "annual")["crop"].sel(year=LAST).values[mask])


def test_codes_outside_an_area_or_without_a_result_are_the_fill_value(
    filled: Filled, cube: OpenCube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A code of 0 would say that no crop grew there, flags of 0 that nothing is to be remarked."""
    monkeypatch.setattr(netcdf, "_BLOCK_ROWS", 7)
    window = window_of(cube, Area("triangle", shapely.Polygon([(-89.53, 39.97), (-89.47, 39.99), (-89.5, 40.03)])))
    write_netcdf(cube, Extract("quality", "annual"), str(tmp_path / "part.nc"), window=window, attributes={})
    expected = np.stack([_stored(filled, "static")["mask"].values == 1] * 2)
    expected[1][filled.job.grid.window(filled.job.domain.tiles[-1])] = False  # of the last year
    expected = expected[:, window.rows, window.cols] & window.shown
    with netCDF4.Dataset(tmp_path / "part.nc") as file:
        quality = file["quality"][:]
    np.testing.assert_array_equal(np.ma.getmaskarray(quality), ~expected)
    stored = _stored(filled, "annual")["quality"].values[:, window.rows, window.cols]
    np.testing.assert_array_equal(quality.compressed(), stored[expected])
    assert 0 < expected[1].sum() < expected[0].sum()


@pytest.mark.parametrize("bbox", BOXES)
def test_an_area_holds_the_cells_whose_centres_lie_in_it(
    filled: Filled, cube: OpenCube, tmp_path: Path, bbox: tuple[float, float, float, float]
) -> None:
    path = tmp_path / "part.nc"
    window = window_of(cube, Area("here", shapely.box(*bbox)))
    write_netcdf(cube, Extract("nee", "annual", (FIRST,)), str(path), window=window, attributes={"title": "A part"})
    opened = xr.open_dataset(path, decode_coords="all")
    to_lonlat = Transformer.from_crs(SINUSOIDAL, CRS.from_proj4("+proj=longlat +R=6371007.181"), always_xy=True)
    whole = _stored(filled, "annual")["nee"].sel(year=FIRST)
    longitude, latitude = to_lonlat.transform(*np.meshgrid(whole["x"].values, whole["y"].values))
    west, south, east, north = bbox
    inside = (longitude > west) & (longitude < east) & (latitude > south) & (latitude < north)
    expected = np.where(inside, whole.values, np.nan)
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    np.testing.assert_array_equal(opened["nee"][0].sel(y=whole["y"][rows], x=whole["x"][cols]).values,
                                  expected[np.ix_(rows, cols)])  # fmt: skip
    assert np.isfinite(opened["nee"].values).sum() == np.isfinite(expected).sum() > 0
    assert opened["nee"].shape[1] < whole.shape[0]
    np.testing.assert_allclose(opened["longitude"].sel(y=whole["y"][rows], x=whole["x"][cols]).values,
                               longitude[np.ix_(rows, cols)], atol=1e-9)  # fmt: skip
    assert opened.rio.crs == SINUSOIDAL
    assert opened.attrs["title"] == "A part"
    assert opened.attrs["Conventions"] == "CF-1.11"
    left, top = (float(text) for text in opened["spatial_ref"].attrs["GeoTransform"].split()[0::3])
    assert (left, top) == pytest.approx((float(opened["x"][0]) - 115.828, float(opened["y"][0]) + 115.828), abs=1e-2), (
        "GDAL's transform is that of the window"
    )


def test_the_command_writes_a_county_and_names_what_it_cannot(filled: Filled, tmp_path: Path) -> None:
    def run(*options: str) -> str:
        done = CliRunner().invoke(app, ["netcdf", str(filled.job.path), *options, "-o", str(tmp_path / "county.nc")])
        return str(done.exception) if done.exception else " ".join(done.output.split())

    said = run("--variable", "nee", "--frequency", "daily", "--years", "2012", "--counties", "17167,17107")
    assert "366 steps of nee" in said
    assert "note: 2012: 1 of 3 tiles have no result" in said
    with netCDF4.Dataset(tmp_path / "county.nc") as file:
        assert file.license == "other"
        assert file.checkpoint_origin == "synthetic: drawn at random for a test"
        assert file.dimensions["time"].size == 366
    assert "--variable gpp: daily variables are ra, rh, nee, reco" in run("--variable", "gpp", "--frequency", "daily")
    assert "--counties 17019: not in the region, which has" in run("--variable", "nee", "--counties", "17019")
    assert "give one of --aoi" in run("--variable", "nee", "--states", "IL", "--counties", "17167")
    assert "write west,south,east,north" in run("--variable", "nee", "--bbox", "1,2,3")
    assert "no modelled cell of the cube lies in it" in run("--variable", "nee", "--bbox", "-80,39,-79,40")


def test_a_file_of_polygons_gives_the_cells_of_its_county(filled: Filled, tmp_path: Path) -> None:
    county = next(zone for zone in zones(filled.job.region) if zone.fips == "17167")
    outline = geopandas.GeoDataFrame(geometry=[county.geometry], crs="EPSG:4326").to_crs("EPSG:5070")
    outline.to_file(tmp_path / "county.gpkg")
    options = ["netcdf", str(filled.job.path), "--variable", "nee", "--years", "2012"]
    found = []
    for number, area in enumerate((["--counties", "17167"], ["--aoi", str(tmp_path / "county.gpkg")])):
        written = CliRunner().invoke(app, [*options, *area, "-o", str(tmp_path / f"{number}.nc")])
        assert written.exit_code == 0, written.output
        found.append(xr.open_dataset(tmp_path / f"{number}.nc")["nee"])
    xr.testing.assert_equal(*found)
    assert np.isfinite(found[0]).any()


def test_an_area_beside_the_cube_is_refused(cube: OpenCube) -> None:
    with pytest.raises(UserError, match="nowhere: no modelled cell"):
        window_of(cube, Area("nowhere", shapely.box(-100, 30, -99, 31)))


def test_an_area_of_cells_that_are_not_modelled_is_refused(cube: OpenCube) -> None:
    row, col = np.argwhere(~cube.modelled(cube.whole))[-1]
    lon, lat = (float(degrees[row, col]) for degrees in cube.grid.lonlat())
    with pytest.raises(UserError, match="here: no modelled cell"):
        window_of(cube, Area("here", shapely.box(lon - 1e-4, lat - 1e-4, lon + 1e-4, lat + 1e-4)))
