"""What `agcarbon evaluate` leaves behind: tables, figures and one page of HTML that needs no other file."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from model.checkpoint import Checkpoint
from model.evaluate import ScoreRow
from model.response_curves import ResponseCurve
from pipeline import page
from pipeline.evaluation import Result
from pipeline.evaluation_figures import agreement_figure, observed_outputs, response_figure
from pipeline.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = {"daily": "g C m-2 d-1", "annual": "g C m-2 yr-1"}
COLUMNS = ["data", "model", "output", "period", "by", "group", "n", "r2", "rmse", "bias", "unit"]
NETWORK = "network"


@dataclass(frozen=True)
class Report:
    """The evaluations of one checkpoint."""

    checkpoint: Checkpoint
    checkpoint_name: str
    results: tuple[Result, ...]
    published: Published

    @property
    def curves(self) -> tuple[ResponseCurve, ...]:
        """Response curves of the first result that has them."""
        return next((result.evaluation.responses for result in self.results if result.evaluation.responses), ())

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values, NaN as None."""
        subjects = [
            {
                "name": result.subject.name,
                "kind": result.subject.kind,
                "notes": list(result.subject.notes),
                "years": result.subject.years.tolist(),
                "evaluation": asdict(result.evaluation),
            }
            for result in self.results
        ]
        values = {
            "checkpoint": self.checkpoint_name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "origin": self.checkpoint.record.get("origin"),
            "subjects": subjects,
            "faults": response_faults(self.curves),
        }
        decoded: dict[str, Any] = json.loads(json.dumps(values), parse_constant=lambda _: None)
        return decoded


def score_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row per score, of the network and, at towers, of each null model."""
    rows = [_row(result.subject.name, row) for result in results for row in result.evaluation.rows]
    rows += [row for result in results for row in _null_rows(result)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(data: str, row: ScoreRow) -> tuple[object, ...]:
    one = row.score
    key = (data, NETWORK, row.output, row.period, row.by, row.group)
    return (*key, one.count, one.r2, one.rmse, one.bias, UNITS[row.period])


def _null_rows(result: Result) -> Iterator[tuple[object, ...]]:
    # The network once more: nulls exist on fewer days, and only the same days compare.
    for each in result.nulls:
        for model, one in {"network, on the days of the nulls": each.network, **each.nulls}.items():
            key = (result.subject.name, model, each.flux, each.period, "pooled", "all")
            yield (*key, one.n, one.r2, one.rmse, one.bias, UNITS[each.period])


def headline(results: Sequence[Result]) -> Iterator[str]:
    """Yield one line per output that was observed: daily fluxes and annual yield, pooled."""
    for result in results:
        for output in observed_outputs(result):
            row = result.evaluation.row(output, "annual" if output == "yield" else "daily")
            assert row is not None
            one = row.score
            yield f"{result.subject.name}: {output} R² {_number(one.r2)}, RMSE {one.rmse:.3g}, n {one.count:,}"


def beside_published(results: Sequence[Result], published: Published) -> pd.DataFrame:
    """Return every published score on the kinds of data evaluated, with ours of the same output and period."""
    rows = []
    for result in results:
        for theirs in published.on(result.subject.kind):
            row = next((r for r in result.evaluation.rows if _same(r, theirs.output, theirs.period)), None)
            if row is not None:
                ours = f"R² {_number(row.score.r2)}, RMSE {row.score.rmse:.3g}"
                rows.append((result.subject.name, theirs.output, theirs.period, ours, str(theirs), theirs.what))
    return pd.DataFrame(rows, columns=["data", "output", "period", "this checkpoint", "published", "of"])


def _same(row: ScoreRow, output: str, period: str) -> bool:
    return (row.output, row.period, row.by) == (output, period, "pooled")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def response_table(curves: Sequence[ResponseCurve]) -> pd.DataFrame:
    """Return one row per input and level: ra, rh [g C m-2 d-1] and yield [g C m-2 yr-1], means."""
    rows = [
        (curve.feature, *values)
        for curve in curves
        for values in zip(curve.levels, curve.ra, curve.rh, curve.grain, strict=True)
    ]
    return pd.DataFrame(rows, columns=["input", "level", "ra_gc_m2_d", "rh_gc_m2_d", "yield_gc_m2_yr"])


def response_faults(curves: Sequence[ResponseCurve]) -> list[str]:
    """Say in sentences which of the checks that training asks for the curves do not pass.

    Rh must not fall as TSOC or GPP rises, yield must not fall as GPP rises.
    """
    wanted = {"TSOC": ("rh",), "GPP": ("rh", "grain")}
    found = []
    for curve in curves:
        for output in wanted.get(curve.feature, ()):
            values = getattr(curve, output)
            fall = max((before - after for before, after in pairwise(values)), default=0.0)
            if fall > 0:
                name = "yield" if output == "grain" else "Rh"
                found.append(f"Mean {name} falls by up to {fall:.3g} from one level of {curve.feature} to the next.")
    return found


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write scores.csv, responses.csv (if drawn), evaluation.json, the figures and index.html; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"scores.csv": score_table(report.results).to_csv(index=False, float_format="%.6g")}
    if report.curves:
        written["responses.csv"] = response_table(report.curves).to_csv(index=False, float_format="%.6g")
    written["evaluation.json"] = json.dumps(report.as_json(), indent=1) + "\n"
    images = {name: page.png_of(drawing) for name, drawing in _figures(report)}
    written["index.html"] = evaluation_page(report, images)
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, image in images.items():
        (folder / name).write_bytes(image)
    return [folder / name for name in (*written, *images)]


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    for result in report.results:
        yield f"{result.subject.name}.png", agreement_figure(result)
    if report.curves:
        points = report.published.responses
        yield "responses.png", response_figure(report.curves, outputs=("ra", "rh"), published=points)
        yield "responses_yield.png", response_figure(report.curves, outputs=("grain",))


def evaluation_page(report: Report, images: dict[str, bytes]) -> str:
    """Return the HTML page, its figures inside."""
    origin = report.checkpoint.record.get("origin", "origin not recorded")
    parts = [
        page.note(f"sha256 {report.checkpoint.sha256[:16]}; {origin}"),
        "<h2>Beside the published figures</h2>",
        page.table(beside_published(report.results, report.published)),
        page.note("Theirs and ours are of different data; read them side by side, not as a contest."),
        *(part for result in report.results for part in _section(result, images)),
        *_response_section(report, images),
    ]
    return page.document(f"Evaluation of {report.checkpoint_name}", parts)


def _section(result: Result, images: dict[str, bytes]) -> Iterator[str]:
    subject, evaluation = result.subject, result.evaluation
    yield f"<h2>{html.escape(subject.name)}, {subject.years[0]}–{subject.years[-1]}</h2>"
    yield from map(page.note, subject.notes)
    yield page.image(images[f"{subject.name}.png"], text=f"Predicted and observed carbon, {subject.name}")
    table = score_table([result]).drop(columns=["data"])
    for by in ("pooled", "season", "crop"):
        rows = table[table["by"] == by].drop(columns=["by"])
        if len(rows):
            yield f"<h3>Scores {'pooled' if by == 'pooled' else f'by {by}'}</h3>"
            yield page.table(rows)
    closed, bounds = evaluation.balance, evaluation.yield_bounds
    yield (
        f"<p>Mass balance: {closed.daily:.4f} g C m⁻² d⁻¹ mean absolute ({closed.daily_share:.2%} of GPP); annual "
        f"{closed.annual:.2f} mean absolute, {closed.annual_bias:+.2f} mean g C m⁻² yr⁻¹. Yield lies between 0 and "
        f"half of GPP in {bounds.within:.1%} of {bounds.count:,} site-years ({bounds.negative} below, {bounds.above} "
        f"above).</p>"
    )


def _response_section(report: Report, images: dict[str, bytes]) -> Iterator[str]:
    if not report.curves:
        return
    yield "<h2>Responses</h2>"
    yield page.note("Means over all days, one input set to each level; squares are the published network's.")
    for fault in response_faults(report.curves) or ["Rh rises with TSOC and GPP, yield with GPP, at every level."]:
        yield f"<p>{html.escape(fault)}</p>"
    yield page.image(images["responses.png"], text="Responses of Ra and Rh")
    yield page.image(images["responses_yield.png"], text="Responses of yield")
