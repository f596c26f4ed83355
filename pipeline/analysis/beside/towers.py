"""The cube at the cells of flux towers, beside the towers: daily and annual Reco and NEE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model.evaluation.scores import score
from pipeline.analysis import figures, paper
from pipeline.analysis.beside.pixels import Pixel
from pipeline.analysis.beside.tower_years import annual_fluxes, read_towers, tower_files
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.subject import Subject
from pipeline.errors import UserError
from pipeline.sources.towers.read import Tower

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "The cube at flux towers"
SITES = "towers/sites.csv"
SITE_COLUMNS = ("site", "latitude", "longitude")
FLUXES = ("reco", "nee")
_MOST_TICKS = 6
MIN_QC = 0.75  # as in the towers' evaluation of networks
_NAMES = {"reco": "Reco", "nee": "NEE"}
_TITLES = {"reco": "Reco", "nee": "NEE (positive to the atmosphere)"}

COMPUTED = (
    "Daily Reco = Ra + Rh and NEE of the cube's cell at each tower, beside the tower's on days with both of which at "
    "least three quarters of the half-hours were measured or filled with confidence: R2 = 1 - mean squared error / "
    "variance of the tower's, RMSE and bias (cube - tower). Annual sums are of years of which the tower has every day. "
    "Shares of corn and soybean are those of the cell, mean of the years."
)
LIMITS = (
    "A cell of 250 m is not the footprint of a tower, and its crop of the year may be another than the tower's field "
    "grew: the shares say how much of the cell is either crop. The cube runs on GPP and weather of maps, not of the "
    "tower, so that errors of the network and of its inputs are not separated; `agcarbon evaluate towers` runs the "
    "network on the tower's own. A network that was tuned on a tower is not tested by it. Energy balance closure is "
    "not corrected."
)


@dataclass(frozen=True)
class TowerPairs:
    """A tower beside its cell: daily pairs (date, flux, tower, cube, scored), annual pairs, and shares of crops."""

    site: str
    days: pd.DataFrame
    years: pd.DataFrame
    corn: float
    soybean: float

    @classmethod
    def of(cls, tower: Tower, pixel: Pixel) -> TowerPairs:
        """Return the pairs of the years that both have."""
        known = [year for year in pixel.annual("nee") if np.isfinite(pixel.annual("nee")[year])]
        days = pd.concat([_days(tower, pixel, year) for year in known]) if known else pd.DataFrame()
        sums = annual_fluxes(tower)
        annual = pd.DataFrame({f"cube_{flux}": pixel.annual(flux) for flux in FLUXES})
        years = sums[sums["year"].isin(known)].join(annual, on="year")
        shares = [float(np.nanmean(list(pixel.annual(f"{crop}_fraction").values()))) for crop in ("corn", "soybean")]
        return cls(tower.site, days, years, *shares)


def _days(tower: Tower, pixel: Pixel, year: int) -> pd.DataFrame:
    dates = pd.date_range(f"{year}-01-01", f"{year}-12-31")
    own = tower.on(dates)
    nee, reco = pixel.daily("nee", year), pixel.daily("ra", year) + pixel.daily("rh", year)
    scored = own.scored(MIN_QC).to_numpy()
    parts = [
        pd.DataFrame({"date": dates, "flux": flux, "tower": own.days[flux].to_numpy(), "cube": cube, "scored": scored})
        for flux, cube in (("reco", reco), ("nee", nee))
    ]
    return pd.concat(parts)


def scores(pairs: TowerPairs) -> list[dict[str, object]]:
    """Return a row for each flux: days, R2, RMSE and bias [g C m-2 d-1], and shares of crops."""
    rows: list[dict[str, object]] = []
    for flux in FLUXES:
        part = pairs.days[(pairs.days["flux"] == flux) & pairs.days["scored"]]
        found = score(part["cube"].to_numpy(), part["tower"].to_numpy())
        rows.append(
            {
                "site": pairs.site, "flux": flux, "days": found.count, "r2": found.r2, "rmse_g_m2_d": found.rmse,
                "bias_g_m2_d": found.bias, "corn_share": pairs.corn, "soybean_share": pairs.soybean,
            }
        )  # fmt: skip
    return rows


def read_sites(subject: Subject) -> pd.DataFrame:
    """Return places of towers by name, from `SITES`; raises `UserError` for a missing column."""
    assert subject.options.data is not None
    path = subject.options.data / SITES
    table = pd.read_csv(path, comment="#")
    if absent := [name for name in SITE_COLUMNS if name not in table.columns]:
        raise UserError(f"{path}: column {', '.join(absent)} is missing; columns are {','.join(SITE_COLUMNS)}")
    return table.set_index("site")


def analyse(subject: Subject) -> Findings:
    """Return the findings at the towers that lie in modelled cells."""
    sites, notes, found = read_sites(subject), list[str](), list[TowerPairs]()
    for tower in read_towers(subject.options.data):
        if tower.site not in sites.index:
            notes.append(f"{tower.site} is left out: not in {SITES}")
            continue
        place = sites.loc[tower.site].to_dict()
        try:
            pixel = Pixel.at(subject, float(place["latitude"]), float(place["longitude"]))
        except UserError as error:
            notes.append(f"{tower.site} is left out: {error}")
            continue
        pairs = TowerPairs.of(tower, pixel)
        if pairs.days.empty or not pairs.days["scored"].any():
            notes.append(f"{tower.site} is left out: no day that can be scored in the years of the cube")
        else:
            found.append(pairs)
    if not found:
        raise UserError("no tower can be compared with the cube: " + " | ".join(notes))
    table = pd.DataFrame([row for pairs in found for row in scores(pairs)])
    numbers = [Number("towers", float(len(found)), "1")]
    for _, row in table.iterrows():
        r2 = float("nan") if row["r2"] is None else float(row["r2"])
        published = paper.TOWER_R2[row["flux"]]
        numbers.append(Number(f"R2 of daily {_NAMES[row['flux']]} at {row['site']}", r2, "1", published))
    annual = pd.concat([pairs.years for pairs in found])
    return Findings(
        COMPUTED, LIMITS, tuple(numbers), {MAIN: table, "years": annual}, _figure(subject, found), tuple(notes)
    )


def _figure(subject: Subject, found: list[TowerPairs]) -> Figure:
    rows = [[f"{pairs.site} {flux}" for flux in FLUXES] for pairs in found]
    drawing, panels = figures.sheet(rows, (10.5, 1.2 + 2.6 * len(found)))
    for pairs in found:
        for flux in FLUXES:
            _draw(panels[f"{pairs.site} {flux}"], pairs, flux)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw(axes: Axes, pairs: TowerPairs, flux: str) -> None:
    part = pairs.days[pairs.days["flux"] == flux]
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.plot(part["date"], part["tower"].where(part["scored"]), ".", markersize=3, color=figures.PAPER, label="tower")
    axes.plot(part["date"], part["cube"], color=figures.OURS, linewidth=1, label="this cube")
    axes.legend(frameon=False, fontsize=8)
    years = sorted(set(pd.DatetimeIndex(part["date"]).year))
    shown = years[:: max(len(years) // _MOST_TICKS, 1)]
    axes.set_xticks(pd.to_datetime([f"{year}-01-01" for year in shown]).to_numpy(), [str(year) for year in shown])
    share = f"cell: corn {100 * pairs.corn:.0f} %, soybean {100 * pairs.soybean:.0f} %"
    figures.finish(axes, f"{pairs.site}, {_TITLES[flux]}\n{share}", ylabel=r"g C m$^{-2}$ d$^{-1}$")


def _obstacle(subject: Subject) -> str | None:
    data = subject.options.data
    if data is None or not tower_files(data) or not (data / SITES).exists():
        return f"needs tower files (towers/FLX_*, towers/AMF_*) and their places, {SITES}, in the folder of --data"
    return None


ANALYSIS = Analysis("towers", TITLE, "daily and annual Reco and NEE at tower cells, with the cell's crop shares",
                    _obstacle, analyse)  # fmt: skip
