from __future__ import annotations

from pathlib import Path

import matplotlib.image
import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.errors import UserError
from pipeline.job import Job
from tests.helpers.filled_cube import fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return fill_cube(tmp_path_factory.mktemp("map")).job


def draw(job: Job, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["map", str(job.path), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_year_is_drawn_among_the_exports_and_its_deficiencies_are_named(job: Job) -> None:
    archive = job.run_file.archives.slope
    archive.mkdir(parents=True)
    (archive / "README.txt").write_text("Synthetic data of a test")
    said = draw(job, "--year", "2012", "--variables", "dsoc")
    assert "Synthetic archives\nNetwork weights" in said
    assert "2012: 1 of" in said
    assert matplotlib.image.imread(Path(job.stores.exports) / "map-2012.png").std() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--year", "2020"), r"no results of 2020 \(years with results: 2011, 2012\)"),
        (("--variables", "snow"), "--variables 'snow': no map of 'snow'; choose among crop"),
        (("-o", "map.jpg"), r"--output map.jpg: \.jpg is no format of this output; end the name in \.png"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(job: Job, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(job, *arguments)
