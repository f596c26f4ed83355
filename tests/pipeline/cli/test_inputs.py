"""`agcarbon inputs` as a user types it: exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from pipeline import config
from pipeline.cli.inputs import inputs
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs import report_figure
from pipeline.storage import repository as store
from tests.helpers import small_archives
from tests.helpers.commits import transaction


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small archives of which the crop layers are ingested."""
    folder = tmp_path_factory.mktemp("small")
    written: RunFile = small_archives.write_archives(folder)
    ingest(plan_ingest(written, products=["crop"]), executor=Serial())
    (folder / "run.toml").write_text(config.dump(written))
    return folder / "run.toml"


def call(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(inputs)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_is_there_and_plausible_exits_with_0(run_file: Path) -> None:
    result = call(run_file, "--product", "crop", "--no-png")
    assert result.exit_code == 0, result.output
    assert "all requested inputs are ingested and plausible" in result.output


def test_what_is_not_ingested_exits_with_1_and_is_named(run_file: Path) -> None:
    result = call(run_file, "--no-png")
    assert result.exit_code == 1
    assert "gpp: 2011, 2012 not ingested" in result.output
    assert "soil: not ingested" in result.output


def test_what_is_implausible_exits_with_1(run_file: Path) -> None:
    repository = store.open_existing(config.load(run_file).stores.inputs, made_by="test")
    with transaction(repository, "plant") as root:
        array = store.array(root, "crop/2012/covered")
        before = array[0, 0]
        array[0, 0] = 100.0
    result = call(run_file, "--product", "crop", "--no-png")
    with transaction(repository, "mend") as root:
        store.array(root, "crop/2012/covered")[0, 0] = before
    assert result.exit_code == 1
    assert "covered: maximum 100 is above 1" in result.output


def test_json_is_all_that_is_printed(run_file: Path) -> None:
    result = call(run_file, "--product", "crop", "--years", "2012", "--json", "--no-png")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["sound"]) == (0, True)
    assert [row["year"] for row in found["product_years"]] == [2012]


def test_a_store_that_is_not_there_is_a_user_s_fault(run_file: Path) -> None:
    absent = run_file.with_name("other.toml")
    absent.write_text(run_file.read_text().replace("inputs.icechunk", "nowhere.icechunk"))
    assert isinstance(call(absent).exception, UserError)


def test_a_picture_is_written_beside_the_exports_or_where_it_is_wanted(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_figure, "write_figure", lambda path, *_, **__: path.write_bytes(b"drawn"))
    pictures = (tmp_path / "crops.png", Path(config.load(run_file).stores.exports) / "inputs.png")
    said = call(run_file, "--product", "crop", "--png", tmp_path / "crops.png").output
    assert f"figure: {tmp_path / 'crops.png'}" in said
    assert "figure" not in call(run_file, "--product", "crop", "--json").stdout
    for picture in pictures:
        assert picture.read_bytes() == b"drawn"
        picture.unlink()
    call(run_file, "--product", "crop", "--no-png")
    assert not any(picture.exists() for picture in pictures)


def test_a_picture_both_wanted_and_not_is_refused(run_file: Path, tmp_path: Path) -> None:
    result = call(run_file, "--png", tmp_path / "a.png", "--no-png")
    assert isinstance(result.exception, UserError)
    assert "contradict" in str(result.exception)
