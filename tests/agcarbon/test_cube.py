"""The cube in a notebook: points, counties, fields, means, and the errors of wrong places."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import agcarbon
from pipeline.errors import UserError
from tests.helpers.filled_cube import FIRST, LAST, Filled, fill_cube


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("cube"), complete=True)


@pytest.fixture(scope="module")
def cube(filled: Filled) -> agcarbon.Cube:
    return agcarbon.open(filled.job.path)


def place_of_a_cell(cube: agcarbon.Cube, row: int, col: int) -> tuple[float, float]:
    return float(cube.annual.latitude[row, col]), float(cube.annual.longitude[row, col])


def test_a_run_file_and_the_folder_of_its_cube_open_the_same_cube(cube: agcarbon.Cube, filled: Filled) -> None:
    other = agcarbon.open(filled.job.stores.cube)
    assert other.years == cube.years == (FIRST, LAST)
    assert other.annual.attrs == cube.annual.attrs
    assert other.annual.dsoc.identical(cube.annual.dsoc)


def test_a_point_is_the_series_of_its_cell(cube: agcarbon.Cube) -> None:
    rows, cols = np.nonzero(cube.annual.modelled.values)
    row, col = int(rows[77]), int(cols[77])
    point = cube.point(*place_of_a_cell(cube, row, col))
    np.testing.assert_array_equal(point.daily.nee.values, cube.daily.nee.isel(y=row, x=col).values)
    np.testing.assert_array_equal(point.annual.dsoc.values, cube.annual.dsoc.isel(y=row, x=col).values)
    assert point.daily.nee.dims == ("time",)


def test_the_cell_of_a_point_contains_it_up_to_its_edges(cube: agcarbon.Cube) -> None:
    rows, cols = np.nonzero(cube.annual.modelled.values)
    lat, lon = place_of_a_cell(cube, int(rows[77]), int(cols[77]))
    half = 0.49 / 480  # a cell is 1/480 degree of latitude
    for step in (-half, half):
        assert float(cube.point(lat + step, lon).annual.y) == float(cube.annual.y[rows[77]])


def test_a_point_that_is_not_modelled_names_the_nearest_that_is(cube: agcarbon.Cube) -> None:
    modelled = cube.annual.modelled.values
    rows, cols = np.nonzero(~modelled)
    lat, lon = place_of_a_cell(cube, int(rows[500]), int(cols[500]))
    with pytest.raises(UserError, match="is not modelled") as caught:
        cube.point(lat, lon)
    distance, lat, lon = map(
        float, re.search(r"modelled is ([\d.]+) km away, at lat (.+), lon (.+)$", str(caught.value)).groups()
    )
    row, col = np.nonzero(modelled)
    least = np.hypot(row - rows[500], col - cols[500]).min() * 0.231656
    assert distance == pytest.approx(least, abs=0.06)
    cube.point(lat, lon)


@pytest.mark.parametrize(("lat", "lon"), [(10.0, 10.0), (40.0, 179.0), (-40.0, -89.6)])
def test_a_point_outside_the_cube_is_refused_with_its_bounds(cube: agcarbon.Cube, lat: float, lon: float) -> None:
    with pytest.raises(UserError, match=r"outside the cube, which reaches from 39\.90 to 40\.10 and from -89\.81 to"):
        cube.point(lat, lon)


def test_the_mean_of_a_county_is_that_of_its_polygon(cube: agcarbon.Cube) -> None:
    from regions import counties

    fips = int(cube.annual.county[50, 50])
    mean = cube.county(fips).mean()
    (zone,) = (zone for zone in counties() if int(zone.fips) == fips)
    fields = cube.fields(gpd.GeoDataFrame({"name": ["it"]}, geometry=[zone.geometry], crs=4326))
    of_polygon = fields.annual.sel(cover="cells").isel(polygon=0)
    np.testing.assert_allclose(mean.annual.dsoc, of_polygon.dsoc, rtol=1e-5)
    # The mean of a map counts cells in full where the year has a result; days without one are no part of either.
    np.testing.assert_allclose(mean.daily.nee, fields.daily.nee.isel(polygon=0), rtol=1e-4, atol=1e-6)


def test_a_county_shows_only_the_cells_that_meet_it(cube: agcarbon.Cube) -> None:
    part = cube.county(str(int(cube.annual.county[50, 50])))
    outside = part.annual.coverage.values == 0
    assert outside.any()
    assert np.isnan(part.annual.dsoc.values[:, outside]).all()
    inside = part.annual.modelled.values & ~outside
    assert np.isfinite(part.annual.dsoc.values[:, inside]).mean() > 0.99


def test_counties_that_do_not_exist_or_lie_elsewhere_are_refused(cube: agcarbon.Cube) -> None:
    with pytest.raises(UserError, match="'17000' is no FIPS code"):
        cube.county("17000")
    with pytest.raises(UserError, match=r"Autauga county, AL \(01001\) does not meet the cube"):
        cube.county(1001)


def test_the_mean_weights_by_area(cube: agcarbon.Cube) -> None:
    dsoc = cube.annual.dsoc.values.astype(float)
    area = cube.annual.cell_area.values * np.isfinite(dsoc)
    expected = np.nansum(dsoc * area, axis=(1, 2)) / area.sum(axis=(1, 2))
    np.testing.assert_allclose(cube.mean().annual.dsoc, expected, rtol=1e-5)
    assert "crop" not in cube.mean().annual


def test_an_incomplete_cube_is_opened_with_a_warning(tmp_path: Path) -> None:
    fill_cube(tmp_path)
    with pytest.warns(UserWarning, match=f"is not complete: {LAST}: 1 of"):
        agcarbon.open(tmp_path / "run.toml")


def test_a_release_stays_as_it_was(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from pipeline.cli.main import app

    filled = fill_cube(tmp_path, complete=True)
    assert CliRunner().invoke(app, ["tag", str(filled.job.path), "v1.0"]).exit_code == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        released = agcarbon.open(filled.job.path, release="v1.0")
    assert released.annual.attrs["release"] == "v1.0"
    with pytest.raises(UserError, match=r"v9"):
        agcarbon.open(filled.job.path, release="v9")


def test_fields_keep_their_labels(cube: agcarbon.Cube) -> None:
    box = shapely.box(-89.62, 39.98, -89.55, 40.02)
    fields = cube.fields(gpd.GeoDataFrame({"owner": ["Ames"]}, geometry=[box], crs=4326), label="owner")
    assert fields.annual.polygon.values.tolist() == fields.daily.polygon.values.tolist() == ["Ames"]
    assert 0 < float(fields.annual.mixed_share.isel(polygon=0)) < 1


@pytest.mark.parametrize(("lat", "lon"), [(np.nan, -89.5), ("north", -89.5), ([40.0], [-89.5]), (None, None)])
def test_a_point_that_is_no_pair_of_numbers_is_refused(cube: agcarbon.Cube, lat: Any, lon: Any) -> None:
    with pytest.raises(UserError, match="not two numbers; give degrees, such as"):
        cube.point(lat, lon)


def test_an_empty_place_is_refused() -> None:
    with pytest.raises(UserError, match="the place of the cube is empty"):
        agcarbon.open("")


@pytest.mark.parametrize("period", ["annual", "monthly"])
def test_a_zonal_table_is_that_of_the_command(
    cube: agcarbon.Cube, filled: Filled, tmp_path: Path, period: Literal["annual", "monthly"]
) -> None:
    from typer.testing import CliRunner

    from pipeline.cli.main import app

    boxes = [shapely.box(-89.62, 39.98, -89.55, 40.02), shapely.box(-89.56, 39.98, -89.54, 40.02)]
    fields = gpd.GeoDataFrame({"owner": ["Ames", "Boone"]}, geometry=boxes, crs=4326).to_crs(32616)
    fields.to_file(tmp_path / "fields.gpkg")
    options = [
        "--fields",
        tmp_path / "fields.gpkg",
        "--label",
        "owner",
        "--period",
        period,
        "-o",
        tmp_path / "out.gpkg",
    ]
    done = CliRunner().invoke(app, ["zonal", str(filled.job.path), *map(str, options)], catch_exceptions=False)
    assert done.exit_code == 0
    found = cube.zonal(fields, label="owner", period=period)
    assert isinstance(found, gpd.GeoDataFrame)
    written = gpd.read_file(tmp_path / "out.gpkg")
    pd.testing.assert_frame_equal(found.drop(columns="geometry"), written.drop(columns="geometry"), check_dtype=False)
    assert found.geometry.geom_equals_exact(written.geometry, 1e-9).all()
