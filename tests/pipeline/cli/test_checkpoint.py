"""`agcarbon checkpoint` as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.checkpoint import Checkpoint, CheckpointError
from pipeline.cli.checkpoint import app
from tests.helpers import authors_files


def test_checkpoints_are_combined_into_an_ensemble_with_its_origin(untrained: Checkpoint, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    untrained.save(files[0])
    other = {name: array + 0.01 for name, array in untrained.weights.items()}
    replace(untrained, weights=other, record={"origin": "synthetic: another"}).save(files[1])
    joined = tmp_path / "both.safetensors"
    result = CliRunner().invoke(app, ["ensemble", *map(str, files), "-o", str(joined)])
    assert result.exit_code == 0, result.output
    assert "2 members, 322,826 weights" in " ".join(result.output.split())
    record = json.loads(CliRunner().invoke(app, ["inspect", str(joined), "--json"]).output)["record"]
    assert "synthetic: another" in record["origin"]
    assert record["origin"].endswith("(ensemble of 2)")
    assert [member["sha256"] for member in record["members"]] == [Checkpoint.load(file).sha256 for file in files]
    assert "2 members" in CliRunner().invoke(app, ["inspect", str(joined)]).output


def test_an_ensemble_of_one_checkpoint_is_refused(untrained: Checkpoint, tmp_path: Path) -> None:
    untrained.save(tmp_path / "a.safetensors")
    result = CliRunner().invoke(
        app, ["ensemble", str(tmp_path / "a.safetensors"), "-o", str(tmp_path / "b.safetensors")]
    )
    assert isinstance(result.exception, CheckpointError)
    assert "2 or more checkpoints of single networks" in str(result.exception)
    assert not (tmp_path / "b.safetensors").exists()


def imported(folder: Path, weights: str, scalers: str) -> str:
    arguments = [str(folder / weights), "--scalers", str(folder / scalers), "-o", str(folder / "mine.safetensors")]
    result = CliRunner().invoke(app, ["import", *arguments])
    if result.exception:
        raise result.exception
    return " ".join(result.output.split())


def test_the_authors_files_become_the_checkpoint_that_json_gives(untrained: Checkpoint, tmp_path: Path) -> None:
    content = authors_files.scalers()
    authors_files.save(authors_files.best_epoch(dict(untrained.tensors)), tmp_path / "weights.sav_step5")
    authors_files.save(content, tmp_path / "scalers.sav")
    rows = {
        "features": content["X_scaler"].tolist(),
        "gpp": content["X_scaler"][8].tolist(),
        **dict(zip(("ra", "rh", "nee"), content["Y1_scaler"].tolist(), strict=True)),
        "yield": content["Y2_scaler"][0].tolist(),
        "residue": content["Res_scaler"][0].tolist(),
    }
    (tmp_path / "scalers.json").write_text(json.dumps(rows))
    assert "161,413 weights" in imported(tmp_path, "weights.sav_step5", "scalers.json")
    by_json = Checkpoint.load(tmp_path / "mine.safetensors")
    assert "last epoch" not in imported(tmp_path, "weights.sav_step5", "scalers.sav")
    found = Checkpoint.load(tmp_path / "mine.safetensors")
    assert found.sha256 == by_json.sha256
    assert found.record == {
        "origin": "imported from weights.sav_step5 (model_state_dict)",
        "scalers": "imported from scalers.sav",
    }


def test_weights_of_the_last_epoch_are_imported_with_a_note(untrained: Checkpoint, tmp_path: Path) -> None:
    authors_files.save(authors_files.last_epoch(dict(untrained.tensors)), tmp_path / "weights.sav_step5fs")
    authors_files.save(authors_files.scalers(), tmp_path / "scalers.sav")
    assert "weights.sav_step5fs holds the last epoch" in imported(tmp_path, "weights.sav_step5fs", "scalers.sav")
    assert "model_state_dict_fs" in Checkpoint.load(tmp_path / "mine.safetensors").record["origin"]


def test_scalers_that_cannot_be_read_leave_no_checkpoint(untrained: Checkpoint, tmp_path: Path) -> None:
    authors_files.save(dict(untrained.tensors), tmp_path / "weights.sav")
    authors_files.save({"X_scaler": authors_files.Reduced(print, ("code ran",))}, tmp_path / "scalers.sav")
    (tmp_path / "scalers.json").write_text("[1]")
    for name, message in (
        ("scalers.sav", "refused: it holds print"),
        ("scalers.json", "holds a list and not an object"),
        ("absent.sav", "not a readable JSON file of scalers"),
    ):
        with pytest.raises(CheckpointError, match=message):
            imported(tmp_path, "weights.sav", name)
    assert not (tmp_path / "mine.safetensors").exists()
