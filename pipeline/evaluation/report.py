"""Output of `agcarbon evaluate scores`: tables, figures, and one self-contained HTML page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from model.checkpoint import Checkpoint
from model.evaluation.checks import Verdict, verdicts
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import Balance, ScoreRow
from model.features import CROP_NAMES
from pipeline.evaluation import counties as county_evaluation
from pipeline.evaluation import page
from pipeline.evaluation.counties import CountyResult
from pipeline.evaluation.figures import agreement_figure, county_figure, observed_outputs, response_figure
from pipeline.evaluation.published import Published
from pipeline.evaluation.subjects import Result
from pipeline.site.skill import UNITS

NETWORK, NETWORK_ON_NULL_DAYS = "network", "network, on the days of the nulls"
SCORE_COLUMNS = ["data", "model", "output", "period", "by", "group", "n", "r2", "rmse", "bias", "unit"]


@dataclass(frozen=True)
class Report:
    """Evaluation of one checkpoint on all data sets."""

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
        """Results of the plausibility checks, each named after its data set."""
        return tuple(
            replace(verdict, check=f"{result.subject.name}: {verdict.check}")
            for result in self.results
            for verdict in verdicts(result.evaluation)
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values, NaN as None."""
        values = {
            "checkpoint": self.checkpoint_name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "origin": self.checkpoint.record.get("origin"),
            "subjects": [_result_as_json(result) for result in self.results],
            "counties": _counties_as_json(self.counties) if self.counties else None,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }
        # JSON has no NaN: what json.dumps writes as NaN is read back as None.
        decoded: dict[str, Any] = json.loads(json.dumps(values), parse_constant=lambda _: None)
        return decoded


def _result_as_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.subject.name,
        "kind": result.subject.kind,
        "notes": list(result.subject.notes),
        "years": result.subject.years.tolist(),
        "evaluation": asdict(result.evaluation),
    }


def _counties_as_json(counties: CountyResult) -> dict[str, Any]:
    levels = counties.levels.to_dict(orient="records")
    return {"rows": [asdict(row) for row in counties.rows], "levels": levels, "notes": counties.notes}


def score_table(results: Sequence[Result], *, counties: CountyResult | None = None) -> pd.DataFrame:
    """Return one row per score of the network and, at towers, of each null model.

    Columns are `SCORE_COLUMNS`: data and model, the name of the data set and "network" or the description of a null
    model; output, period, by and group as in `model.evaluation.scores.ScoreRow`; n, the number of pairs of prediction
    and observation; r2 (empty if the observations do not vary), rmse and bias; and unit, that of rmse and bias.
    """
    entries = [(result.subject.name, NETWORK, row) for result in results for row in result.evaluation.rows]
    entries += [(county_evaluation.NAME, NETWORK, row) for row in (counties.rows if counties else ())]
    entries += [(result.subject.name, *entry) for result in results for entry in _null_rows(result)]
    rows = []
    for data, model, row in entries:
        group, one = (row.output, row.period, row.by, row.group), row.score
        rows.append((data, model, *group, one.count, one.r2, one.rmse, one.bias, UNITS[row.period]))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _null_rows(result: Result) -> Iterator[tuple[str, ScoreRow]]:
    """Yield the description of each model at a tower, and its score."""
    # Null models exist on fewer days than the network: it is scored again on those, to be comparable.
    for each in result.nulls:
        for model, score in {NETWORK_ON_NULL_DAYS: each.network, **each.nulls}.items():
            yield model, ScoreRow(each.flux, each.period, "pooled", "all", score)


def headline(report: Report) -> Iterator[str]:
    """Yield one line per observed output, crop of counties and plausibility check."""
    for result in report.results:
        for output in observed_outputs(result):
            row = result.evaluation.pooled(output)
            yield f"{result.subject.name}: {output} {_score_words(row)}, n {row.score.count:,}"
    for row in report.counties.rows if report.counties else ():
        yield f"counties: yield, {row.group}, {_score_words(row)}, n {row.score.count:,}"
    for verdict in report.verdicts:
        yield f"{_passes(verdict)}: {verdict.check} ({verdict.found})"


def _score_words(row: ScoreRow) -> str:
    r2 = "–" if row.score.r2 is None else f"{row.score.r2:.3f}"
    return f"R² {r2}, RMSE {row.score.rmse:.3g}"


def _passes(verdict: Verdict) -> str:
    return "passes" if verdict.holds else "FAILS"


def published_table(results: Sequence[Result], published: Published) -> pd.DataFrame:
    """Return every published score on the kinds of data evaluated, beside ours of the same output and period."""
    rows = [
        (result.subject.name, theirs.output, theirs.period, _score_words(ours), str(theirs), theirs.description)
        for result in results
        for theirs in published.on(result.subject.kind)
        if (ours := result.evaluation.row(theirs.output, theirs.period)) is not None
    ]
    return pd.DataFrame(
        rows, columns=["data", "output", "period", "this checkpoint", "published", "published network and data"]
    )


def response_table(curves: Sequence[ResponseCurve]) -> pd.DataFrame:
    """Return one row per input and level: mean Ra and Rh [g C m-2 d-1] and mean yield [g C m-2 yr-1]."""
    rows = [
        (curve.feature, *values)
        for curve in curves
        for values in zip(curve.levels, curve.ra, curve.rh, curve.grain, strict=True)
    ]
    return pd.DataFrame(rows, columns=["input", "level", "ra_gc_m2_d", "rh_gc_m2_d", "yield_gc_m2_yr"])


def check_table(checks: Iterable[Verdict]) -> pd.DataFrame:
    """Return one row per plausibility check: the check, "passes" or "FAILS", and the finding."""
    rows = [(one.check, _passes(one), one.found) for one in checks]
    return pd.DataFrame(rows, columns=["check", "result", "finding"])


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the tables, evaluation.json, the figures and index.html; return their paths.

    Tables are scores.csv, responses.csv (if there are response curves), and counties.csv and county_levels.csv (if
    there are counties).
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{name}.csv": table.to_csv(index=False, float_format="%.6g") for name, table in _tables(report).items()}
    texts["evaluation.json"] = json.dumps(report.as_json(), indent=1) + "\n"
    images = {name: page.png_of(drawing) for name, drawing in _figures(report)}
    texts["index.html"] = evaluation_page(report, images)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, image in images.items():
        (folder / name).write_bytes(image)
    return [folder / name for name in (*texts, *images)]


def _tables(report: Report) -> dict[str, pd.DataFrame]:
    tables = {"scores": score_table(report.results, counties=report.counties)}
    if report.curves:
        tables["responses"] = response_table(report.curves)
    if report.counties:
        tables |= {"counties": report.counties.table, "county_levels": report.counties.levels}
    return tables


def _figures(report: Report) -> Iterator[tuple[str, Figure]]:
    for result in report.results:
        yield f"{result.subject.name}.png", agreement_figure(result)
    if report.counties:
        yield "counties.png", county_figure(report.counties)
    if report.curves:
        points = report.published.responses
        yield "responses.png", response_figure(report.curves, outputs=("ra", "rh"), published=points)
        yield "responses_yield.png", response_figure(report.curves, outputs=("grain",))


def evaluation_page(report: Report, images: Mapping[str, bytes]) -> str:
    """Return the HTML page, with the PNG images by file name embedded."""
    origin = report.checkpoint.record.get("origin", "origin not recorded")
    parts = [
        page.note(f"sha256 {report.checkpoint.sha256[:16]}; {origin}"),
        "<h2>Plausibility checks</h2>",
        page.table(check_table(report.verdicts)),
        "<h2>Published scores for comparison</h2>",
        page.table(published_table(report.results, report.published)),
        page.note("The published scores are of other data than ours: they give an orientation, not a ranking."),
        *(part for result in report.results for part in _section(result, images)),
        *_county_section(report, images),
        *_response_section(report, images),
    ]
    return page.document(f"Evaluation of {report.checkpoint_name}", parts)


def _section(result: Result, images: Mapping[str, bytes]) -> Iterator[str]:
    subject = result.subject
    yield f"<h2>{html.escape(subject.name)}, {subject.years[0]}–{subject.years[-1]}</h2>"
    yield from map(page.note, subject.notes)
    yield page.image(images[f"{subject.name}.png"], text=f"Predicted and {subject.record} carbon, {subject.name}")
    table = score_table([result]).drop(columns=["data"])
    for by in ("pooled", "season", "crop"):
        rows = table[table["by"] == by].drop(columns=["by"])
        if len(rows):
            yield f"<h3>{'Pooled scores' if by == 'pooled' else f'Scores by {by}'}</h3>"
            yield page.table(rows)
    yield f"<p>{_balance_words(result.evaluation.balance)}</p>"


def _balance_words(balance: Balance) -> str:
    return (
        f"Residual of the carbon balance, GPP − Reco + NEE: {balance.daily:.4f} g C m⁻² d⁻¹ mean absolute "
        f"({balance.daily_share:.2%} of GPP); of annual sums, {balance.annual:.2f} mean absolute and "
        f"{balance.annual_bias:+.2f} mean g C m⁻² yr⁻¹."
    )


def _county_section(report: Report, images: Mapping[str, bytes]) -> Iterator[str]:
    if report.counties is None:
        return
    yield "<h2>County yields</h2>"
    yield from map(page.note, report.counties.notes)
    yield page.image(images["counties.png"], text="Predicted and observed county yields")
    yield page.table(score_table((), counties=report.counties).drop(columns=["data", "model", "output", "period"]))
    yield "<h3>Level and spread [g C m⁻² yr⁻¹]</h3>"
    yield page.table(report.counties.levels.assign(crop=report.counties.levels["crop"].map(CROP_NAMES)))


def _response_section(report: Report, images: Mapping[str, bytes]) -> Iterator[str]:
    if not report.curves:
        return
    yield "<h2>Response curves</h2>"
    yield page.note("Means over all days with one input set to each level; squares are those of the published network.")
    yield page.image(images["responses.png"], text="Responses of Ra and Rh")
    yield page.image(images["responses_yield.png"], text="Responses of yield")
