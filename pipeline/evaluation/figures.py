"""Figures of an evaluation: predicted against observed carbon, and response curves with the published points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.data.records import Floats, Integers
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import Score
from model.features import CROP_NAMES, FEATURE_NAMES, FEATURES
from pipeline.evaluation.counties import CountyResult
from pipeline.evaluation.published import PublishedResponse
from pipeline.evaluation.subjects import Result
from pipeline.site.point import unit_in_text

PREDICTED, OBSERVED = "#0072b2", "#444444"
COLOURS = {"ra": "#009e73", "rh": "#d55e00", "grain": "#0072b2"}
NAMES = {"ra": "Ra", "rh": "Rh", "reco": "Reco", "nee": "NEE", "yield": "yield", "dsoc": "ΔSOC"}
DAILY_UNIT, ANNUAL_UNIT = r"g C m$^{-2}$ d$^{-1}$", r"g C m$^{-2}$ yr$^{-1}$"
MAX_DOTS = 300  # more pairs are drawn as a density
QUARTERS = (1, 91, 182, 274, 365)  # days of year


def observed_outputs(result: Result) -> list[str]:
    """Return the observed outputs, daily ones first."""
    observed = {row.output for row in result.evaluation.rows if row.by == "pooled"}
    return [name for name in ("ra", "rh", "reco", "nee", "yield") if name in observed]


def agreement_figure(result: Result) -> Figure:
    """Return a row per output: predicted against recorded values, and the mean annual cycle or the yield by year."""
    outputs = observed_outputs(result)
    drawing = Figure(figsize=(11, 2.9 * len(outputs)), layout="constrained")
    rows = drawing.subplots(len(outputs), 2, width_ratios=[1, 2.1], squeeze=False)
    for (scatter, panel), output in zip(rows, outputs, strict=True):
        if output == "yield":
            predicted, observed = result.predicted.yield_NY, result.subject.observed.yield_NY
            _draw_years(panel, predicted=predicted, observed=observed, years=result.subject.years)
        else:
            unit, predicted, observed = (
                DAILY_UNIT,
                result.predicted.daily(output),
                result.subject.observed.daily(output),
            )
            _draw_annual_cycle(panel, result.subject.record, predicted=predicted, observed=observed, output=output)
        _draw_pairs(scatter, predicted=predicted, observed=observed, score=result.evaluation.pooled(output).score)
        unit = ANNUAL_UNIT if output == "yield" else DAILY_UNIT
        scatter.set(xlabel=f"{NAMES[output]} {result.subject.record} [{unit}]", ylabel="predicted")
    rows[0, 1].legend(frameon=False, ncols=2, loc="best")
    return drawing


def _draw_years(axes: Axes, *, predicted: Floats, observed: Floats, years: Integers) -> None:
    for yield_NY, colour in ((observed, OBSERVED), (predicted, PREDICTED)):
        axes.plot(years, np.nanmean(yield_NY, axis=0), "o-", color=colour, markersize=3)
    axes.set(xlabel="year", ylabel=f"mean yield [{ANNUAL_UNIT}]", xticks=years[:: max(len(years) // 6, 1)])


def _draw_pairs(axes: Axes, *, predicted: Floats, observed: Floats, score: Score) -> None:
    pairs = np.isfinite(predicted) & np.isfinite(observed)
    x, y = observed[pairs], predicted[pairs]
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    if len(x) > MAX_DOTS:
        axes.hexbin(x, y, gridsize=60, bins="log", cmap="viridis", extent=(*limits, *limits), mincnt=1, linewidths=0.1)
    else:
        axes.plot(x, y, "o", markersize=3, color=PREDICTED, alpha=0.6)
    axes.plot(limits, limits, color="0.4", linewidth=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.locator_params(nbins=5)
    r2 = "R² –" if score.r2 is None else f"R² {score.r2:.3f}"
    axes.set_title(f"{r2}, RMSE {score.rmse:.3g}, bias {score.bias:+.2g}, n = {score.count:,}", fontsize=8, loc="left")


def _draw_annual_cycle(axes: Axes, record: str, *, predicted: Floats, observed: Floats, output: str) -> None:
    """Draw the mean of each day of the year over its observed site-years, and their 10th to 90th percentile."""
    seen = np.isfinite(observed)
    days = np.flatnonzero(seen.any((0, 1)))
    for values, colour, label in ((observed, OBSERVED, record), (predicted, PREDICTED, "predicted")):
        # Predictions count on observed days only, as in the scores.
        masked = np.where(seen, values, np.nan)[..., days]
        low, high = np.nanpercentile(masked, [10, 90], axis=(0, 1))
        axes.fill_between(days + 1, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(days + 1, np.nanmean(masked, axis=(0, 1)), color=colour, linewidth=1.3, label=label)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(1, 365), xticks=QUARTERS, xlabel="day of year", ylabel=f"{NAMES[output]} [{DAILY_UNIT}]")


def county_figure(result: CountyResult) -> Figure:
    """Return one panel per crop: predicted against observed county yields."""
    crops = [row for row in result.rows if row.by == "crop"]
    drawing = Figure(figsize=(4.2 * len(crops), 4), layout="constrained")
    codes = {name: code for code, name in CROP_NAMES.items()}
    for axes, row in zip(drawing.subplots(1, len(crops), squeeze=False)[0], crops, strict=True):
        values = result.table[result.table["crop"] == codes[row.group]]
        predicted, observed = (values[f"{name}_gc_m2"].to_numpy() for name in ("predicted", "observed"))
        _draw_pairs(axes, predicted=predicted, observed=observed, score=row.score)
        axes.set(xlabel=f"{row.group}, observed [{ANNUAL_UNIT}]", ylabel="predicted")
    return drawing


def response_figure(
    curves: Sequence[ResponseCurve], *, outputs: Sequence[str], published: Sequence[PublishedResponse] = ()
) -> Figure:
    """Return one panel per input: response curves of some outputs ("ra", "rh", "grain") and the published points."""
    columns = min(5, len(curves))
    height = -(-len(curves) // columns)
    drawing = Figure(figsize=(2.5 * columns, 2.1 * height), layout="constrained")
    panels = drawing.subplots(height, columns, squeeze=False).ravel()
    for panel, curve in zip(panels, curves, strict=False):
        _draw_responses(panel, curve, outputs=outputs, published=published)
    for panel in panels[len(curves) :]:
        panel.set_axis_off()
    panels[0].legend(frameon=False, fontsize=7)
    unit = ANNUAL_UNIT if outputs == ("grain",) else DAILY_UNIT
    drawing.supylabel(f"mean [{unit}]" + ("; squares: published" if published else ""), fontsize=9)
    return drawing


def _draw_responses(
    axes: Axes, curve: ResponseCurve, *, outputs: Sequence[str], published: Sequence[PublishedResponse]
) -> None:
    for output in outputs:
        axes.plot(curve.levels, getattr(curve, output), color=COLOURS[output], label=NAMES.get(output, "yield"))
    for points in published:
        if points.input == curve.feature and points.output in outputs:
            axes.plot(points.levels, points.values, "s", color=COLOURS[points.output], markerfacecolor="white")
    unit = unit_in_text(FEATURES[FEATURE_NAMES.index(curve.feature)])
    axes.set_title(f"{curve.feature} [{unit}]", fontsize=8)
    axes.tick_params(labelsize=7)
