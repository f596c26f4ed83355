"""A flux tower as a site: weather, soil and tower data joined into the daily inputs of the network.

`read_tower_inputs` is the one way from files to these data, for a site, for training and for evaluation.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from model.features import CORN, SOYBEAN
from model.recipe.training import TowerRecipe
from pipeline.errors import UserError
from pipeline.site.point import SiteInputs
from pipeline.site.table import CROPS, site_inputs
from pipeline.sources.ecosys import daily_weather, topsoil
from pipeline.sources.towers.read import (
    Partitioning,
    Tower,
    TowerMonths,
    TowerWeather,
    read_tower,
    read_tower_weather,
)
from pipeline.years import parse_year_range

GAP_REMEDY = "choose other years, or give the gap-filled FLUXNET file of this tower in place of AmeriFlux BASE"
MIN_QC = 0.75  # of NEE_VUT_REF_QC: at least three quarters of the half-hours measured or gap-filled with confidence
IRRIGATED = ("US-Ne1", "US-Ne2")  # of the towers that KGML-ag-Carbon was tuned on; their P_F holds irrigation
IRRIGATION_MONTHS = (6, 7, 8)


class TowerFiles(NamedTuple):
    """Paths of a tower's data."""

    tower: tuple[Path, ...]  # FLUXNET or AmeriFlux BASE, as CSV or zip; several files are of different years
    soil: Path  # soil layers, ecosys layout
    weather: tuple[Path, ...] = ()  # folder of hourly weather in ecosys layout, or files of a tower; () for its own

    @classmethod
    def of(cls, recipe: TowerRecipe, folder: Path) -> TowerFiles:
        """Return the files of a recipe's tower in a folder."""
        tower, weather = (tuple(folder / name for name in names) for names in (recipe.tower, recipe.weather))
        return cls(tower, folder / recipe.soil, weather)

    @property
    def missing(self) -> list[str]:
        """Paths that do not exist."""
        return [str(path) for path in (*self.weather, self.soil, *self.tower) if not path.exists()]


class TowerInputs(NamedTuple):
    """Weather, soil (index `SOIL_NAMES`) and fluxes of a tower."""

    weather: TowerWeather
    soil: pd.Series
    tower: Tower

    @property
    def weather_days(self) -> pd.DataFrame:
        """The seven climate inputs by date, on days without a gap."""
        return self.weather.days.dropna()


def read_tower_inputs(files: TowerFiles, *, partitioning: Partitioning = "NT") -> TowerInputs:
    """Return the data of a tower's files.

    Raises
    ------
    UserError
        If a file cannot be read, or if there is no weather.
    """
    tower = read_tower(*files.tower, partitioning=partitioning)
    return TowerInputs(read_site_weather(files, site=tower.site), topsoil(files.soil), tower)


def read_site_weather(files: TowerFiles, *, site: str) -> TowerWeather:
    """Return the weather of a site's files; the notes of an irrigated site name the water in PRECN.

    Raises
    ------
    UserError
        If a file cannot be read, or if there is no weather.
    """
    if not (files.weather and files.weather[0].is_dir()):
        own = read_tower_weather(*(files.weather or files.tower))
        note = f"{site} is irrigated; PRECN is the tower's precipitation, which holds the irrigation."
        return replace(own, notes=(*own.notes, note)) if site in IRRIGATED else own
    days = daily_weather(files.weather[0])
    if site not in IRRIGATED:
        return TowerWeather(days)
    note = f"{site} is irrigated; PRECN is the rain of the weather file, without irrigation"
    try:
        total = read_tower_weather(*files.tower).days["PRECN"]
    except UserError:  # the tower's file need not hold weather: the amount of irrigation is then unknown
        return TowerWeather(days, (f"{note}.",))
    return TowerWeather(days, (f"{note}: {_irrigation(days['PRECN'], total)}.",))


def _irrigation(rain: pd.Series, total: pd.Series) -> str:
    """Return a clause on rain and irrigation, the excess of the tower's precipitation in the months of irrigation."""
    both = pd.DataFrame({"rain": rain, "total": total}).dropna()
    summer = both[pd.DatetimeIndex(both.index).month.isin(IRRIGATION_MONTHS)]
    sums = summer.groupby(pd.DatetimeIndex(summer.index).year).sum()
    years = [f"{year} {row.rain:.0f} and {max(row.total - row.rain, 0):.0f} mm" for year, row in sums.iterrows()]
    return f"rain and irrigation (the tower's precipitation less rain) in June to August are {', '.join(years)}"


def _crop_code(word: str) -> int:
    try:
        return CROPS[word.strip().lower()]
    except KeyError:
        raise UserError(f"crop {word!r}: write corn ({CORN}) or soybean ({SOYBEAN})") from None


def parse_crops(text: str, years: Sequence[int]) -> dict[int, int]:
    """Return the crop code of each year from "corn", or from "2002=corn,2003=soybean" with every year named.

    Raises
    ------
    UserError
        If a crop is unknown, or a year is missing or malformed.

    Examples
    --------
    >>> parse_crops("2002=corn, 2003=soybean", [2002, 2003])
    {2002: 1, 2003: 5}
    """
    if "=" not in text:
        return dict.fromkeys(years, _crop_code(text))
    pairs = [part.partition("=") for part in text.split(",")]
    crops = {year.strip(): _crop_code(word) for year, _, word in pairs}
    missing = [year for year in years if str(year) not in crops]
    if missing:
        raise UserError(f"crop {text!r}: no crop for {missing}; name every year, as 2002=corn,2003=soybean")
    return {year: crops[str(year)] for year in years}


def tower_years(tower: Tower, weather: pd.DataFrame) -> list[int]:
    """Return the calendar years of which tower and weather both have every day.

    They must be consecutive, because the hidden state is carried from year to year.

    Raises
    ------
    UserError
        If there are none, or if years between them are missing.
    """
    days = pd.DatetimeIndex(weather.index)
    years = [
        year
        for year in tower.complete_years
        if len(pd.date_range(f"{year}-01-01", f"{year}-12-31").difference(days)) == 0
    ]
    if not years:
        raise UserError("there is no calendar year of which both tower and weather have every day; give other files")
    if years[-1] - years[0] + 1 != len(years):
        raise UserError(f"tower and weather both have every day of {years}; choose consecutive years with --years")
    return years


def tower_site(
    weather: pd.DataFrame, *, soil: pd.Series, tower: Tower, crops: Mapping[int, int], min_qc: float = MIN_QC
) -> SiteInputs:
    """Return the inputs of a tower's site for the years of `crops`, observations of low quality masked.

    A year with a gap in GPP that the rule of the maps does not fill (`Tower.filled_gpp`) is left out, and the notes
    name it: it has neither a budget nor a score, and the hidden state is carried past it.

    Parameters
    ----------
    weather
        The seven climate inputs by date, none missing (`TowerInputs.weather_days`).
    soil
        The nine soil inputs (`pipeline.sources.ecosys.topsoil`).
    tower
        Observed Reco and NEE; the input GPP is Reco - NEE.
    crops
        Crop code of each year; the years must be consecutive.
    min_qc
        Lowest NEE quality at which a day is scored, 0 to 1; days below stay in the input GPP, which must have no gaps.

    Raises
    ------
    UserError
        If the weather of a day is missing, if all years have such gaps, or if a value is implausible.
    """
    dates = pd.date_range(f"{min(crops)}-01-01", f"{max(crops)}-12-31")
    _check_weather(weather, dates)
    filled = tower.on(dates).filled_gpp()
    dates = dates[~dates.year.isin(filled.too_long)]
    if dates.empty:
        raise UserError(f"{tower.site}: {filled.why_without()}; {GAP_REMEDY}")
    tower = tower.on(dates)
    scored = tower.scored(min_qc)
    table = weather.loc[dates].assign(
        date=dates.strftime("%Y-%m-%d"),
        crop=dates.year.map(crops),
        GPP=filled.days[dates],
        RECO=tower.days["reco"].where(scored),
        NEE=tower.days["nee"].where(scored),
        **{str(name): value for name, value in soil.items()},
    )
    left_out = tuple(filled.too_long)
    notes = tower.notes(min_qc)
    if left_out:
        days = sum(365 + calendar.isleap(year) for year in left_out)
        years_named = ", ".join(map(str, left_out))
        notes = (f"{years_named} ({days:,} days) without budget and scores: {filled.why_without()}.", *notes)
    return site_inputs(table, name=tower.site, notes=notes, left_out=left_out)


def monthly_site(
    tower: TowerMonths, *, weather: pd.DataFrame, soil: pd.Series, crops: Mapping[int, int], min_qc: float = MIN_QC
) -> SiteInputs:
    """Return the inputs of a tower known by months, for the years of `crops`; arguments as in `tower_site`.

    GPP is a daily course with the months' means (`TowerMonths.daily_gpp`). Reco and NEE hold the mean of each day's
    month, so that only months and years can be scored; months of low quality are masked.

    Raises
    ------
    UserError
        If the weather of a day or the GPP of a month is missing, or if a value is implausible.
    """
    dates = pd.date_range(f"{min(crops)}-01-01", f"{max(crops)}-12-31")
    _check_weather(weather, dates)
    month = dates.to_period("M").to_timestamp()
    observed = tower.scored(min_qc).reindex(month).set_axis(dates)
    table = weather.loc[dates].assign(
        date=dates.strftime("%Y-%m-%d"),
        crop=dates.year.map(crops),
        GPP=tower.daily_gpp(weather.loc[dates, "RADN"]),
        RECO=observed["reco"],
        NEE=observed["nee"],
        **{str(name): value for name, value in soil.items()},
    )
    months = int(observed["reco"].isna().groupby(dates.to_period("M")).all().sum())
    note = (
        f"{tower.site} is known by months ({tower.names.reco}, {tower.names.nee}): its daily GPP is estimated from "
        f"their means and from radiation; {months} months are not scored."
    )
    return site_inputs(table, name=tower.site, notes=(note, *tower.reading))


def _check_weather(weather: pd.DataFrame, dates: pd.DatetimeIndex) -> None:
    missing = dates.difference(pd.DatetimeIndex(weather.index))
    if len(missing):
        raise UserError(
            f"no weather on {len(missing)} days of {dates[0].year}-{dates[-1].year}, the first "
            f"{missing[0]:%Y-%m-%d}; choose other years, or give a weather file that covers them"
        )


def read_tower_site(
    files: TowerFiles, *, crop: str, years: str | None, partitioning: Partitioning = "NT", min_qc: float = MIN_QC
) -> SiteInputs:
    """Return the inputs of a tower's site from its files.

    Parameters
    ----------
    files
        Weather, soil and tower.
    crop, years
        As in `parse_crops` and `parse_year_range`; None for all years of which tower and weather have every day.
    partitioning, min_qc
        As in `read_tower` and `tower_site`.

    Raises
    ------
    UserError
        If a file cannot be read, or for the reasons of the functions above.
    """
    inputs = read_tower_inputs(files, partitioning=partitioning)
    weather = inputs.weather_days
    chosen = parse_year_range(years) if years else tower_years(inputs.tower, weather)
    crops = parse_crops(crop, chosen)
    site = tower_site(weather, soil=inputs.soil, tower=inputs.tower, crops=crops, min_qc=min_qc)
    return replace(site, notes=(*site.notes, *inputs.weather.notes))
