"""`agcarbon fetch` on the command line, against generated responses of a server on the loopback interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline import config
from pipeline.cli.main import app
from pipeline.config import RunFile
from pipeline.console import console
from pipeline.errors import UserError
from pipeline.fetch.earthdata import EarthdataCatalogue
from tests.helpers.earthdata_server import ARCHIVE, TOKEN, Answer, EarthdataServer, serving, without_pauses

SLOPE = "https://data.ornldaac.earthdata.nasa.gov/protected/slope"
NAMES = [f"NLDAS_FORA0125_H.A20110704.{hour:02d}00.020.nc" for hour in range(3)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EarthdataServer]:
    """A catalogue of three hours and a day, which the command asks instead of NASA's, and no login anywhere."""
    with serving(EarthdataServer()) as server:
        for name in NAMES:
            content = name.encode() * 100
            sha = {"Algorithm": "SHA-256", "Value": hashlib.sha256(content).hexdigest()}
            server.add(f"{ARCHIVE}/data/{name}", content, Checksum=sha)
        server.add(f"{SLOPE}/GPP.2011.07.04.h11v04.tif", b"II*\0")
        catalogue = EarthdataCatalogue(server.address, pause_s=0.0)
        monkeypatch.setattr("pipeline.fetch.earthdata.EarthdataCatalogue", lambda: catalogue)
        for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETRC", "/nonexistent")
        monkeypatch.setattr(console, "width", 300)
        yield server


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(config.dump(RunFile(region="demo")))
    return path


@pytest.fixture
def with_login(server: EarthdataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    monkeypatch.setattr("earthaccess.Auth.get_session", lambda _: server.open_session())
    without_pauses(monkeypatch)


def agcarbon(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["fetch", *map(str, arguments)])


@pytest.mark.usefixtures("server")
def test_a_dry_run_reports_missing_files_without_a_login(run_file: Path) -> None:
    said = agcarbon(run_file, "--years", "2011", "--dry-run")
    assert said.exit_code == 0
    assert "3 files, 11.4 kB" in said.output
    assert f"{NAMES[0]} ... {NAMES[2]}" in said.output
    assert "8,829 of 8,832 hours are missing" in said.output
    assert "729 of 730 daily files of MODIS tiles are missing" in said.output
    assert "gSSURGO_XX.gdb" in said.output
    assert "YEAR_30m_cdls.zip" in said.output
    assert [path.name for path in run_file.parent.iterdir()] == ["run.toml"]


@pytest.mark.usefixtures("server")
def test_downloading_without_a_login_gives_the_steps(run_file: Path) -> None:
    said = agcarbon(run_file, "--years", "2011", "--product", "climate")
    assert isinstance(said.exception, UserError)
    assert "NASA GESDISC DATA ARCHIVE" in str(said.exception)


@pytest.mark.usefixtures("with_login")
def test_all_is_fetched_once(server: EarthdataServer, run_file: Path) -> None:
    said = agcarbon(run_file, "--years", "2011", "--product", "climate", "--product", "gpp")
    assert said.exit_code == 0
    assert "4 files fetched, 11.4 kB; 0 files already present verified" in said.output
    found = {path.name for path in run_file.parent.rglob("*") if path.suffix in {".nc", ".tif"}}
    assert found == {*NAMES, "GPP.2011.07.04.h11v04.tif"}
    assert TOKEN not in said.output
    server.asked.clear()
    assert "0 files fetched" in agcarbon(run_file, "--years", "2011").output
    assert not server.asked


@pytest.mark.usefixtures("with_login")
def test_files_that_failed_are_listed_and_the_exit_code_is_1(server: EarthdataServer, run_file: Path) -> None:
    server.plan(f"{ARCHIVE}/data/{NAMES[1]}", *[Answer(404)] * 3)
    said = agcarbon(run_file, "--years", "2011", "--product", "climate", "--parallel", "1")
    assert said.exit_code == 1
    assert f"failed: {NAMES[1]}" in said.output
    assert "2 files fetched" in said.output


@pytest.mark.usefixtures("with_login")
def test_names_can_be_narrowed_and_files_read_again(run_file: Path) -> None:
    arguments = (run_file, "--years", "2011", "--product", "gpp")
    assert "0 files" in agcarbon(*arguments, "--only", "GPP_*").output
    assert "1 files fetched" in agcarbon(*arguments).output
    assert "1 files already present verified" in agcarbon(*arguments, "--verify").output


@pytest.mark.usefixtures("server")
def test_links_are_printed_one_a_line(run_file: Path) -> None:
    said = agcarbon(run_file, "--list", "polaris", "--links").output.splitlines()
    assert len(said) > 10
    summary = agcarbon(run_file, "--list", "polaris").stdout.splitlines()
    assert len(summary) == 4
    assert summary[0].startswith(f"{len(said)} links: ")
    assert summary[1].endswith(said[0])
    assert summary[2].endswith(said[-1])
    assert agcarbon(run_file, "--links").exit_code != 0
    assert all(line.startswith("http://hydrology.cee.duke.edu/") and line.endswith(".tif") for line in said)


@pytest.mark.usefixtures("server")
def test_text_from_a_server_is_shown_and_not_interpreted(server: EarthdataServer, run_file: Path) -> None:
    server.add(f"{ARCHIVE}/data/%5Bred%5Dx%1B%5B31m.nc", b"bad")
    said = agcarbon(run_file, "--years", "2011", "--product", "climate", "--dry-run").output
    assert "'[red]x\\x1b[31m.nc' its name is not a plain file name" in said
    assert "\x1b" not in said


def test_an_unknown_product_is_refused(run_file: Path) -> None:
    said = agcarbon(run_file, "--product", "rain")
    assert isinstance(said.exception, UserError)


def test_without_earthaccess_its_installation_is_named(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    said = agcarbon(run_file, "--product", "climate", "--dry-run")
    assert "pip install 'agcarbon[download]'" in str(said.exception)
    assert agcarbon(run_file, "--product", "soil").exit_code == 0
