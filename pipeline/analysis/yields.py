"""County yields beside the survey: predicted and NASS yields of corn and soybean by county and year."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model.evaluation.scores import score
from model.features import CORN, CROP_NAMES, SOYBEAN
from pipeline.aggregate.layout import county_sums, sources
from pipeline.aggregate.sums import AREA_TYPES
from pipeline.aggregate.tables import county_labels
from pipeline.analysis import figures, paper
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.subject import Subject
from pipeline.basemap import colourbar, limits
from pipeline.sources.quickstats import CountyYields, read_quickstats
from pipeline.variables import FLUXES
from pipeline.years import spans

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "County yields beside the survey"
NASS_FILES = "nass/*.csv"
CROPS = (CORN, SOYBEAN)
EXTREME_SD = 2.0  # standard deviations of a county's detrended yields, as in the paper's held-out years
LEAST_RECORD = 8  # surveyed years of a county that a trend and a standard deviation are taken from

_YIELD = next(index for index, flux in enumerate(FLUXES) if flux.name == "yield")
_M2_PER_KM2 = 1e6

COMPUTED = (
    "Predicted yields are means of the annual county aggregates over the area under each crop where it is grown "
    "(agcarbon aggregate); observed ones are the yields of the annual NASS survey in grain carbon (corn 45 % carbon "
    "and 15.6 % moisture, soybean 54 % and 13 %). R2 = 1 - mean squared error / variance of the observed, over county-"
    "years; bias is predicted - observed. A county-year is extreme if the survey's yield lies more than two standard "
    "deviations from the straight line through all surveyed years of that county and crop."
)
LIMITS = (
    "Counties are scored alike, whatever their area. The survey is one of harvested area, with sampling errors of its "
    "own, and the network's yield is that of cells that are mostly one crop. A network that was trained on yields of "
    "these counties or years is not tested by them. R2 over counties of one region depends on the spread of yields "
    "there, and is no repetition of the paper's, which is over 210 test counties."
)
SYNTHETIC_LIMIT = (
    " The archives of this cube are synthetic: their GPP is that of no real year, so that agreement or disagreement "
    "with a real survey means nothing."
)


def predicted(subject: Subject) -> pd.DataFrame:
    """Return a row per county, year and crop: yield_gc_m2 [g C m-2 yr-1] and area under the crop [km2]."""
    labels = county_labels(subject.zones)
    tables = []
    for year in subject.years:
        sums = county_sums(subject.cube.root, year)
        for code in CROPS:
            kind = AREA_TYPES.index(CROP_NAMES[code])
            columns = {
                "year": year,
                "crop": code,
                "predicted_g_m2_yr": sums.means()[kind, _YIELD],
                "area_km2": sums.area_m2[kind] / _M2_PER_KM2,
            }
            tables.append(labels.assign(**columns))
    table = pd.concat(tables, ignore_index=True)
    there: pd.DataFrame = table.loc[table["area_km2"] > 0].reset_index(drop=True)
    return there


def with_deviations(survey: pd.DataFrame) -> pd.DataFrame:
    """Return the survey with `deviation_sd`: distance from the county's own line, in standard deviations about it.

    It is NaN for a county and crop with fewer than `LEAST_RECORD` years, or without scatter.
    """

    def deviations(rows: pd.DataFrame) -> pd.Series:
        years, values = rows["year"].to_numpy(float), rows["yield_gc_m2"].to_numpy(float)
        if len(rows) < LEAST_RECORD:
            return pd.Series(np.nan, rows.index)
        residual = values - np.polyval(np.polyfit(years - years.mean(), values, 1), years - years.mean())
        spread = float(residual.std(ddof=2))
        return pd.Series(residual / spread if spread > 0 else np.nan, rows.index)

    groups = [deviations(rows) for _, rows in survey.groupby(["fips", "crop"])]
    return survey.assign(deviation_sd=pd.concat(groups))


def side_by_side(ours: pd.DataFrame, survey: pd.DataFrame) -> pd.DataFrame:
    """Return the county-years with both yields, their difference and whether the year is extreme there."""
    observed = with_deviations(survey).rename(columns={"yield_gc_m2": "observed_g_m2_yr"})
    columns = ["fips", "year", "crop", "observed_g_m2_yr", "deviation_sd"]
    table = ours.merge(observed[columns], on=["fips", "year", "crop"], validate="one_to_one")
    error = table["predicted_g_m2_yr"] - table["observed_g_m2_yr"]
    extreme = table["deviation_sd"].abs() > EXTREME_SD
    return table.assign(crop=table["crop"].map(CROP_NAMES), error_g_m2_yr=error, extreme=extreme)


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return R2, RMSE and bias by crop: of all county-years, extreme and ordinary ones, and of each year."""
    rows = []
    for crop, of_crop in table.groupby("crop"):
        parts = {"all": of_crop, "extreme": of_crop[of_crop["extreme"]], "ordinary": of_crop[~of_crop["extreme"]]}
        parts |= {str(year): of_year for year, of_year in of_crop.groupby("year")}
        for name, part in parts.items():
            if len(part):
                found = score(part["predicted_g_m2_yr"].to_numpy(), part["observed_g_m2_yr"].to_numpy())
                rows.append(
                    {"crop": crop, "years": name, "count": found.count, "r2": found.r2, "rmse_g_m2_yr": found.rmse,
                     "bias_g_m2_yr": found.bias}
                )  # fmt: skip
    return pd.DataFrame(rows)


def analyse(subject: Subject) -> Findings:
    """Return the findings on county yields."""
    survey = _survey(subject)
    assert survey is not None
    ours = predicted(subject)
    table = side_by_side(ours, survey.table)
    found = scores(table)
    absent = f"{len(ours) - len(table)} of {len(ours)} predicted county-years have no yield in the survey"
    numbers = tuple(_numbers(found))
    limits_text = LIMITS + (SYNTHETIC_LIMIT if subject.synthetic else "")
    return Findings(
        COMPUTED,
        limits_text,
        numbers,
        {MAIN: table, "scores": found},
        _figure(subject, table, found),
        (absent, *survey.notes),
    )


def _numbers(found: pd.DataFrame) -> Iterator[Number]:
    published = {"corn": paper.CORN_YIELD_R2, "soybean": paper.SOYBEAN_YIELD_R2}
    for _, row in found[found["years"].isin(["all", "extreme"])].iterrows():
        subset = "" if row["years"] == "all" else ", extreme county-years"
        of_paper = published[str(row["crop"])] if not subset else None
        r2 = float("nan") if row["r2"] is None else float(row["r2"])
        yield Number(f"R2 of {row['crop']} yield{subset}", r2, "1", of_paper)
        yield Number(f"bias of {row['crop']} yield{subset}", float(row["bias_g_m2_yr"]), "g C m-2 yr-1")


def _figure(subject: Subject, table: pd.DataFrame, found: pd.DataFrame) -> Figure:
    height = figures.map_height(subject.zones)
    names = [CROP_NAMES[code] for code in CROPS]
    rows = [[f"{name} pairs" for name in names], [f"{name} map" for name in names]]
    drawing, panels = figures.sheet(rows, (10.5, height + 4.4))
    means_of = table.groupby(["crop", "fips"])["error_g_m2_yr"].mean()
    shown = limits(means_of.to_numpy(), centred=True)
    for name in names:
        _draw_pairs(panels[f"{name} pairs"], table[table["crop"] == name], name, found)
        errors = means_of.loc[name] if name in means_of.index.get_level_values(0) else pd.Series(dtype=float)
        _draw_errors(panels[f"{name} map"], subject, errors, title=f"{name}: predicted - survey", shown=shown)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw_pairs(axes: Axes, rows: pd.DataFrame, name: str, found: pd.DataFrame) -> None:
    if rows.empty:
        axes.annotate("no county-years with both yields", (0.5, 0.5), xycoords="axes fraction", ha="center")
        axes.set_axis_off()
        return
    for extreme, colour, label in ((False, figures.OURS, "ordinary"), (True, figures.PAPER, "extreme")):
        part = rows[rows["extreme"] == extreme]
        axes.plot(part["observed_g_m2_yr"], part["predicted_g_m2_yr"], "o", markersize=3, color=colour, alpha=0.6,
                  label=f"{label} county-years ({len(part)})")  # fmt: skip
    both = rows[["observed_g_m2_yr", "predicted_g_m2_yr"]].to_numpy()
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="0.4", linewidth=0.8)
    of_all = found[(found["crop"] == name) & (found["years"] == "all")]
    published = {"corn": paper.CORN_YIELD_R2, "soybean": paper.SOYBEAN_YIELD_R2}[name].value
    r2 = f"{of_all['r2'].iloc[0]:.2f}" if of_all["r2"].iloc[0] is not None else "–"
    axes.legend(frameon=False, fontsize=8)
    figures.finish(
        axes, f"{name}: R² {r2} (paper: {published:g})", xlabel=f"survey [{figures.UNIT_YEAR}]",
        ylabel=f"predicted [{figures.UNIT_YEAR}]",
    )  # fmt: skip


def _draw_errors(axes: Axes, subject: Subject, errors: pd.Series, *, title: str, shown: tuple[float, float]) -> None:
    import shapely
    from matplotlib.collections import PolyCollection

    outlines = [(part, errors[zone.fips]) for zone in subject.zones if zone.fips in errors.index
                for part in shapely.get_parts(zone.geometry)]  # fmt: skip
    rings = [shapely.get_coordinates(part.exterior) for part, _ in outlines]
    drawn = PolyCollection(rings, array=np.array([value for _, value in outlines]), cmap="PuOr", edgecolors="none")
    drawn.set_clim(*shown)
    axes.add_collection(drawn)
    figures.finish_map(axes, subject.zones, title)
    bar = colourbar(axes, drawn, extend="both")
    bar.ax.locator_params(nbins=5)
    bar.set_label(f"mean of the years [{figures.UNIT_YEAR}]\ngrey: no yield of the survey or none predicted")


def _survey(subject: Subject) -> CountyYields | None:
    files = sorted(subject.options.data.glob(NASS_FILES)) if subject.options.data else []
    return read_quickstats(files) if files else None


def _obstacle(subject: Subject) -> str | None:
    if subject.options.data is None or not any(subject.options.data.glob(NASS_FILES)):
        return f"needs county yields: QuickStats exports as {NASS_FILES} in a folder named by --data"
    if without := sorted(set(subject.years) - sources(subject.cube.root).keys()):
        return f"needs the aggregates of {spans(without)}; make them with `agcarbon aggregate`"
    survey = _survey(subject)
    assert survey is not None
    ours = {zone.fips for zone in subject.zones}
    if not (survey.table["fips"].isin(ours) & survey.table["year"].isin(subject.years)).any():
        return f"needs county yields of this region in {spans(subject.years)}; those of --data are of others"
    return None


ANALYSIS = Analysis("yields", TITLE, "predicted beside NASS yields by county and year: R2, bias, extreme years",
                    _obstacle, analyse)  # fmt: skip
