"""Training data from users' files: runs of *ecosys*, flux towers, county yields of NASS QuickStats.

All are read into the records of `model.data.records`: physical units, the network's signs, years of 365 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.data.records import CROPS, DAYS, CountySet, SiteSequences, TowerSet
from model.features import CORN, FEATURE_NAMES, SOYBEAN
from model.recipe.training import TowerRecipe
from pipeline.errors import UserError
from pipeline.site.point import SiteInputs
from pipeline.site.tower import (
    GAP_REMEDY,
    MIN_QC,
    TowerFiles,
    monthly_site,
    parse_crops,
    read_site_weather,
    read_tower_inputs,
    tower_site,
)
from pipeline.sources.ecosys import topsoil
from pipeline.sources.quickstats import write_quickstats
from pipeline.sources.towers.read import read_tower_months
from pipeline.years import parse_year_range

CROP_NAMES = {"maize": CORN, "soybean": SOYBEAN}
ECOSYS_CLIMATE = {
    "RADN": "srad_MJ_m2",
    "TMAX_AIR": "tmax_C",
    "HMAX_AIR": "vpmax_kPa",
    "WIND": "wind_km_d",
    "PRECN": "precip_mm",
}
ECOSYS_LOWEST = {"TDIF_AIR": ("tmax_C", "tmin_C"), "HDIF_AIR": ("vpmax_kPa", "vpmin_kPa")}
ECOSYS_SOIL = {
    "TBKDS": "BKDS_Mg_m3",
    "TSAND": "SAND_kg_Mg",
    "TSILT": "SILT_kg_Mg",
    "TFC": "FC_m3m3",
    "TWP": "WP_m3m3",
    "TKSat": "SCNV_mm_h",
    "TSOC": "ORGC_kgC_Mg",
    "TPH": "PH",
    "TCEC": "CEC_cmol_kg",
}
ECOSYS_OTHER = ("weather_year", "cycle", "doy", "crop", "GPP", "Ra", "Rh", "NEE", "harvest_C")
BALANCE_LIMIT = 1e-3  # of GPP - Ra - Rh + NEE in a run [g C m-2 d-1]; printed to five decimals


def read_ecosys_run(daily: Path, *, soil: Path) -> SiteSequences:
    """Return an *ecosys* run as one sequence for each cycle of its weather, all of the same weather years.

    Split it by year, never by sequence, because the cycles share their weather. Yield is the carbon harvested in the
    year; the 366th day of leap years is dropped.

    Raises
    ------
    UserError
        If a column, day or weather year is missing, a crop is neither maize nor soybean, or the carbon balance does not
        close.
    """
    columns = {*ECOSYS_OTHER, *ECOSYS_CLIMATE.values(), *(name for pair in ECOSYS_LOWEST.values() for name in pair)}
    run = _table(daily, columns)
    kept = run[run["doy"] <= DAYS].sort_values(["cycle", "weather_year", "doy"])
    cycles, years = (np.unique(kept[name]) for name in ("cycle", "weather_year"))
    expected = pd.MultiIndex.from_product([cycles, years, range(1, DAYS + 1)])
    if not expected.equals(pd.MultiIndex.from_frame(kept[["cycle", "weather_year", "doy"]])):
        raise UserError(f"{daily}: not every cycle has each day of {years[0]}-{years[-1]} once; give the complete run")
    _check_run(kept, place=daily)
    shape = (len(cycles), len(years), DAYS)
    x = _ecosys_inputs(kept, soil=_table(soil, ECOSYS_SOIL.values()).iloc[0])
    fluxes = np.stack([-kept["Ra"], -kept["Rh"], kept["NEE"]], axis=-1)
    harvest = run.groupby(["cycle", "weather_year"])["harvest_C"].sum().to_numpy()
    return SiteSequences(
        x.reshape(*shape, -1).astype(np.float32),
        fluxes.reshape(*shape, 3).astype(np.float32),
        harvest.reshape(shape[:2]).astype(np.float32),
        years.astype(np.int64),
        tuple(f"{daily.stem}, cycle {cycle}" for cycle in cycles),
        f"synthetic: a run of the process model ecosys, {daily.name}",
    )


def _table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    needed = sorted(columns)
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error})") from None
    absent = [name for name in needed if name not in table]
    if absent or table.empty:
        raise UserError(f"{path}: {'no rows' if table.empty else f'missing column {absent[0]}'}; give ecosys output")
    return table[needed]


def _check_run(run: pd.DataFrame, *, place: Path) -> None:
    unknown = sorted(set(run["crop"]) - set(CROP_NAMES))
    if unknown:
        raise UserError(f"{place}: crop {unknown[0]!r} is not one of {', '.join(CROP_NAMES)}")
    opening = (run["GPP"] - run["Ra"] - run["Rh"] + run["NEE"]).abs()
    unbalanced = ~(opening < BALANCE_LIMIT)  # also where a flux is missing
    if unbalanced.any():
        raise UserError(
            f"{place}: |GPP - Ra - Rh + NEE| is missing or above {BALANCE_LIMIT:g} g C m-2 d-1 on {unbalanced.sum():,} "
            f"days, at most {opening.max():g}; give respiration positive, NEE positive to the atmosphere, no gaps"
        )


def _ecosys_inputs(run: pd.DataFrame, *, soil: pd.Series) -> NDArray[np.float64]:
    climate = {name: run[column] for name, column in ECOSYS_CLIMATE.items()}
    climate |= {name: run[high] - run[low] for name, (high, low) in ECOSYS_LOWEST.items()}
    columns = climate | {"Crop_Type": run["crop"].map(CROP_NAMES), "GPP": run["GPP"], "Year": run["weather_year"]}
    columns |= {name: pd.Series(float(soil[column]), run.index) for name, column in ECOSYS_SOIL.items()}
    return np.stack([columns[name].to_numpy(np.float64) for name in FEATURE_NAMES], axis=-1)


def read_tower_set(recipe: TowerRecipe, folder: Path) -> TowerSet:
    """Return the years of a recipe's tower with its weather and soil, joined by `pipeline.site.tower`.

    Days, or months, that cannot be scored are masked. GPP has gaps filled by the rule of the maps.

    Raises
    ------
    UserError
        If a file is missing or refused by its reader, or a year has too long a gap, or if years or crops are malformed.
    """
    files = TowerFiles.of(recipe, folder)
    if files.missing:
        raise UserError(
            f"missing {', '.join(files.missing)}; add these files, or remove the tower's section from the recipe"
        )
    crops = parse_crops(recipe.crop, parse_year_range(recipe.years, place="years"))
    if recipe.monthly:
        return _monthly_tower_set(files, crops=crops)
    inputs = read_tower_inputs(files)
    dates = pd.date_range(f"{min(crops)}-01-01", f"{max(crops)}-12-31")
    filled = inputs.tower.on(dates).filled_gpp()
    if filled.too_long:  # the years of a training follow each other, so that none can be left out
        raise UserError(f"{inputs.tower.site}: {filled.why_without()}; {GAP_REMEDY}")
    site = tower_site(inputs.weather_days, soil=inputs.soil, tower=inputs.tower, crops=crops)
    return _tower_set(site, origin=" ".join([*inputs.tower.notes(MIN_QC), *inputs.weather.notes]))


def _monthly_tower_set(files: TowerFiles, *, crops: Mapping[int, int]) -> TowerSet:
    if len(files.tower) > 1:
        raise UserError(
            f"{', '.join(map(str, files.tower))}: a tower of months has one file; give the MM file of FLUXNET"
        )
    tower = read_tower_months(files.tower[0])
    weather = read_site_weather(files, site=tower.site)
    site = monthly_site(tower, weather=weather.days.dropna(), soil=topsoil(files.soil), crops=crops)
    return replace(_tower_set(site, origin=" ".join([*site.notes, *weather.notes])), monthly=True)


def _tower_set(site: SiteInputs, *, origin: str) -> TowerSet:
    years = site.years
    kept = pd.DatetimeIndex(site.dates).day_of_year <= DAYS
    reco, nee = (flux[kept].reshape(-1, DAYS) for flux in (site.reco, site.nee))
    mask = np.isfinite(reco) & np.isfinite(nee)
    return TowerSet(
        site=site.name,
        x_YTF=site.features[kept].reshape(-1, DAYS, len(FEATURE_NAMES)).astype(np.float32),
        reco_YT=np.where(mask, reco, 0.0).astype(np.float32),
        nee_YT=np.where(mask, nee, 0.0).astype(np.float32),
        mask_YT=mask,
        years=np.array(years),
        origin=origin,
    )


def county_table(counties: CountySet) -> pd.DataFrame:
    """Return the observed yields, one row per county, year and crop: fips, year, crop, yield_gc_m2 [g C m-2 yr-1]."""
    index = pd.MultiIndex.from_product([counties.fips, counties.years, CROPS], names=["fips", "year", "crop"])
    observed = pd.Series(counties.observed_CYK.ravel().astype(np.float64), index, name="yield_gc_m2")
    return observed.dropna().reset_index()


def write_county_yields(path: Path, counties: CountySet) -> None:
    """Write the yields of simulated counties as a QuickStats export with the state SYNTHETIC.

    Raises
    ------
    UserError
        If the origin of the counties is not synthetic: yields of a survey must not be written as simulated ones.
    """
    if not counties.origin.startswith("synthetic"):
        raise UserError(
            f"{path}: yields of {counties.origin!r} are not synthetic and cannot be written as simulated ones"
        )
    names = pd.DataFrame(
        {"state": "synthetic", "county": [f"synthetic {fips[2:]}" for fips in counties.fips]}, index=list(counties.fips)
    )
    write_quickstats(path, county_table(counties), names=names)


def yield_levels(table: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return level and spread of each crop's yields in a table with columns fips, year, crop and yield_gc_m2.

    Returns
    -------
    pd.DataFrame
        One row per crop: source, and crop, 1 corn or 5 soybean; values and counties, the number of county-years and of
        counties; mean over all values; between_counties, the standard deviation of the means of the counties, and
        between_years, that of the values about the mean of their county, all [g C m-2 yr-1]; and worst_year, the lowest
        mean of a year relative to the mean over all values.
    """
    levels = []
    for crop, rows in table.groupby("crop"):
        yields, by_county = rows["yield_gc_m2"], rows.groupby("fips")["yield_gc_m2"]
        level = {
            "source": source,
            "crop": crop,
            "values": len(rows),
            "counties": by_county.ngroups,
            "mean": yields.mean(),
            "between_counties": by_county.mean().std(ddof=0),
            "between_years": (yields - by_county.transform("mean")).std(ddof=0),
            "worst_year": yields.groupby(rows["year"]).mean().min() / yields.mean(),
        }
        levels.append(level)
    return pd.DataFrame(levels)
