"""Output of `agcarbon site`: tables, scores beside null models, a figure, and verdicts on skill in words."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from model.checkpoint import Checkpoint
from model.features import CORN
from pipeline.site.point import SPIN_UP_YEARS, SiteInputs, SiteResult, annual_table, comparisons, daily_table
from pipeline.site.skill import UNITS, Comparison, Floats
from pipeline.site.training_notes import training_notes

MIN_PAIRS = 10  # with fewer days or years a network can beat a null model by chance
NETWORK = "network"
PREDICTED, OBSERVED = "#0072b2", "#555555"


def verdict(comparison: Comparison) -> str:
    """Return a sentence on whether the network beats the best null model, and with how many pairs."""
    network, name, skill = comparison.network, comparison.best_null, comparison.skill
    subject = f"{comparison.flux}, {comparison.period}, n = {network.count}"
    if name is None:
        return f"{subject}: no null model to compare with (it needs two observed years), so no skill is claimed."
    figures = f"RMSE {network.rmse:.3g} against {comparison.nulls[name].rmse:.3g}, skill {skill:+.2f}"
    if not skill > 0:
        return f"{subject}: the network does not beat the best null model, {name} ({figures}); no skill is claimed."
    if network.count < MIN_PAIRS:
        few = "but on too few pairs to claim skill"
        return f"{subject}: the network beats the best null model, {name} ({figures}), {few}."
    return f"{subject}: the network beats the best null model, {name} ({figures})."


def score_table(scores: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row for the network and each null model of every comparison; rmse and bias are in `unit`."""
    rows = [
        (each.flux, each.period, model, one.count, one.r2_or_nan, one.rmse, one.bias, UNITS[each.period])
        for each in scores
        for model, one in {NETWORK: each.network, **each.nulls}.items()
    ]
    return pd.DataFrame(rows, columns=["flux", "period", "model", "n", "r2", "rmse", "bias", "unit"])


@dataclass(frozen=True)
class Report:
    """A site's fluxes with their scores and caveats, and the checkpoint that predicted them."""

    result: SiteResult
    checkpoint: Checkpoint
    checkpoint_name: str

    @cached_property
    def scores(self) -> list[Comparison]:
        """Comparisons with at least one pair of prediction and observation."""
        return [each for each in comparisons(self.result) if each.network.count]

    @property
    def notes(self) -> list[str]:
        """Caveats for readers of the scores."""
        site = self.result.site
        years = " and ".join(map(str, site.years[:SPIN_UP_YEARS]))
        spin_up = f"The hidden state starts at zero and is spun up over {years}; then all years are run and scored."
        return [*site.notes, *training_notes(site, self.checkpoint), spin_up]

    @property
    def title(self) -> str:
        """Site, years, checkpoint and origin of its weights."""
        site = self.result.site
        years = f"{site.years[0]}–{site.years[-1]}" if len(site.years) > 1 else str(site.years[0])
        origin = self.checkpoint.record.get("origin", "origin not recorded")
        return f"{site.name}, {years} · checkpoint {self.checkpoint_name} ({origin})"

    def as_json(self) -> dict[str, Any]:
        """Return the provenance of the tables, with caveats and verdicts, as JSON values."""
        return {
            "site": self.result.site.name,
            "years": self.result.site.years,
            "checkpoint": self.checkpoint_name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "checkpoint_record": dict(self.checkpoint.record),
            "notes": self.notes,
            "verdicts": [verdict(each) for each in self.scores],
        }


def print_report(report: Report, console: Console) -> None:
    """Print the annual budget, the scores beside those of the null models, the verdicts and the caveats."""
    console.print(report.title, style="bold", markup=False, highlight=False)
    console.print(_annual(annual_table(report.result)))
    if report.scores:
        console.print(_scores(score_table(report.scores)))
    else:
        console.print("No observations to score against: add the columns RECO and NEE, or give a tower file.")
    for each in report.scores:
        console.print(f"• {verdict(each)}", markup=False, highlight=False)
    for note in report.notes:
        console.print(f"• {note}", style="dim", markup=False, highlight=False)


def _annual(annual: pd.DataFrame) -> Table:
    table = Table(
        title=f"Annual carbon budget in {UNITS['annual']}; dSOC = -NEE - yield, positive if the soil gains carbon"
    )
    names = ["gpp", "reco", "nee", "yield", "dsoc", "balance_residual"]
    for heading in ("year", "crop", "GPP", "Reco", "NEE", "yield", "dSOC", "residual"):
        table.add_column(heading, justify="right")
    for _, row in annual.iterrows():
        values = [f"{row[f'{name}_gc_m2_yr']:,.0f}" for name in names]
        table.add_row(f"{row['year']:.0f}", "corn" if row["crop"] == CORN else "soybean", *values)
    return table


def _scores(scores: pd.DataFrame) -> Table:
    table = Table(
        title="Network and null models on the same days; mean seasonal cycles leave out the year that is scored",
        caption=f"RMSE and bias in {UNITS['daily']} or {UNITS['annual']}",
    )
    for heading in ("flux", "period", "model", "n", "R²", "RMSE", "bias"):
        table.add_column(heading, justify="left" if heading in ("flux", "period", "model") else "right")
    for (flux, period), rows in scores.groupby(["flux", "period"], sort=False):
        digits = 3 if period == "daily" else 0
        for _, row in rows.iterrows():
            bias = round(row["bias"], digits) + 0.0  # turns -0.0 into 0.0
            values = [f"{row['r2']:.3f}", f"{row['rmse']:.{digits}f}", f"{bias:+.{digits}f}"]
            style = "bold" if row["model"] == NETWORK else None
            table.add_row(str(flux), str(period), row["model"], str(row["n"]), *values, style=style)
        table.add_section()
    return table


def site_figure(report: Report) -> Figure:
    """Return daily Reco and NEE, predicted and observed, as time series and, if observed, as scatter plots.

    Observations that are simulated are called so.
    """
    result, site = report.result, report.result.site
    notes = "\n".join(textwrap.wrap(" ".join(f"{note.rstrip('.')}." for note in report.notes), 215))
    drawing = Figure(figsize=(13, 7.5), layout="constrained")
    drawing.suptitle("\n".join(textwrap.wrap(report.title, 130)), fontsize=11)
    drawing.supxlabel(notes, fontsize=7.5, x=0.01, ha="left", color="0.35")
    axes = drawing.subplots(2, 2, width_ratios=[2.7, 1])
    pairs = {"Reco": (result.reco, site.reco), "NEE": (result.nee, site.nee)}
    for (series, scatter), (flux, (predicted, observed)) in zip(axes, pairs.items(), strict=True):
        _draw_series(series, site, predicted=predicted, observed=observed)
        sign = "\n(positive to the atmosphere)" if flux == "NEE" else ""
        series.set_ylabel(rf"{flux} [g C m$^{{-2}}$ d$^{{-1}}$]{sign}")
        daily = [each for each in report.scores if (each.flux, each.period) == (flux, "daily")]
        if daily:
            _draw_scatter(scatter, predicted=predicted, observed=observed, scores=daily[0])
            scatter.set_xlabel(f"{flux} {site.record}", labelpad=2)
        else:
            scatter.set_axis_off()
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, ncols=2)  # above the data
    return drawing


def _draw_series(axes: Axes, site: SiteInputs, *, predicted: Floats, observed: Floats) -> None:
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.plot(site.dates, observed, ".", markersize=2.5, color=OBSERVED, label=site.record, zorder=1)
    # A year that is left out becomes a gap in the line.
    line = pd.Series(predicted, pd.DatetimeIndex(site.dates)).asfreq("D")
    axes.plot(line.index, line, linewidth=1.2, color=PREDICTED, label="predicted")
    axes.margins(x=0.005)


def _draw_scatter(axes: Axes, *, predicted: Floats, observed: Floats, scores: Comparison) -> None:
    limits = [float(np.nanmin([predicted, observed])) - 0.5, float(np.nanmax([predicted, observed])) + 0.5]
    axes.plot(limits, limits, color="0.6", linewidth=0.8)
    axes.plot(observed, predicted, ".", markersize=2.5, color=PREDICTED, alpha=0.6)
    axes.set(xlim=limits, ylim=limits, aspect="equal", ylabel=f"{scores.flux} predicted")
    axes.locator_params(nbins=5)
    network = scores.network
    lines = [f"network: R² {network.r2_or_nan:.3f}, RMSE {network.rmse:.2f}, bias {network.bias:+.2f}"]
    lines += [f"null model, {name}: R² {null.r2_or_nan:.3f}" for name, null in scores.nulls.items()]
    axes.set_title("\n".join(lines), fontsize=8, loc="left")


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write daily.csv, annual.csv, scores.csv (if observed), site.json and site.png; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"daily.csv": daily_table(report.result), "annual.csv": annual_table(report.result)}
    if report.scores:
        tables["scores.csv"] = score_table(report.scores)
    for name, table in tables.items():
        table.to_csv(folder / name, index=False, float_format="%.6g")
    (folder / "site.json").write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    site_figure(report).savefig(folder / "site.png", dpi=150)
    return [folder / name for name in (*tables, "site.json", "site.png")]
