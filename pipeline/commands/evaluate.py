"""`agcarbon evaluate`: a checkpoint held against data, with the published figures beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    subject: Annotated[
        Path | None, typer.Argument(help="checkpoint, by default the one that ships; with --experiment, its recipe")
    ] = None,
    *,
    on: Annotated[
        list[str] | None, typer.Option(help="synthetic, ecosys, tower, or a file of sequences; may be repeated")
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of real files: ecosys/, fluxnet/, mead-weather/")] = Path(
        "realdata"
    ),
    sites: Annotated[int, typer.Option(min=1, help="sites to simulate for --on synthetic")] = 24,
    curves: Annotated[bool, typer.Option(help="draw response curves, a minute's work")] = True,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for page, tables and figures")] = Path("evaluation"),
) -> None:
    """Score a checkpoint on simulated sites, on runs of ecosys, at a tower or on a file of sequences.

    Leaves index.html, which holds all figures, and scores.csv, responses.csv and evaluation.json beside it. Without
    --on, simulated sites alone.
    """
    from model.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
    from pipeline.commands.console import console, progress_bars
    from pipeline.evaluation import evaluate_subject, read_subject
    from pipeline.evaluation_report import Report, write_report
    from pipeline.published import read_published

    path = subject or DEFAULT_CHECKPOINT
    checkpoint = Checkpoint.load(path)
    subjects = [read_subject(name, data=data, sites=sites) for name in dict.fromkeys(on or ["synthetic"])]
    with progress_bars() as progress:
        # One set of response curves is enough: they are of the network.
        results = [
            evaluate_subject(checkpoint, each, curves=curves and not i, progress=progress)
            for i, each in enumerate(subjects)
        ]
    report = Report(checkpoint, path.name, tuple(results), read_published())
    for result in results:
        for output in ("yield", "ra", "rh", "reco", "nee"):
            row = result.evaluation.row(output, "annual" if output == "yield" else "daily")
            if row is not None:
                r2 = "–" if row.score.r2 is None else f"{row.score.r2:.3f}"
                console.print(
                    f"{result.subject.name}: {output} R² {r2}, RMSE {row.score.rmse:.3g}, n {row.score.count:,}"
                )
    for written in write_report(report, out):
        console.print(str(written), style="dim")
