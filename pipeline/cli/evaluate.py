"""`agcarbon evaluate` and its sub-commands: checkpoints compared with data, and the experiments of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from model.shipped import checkpoint_file
from pipeline.cli.guide.help import Guided
from pipeline.cli.options import AsJson
from pipeline.errors import UserError

if TYPE_CHECKING:
    from model.checkpoint import Checkpoint
    from pipeline.evaluation.counties import CountyResult
    from pipeline.evaluation.subjects import Result

Experiment = Literal["sample-size", "ablation", "extreme-years", "leave-years-out", "leave-sites-out"]
CheckpointPath: TypeAlias = Annotated[Path | None, typer.Argument(help="default: the shipped checkpoint")]
Data: TypeAlias = Annotated[
    Path, typer.Option(help="folder of real files: ecosys/, fluxnet/, mead-weather/, nass/, towers/, yields/")
]
Out: TypeAlias = Annotated[Path, typer.Option("-o", "--out", help="folder to write to")]
DATA, OUT = Path("realdata"), Path("evaluation")

FORMS = {
    "scores": "agcarbon evaluate scores [CHECKPOINT] --on DATA",
    "towers": "agcarbon evaluate towers [CHECKPOINT] --before CHECKPOINT",
    "yields": "agcarbon evaluate yields [CHECKPOINT]",
    "mead": "agcarbon evaluate mead [CHECKPOINT]",
    "experiment": "agcarbon evaluate experiment NAME RECIPE",
}
FORMER_OPTIONS = {"--experiment": "experiment", "--figure": "mead", "--before": "towers"}
"""Options by which `evaluate` chose its task before it had sub-commands; any others meant `scores`."""
FORMER_NAMES = {"tower": "towers"}
"""Sub-commands that were replaced by others."""


class Evaluate(Guided):
    """Sub-commands of `evaluate`; a call in the form without sub-command is refused with the form that replaces it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the remaining arguments.

        Raises
        ------
        UserError
            If the first argument is no sub-command.
        """
        if args and args[0] not in {*self.commands, "--help"} and not ctx.resilient_parsing:
            raise UserError(f"{args[0]!r} is not a sub-command of evaluate; write `{_form(args)}`, or see --help")
        return super().parse_args(ctx, args)


def _form(args: list[str]) -> str:
    if args[0] in FORMER_NAMES:
        return FORMS[FORMER_NAMES[args[0]]]
    options = (arg.partition("=")[0] for arg in args)
    return FORMS[next((FORMER_OPTIONS[option] for option in options if option in FORMER_OPTIONS), "scores")]


app = typer.Typer(cls=Evaluate, no_args_is_help=True)


@app.command()
def scores(
    checkpoint: CheckpointPath = None,
    *,
    on: Annotated[
        list[str] | None,
        typer.Option(
            help="synthetic (default), training, counties, ecosys, tower, or a file of sequences; may be repeated"
        ),
    ] = None,
    data: Data = DATA,
    sites: Annotated[int, typer.Option(min=1, help="number of sites, or counties, to simulate")] = 24,
    curves: Annotated[bool, typer.Option(help="compute response curves, which take about a minute")] = True,
    check: Annotated[bool, typer.Option("--check", help="exit with 1 if the network fails a check")] = False,
    as_json: AsJson = False,
    out: Out = OUT,
) -> None:
    """Score a checkpoint on simulated or observed data.

    Writes index.html, which contains all figures, and scores.csv, responses.csv and evaluation.json, and reports
    whether the network passes the plausibility checks of its responses and yields.
    """
    from model.checkpoint import Checkpoint
    from pipeline.console import console, print_json
    from pipeline.evaluation.published import read_published
    from pipeline.evaluation.report import Report, headline, write_report

    names = dict.fromkeys(on or ["synthetic"])  # without repetitions, in order
    path = checkpoint_file(checkpoint)
    network = Checkpoint.load(path)
    results = _results(network, list(names), data=data, sites=sites, curves=curves)
    counties = _counties(network, data=data, sites=sites) if "counties" in names else None
    report = Report(network, path.name, results, read_published(), counties)
    written = write_report(report, out)
    if as_json:
        print_json(report.as_json())
    else:
        for line in headline(report):
            console.print(line, soft_wrap=True)
        _print_files(written)
    if check and not all(verdict.holds for verdict in report.verdicts):
        raise typer.Exit(1)


@app.command()
def towers(
    checkpoint: CheckpointPath = None,
    *,
    before: Annotated[Path | None, typer.Option(help="checkpoint before fine-tuning, for comparison")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="training recipe whose [[towers]] are evaluated; default: towers.toml")
    ] = None,
    data: Data = DATA,
    out: Out = OUT,
) -> None:
    """Score a checkpoint at flux towers.

    By site, crop and role of the years in its training. Prints and writes towers.csv, scores of Reco and NEE by day,
    month, season and year beside null models, pure machine learning and ecosys, and budgets.csv, annual NEE, grain and
    dSOC beside measured ones; draws towers.png.
    """
    from model.checkpoint import Checkpoint
    from pipeline.console import console
    from pipeline.evaluation.budgets import NOTES, printed_budgets, tower_budgets
    from pipeline.evaluation.tower_scores import PRINTED, SCORE_NOTES, printed_scores, role_lines, tower_table
    from pipeline.evaluation.towers import NETWORK, RECIPE, evaluated_towers, read_towers
    from pipeline.evaluation.towers_figure import towers_figure

    network = Checkpoint.load(checkpoint_file(checkpoint))
    earlier = Checkpoint.load(checkpoint_file(before)) if before else None
    recipes = evaluated_towers(network, recipe or RECIPE)
    fluxes = read_towers(recipes, network=network, before=earlier, data=data)
    scores, budgets = tower_table(fluxes), tower_budgets(fluxes, recipes, data=data)
    out.mkdir(parents=True, exist_ok=True)
    scores.to_csv(out / "towers.csv", index=False, float_format="%.6g")
    budgets.to_csv(out / "budgets.csv", index=False, float_format="%.6g")
    towers_figure(fluxes).savefig(out / "towers.png", dpi=100)
    budget = printed_budgets(budgets, model=NETWORK).to_string(index=False)
    blocks = [
        "\n".join(role_lines(fluxes)),
        *(f"{heading}\n{printed_scores(scores, heading)}" for heading in PRINTED),
        "\n".join(SCORE_NOTES),
        f"annual budgets of the network [g C m-2 yr-1]\n{budget}",
        "\n".join(NOTES),
    ]
    console.print("\n\n".join(blocks), soft_wrap=True)
    _print_files([out / name for name in ("towers.csv", "budgets.csv", "towers.png")])


@app.command()
def yields(
    checkpoint: CheckpointPath = None,
    *,
    data: Data = DATA,
    sites: Annotated[int, typer.Option(min=1, help="number of sites to simulate")] = 120,
    out: Out = OUT,
) -> None:
    """Compare yields at the GPP of real fields with real yields.

    Simulates sites in Illinois, of which the site-years with a GPP as satellites see it are kept. Prints and writes
    yields.csv, and prints the annual residual of the carbon balance over all these soils.
    """
    from model.checkpoint import Checkpoint
    from pipeline.console import console
    from pipeline.evaluation.field_yields import compare_yields, illinois_sites

    result = compare_yields(Checkpoint.load(checkpoint_file(checkpoint)), illinois_sites(sites), data=data)
    out.mkdir(parents=True, exist_ok=True)
    result.table.to_csv(out / "yields.csv", index=False, float_format="%.6g")
    console.print(result.printed().to_string(index=False), soft_wrap=True)
    for note in result.notes:
        console.print(note, soft_wrap=True)
    _print_files([out / "yields.csv"])


@app.command()
def mead(checkpoint: CheckpointPath = None, *, data: Data = DATA, out: Out = OUT) -> None:
    """Compare observed and modelled carbon at Mead, Nebraska.

    Prints the mean annual carbon budgets of a flux tower and of an ecosys run, each beside the network and the
    simulator with the same GPP, and draws mead.png.
    """
    from model.checkpoint import Checkpoint
    from pipeline.console import console
    from pipeline.evaluation.mead import mead_budget, mead_figure, read_mead

    places = read_mead(Checkpoint.load(checkpoint_file(checkpoint)), data=data)
    out.mkdir(parents=True, exist_ok=True)
    console.print(mead_budget(places).to_string(float_format=lambda value: f"{value:.0f}"), soft_wrap=True)
    mead_figure(places).savefig(out / "mead.png", dpi=110)
    _print_files([out / "mead.png"])


@app.command()
def experiment(
    name: Annotated[Experiment, typer.Argument(help="experiment of the paper")],
    recipe: Annotated[Path, typer.Argument(help="such as model/experiments/recipes/small.toml")],
    *,
    out: Out = OUT,
) -> None:
    """Train and compare the networks of an experiment.

    Writes NAME.csv, NAME-table.csv, NAME.png and NAME.html. An interrupted experiment resumes when the same command is
    given again.
    """
    from model.experiments.run import run_experiment
    from model.recipe.experiments import ExperimentRecipe
    from model.recipe.toml import read_toml
    from pipeline.console import console, progress_bars
    from pipeline.evaluation.experiments import comparison_table, verdicts, write_experiment

    with progress_bars() as progress:
        rows = run_experiment(name, read_toml(recipe, ExperimentRecipe), out, progress=progress)
    for line in verdicts(comparison_table(rows)):
        console.print(line, soft_wrap=True)
    _print_files([out / f"{name}.csv", *write_experiment(name, rows, out)])


def _results(
    checkpoint: Checkpoint, names: Sequence[str], *, data: Path, sites: int, curves: bool
) -> tuple[Result, ...]:
    from pipeline.console import progress_bars
    from pipeline.evaluation.subjects import evaluate_subject, read_subject, training_subject

    subjects = [
        training_subject(checkpoint) if name == "training" else read_subject(name, data=data, sites=sites)
        for name in names
        if name != "counties"
    ]
    with progress_bars() as progress:
        # Response curves belong to the network: those on the first data set are enough.
        return tuple(
            evaluate_subject(checkpoint, each, curves=curves and not i, progress=progress)
            for i, each in enumerate(subjects)
        )


def _counties(checkpoint: Checkpoint, *, data: Path, sites: int) -> CountyResult:
    from pipeline.evaluation.counties import evaluate_counties, read_surveys, simulated_counties
    from pipeline.evaluation.subjects import SEED, YEARS

    counties = simulated_counties(SEED, counties=sites, years=YEARS)
    return evaluate_counties(checkpoint, counties, surveys=read_surveys(data))


def _print_files(paths: list[Path]) -> None:
    from pipeline.console import console

    for path in paths:
        console.print(str(path), style="dim")
