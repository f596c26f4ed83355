from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.errors import UserError
from pipeline.job import Job
from tests.helpers.filled_cube import fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return fill_cube(tmp_path_factory.mktemp("zonal")).job


def zonal(job: Job, *arguments: object) -> str:
    done = CliRunner().invoke(app, ["zonal", str(job.path), *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_states_are_written_where_the_tables_are(job: Job) -> None:
    said = zonal(job, "--states")
    assert "note: 2012: 1 of" in said
    table = pd.read_csv(f"{job.stores.exports}/tables/zonal.csv")
    assert table["state"].unique().tolist() == ["IL"]
    assert table["year"].unique().tolist() == [2011, 2012]
    assert table["cover"].unique().tolist() == ["cells", "corn", "soybean"]


def test_counties_of_a_year_as_a_geopackage(job: Job, tmp_path: Path) -> None:
    zonal(job, "--counties", "--years", "2011", "-o", tmp_path / "counties.gpkg")
    table = gpd.read_file(tmp_path / "counties.gpkg")
    assert table["year"].unique().tolist() == [2011]
    assert table.geometry.is_valid.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no polygons given; give one of --fields FILE, --counties, --states"),
        (("--counties", "--states"), "--counties and --states given; give one of"),
        (("--states", "--label", "name"), "--label name: only the polygons of --fields FILE have columns"),
        (("--states", "--years", "2020"), "has no results of 2020; years with results: 2011, 2012"),
        (("--states", "-o", "table.shp"), r"table.shp: \.shp is no format of this output"),
        (("--fields", "nothing.gpkg"), "nothing.gpkg: no vector file that can be read"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(job: Job, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        zonal(job, *arguments)


def test_polygons_that_all_lie_elsewhere_are_refused_and_the_others_noted(job: Job, tmp_path: Path) -> None:
    """Latitude before longitude is the usual cause; a table without any value would hide it."""
    inside, swapped = shapely.box(-89.51, 39.98, -89.49, 40.01), shapely.box(39.98, -89.51, 40.01, -89.49)
    path = tmp_path / "fields.gpkg"
    gpd.GeoDataFrame(geometry=[swapped], crs=4326).to_file(path)
    with pytest.raises(UserError, match="none of the polygons, such as '0', meets the cube, which reaches from 39"):
        zonal(job, "--fields", path, "-o", tmp_path / "table.csv")
    gpd.GeoDataFrame(geometry=[inside, swapped], crs=4326).to_file(path)
    said = " ".join(zonal(job, "--fields", path, "-o", tmp_path / "table.csv").split())
    assert "note: 2 of 4 polygon-years have no modelled cell with results" in said


def test_the_file_of_the_polygons_is_not_overwritten(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "fields.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.box(-89.51, 39.98, -89.49, 40.01)], crs=4326).to_file(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="the polygons are read from this file; name another one"):
        zonal(job, "--fields", path, "-o", tmp_path / "sub" / ".." / "fields.gpkg")
    assert path.read_bytes() == before
