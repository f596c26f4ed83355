"""`agcarbon checkpoint` as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from model.checkpoint import Checkpoint, CheckpointError
from pipeline.cli.checkpoint import app


def test_checkpoints_are_combined_into_an_ensemble_with_its_origin(untrained: Checkpoint, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    untrained.save(files[0])
    other = {name: tensor + 0.01 for name, tensor in untrained.tensors.items()}
    replace(untrained, tensors=other, record={"origin": "synthetic: another"}).save(files[1])
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
