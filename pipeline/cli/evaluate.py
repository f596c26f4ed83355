"""`agcarbon evaluate`: a checkpoint held against data, beside published figures; and the paper's experiments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from pipeline.evaluation.counties import CountyResult
    from pipeline.evaluation.subjects import Result

Experiment = Literal["sample-size", "ablation", "extreme-years", "leave-years-out", "leave-sites-out"]


def evaluate(
    subject: Annotated[
        Path | None, typer.Argument(help="checkpoint, by default the one that ships; with --experiment, a recipe")
    ] = None,
    *,
    on: Annotated[
        list[str] | None,
        typer.Option(help="synthetic, training, counties, ecosys, tower, or a file of sequences; may be repeated"),
    ] = None,
    data: Annotated[Path, typer.Option(help="folder of real files: ecosys/, fluxnet/, mead-weather/, nass/")] = Path(
        "realdata"
    ),
    sites: Annotated[int, typer.Option(min=1, help="sites, or counties, to simulate")] = 24,
    curves: Annotated[bool, typer.Option(help="draw response curves, a minute's work")] = True,
    figure: Annotated[
        Literal["mead"] | None, typer.Option(help="draw mead.png alone: Mead observed, run and predicted")
    ] = None,
    experiment: Annotated[
        Experiment | None, typer.Option(help="train the networks of one of the paper's experiments")
    ] = None,
    before: Annotated[
        Path | None, typer.Option(help="table a tower's test years: SUBJECT, fine-tuned, this checkpoint, nulls")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="exit with 1 if the network fails a check")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print evaluation.json")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for page, tables and figures")] = Path("evaluation"),
) -> None:
    """Score a checkpoint on simulated sites or counties, on runs of ecosys, at a tower or on a file of sequences.

    Leaves index.html, which holds all figures, and scores.csv, responses.csv and evaluation.json beside it, and says
    whether responses and yields are as they must be. Without --on, simulated sites alone. An experiment leaves its
    table and a figure; killed, the same command goes on.
    """
    if experiment is not None:
        _experiment(experiment, subject, out)
    elif figure is not None:
        _mead(subject, data, out)
    elif before is not None:
        _tower(subject, before, data, out)
    else:
        asked = Asked(tuple(dict.fromkeys(on or ["synthetic"])), data, sites, curves)
        _scores(subject, asked, out=out, as_json=as_json, check=check)


@dataclass(frozen=True)
class Asked:
    """What a checkpoint is to be held against."""

    names: tuple[str, ...]
    data: Path
    sites: int
    curves: bool


def _scores(path: Path | None, asked: Asked, *, out: Path, as_json: bool, check: bool) -> None:
    from model.checkpoint import Checkpoint
    from model.shipped import checkpoint_file
    from pipeline.console import console
    from pipeline.evaluation.published import read_published
    from pipeline.evaluation.report import Report, headline, write_report

    path = checkpoint_file(path)
    checkpoint = Checkpoint.load(path)
    results, counties = _results(checkpoint, asked), _counties(checkpoint, asked)
    report = Report(checkpoint, path.name, results, read_published(), counties)
    written = write_report(report, out)
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
    else:
        for line in headline(report):
            console.print(line, soft_wrap=True)
        for file in written:
            console.print(str(file), style="dim")
    if check and not all(verdict.holds for verdict in report.verdicts):
        raise typer.Exit(1)


def _results(checkpoint: Checkpoint, asked: Asked) -> tuple[Result, ...]:
    from pipeline.console import progress_bars
    from pipeline.evaluation.subjects import evaluate_subject, read_subject, training_subject

    subjects = [
        training_subject(checkpoint) if name == "training" else read_subject(name, data=asked.data, sites=asked.sites)
        for name in asked.names
        if name != "counties"
    ]
    with progress_bars() as progress:
        # One set of response curves is enough: they are of the network.
        return tuple(
            evaluate_subject(checkpoint, each, curves=asked.curves and not i, progress=progress)
            for i, each in enumerate(subjects)
        )


def _counties(checkpoint: Checkpoint, asked: Asked) -> CountyResult | None:
    from pipeline.evaluation.counties import evaluate_counties, read_surveys, simulated_counties
    from pipeline.evaluation.subjects import SEED, YEARS

    if "counties" not in asked.names:
        return None
    counties = simulated_counties(SEED, counties=asked.sites, years=YEARS)
    return evaluate_counties(checkpoint, counties, surveys=read_surveys(asked.data))


def _mead(subject: Path | None, data: Path, out: Path) -> None:
    from model.checkpoint import Checkpoint
    from model.shipped import checkpoint_file
    from pipeline.console import console
    from pipeline.evaluation.mead import mead_budget, mead_figure, read_mead

    mead = read_mead(Checkpoint.load(checkpoint_file(subject)), data=data)
    out.mkdir(parents=True, exist_ok=True)
    console.print(mead_budget(mead).to_string(float_format=lambda value: f"{value:.0f}"), soft_wrap=True)
    mead_figure(mead).savefig(out / "mead.png", dpi=110)
    console.print(str(out / "mead.png"), style="dim")


def _tower(subject: Path | None, before: Path, data: Path, out: Path) -> None:
    from model.checkpoint import Checkpoint
    from model.shipped import checkpoint_file
    from pipeline.console import console
    from pipeline.evaluation.tower import read_tower, tower_course, tower_recipe, tower_table

    fine_tuned = Checkpoint.load(checkpoint_file(subject))
    recipe = tower_recipe(fine_tuned)
    course = tower_course(
        read_tower(recipe, data), recipe, fine_tuned=fine_tuned, before=Checkpoint.load(checkpoint_file(before))
    )
    table = tower_table(course)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "tower.csv", index=False, float_format="%.6g")
    console.print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"), soft_wrap=True)
    console.print(str(out / "tower.csv"), style="dim")


def _experiment(name: Experiment, subject: Path | None, out: Path) -> None:
    from model.experiments.run import run_experiment
    from model.recipe.experiments import read_experiment_recipe
    from pipeline.console import console, progress_bars
    from pipeline.errors import UserError
    from pipeline.evaluation.experiments import comparison_table, verdicts, write_experiment

    if subject is None:
        raise UserError(f"--experiment {name} needs a recipe, as model/experiments/recipes/small.toml")
    recipe = read_experiment_recipe(subject)
    with progress_bars() as progress:
        rows = run_experiment(name, recipe, out, progress=progress)
    for line in verdicts(comparison_table(rows)):
        console.print(line, soft_wrap=True)
    for written in (out / f"{name}.csv", *write_experiment(name, rows, out)):
        console.print(str(written), style="dim")
