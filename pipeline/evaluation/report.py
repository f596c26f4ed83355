"""What `agcarbon evaluate` leaves behind: tables, figures and one page of HTML that needs no other file."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from model.checkpoint import Checkpoint
from model.evaluation.checks import Verdict, verdicts
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import CROP_NAMES, ScoreRow
from pipeline.evaluation import counties as county_evaluation
from pipeline.evaluation import page
from pipeline.evaluation.counties import CountyResult
from pipeline.evaluation.figures import agreement_figure, county_figure, observed_outputs, response_figure
from pipeline.evaluation.published import Published
from pipeline.evaluation.subjects import Result

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
    counties: CountyResult | None = None

    @property
    def curves(self) -> tuple[ResponseCurve, ...]:
        """Response curves of the first result that has them."""
        return next((result.evaluation.responses for result in self.results if result.evaluation.responses), ())

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is asked of the network, each once per data set that can tell."""
        return tuple(
            replace(verdict, check=f"{result.subject.name}: {verdict.check}")
            for result in self.results
            for verdict in verdicts(result.evaluation)
        )

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
            "counties": self._counties_as_json(),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }
        decoded: dict[str, Any] = json.loads(json.dumps(values), parse_constant=lambda _: None)
        return decoded

    def _counties_as_json(self) -> dict[str, Any] | None:
        if self.counties is None:
            return None
        levels = self.counties.levels.to_dict(orient="records")
        return {"rows": [asdict(row) for row in self.counties.rows], "levels": levels, "notes": self.counties.notes}


def score_table(results: Sequence[Result], *, counties: CountyResult | None = None) -> pd.DataFrame:
    """Return one row per score, of the network and, at towers, of each null model."""
    rows = [_row(result.subject.name, row) for result in results for row in result.evaluation.rows]
    rows += [_row(county_evaluation.NAME, row) for row in (counties.rows if counties else ())]
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
            yield (*key, one.count, one.r2, one.rmse, one.bias, UNITS[each.period])


def headline(report: Report) -> Iterator[str]:
    """Yield one line per output that was observed, pooled, per crop of counties, and per verdict."""
    for result in report.results:
        for output in observed_outputs(result):
            row = result.evaluation.row(output, "annual" if output == "yield" else "daily")
            assert row is not None
            one = row.score
            yield f"{result.subject.name}: {output} R² {_number(one.r2)}, RMSE {one.rmse:.3g}, n {one.count:,}"
    for row in report.counties.rows if report.counties else ():
        one = row.score
        yield f"counties: yield, {row.group}, R² {_number(one.r2)}, RMSE {one.rmse:.3g}, n {one.count:,}"
    for verdict in report.verdicts:
        yield f"{'holds' if verdict.holds else 'FAILS'}: {verdict.check} ({verdict.found})"


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


def verdict_table(found: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row per verdict: what is asked, "holds" or "FAILS", and what was found."""
    rows = [(one.check, "holds" if one.holds else "FAILS", one.found) for one in found]
    return pd.DataFrame(rows, columns=["check", "verdict", "found"])


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write scores.csv, responses.csv (if drawn), evaluation.json, the figures and index.html; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "scores.csv": score_table(report.results, counties=report.counties).to_csv(index=False, float_format="%.6g")
    }
    if report.curves:
        written["responses.csv"] = response_table(report.curves).to_csv(index=False, float_format="%.6g")
    if report.counties:
        written["counties.csv"] = report.counties.table.to_csv(index=False, float_format="%.6g")
        written["county_levels.csv"] = report.counties.levels.to_csv(index=False, float_format="%.6g")
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
    if report.counties:
        yield "counties.png", county_figure(report.counties)
    if report.curves:
        points = report.published.responses
        yield "responses.png", response_figure(report.curves, outputs=("ra", "rh"), published=points)
        yield "responses_yield.png", response_figure(report.curves, outputs=("grain",))


def evaluation_page(report: Report, images: dict[str, bytes]) -> str:
    """Return the HTML page, its figures inside."""
    origin = report.checkpoint.record.get("origin", "origin not recorded")
    parts = [
        page.note(f"sha256 {report.checkpoint.sha256[:16]}; {origin}"),
        "<h2>What is asked of the network</h2>",
        page.table(verdict_table(report.verdicts)),
        "<h2>Beside the published figures</h2>",
        page.table(beside_published(report.results, report.published)),
        page.note("Theirs and ours are of different data; read them side by side, not as a contest."),
        *(part for result in report.results for part in _section(result, images)),
        *_county_section(report, images),
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
    closed = evaluation.balance
    yield (
        f"<p>Mass balance: {closed.daily:.4f} g C m⁻² d⁻¹ mean absolute ({closed.daily_share:.2%} of GPP); annual "
        f"{closed.annual:.2f} mean absolute, {closed.annual_bias:+.2f} mean g C m⁻² yr⁻¹.</p>"
    )


def _county_section(report: Report, images: dict[str, bytes]) -> Iterator[str]:
    if report.counties is None:
        return
    yield "<h2>County yields</h2>"
    yield from map(page.note, report.counties.notes)
    yield page.image(images["counties.png"], text="Predicted and observed county yields")
    yield page.table(score_table((), counties=report.counties).drop(columns=["data", "model", "output", "period"]))
    yield "<h3>Level and spread [g C m⁻² yr⁻¹]</h3>"
    yield page.table(report.counties.levels.assign(crop=report.counties.levels["crop"].map(CROP_NAMES)))


def _response_section(report: Report, images: dict[str, bytes]) -> Iterator[str]:
    if not report.curves:
        return
    yield "<h2>Responses</h2>"
    yield page.note("Means over all days, one input set to each level; squares are the published network's.")
    yield page.image(images["responses.png"], text="Responses of Ra and Rh")
    yield page.image(images["responses_yield.png"], text="Responses of yield")
