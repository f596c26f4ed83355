"""Tables of the report on the inputs store, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import add

from rich.console import Console
from rich.filesize import decimal
from rich.measure import Measurement
from rich.table import Table

from pipeline.inputs.distribution import Distribution
from pipeline.inputs.limits import plausible
from pipeline.inputs.report import InputsReport, survey_faults
from pipeline.inputs.survey import Survey

_WIDEST = 400  # characters: more than any of these tables
_WORDS = {"", "product", "variable", "ingested [UTC]", "digest", "plausible", "training"}  # other columns are numbers


def print_inputs(console: Console, report: InputsReport, *, by_year: bool = False) -> None:
    """Print product-years, every variable beside its limits, counts and notes, and the verdict.

    Parameters
    ----------
    by_year
        Show the variables of each year, not of all years together.
    """
    if report.synthetic:
        console.print(f"synthetic, without any observation: {', '.join(report.synthetic)}")
    _wide(console, product_year_table(report))
    for product in dict.fromkeys(survey.product for survey in report.surveys):
        surveys = [survey for survey in report.surveys if survey.product == product]
        for of_table in [[survey] for survey in surveys] if by_year else [surveys]:
            _wide(console, variable_table(of_table))
    for line in (*_remarks(report), *verdict(report)):
        console.print(line, soft_wrap=True, markup=False)  # notes may hold brackets


def _wide(console: Console, table: Table) -> None:
    """Print a table at its own width: cut to the terminal's, it would lose columns."""
    width = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
    Console(file=console.file, width=max(width, console.width), highlight=False).print(table)
    console.print()


def _empty(title: str, headings: Iterable[str]) -> Table:
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="left" if heading in _WORDS else "right")
    return table


def product_year_table(report: InputsReport) -> Table:
    """Return the table of product-years: time of ingest, source files, share of cells stored, coverage of these."""
    headings = ("product", "ingested [UTC]", "files", "size", "stored", "coverage", "missing", "digest", "")
    table = _empty(f"Inputs of {report.title}", headings)
    for survey in report.surveys:
        record, wrong = survey.record, len(survey_faults(survey))
        table.add_row(
            survey.group,
            report.ingested_at.get(survey.group, "-").replace("T", " ").removesuffix("+00:00"),
            f"{record.files:,}",
            decimal(record.size_bytes),
            f"{survey.share_stored:.1%}",
            f"{survey.coverage:.1%}",
            f"{record.missing_share:.1%}",
            record.digest[:8],
            f"{wrong} implausible" if wrong else "",
        )
    return table


def variable_table(surveys: list[Survey]) -> Table:
    """Return the table of a product's variables over years: range, plausible range, training range, shares outside."""
    first, last = surveys[0], surveys[-1]
    title = first.group if first is last else f"{first.product} {first.year}-{last.year}"
    headings = ("variable", "min", "1%", "mean", "99%", "max", "plausible", "outside", "training", "outside")
    table = _empty(title, headings)
    for name, distribution in _merged(surveys).items():
        table.add_row(*_cells(first, name, distribution))
    return table


def _merged(surveys: Iterable[Survey]) -> dict[str, Distribution]:
    """Return distributions over all years; a year without a crop layer, for instance, has no GPP of crops."""
    found: dict[str, list[Distribution]] = {}
    for survey in surveys:
        for name, distribution in survey.found.distributions.items():
            found.setdefault(name, []).append(distribution)
    return {name: reduce(add, distributions) for name, distributions in found.items()}


def _cells(survey: Survey, name: str, distribution: Distribution) -> tuple[str, ...]:
    units = survey.units[name]
    limits, trained = plausible(survey.product, name), distribution.bounds.trained
    numbers = (
        distribution.minimum,
        distribution.percentile(1),
        distribution.mean,
        distribution.percentile(99),
        distribution.maximum,
    )
    return (
        name if units == "1" else f"{name} [{units}]".replace("[", r"\["),
        *map(_number, numbers),
        f"{limits.low:g} to {limits.high:g}" if limits else "-",
        _share(distribution.outside, distribution.count),
        f"{_number(trained[0])} to {_number(trained[1])}" if trained else "-",
        _share(distribution.untrained, distribution.count) if trained else "-",
    )


def _number(value: float) -> str:
    """Return three significant figures, with at most three decimals."""
    if not math.isfinite(value) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{round(value, 3) or 0:.3g}"


def _share(part: int, whole: int) -> str:
    """Return a share in per cent; `0%` means none at all."""
    if not part:
        return "0%" if whole else "-"
    return f"{max(part / whole, 1e-4):.2%}"


def _remarks(report: InputsReport) -> Iterator[str]:
    """Yield the counts and notes of ingest, and the limits of this report."""
    for survey in report.surveys:
        counts = [f"{name}: {count:,}" for name, count in survey.record.counts.items() if count]
        if counts:
            yield f"{survey.group}: {'; '.join(counts)}"
        yield from (f"{survey.group}: {topic}: {note}" for topic, note in survey.record.notes.items())
    sampled = [survey for survey in report.surveys if survey.share_read < 1]
    if sampled:
        yield f"gpp: {sampled[0].share_read:.0%} of the cells were read, a square in each tile; --full reads all"
    beyond = dict.fromkeys(survey.year for survey in report.surveys if report.beyond_training(survey))
    if beyond:
        yield f"outside the network's training years: {', '.join(map(str, beyond))}"


def verdict(report: InputsReport) -> Iterator[str]:
    """Yield a line for everything implausible or not ingested, and the verdict last."""
    for survey in report.surveys:
        yield from (f"implausible: {survey.group}: {fault}" for fault in survey_faults(survey))
        if survey.absent_tiles:
            named = ", ".join(survey.absent_tiles[:5]) + (", ..." if len(survey.absent_tiles) > 5 else "")
            yield f"{survey.group}: {len(survey.absent_tiles)} tiles of the region are not ingested: {named}"
    for product, years in report.absent.items():
        listed = ", ".join(map(str, years))
        yield f"{product}: {listed} not ingested" if years else f"{product}: not ingested"
    yield (
        "all requested inputs are ingested and plausible"
        if report.sound
        else "some requested inputs are not ingested or implausible"
    )
