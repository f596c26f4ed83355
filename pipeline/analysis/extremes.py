"""Extreme years: anomalies of carbon fluxes and yields in the driest and hottest years, by soil class and crop.

Shape legend: K soil classes of a scheme, P crops (corn, soybean), Y years, V variables, N cells of a tile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.features import CLIMATE_NAMES, CORN, CROP_NAMES, SOYBEAN
from pipeline.aggregate.sums import means
from pipeline.analysis import figures
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number, too_few_years
from pipeline.analysis.rotation import crops_grown
from pipeline.analysis.soil_classes import SCHEMES, soil_classes
from pipeline.analysis.subject import Subject
from pipeline.years import spans

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Anomalies of the driest and hottest years"
LEAST_YEARS = 3
VARIABLES = ("gpp", "reco", "nee", "yield", "dsoc")
CROPS = (CORN, SOYBEAN)
KINDS = ("driest", "hottest")
_SHARE = 10  # one extreme year of each kind in ten
_SEASONS = {"PRECN": (4, 9), "TMAX_AIR": (6, 8)}  # first and last month: April-September rain, June-August heat
_SMALL = 0.01  # share of the area below which a class is not drawn
_M2_PER_KM2 = 1e6

COMPUTED = (
    "The driest years have the lowest April-September precipitation of the region's modelled cells, the hottest the "
    "highest mean of the daily maximum temperature from June to August: one year in ten of each kind, at least one. "
    "An anomaly is the mean of an extreme year minus that of all years of neither kind, over the cells that grow the "
    "crop in each, weighted by area; per cent are of the latter. Soils are classed by USDA texture (0-30 cm) and by "
    "the water between field capacity and wilting point."
)
LIMITS = (
    "The extreme years are those of the region as a whole: a cell may have had worse ones. With one or two of them, an "
    "anomaly is also that of everything else that was special in the year, such as where each crop grew. GPP is an "
    "input: its anomaly is observed by the satellite product, not computed, and the network's response to heat and "
    "drought beyond the years it was trained on is an extrapolation (see the quality flags)."
)


@dataclass(frozen=True, eq=False)
class Extremes:
    """Sums over the cells, tile by tile.

    Attributes
    ----------
    climate_3Y
        Area [m2], area x precipitation [mm] and area x maximum temperature [degC] of the seasons.
    sums
        By scheme: area [m2], then area x value of `VARIABLES` (1 + V, K, P, Y).
    """

    climate_3Y: Floats
    sums: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject) -> Extremes:
        """Return the sums over all tiles of a subject."""
        years = len(subject.years)
        sums = {name: np.zeros((1 + len(VARIABLES), len(classes), 2, years)) for name, classes in SCHEMES.items()}
        found = cls(np.zeros((3, years)), sums)
        for cells in subject.cells():
            found.add(subject, cells)
        return found

    def add(self, subject: Subject, cells: TileCells) -> None:
        """Add the cells of a tile."""
        for index, year in enumerate(subject.years):
            rain_N, heat_N = _seasons(subject, cells, year)
            self.climate_3Y[:, index] += np.stack([np.ones_like(rain_N), rain_N, heat_N]) @ cells.area_m2_N
        crop_YN = crops_grown(cells)
        values_VYN = np.stack([cells.layer(name) for name in VARIABLES]).astype(np.float64)
        there_YN = np.isfinite(values_VYN).all(axis=0)
        soil_9N = subject.inputs.soil_means(cells.tile)[:, cells.mask].astype(np.float64)
        layers = np.concatenate([np.ones_like(values_VYN[:1]), np.nan_to_num(values_VYN)]) * cells.area_m2_N
        classes = soil_classes(soil_9N)
        for place, code in enumerate(CROPS):
            of_crop = np.where(there_YN & (crop_YN == code), layers, 0)
            for scheme, class_N in classes.items():
                self.sums[scheme][:, :, place] += _by_class(of_crop, class_N, len(SCHEMES[scheme]))

    def chosen(self, years: tuple[int, ...]) -> dict[str, list[int]]:
        """Return the extreme years of each kind."""
        count = max(1, round(len(years) / _SHARE))
        area_m2, rain, heat = self.climate_3Y
        order = {"driest": np.argsort(rain / area_m2), "hottest": np.argsort(-heat / area_m2)}
        return {kind: sorted(years[place] for place in order[kind][:count]) for kind in KINDS}


def _by_class(layers: Floats, class_N: NDArray[np.intp], count: int) -> Floats:
    """Return the sums of layers (..., Y, N) over the cells of each class (..., K, Y)."""
    *before, cells = layers.shape
    members_KN = csr_array((np.ones(cells), (class_N, np.arange(cells))), shape=(count, cells))
    sums = (members_KN @ layers.reshape(-1, cells).T).T.reshape(*before, count)
    return np.asarray(np.swapaxes(sums, -1, -2), np.float64)


def _seasons(subject: Subject, cells: TileCells, year: int) -> tuple[Floats, Floats]:
    """Return the precipitation [mm] and the mean maximum temperature [degC] of the seasons, each (N,)."""
    found = subject.inputs.read_climate(cells.tile, year, mask=cells.mask)

    def season(name: str) -> Floats:
        first, last = _SEASONS[name]
        begin, end = (np.datetime64(f"{year}-{month:02d}") for month in (first, last + 1))
        start = np.datetime64(f"{year}-01-01")
        days = slice(*(int((month.astype("datetime64[D]") - start).astype(int)) for month in (begin, end)))
        series: Floats = found.series_7TC[CLIMATE_NAMES.index(name), days].astype(np.float64)
        return series

    rain_C, heat_C = season("PRECN").sum(axis=0), season("TMAX_AIR").mean(axis=0)
    return rain_C[found.of_N], heat_C[found.of_N]


def anomaly_table(found: Extremes, years: tuple[int, ...]) -> pd.DataFrame:
    """Return one row per kind of year, soil class and crop: area, anomalies, and per cent of the ordinary years."""
    chosen = found.chosen(years)
    ordinary = [index for index, year in enumerate(years) if not any(year in each for each in chosen.values())]
    rows = []
    for kind, extreme in chosen.items():
        places = [years.index(year) for year in extreme]
        for scheme, sums in found.sums.items():
            for number, place in np.argwhere(sums[0].sum(axis=-1) > 0):
                of_extreme, usual = (sums[:, number, place, which].sum(axis=-1) for which in (places, ordinary))
                now, before = means(of_extreme[1:], of_extreme[:1]), means(usual[1:], usual[:1])
                row = {
                    "kind": kind,
                    "years": spans(extreme),
                    "scheme": scheme,
                    "soil": SCHEMES[scheme][number],
                    "crop": CROP_NAMES[CROPS[place]],
                    "area_km2": sums[0, number, place].mean() / _M2_PER_KM2,
                }
                for name, anomaly, usual_value in zip(VARIABLES, now - before, before, strict=True):
                    row[f"{name}_anomaly_g_m2_yr"] = anomaly
                    row[f"{name}_anomaly_percent"] = 100 * anomaly / abs(usual_value) if usual_value else np.nan
                rows.append(row)
    return pd.DataFrame(rows)


def climate_table(found: Extremes, years: tuple[int, ...]) -> pd.DataFrame:
    """Return one row per year: precipitation, maximum temperature, and whether it is extreme."""
    area_m2, rain, heat = found.climate_3Y
    chosen = found.chosen(years)
    kinds = [" and ".join(kind for kind in KINDS if year in chosen[kind]) for year in years]
    return pd.DataFrame(
        {
            "year": years,
            "precipitation_apr_sep_mm": rain / area_m2,
            "tmax_jun_aug_degc": heat / area_m2,
            "extreme": kinds,
        }
    )


def analyse(subject: Subject) -> Findings:
    """Return the findings on extreme years."""
    found = Extremes.of(subject)
    table, climate = anomaly_table(found, subject.years), climate_table(found, subject.years)
    numbers = []
    for kind in KINDS:
        for crop in map(CROP_NAMES.__getitem__, CROPS):
            rows = table[(table["kind"] == kind) & (table["crop"] == crop) & (table["scheme"] == "available water")]
            if len(rows):
                mean = np.average(rows["yield_anomaly_percent"], weights=rows["area_km2"])
                numbers.append(
                    Number(f"yield of {crop} in the {kind} years ({rows['years'].iloc[0]})", float(mean), "%")
                )
    ordinary = int((climate["extreme"] == "").sum())
    note = f"{ordinary} ordinary years to compare with, of {len(climate)}"
    return Findings(
        COMPUTED, LIMITS, tuple(numbers), {MAIN: table, "years": climate}, _figure(subject, table, climate), (note,)
    )


def _figure(subject: Subject, table: pd.DataFrame, climate: pd.DataFrame) -> Figure:
    drawing, panels = figures.sheet([["years", "years"], ["driest", "hottest"]], (10.5, 8.0))
    _draw_climate(panels["years"], climate)
    for kind in KINDS:
        _draw_anomalies(panels[kind], table[table["kind"] == kind], kind)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw_climate(axes: Axes, climate: pd.DataFrame) -> None:
    axes.scatter(climate["precipitation_apr_sep_mm"], climate["tmax_jun_aug_degc"], color=figures.QUIET, s=24)
    extreme = climate[climate["extreme"] != ""]
    axes.scatter(extreme["precipitation_apr_sep_mm"], extreme["tmax_jun_aug_degc"], color=figures.PAPER, s=36)
    for _, row in climate.iterrows():
        place = row["precipitation_apr_sep_mm"], row["tmax_jun_aug_degc"]
        label = f"{row['year']} {row['extreme']}".strip()
        axes.annotate(label, place, (5, 4), textcoords="offset points", fontsize=8)
    figures.finish(
        axes, "Years of the region", xlabel="precipitation, April to September [mm]",
        ylabel="mean daily maximum, June to August [°C]",
    )  # fmt: skip
    axes.margins(x=0.12, y=0.15)


def _draw_anomalies(axes: Axes, rows: pd.DataFrame, kind: str) -> None:
    rows = rows[rows["area_km2"] >= _SMALL * rows.groupby("scheme")["area_km2"].transform("sum")]
    soils = list(dict.fromkeys(rows["soil"]))
    for offset, crop, colour in ((-0.2, "corn", "#e0a526"), (0.2, "soybean", "#3f7f6b")):
        of_crop = rows[rows["crop"] == crop].set_index("soil").reindex(soils)
        axes.barh(np.arange(len(soils)) + offset, of_crop["yield_anomaly_percent"], 0.38, color=colour, label=crop)
    axes.set_yticks(range(len(soils)), soils, fontsize=8)
    axes.set_ylim(len(soils) + 0.1, -0.6)  # from above, with room for the legend
    axes.use_sticky_edges = False  # the line at zero is no spine
    axes.autoscale_view(scaley=False)
    axes.locator_params(axis="x", nbins=6)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center")
    years = rows["years"].iloc[0] if len(rows) else "none"
    figures.finish(axes, f"Yield, {kind} years: {years}", xlabel="% of the ordinary years")


def _obstacle(subject: Subject) -> str | None:
    if reason := too_few_years(subject, LEAST_YEARS):
        return reason
    if not subject.has_inputs or not subject.inputs.has_soil:
        return "needs climate and soil, and the inputs store has none"
    if absent := sorted(set(subject.years) - subject.inputs.ingested("climate")):
        return f"needs the climate of {spans(absent)} in the inputs store"
    return None


ANALYSIS = Analysis("extremes", TITLE, "yields and carbon of the driest and hottest years by soil class and crop",
                    _obstacle, analyse)  # fmt: skip
