"""Bad input on the command line: one clear sentence, exit code 2, no traceback, the stores as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import regions
from model.checkpoint import Checkpoint
from pipeline import config
from pipeline.cli.main import app
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.job import Job
from pipeline.storage import repository
from tests.helpers import small_archives
from tests.helpers.commits import transaction


def agcarbon(*arguments: object, expect: int = 2) -> str:
    """Run the command and return its output."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if expect == 2 else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small archives and their run file; nothing ingested."""
    folder = tmp_path_factory.mktemp("cli")
    run_file = small_archives.write_archives(folder)
    settings = run_file.model_copy(update={"execution": ExecutionSettings(scheduler="serial")})
    (folder / "run.toml").write_text(config.dump(settings))
    return folder


def variant(folder: Path, name: str, **changes: object) -> Path:
    """Write another run file with some sections changed."""
    run_file: RunFile = config.load(folder / "run.toml").model_copy(update=changes)
    path = folder / f"{name}.toml"
    path.write_text(config.dump(run_file))
    return path


def test_the_commands_and_their_help_need_no_torch() -> None:
    program = "import sys; from pipeline.cli.main import app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(("ends", "code"), [("pass", 0), ("sys.exit(1)", 1), ("raise OSError('no room')", 2)])
def test_a_command_ends_without_finalizing_python_after_its_output_is_written(ends: str, code: int) -> None:
    program = f"""
import os, sys
import pipeline.cli.main as command
class Dropped:
    def __del__(self): os.abort()  # as a thread of Icechunk that needs Python then
def app():
    command.held = Dropped()
    print("its output")
    {ends}
command.app = app
command.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "its output\n")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_command_in_one_line(name: str) -> None:
    program = f"""
import os, signal, time
import pipeline.cli.main as command
def app():
    os.kill(os.getpid(), signal.{name})
    time.sleep(60)
command.app = app
command.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (130, "agcarbon: interrupted\n")


def test_a_fault_of_ours_ends_in_a_traceback() -> None:
    program = "import pipeline.cli.main as command; command.app = lambda: [][1]; command.main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, "IndexError" in done.stderr) == (1, True)


def test_a_place_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    program = f"""
import pipeline.cli.main as command
from pipeline.storage import files
def app():
    with files.writing({str(tmp_path / "file" / "map.png")!r}): pass
command.app = app
command.main()
"""
    (tmp_path / "file").touch()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    place = tmp_path / "file" / "map.png"
    assert done.returncode == 2
    assert done.stderr == f"agcarbon: {place}: file exists; make the place accessible, or name another one\n"


def test_a_bad_run_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('region = "demo"\ncolour = "red"\n')
    said = agcarbon("run", tmp_path / "run.toml")
    assert said.startswith("agcarbon: ")
    assert "colour: unknown setting" in said
    assert said.count("\n") == 1


def test_an_unknown_region_is_refused_with_those_there_are(tmp_path: Path) -> None:
    said = agcarbon("init", "mars", "-o", tmp_path / "run.toml")
    assert "demo, midwest, three_i" in said
    assert not (tmp_path / "run.toml").exists()


@pytest.mark.parametrize("name", ["{}/", "{}/sub", ""])
def test_a_folder_is_no_region(tmp_path: Path, name: str) -> None:
    said = agcarbon("init", name.format(tmp_path), "-o", tmp_path / "run.toml")
    assert "choose one of demo, midwest, three_i, or give the path of a .toml file" in said


def test_a_folder_is_no_run_file(tmp_path: Path) -> None:
    for options in ((), ("--force",)):
        assert "is a folder; give the name of a file" in agcarbon("init", "demo", "-o", tmp_path, *options)


def test_a_run_file_in_another_folder_finds_its_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = (Path(regions.__file__).parent / "demo.toml").read_text()
    (tmp_path / "own.toml").write_text(region)
    monkeypatch.chdir(tmp_path)
    agcarbon("init", "own.toml", "-o", "sub/run.toml", expect=0)
    assert Job.open(tmp_path / "sub/run.toml").region.name == "own"


def test_running_before_ingesting_names_the_command(folder: Path) -> None:
    assert "agcarbon ingest" in agcarbon("run", folder / "run.toml")
    assert not repository.exists(str(folder / "cube.icechunk"))


@pytest.mark.parametrize(
    ("section", "changed", "fault"),
    [
        (
            "model",
            {"checkpoint": "/nowhere/own.safetensors"},
            "own.safetensors: not a readable checkpoint",
        ),
        ("execution", {"scheduler": "tcp://127.0.0.1:9"}, "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ("execution", {"scheduler": "local", "workers": 1, "memory_limit": "200MiB"}, "memory"),
    ],
)
def test_an_ingest_is_refused_at_once_where_a_run_could_not_follow(
    folder: Path, section: str, changed: dict[str, object], fault: str
) -> None:
    settings = config.load(folder / "run.toml")
    stores = settings.stores.model_copy(update={"inputs": str(folder / "refused.icechunk")})
    run_file = variant(
        folder, "refused", stores=stores, **{section: getattr(settings, section).model_copy(update=changed)}
    )
    assert fault in agcarbon("ingest", run_file)
    assert not repository.exists(str(folder / "refused.icechunk"))


def test_a_region_file_with_comments_is_written_and_can_be_used(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    agcarbon("init", "--region-file", own, expect=0)
    assert "exists already" in agcarbon("init", "--region-file", own)
    agcarbon("init", own, "-o", tmp_path / "run.toml", expect=0)
    assert Job.open(tmp_path / "run.toml").region.name == "own"
    assert "give a region" in agcarbon("init")


def test_a_missing_archive_is_refused_by_its_folder(folder: Path) -> None:
    archives = config.load(folder / "run.toml").archives.model_copy(update={"slope": folder / "nowhere"})
    said = agcarbon("ingest", variant(folder, "no-slope", archives=archives), "--product", "gpp")
    assert "nowhere" in said


@pytest.fixture
def one_tiff(folder: Path) -> Path:
    """One SLOPE file, restored afterwards."""
    return sorted((folder / "slope").rglob("*.tif"))[3]


def ingest_gpp(folder: Path, name: str) -> str:
    """Ingest GPP, and the crops that it needs first, into a store of its own."""
    stores = config.load(folder / "run.toml").stores.model_copy(update={"inputs": str(folder / f"{name}.icechunk")})
    return agcarbon("ingest", variant(folder, name, stores=stores), "--product", "crop", "--product", "gpp")


@pytest.mark.slow
def test_a_truncated_tiff_is_refused_by_name_and_nothing_is_ingested(folder: Path, one_tiff: Path) -> None:
    whole = one_tiff.read_bytes()
    one_tiff.write_bytes(whole[: len(whole) // 2])
    try:
        said = ingest_gpp(folder, "truncated")
    finally:
        one_tiff.write_bytes(whole)
    assert one_tiff.name in said


@pytest.mark.slow
def test_a_tiff_in_another_projection_is_refused_by_name(folder: Path, one_tiff: Path) -> None:
    whole = one_tiff.read_bytes()
    with rasterio.open(one_tiff, "r+") as file:
        file.crs = "EPSG:5070"
    try:
        said = ingest_gpp(folder, "projected")
    finally:
        one_tiff.write_bytes(whole)
    assert one_tiff.name in said


def test_a_redirected_ingest_tells_its_steps_and_leaves_a_log_beside_the_cube(folder: Path) -> None:
    said = agcarbon("ingest", folder / "run.toml", "--product", "soil", expect=0)
    logs = [path.read_text() for path in (folder / "cube.icechunk.logs").glob("*-ingest.log")]
    (log,) = [text for text in logs if f"ingest {folder / 'run.toml'} --product soil\n" in text]
    assert "soil: 2 of 2" in said
    assert "soil: 2 of 2" in log
    assert log.endswith(" ended\n")


@pytest.mark.slow
def test_a_checkpoint_of_another_shape_is_refused_by_the_tensor(folder: Path, untrained: Checkpoint) -> None:
    agcarbon("ingest", folder / "run.toml", expect=0)
    tensors = dict(untrained.tensors)
    tensors["gru_Ra.weight_ih_l0"] = torch.zeros(192, 84)
    save_file(tensors, folder / "other.safetensors", {"agcarbon": json.dumps(untrained.metadata())})
    model = config.load(folder / "run.toml").model.model_copy(update={"checkpoint": str(folder / "other.safetensors")})
    said = agcarbon("run", variant(folder, "other", model=model))
    assert "gru_Ra.weight_ih_l0 has shape (192, 84)" in said
    assert not repository.exists(str(folder / "cube.icechunk"))


def test_export_before_a_run_names_the_command(folder: Path) -> None:
    assert "agcarbon run" in agcarbon("export", "cog", folder / "run.toml")


def test_a_published_file_becomes_a_checkpoint_that_inspect_describes(tmp_path: Path, untrained: Checkpoint) -> None:
    torch.save(dict(untrained.tensors), tmp_path / "weights.sav")
    (tmp_path / "scalers.json").write_text(json.dumps(untrained.scalers.as_json()))
    out = tmp_path / "a.safetensors"
    agcarbon(
        "checkpoint", "import", tmp_path / "weights.sav", "--scalers", tmp_path / "scalers.json", "-o", out, expect=0
    )
    assert Checkpoint.load(out).sha256 == untrained.sha256
    said = json.loads(agcarbon("checkpoint", "inspect", out, "--json", expect=0))
    assert said["parameters"] == 161_413
    assert np.allclose(said["scalers"]["features"], untrained.scalers.features)


def test_importing_without_scalers_is_refused_by_the_missing_key(tmp_path: Path, untrained: Checkpoint) -> None:
    torch.save(dict(untrained.tensors), tmp_path / "weights.sav")
    scalers = untrained.scalers.as_json()
    del scalers["residue"]
    (tmp_path / "scalers.json").write_text(json.dumps(scalers))
    out = tmp_path / "a.safetensors"
    said = agcarbon("checkpoint", "import", tmp_path / "weights.sav", "--scalers", tmp_path / "scalers.json", "-o", out)
    assert "missing ['residue']" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("commands", "place", "attributes"),
    [
        (["status", "history", "audit"], "cube", {"format": "agcarbon-cube-1", "identity": {}}),
        (["ingest", "inputs"], "inputs", {"format": "agcarbon-inputs-2", "extent": {}}),
    ],
)
def test_stores_of_format_1_are_refused_with_the_remedy_and_left_alone(
    folder: Path, tmp_path: Path, commands: list[str], place: str, attributes: dict[str, object]
) -> None:
    location = str(tmp_path / "old.icechunk")
    stores = config.load(folder / "run.toml").stores.model_copy(update={place: location})
    run_file = variant(folder, "old", stores=stores)
    old = repository.create(location)
    with transaction(old, "as it was") as root:
        root.attrs.update(attributes)
    before = repository.tip(old)
    for command in commands:
        result = CliRunner().invoke(app, [command, str(run_file)])
        assert isinstance(result.exception, UserError), command
        assert f"the store at stores.{place} was made before format 2" in str(result.exception)
        assert "then run `agcarbon ingest` and `agcarbon run` again" in str(result.exception)
    assert f"stores.{place} was made before format 2" in agcarbon(commands[0], run_file)
    assert repository.tip(repository.open_existing(location, made_by="test")) == before
