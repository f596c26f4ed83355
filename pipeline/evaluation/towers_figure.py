"""Figure of an evaluation over towers: mean seasonal courses by site and crop, and annual biases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.figures import ANNUAL_UNIT, DAILY_UNIT
from pipeline.evaluation.tower_scores import FLUXES, SEASONS, SHORT, Group, groups_of
from pipeline.evaluation.towers import BEFORE, ECOSYS, NETWORK, PURE, TowerFluxes
from pipeline.site.skill import SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP

OBSERVED, SHADE = "#222222", {"winter": "#e8eef5", "summer": "#fbf1dc"}
# The palette of Okabe and Ito, which can be distinguished with any colour vision.
COLOURS = {
    NETWORK: "#0072b2",
    BEFORE: "#d55e00",
    PURE: "#cc79a7",
    SEASONAL_CYCLE: "#999999",
    SEASONAL_RECO_LESS_GPP: "#c8c8c8",
    ECOSYS: "#009e73",
}
CURVES = (NETWORK, BEFORE, ECOSYS)  # null models and pure ML would hide them
SEASON_MONTHS = {"winter": ((0.5, 2.5), (11.5, 12.5)), "summer": ((5.5, 8.5),)}
MONTHS = np.arange(1, 13)


def drawn_groups(towers: Sequence[TowerFluxes]) -> list[Group]:
    """Return one group per site and crop: its judged years, or its other years where no year is judged."""
    groups: dict[tuple[str, str], Group] = {}
    # A later group of the same site and crop replaces an earlier one: judged years are the last of `ROLES`.
    for group in groups_of(towers):
        site, crop, _ = group.label
        if np.isfinite(group.pairs("reco")[0]).any():
            groups[site, crop] = group
    return list(groups.values())


def towers_figure(towers: Sequence[TowerFluxes]) -> Figure:
    """Return a column per site and crop: monthly means of Reco and NEE, and the biases of their annual sums."""
    groups = drawn_groups(towers)
    drawing = Figure(figsize=(1.5 + 3.2 * len(groups), 10), layout="constrained")
    panels = drawing.subplots(len(FLUXES) + 1, len(groups), sharey="row", squeeze=False)
    for column, group in zip(panels.T, groups, strict=True):
        for axes, flux in zip(column, FLUXES, strict=False):
            _draw_course(axes, group, flux)
        _draw_biases(column[-1], group)
        column[-1].set_xlabel(", ".join(map(str, group.years)))
    for axes, name in zip(panels[:, 0], FLUXES.values(), strict=False):
        axes.set_ylabel(f"{name} [{DAILY_UNIT}]")
    panels[-1, 0].set_ylabel(f"bias of annual sums [{ANNUAL_UNIT}]")
    handles: dict[str, Artist] = {}
    for axes in panels.ravel():
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [name for name in ("tower", *SHORT.values()) if name in handles]
    keys = [handles[name] for name in order]
    drawing.legend(keys, order, loc="outside lower center", ncols=len(order), frameon=False)
    return drawing


def _draw_course(axes: Axes, group: Group, flux: str) -> None:
    observed_YT, models = group.pairs(flux)
    for season, spans in SEASON_MONTHS.items():
        for span in spans:
            axes.axvspan(*span, color=SHADE[season], zorder=0, linewidth=0)
    for name in CURVES:
        if name in models:
            means_YM = group.resolved(models[name], "monthly")
            axes.plot(MONTHS, np.nanmean(means_YM, 0), color=COLOURS[name], linewidth=1.8, label=SHORT[name])
    observed_YM = group.resolved(observed_YT, "monthly")
    axes.plot(MONTHS, np.nanmean(observed_YM, 0), "o", color=OBSERVED, markersize=4.5, label="tower")
    lines = []
    for season in SEASONS:
        means = (np.nanmean(group.resolved(each, season)) for each in (observed_YT, models[NETWORK]))
        lines.append("{}: tower {:.2f}, network {:.2f}".format(season, *means))
    site, crop, role = group.label
    axes.set_title(f"{site}, {crop}, {role}", fontsize=11, loc="left", pad=30)
    axes.text(0, 1.02, "\n".join(lines), fontsize=8, color="0.25", transform=axes.transAxes)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlim=(0.5, 12.5), xticks=MONTHS, xticklabels=list("JFMAMJJASOND"))


def _draw_biases(axes: Axes, group: Group) -> None:
    names = [name for name in SHORT if name in group.fluxes.nee]
    width = 0.85 / len(names)
    for x, flux in enumerate(FLUXES):
        observed_YT, models = group.pairs(flux)
        truth_Y = group.resolved(observed_YT, "annual")
        for i, name in enumerate(names):
            if name not in models or not np.isfinite(truth_Y).any():
                continue
            bias = float(np.nanmean(group.resolved(models[name], "annual") - truth_Y))
            at = x + (i - (len(names) - 1) / 2) * width
            bars = axes.bar(at, bias, width, color=COLOURS[name], label=SHORT[name])
            axes.bar_label(bars, [f"{bias:+.0f}"], fontsize=7, padding=2)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(range(len(FLUXES)), list(FLUXES.values()))
    axes.margins(y=0.12)
