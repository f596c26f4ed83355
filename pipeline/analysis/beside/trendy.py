"""Annual fluxes at 0.5 degree beside land surface models: distributions of GPP, Reco and NEE of each TRENDY-v9 model.

Shape legend: F fluxes, Y years, R C rows and columns of the 0.5 degree grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.aggregate.frame import Frame
from pipeline.aggregate.layout import AREA, COARSE, band_rows, read_band, sources
from pipeline.analysis import figures, paper
from pipeline.analysis.beside.tower_years import annual_fluxes, read_towers
from pipeline.analysis.cells import Floats
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.spread import Spread
from pipeline.analysis.subject import Subject
from pipeline.grid.latlon import LatLonGrid
from pipeline.inputs.report import is_synthetic
from pipeline.sources.trendy.fluxes import TrendyFluxes, read_trendy
from pipeline.sources.trendy.models import load_models
from pipeline.years import spans

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Fluxes beside land surface models"
FOLDER = "trendy"
FLUXES = ("gpp", "reco", "nee")
OURS, TOWERS = "this cube", "towers"
LAST_YEAR = 2019  # of TRENDY-v9
_NEEDED = ("gpp", "ra", "rh")
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LIMITS = (-4000.0, 8000.0, 24_000)
_TITLES = {"gpp": "GPP", "reco": "Reco", "nee": "NEE (positive to the atmosphere)"}
_MONTHS = 12

COMPUTED = (
    "Annual GPP, Reco = Ra + Rh and NEE = Reco - GPP of each TRENDY-v9 model (simulation S3), regridded conservatively "
    "to 0.5 degree, in the cells of 0.5 degree in which this cube has results, beside the cube's means over the "
    "modelled cells there. Quantiles and means over cells and years are weighted by the area that is modelled in the "
    "cell, the same for all models. Bias and RMSE are model - this cube, over the cells and years that have both. "
    "Towers, if there are files of any, are years with measured or filled NEE and Reco on every day, unweighted, "
    "wherever the tower is and whatever the year."
)
LIMITS = (
    "The models' fluxes are means over all vegetation of a cell of 0.5 degree and over their own cells, which may be "
    "larger; the cube's are those of its corn and soybean cells alone. Differences are therefore of land cover as well "
    "as of models, and no error of either. Models in which crops are grasses have no harvest. TRENDY-v9 ends in 2019. "
    "Few cells of 0.5 degree make quantiles meaningless."
)


@dataclass(frozen=True, eq=False)
class CoarseFluxes:
    """Annual fluxes of a source (F, Y, R, C) [g C m-2 yr-1] of `FLUXES`, NaN where there is none."""

    name: str
    annual_FYRC: Floats


def coarse_grid(subject: Subject) -> LatLonGrid:
    """Return the cells of 0.5 degree around the region."""
    return Frame.of(subject.job.domain, subject.zones).coarse


def ours(subject: Subject, years: Sequence[int]) -> tuple[CoarseFluxes, Floats]:
    """Return the cube's fluxes, and the area of its cells with results in each cell of 0.5 degree (Y, R, C) [m2]."""
    shape = (len(years), *coarse_grid(subject).shape)
    layers = {name: np.full(shape, np.nan) for name in (*FLUXES, AREA.name)}
    for name, layer_YRC in layers.items():
        path = f"{COARSE}/{name}"
        for band, rows in enumerate(band_rows(subject.cube.root, path)):
            for index, year in enumerate(years):
                layer_YRC[index, rows] = read_band(subject.cube.root, path, year, band, area_type="cells")
    area_m2_YRC = np.nan_to_num(layers.pop(AREA.name))
    return CoarseFluxes(OURS, np.stack(list(layers.values()))), area_m2_YRC


def of_model(fluxes: TrendyFluxes) -> CoarseFluxes:
    """Return the annual sums of a model; a year without one of its months is NaN."""

    def annual(monthly_TRC: Floats) -> Floats:
        sums: Floats = monthly_TRC.reshape(-1, _MONTHS, *monthly_TRC.shape[1:]).sum(axis=1)
        return sums

    return CoarseFluxes(
        fluxes.model, np.stack([annual(layer) for layer in (fluxes.gpp_TYX, fluxes.reco_TYX, fluxes.nee_TYX)])
    )


def rows_of(source: CoarseFluxes, base: CoarseFluxes, area_m2_YRC: Floats) -> Iterator[dict[str, object]]:
    """Yield a row for each flux of a source: quantiles, mean, and differences from the cube."""
    for name, values, reference in zip(FLUXES, source.annual_FYRC, base.annual_FYRC, strict=True):
        both = np.isfinite(values) & np.isfinite(reference) & (area_m2_YRC > 0)
        area_m2, spread = area_m2_YRC[both], Spread(*_LIMITS)
        spread.add(values[both], area_m2)
        difference = (values - reference)[both]
        total = area_m2.sum() or np.nan
        yield {
            "source": source.name,
            "flux": name,
            "cells": int(both.any(axis=0).sum()),
            "cell_years": int(both.sum()),
            **{f"q{round(100 * share)}_g_m2_yr": spread.quantile(share) for share in _QUANTILES},
            "mean_g_m2_yr": float(area_m2 @ values[both] / total),
            "bias_g_m2_yr": float(area_m2 @ difference / total),
            "rmse_g_m2_yr": float(np.sqrt(area_m2 @ difference**2 / total)),
        }


def tower_rows(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a row for each flux of the tower-years, which count alike."""
    for name in FLUXES:
        values = table[name].to_numpy(np.float64)
        quantiles = {f"q{round(100 * share)}_g_m2_yr": float(np.quantile(values, share)) for share in _QUANTILES}
        yield {
            "source": TOWERS,
            "flux": name,
            "cells": int(table["site"].nunique()),
            "cell_years": len(table),
            **quantiles,
            "mean_g_m2_yr": float(values.mean()),
        }


def analyse(subject: Subject) -> Findings:
    """Return the findings beside the models in the folder of observations."""
    folder, years = _folder(subject), _years(subject)
    base, area_m2_YRC = ours(subject, years)
    rows, notes = list(rows_of(base, base, area_m2_YRC)), [*_left_out(subject)]
    for model in models_in(folder):
        fluxes = read_trendy(folder / model, model=model, years=years, window=coarse_grid(subject))
        rows += rows_of(of_model(fluxes), base, area_m2_YRC)
        notes += _model_notes(fluxes)
    towers = [annual_fluxes(tower) for tower in read_towers(subject.options.data)]
    of_towers = pd.concat(towers) if towers else pd.DataFrame()
    rows += tower_rows(of_towers) if len(of_towers) else ()
    table = pd.DataFrame(rows)
    if is_synthetic(folder):
        notes.insert(0, "the models' files are synthetic: generated in the models' formats, not written by any model")
    models = table[~table["source"].isin([OURS, TOWERS])]
    numbers = [Number("models", float(models["source"].nunique()), "1")]
    for name in FLUXES:
        means = models.loc[models["flux"] == name, "mean_g_m2_yr"]
        own = float(table.loc[(table["source"] == OURS) & (table["flux"] == name), "mean_g_m2_yr"].iloc[0])
        median, published = float(means.median()), paper.TRENDY_ABOVE.get(name)
        numbers += [
            Number(f"mean {_TITLES[name]} of this cube", own, "g C m-2 yr-1"),
            Number(f"median of the models' means of {_TITLES[name]}", median, "g C m-2 yr-1"),
            Number(f"that median - this cube, {_TITLES[name]}", median - own, "g C m-2 yr-1", published),
        ]
    return Findings(COMPUTED, LIMITS, tuple(numbers), {MAIN: table}, _figure(subject, table, years), tuple(notes))


def models_in(folder: Path) -> list[str]:
    """Return the models with a folder of their name below `folder` whose monthly fluxes are available."""
    table = load_models().models
    return [
        name for name, quirks in table.items() if (folder / name).is_dir() and not set(_NEEDED) & set(quirks.withheld)
    ]


def _left_out(subject: Subject) -> Iterator[str]:
    folder = _folder(subject)
    for name, quirks in load_models().models.items():
        if (folder / name).is_dir() and (withheld := set(_NEEDED) & set(quirks.withheld)):
            yield f"{name} is left out: no monthly {', '.join(sorted(withheld))}"
    if later := [year for year in subject.years if year > LAST_YEAR]:
        yield f"{spans(later)}: after the end of TRENDY-v9, in no number"


def _model_notes(fluxes: TrendyFluxes) -> Iterator[str]:
    yield from (f"{fluxes.model}: {note}" for note in fluxes.notes)
    if fluxes.partial:
        yield f"{fluxes.model}: {fluxes.partial:,} cell-months have some of the fluxes only, and are taken as missing"
    if fluxes.missing:
        yield f"{fluxes.model}: {fluxes.missing:,} cell-months around the region have no data"


def _figure(subject: Subject, table: pd.DataFrame, years: Sequence[int]) -> Figure:
    names = list(table["source"].unique())[::-1]
    drawing, panels = figures.sheet([list(FLUXES)], (10.5, 1.9 + 0.32 * len(names)))
    for flux in FLUXES:
        axes, of_flux = panels[flux], table[table["flux"] == flux].set_index("source")
        boxes = [
            {
                "whislo": row["q10_g_m2_yr"], "q1": row["q25_g_m2_yr"], "med": row["q50_g_m2_yr"],
                "q3": row["q75_g_m2_yr"], "whishi": row["q90_g_m2_yr"], "label": name, "fliers": [],
            }
            for name, row in ((name, of_flux.loc[name]) for name in names)
        ]  # fmt: skip
        drawn = axes.bxp(boxes, orientation="horizontal", patch_artist=True, showfliers=False, widths=0.6)
        for name, box, middle in zip(names, drawn["boxes"], drawn["medians"], strict=True):
            box.set_facecolor({OURS: figures.OURS, TOWERS: figures.PAPER}.get(name, "0.85"))
            middle.set_color("black")
        own = float(of_flux["q50_g_m2_yr"].to_dict()[OURS])
        axes.axvline(own, color=figures.OURS, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        figures.finish(axes, _TITLES[flux], xlabel=figures.UNIT_YEAR)
        if flux != FLUXES[0]:
            axes.set_yticklabels([])
    synthetic = "; SYNTHETIC model files" if is_synthetic(_folder(subject)) else ""
    figures.caption(drawing, f"{TITLE}: 10, 25, 50, 75 and 90 % quantiles, {spans(years)}", subject.caption + synthetic)
    return drawing


def _folder(subject: Subject) -> Path:
    assert subject.options.data is not None
    return subject.options.data / FOLDER


def _years(subject: Subject) -> tuple[int, ...]:
    return tuple(year for year in subject.years if year <= LAST_YEAR)


def _obstacle(subject: Subject) -> str | None:
    if subject.options.data is None or not models_in(_folder(subject)):
        return f"needs TRENDY-v9 files: a folder {FOLDER} in that of --data, with one folder of each model's name"
    if not _years(subject):
        return f"needs years until {LAST_YEAR}, where TRENDY-v9 ends"
    if without := sorted(set(_years(subject)) - sources(subject.cube.root, COARSE).keys()):
        return f"needs the aggregates of {spans(without)}; make them with `agcarbon aggregate`"
    return None


ANALYSIS = Analysis("trendy", TITLE, "annual GPP, Reco and NEE at 0.5 degree beside TRENDY-v9 models and towers",
                    _obstacle, analyse)  # fmt: skip
