"""`agcarbon checkpoint import`, `ensemble` and `inspect`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.guide.help import Guided
from pipeline.cli.options import AsJson

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint

app = typer.Typer(cls=Guided, no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="the authors' file of weights (.sav, .pth)")],
    scalers: Annotated[
        Path,
        typer.Option(
            help="the authors' file of scalers (.sav: X_scaler, Y1_scaler, Y2_scaler, Res_scaler), or JSON: features "
            "(19 x [mean, std]), gpp, ra, rh, nee, yield, residue"
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="checkpoint to write")],
) -> None:
    """Import published weights as a checkpoint; no code in the files is run."""
    from model.authors_files import LAST_EPOCH, read_weights
    from model.checkpoint import Checkpoint
    from pipeline.console import console

    weights = read_weights(file)
    record = {"origin": f"imported from {file.name}", "scalers": f"imported from {scalers.name}"}
    if weights.key:
        record["origin"] += f" ({weights.key})"
    checkpoint = Checkpoint.from_published(weights.tensors, _raw_scalers(scalers), record=record)
    checkpoint.save(output)
    console.print(f"{output}: {checkpoint.parameters:,} weights, sha256 {checkpoint.sha256[:12]}")
    if weights.key == LAST_EPOCH:
        console.print(f"{file.name} holds the last epoch; the file of the best epoch has no fs at the end of its name")


def _raw_scalers(file: Path) -> Mapping[str, Any]:
    from model.authors_files import is_scaler_file, read_scalers
    from model.checkpoint import CheckpointError

    try:
        if is_scaler_file(file):
            return read_scalers(file).as_json()
        raw = json.loads(file.read_text())
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not a readable JSON file of scalers ({error})") from None
    if not isinstance(raw, dict):
        raise CheckpointError(f"{file}: holds a {type(raw).__name__} and not an object with features, gpp, ra, ...")
    return raw


@app.command()
def ensemble(
    files: Annotated[list[Path], typer.Argument(help="2 or more checkpoints that were trained on the same data")],
    output: Annotated[Path, typer.Option("-o", "--output", help="checkpoint to write")],
) -> None:
    """Combine checkpoints into an ensemble.

    Maps are its mean, with the standard deviation of the annual products.
    """
    from model.checkpoint import Checkpoint
    from pipeline.console import console

    members = [Checkpoint.load(file) for file in files]
    origins = sorted({str(member.record.get("origin", "origin not recorded")) for member in members})
    joined = Checkpoint.ensemble(members, record={"origin": f"{'; '.join(origins)} (ensemble of {len(members)})"})
    joined.save(output)
    console.print(f"{output}: {len(joined)} members, {joined.parameters:,} weights, sha256 {joined.sha256[:12]}")


@app.command()
def inspect(
    file: Annotated[Path | None, typer.Argument(help="checkpoint; the shipped default if absent")] = None,
    as_json: AsJson = False,
) -> None:
    """Print size, scalers, provenance and scores of a checkpoint."""
    from model.checkpoint import Checkpoint
    from model.shipped import checkpoint_file
    from pipeline.console import console, print_json

    path = checkpoint_file(file)
    checkpoint = Checkpoint.load(path)
    if as_json:
        scores = checkpoint.record.get("scores", {})
        print_json(checkpoint.metadata() | {"parameters": checkpoint.parameters, "scores": scores})
    else:
        console.print(_table(path, checkpoint))


def _table(path: Path, checkpoint: Checkpoint) -> Any:
    from rich.table import Table

    from model.checkpoint import RANGES

    table = Table("", "", title=str(path), show_header=False)
    table.columns[1].overflow = "fold"
    members = f", {len(checkpoint)} members" if len(checkpoint) > 1 else ""
    size = f"{checkpoint.parameters:,} weights in {len(checkpoint.weights)} tensors"
    table.add_row("network", f"KGML-ag-Carbon, {size}{members}")
    table.add_row("sha256", checkpoint.sha256)
    table.add_row("residue pulse", f"days {', '.join(str(day + 1) for day in checkpoint.residue_days)} of the year")
    for name, scaler in checkpoint.scalers.outputs.items():
        table.add_row(f"scaler {name}", f"mean {scaler.mean:.4f}, std {scaler.std:.4f}")
    stages = checkpoint.record.get("stages", [])
    for stage in stages:
        table.add_row(f"stage {stage['step']}", _stage_line(stage))
    table.add_row("training ranges", "recorded" if checkpoint.has_ranges else "none: the published ones are used")
    # In the lines above, and in full as JSON.
    shown = (RANGES, *(("stages", "recipe", "scores") if stages else ()))
    for key, value in checkpoint.record.items():
        if key not in shown:
            table.add_row(key, value if isinstance(value, str) else json.dumps(value))
    return table


def _stage_line(stage: Mapping[str, Any]) -> str:
    """Return name, epochs and R2 on held-out synthetic sites of a stage in one line."""
    scores = stage["scores"]
    known = {name: scores[name]["r2"] for name in ("yield", "ra", "rh", "nee")}
    skill = ", ".join(f"{name} {'-' if r2 is None else format(r2, '.3f')}" for name, r2 in known.items())
    return f"{stage['name']}: epoch {stage['best_epoch']} of {len(stage['curve'])}; R2 {skill}"
