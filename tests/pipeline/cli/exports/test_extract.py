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
    return fill_cube(tmp_path_factory.mktemp("extract")).job


def extract(job: Job, *arguments: object) -> str:
    done = CliRunner().invoke(app, ["extract", str(job.path), *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_fields_are_extracted_by_year(job: Job, tmp_path: Path) -> None:
    box = [shapely.box(-89.51, 39.98, -89.49, 40.01)]
    gpd.GeoDataFrame({"farm": ["north"]}, geometry=box, crs=4326).to_file(tmp_path / "fields.geojson")
    path = tmp_path / "series.csv"
    said = extract(job, "--fields", tmp_path / "fields.geojson", "--label", "farm", "--period", "annual", "-o", path)
    assert "2 rows of 1 series" in said
    table = pd.read_csv(path)
    assert table["label"].tolist() == ["north"] * 2
    assert table["year"].tolist() == [2011, 2012]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no place given; give either --point or --fields FILE"),
        (("--point", "40,-89.5", "--fields", "a.gpkg"), "--point and --fields given; give either"),
        (("--point", "40,-89.5", "--label", "name"), "--label name: only the polygons of --fields FILE have columns"),
        (("--point", "40"), "--point '40': not a latitude"),
        (("--point", "10,-89.5"), "lat 10, lon -89.5 lies outside the cube"),
        (("--point", "40,-89.5", "-o", "series.gpkg"), r"series.gpkg: \.gpkg is no format of this output"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(job: Job, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        extract(job, *arguments)
