"""`agcarbon evaluate`: a checkpoint held against data, beside published figures; and the paper's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.evaluation import Subject

Experiment = Literal["sample-size", "ablation", "extreme-years", "leave-years-out", "leave-sites-out"]


def evaluate(
    subject: Annotated[
        Path | None, typer.Argument(help="checkpoint, by default the one that ships; with --experiment, a recipe")
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
    figure: Annotated[
        Literal["mead"] | None, typer.Option(help="draw mead.png alone: Mead observed, run and predicted")
    ] = None,
    experiment: Annotated[
        Experiment | None, typer.Option(help="train the networks of one of the paper's experiments")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for page, tables and figures")] = Path("evaluation"),
) -> None:
    """Score a checkpoint on simulated sites, on runs of ecosys, at a tower or on a file of sequences.

    Leaves index.html, which holds all figures, and scores.csv, responses.csv and evaluation.json beside it. Without
    --on, simulated sites alone. An experiment leaves its table and a figure; killed, the same command goes on.
    """
    if experiment is not None:
        _experiment(experiment, subject, out)
    elif figure is not None:
        _mead(subject, data, out)
    else:
        from pipeline.evaluation import read_subject

        subjects = [read_subject(name, data=data, sites=sites) for name in dict.fromkeys(on or ["synthetic"])]
        _scores(subject, subjects, curves=curves, out=out)


def _scores(path: Path | None, subjects: list[Subject], *, curves: bool, out: Path) -> None:
    from model.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
    from pipeline.commands.console import console, progress_bars
    from pipeline.evaluation import evaluate_subject
    from pipeline.evaluation_report import Report, headline, write_report
    from pipeline.published import read_published

    path = path or DEFAULT_CHECKPOINT
    checkpoint = Checkpoint.load(path)
    with progress_bars() as progress:
        # One set of response curves is enough: they are of the network.
        results = tuple(
            evaluate_subject(checkpoint, each, curves=curves and not i, progress=progress)
            for i, each in enumerate(subjects)
        )
    for line in headline(results):
        console.print(line)
    for written in write_report(Report(checkpoint, path.name, results, read_published()), out):
        console.print(str(written), style="dim")


def _mead(subject: Path | None, data: Path, out: Path) -> None:
    from model.checkpoint import DEFAULT_CHECKPOINT, Checkpoint
    from pipeline.commands.console import console
    from pipeline.mead import mead_budget, mead_figure, read_mead

    mead = read_mead(Checkpoint.load(subject or DEFAULT_CHECKPOINT), data=data)
    out.mkdir(parents=True, exist_ok=True)
    console.print(mead_budget(mead).to_string(float_format=lambda value: f"{value:.0f}"), soft_wrap=True)
    mead_figure(mead).savefig(out / "mead.png", dpi=110)
    console.print(str(out / "mead.png"), style="dim")


def _experiment(name: Experiment, subject: Path | None, out: Path) -> None:
    from model.training.experiment_recipe import read_experiment_recipe
    from model.training.experiments import run_experiment
    from pipeline.commands.console import console, progress_bars
    from pipeline.errors import UserError
    from pipeline.experiment_report import comparison_table, verdicts, write_experiment

    if subject is None:
        raise UserError(f"--experiment {name} needs a recipe, as model/training/experiment_recipes/small.toml")
    recipe = read_experiment_recipe(subject)
    with progress_bars() as progress:
        rows = run_experiment(name, recipe, out, progress=progress)
    for line in verdicts(comparison_table(rows)):
        console.print(line)
    for written in (out / f"{name}.csv", *write_experiment(name, rows, out)):
        console.print(str(written), style="dim")
