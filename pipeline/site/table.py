"""Daily inputs of a site as a table with one row per day: reading, checking, writing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from model.features import CORN, FEATURE_NAMES, FEATURES, SOIL_NAMES, SOYBEAN
from pipeline.errors import UserError
from pipeline.site.point import SiteInputs

DERIVED = {"Crop_Type": "crop", "Year": "date"}  # inputs that are derived from other columns
INPUT_COLUMNS = tuple(name for name in FEATURE_NAMES if name not in DERIVED)
OBSERVED_COLUMNS = ("RECO", "NEE")
CROPS = {"corn": CORN, "soybean": SOYBEAN, str(CORN): CORN, str(SOYBEAN): SOYBEAN}
SHOWN_FAULTS = 8
NOTE = "# note:"


class Limit(NamedTuple):
    """Plausible range of a column, and the remedy for the likely mistake if a value lies outside."""

    low: float
    high: float
    remedy: str


# Wide enough for any cropland on Earth: a value outside is a wrong unit or a fill value, never weather.
_FLUX = "fill values must be left empty, and the unit is g C m-2 d-1"
LIMITS = {
    "RADN": Limit(0, 45, "multiply a daily mean in W m-2 by 0.0864"),
    "TMAX_AIR": Limit(-60, 60, "subtract 273.15 from kelvin"),
    "TDIF_AIR": Limit(0, 50, "give maximum minus minimum"),
    "HMAX_AIR": Limit(0, 7, "divide hPa by 10, Pa by 1,000"),
    "HDIF_AIR": Limit(0, 7, "divide hPa by 10, Pa by 1,000"),
    "WIND": Limit(0, 3500, "give the wind run, 86.4 times the mean in m s-1"),
    "PRECN": Limit(0, 1000, "give the day's sum in mm"),
    "GPP": Limit(-30, 60, _FLUX),
    "TBKDS": Limit(0.02, 2.65, "divide kg m-3 by 1,000"),
    "TSAND": Limit(0, 1000, "multiply percent by 10"),
    "TSILT": Limit(0, 1000, "multiply percent by 10"),
    "TFC": Limit(0, 1, "divide percent by 100"),
    "TWP": Limit(0, 1, "divide percent by 100"),
    "TKSat": Limit(0, 5000, "multiply um s-1 by 3.6"),
    "TSOC": Limit(0, 600, "multiply percent of carbon by 10"),
    "TPH": Limit(2, 11, "give pH in water"),
    "TCEC": Limit(0, 300, "give cmol(+) per kg"),
    "RECO": Limit(-30, 60, _FLUX),
    "NEE": Limit(-60, 60, _FLUX),
}


class Least(NamedTuple):
    """Least mean of a calendar year at a field of corn or soybean, and the remedy for the unit that gives less."""

    mean: float
    remedy: str


# In a unit that gives small numbers, all values lie inside `LIMITS`, among those of winter and dry days; the mean of a
# year shows it. Sources: [1] Allen et al. (1998), FAO Irrigation and Drainage Paper 56; [2] Liu et al. (2024),
# doi:10.1038/s41467-023-43860-5; [3] USDA Soil Survey Manual (2017); [4] the network's training (`model.features`).
LEAST_OF_A_YEAR = {
    "RADN": Least(7, "multiply kWh m-2 d-1 by 3.6"),  # a third of what arrives above the atmosphere at 60 N [1, eq. 21]
    "TDIF_AIR": Least(2, LIMITS["TDIF_AIR"].remedy),  # a fifth of the mean of [4]
    "HMAX_AIR": Least(0.2, "give the vapour pressure, in kPa"),  # a dew point of -13 degC
    "HDIF_AIR": Least(0.02, "give the range of vapour pressure, in kPa"),  # a twentieth of the mean of [4]
    "WIND": Least(30, LIMITS["WIND"].remedy),  # 0.35 m s-1
    "PRECN": Least(0.14, "multiply metres by 1,000, inches by 25.4, and add irrigation"),  # 50 mm a year
    "GPP": Least(0.27, "multiply kg by 1,000"),  # 100 g C m-2 yr-1; counties have 600 to 1900 [2]
    "RECO": Least(0.05, "multiply kg by 1,000"),  # 18 g C m-2 yr-1, less than in a winter alone
    "NEE": Least(0.05, "multiply kg by 1,000"),  # of the days' magnitudes, since uptake and release cancel
    "TFC": Least(0.03, "give the share of the soil's volume"),  # sand has 0.07 to 0.17 [1, table 19]
    "TKSat": Least(0.01, "multiply m s-1 by 3,600,000"),  # a third of where the class "very low" ends [3]
    "TSOC": Least(1, LIMITS["TSOC"].remedy),  # a seventh of the least of [4]
    "TCEC": Least(0.5, "multiply mol(+) per kg by 100"),  # a ninth of the least of [4]
}
# Arable soils are degraded below 1/13 (Prout et al. 2021, doi:10.1111/ejss.13012); in per cent, 1/13 looks like 1/130.
LEAST_CARBON_PER_CLAY = 0.01


def _column_faults(table: pd.DataFrame) -> list[str]:
    missing = [name for name in ("date", "crop", *INPUT_COLUMNS) if name not in table.columns]
    unknown = [str(name) for name in table.columns if name not in ("date", "crop", *LIMITS)]
    return [f"missing column {name}" for name in missing] + [f"unknown column {name}" for name in unknown]


def _dates(table: pd.DataFrame, *, left_out: Sequence[int]) -> pd.DatetimeIndex:
    """Return the dates; raise if they are not every day of complete calendar years, but those left out, in order."""
    raw = table["date"].astype(str)
    dates = pd.to_datetime(raw, format="%Y-%m-%d", errors="coerce")
    if dates.isna().any():
        row = int(np.flatnonzero(dates.isna())[0])
        raise UserError(f"row {row + 1}: date is {raw.iloc[row]!r}; write YYYY-MM-DD")
    found = pd.DatetimeIndex(dates)
    if not found.is_monotonic_increasing or found.has_duplicates:
        row = int(np.flatnonzero(np.diff(found.to_numpy()) <= np.timedelta64(0, "D"))[0]) + 1
        raise UserError(
            f"row {row + 1}: date {raw.iloc[row]} follows {raw.iloc[row - 1]}; give each day once, in order"
        )
    gaps = pd.date_range(f"{found[0].year}-01-01", f"{found[-1].year}-12-31").difference(found)
    gaps = gaps[~gaps.year.isin(left_out)]
    if len(gaps):
        raise UserError(
            f"{len(gaps)} days missing, the first {gaps[0]:%Y-%m-%d}; "
            f"give every day of complete calendar years, including 31 December of leap years"
        )
    return found


def _crop_codes(table: pd.DataFrame, dates: pd.DatetimeIndex) -> tuple[pd.Series, list[str]]:
    """Return the crop code of each day and the faults found: an unknown crop, or years with more than one."""
    # A spreadsheet writes the code 1 as 1.0.
    words = table["crop"].astype(str).str.strip().str.lower().str.removesuffix(".0")
    codes = words.map(CROPS)
    if codes.isna().any():
        row = int(np.flatnonzero(codes.isna())[0])
        return codes, [f"crop on {dates[row]:%Y-%m-%d} is {words.iloc[row]!r}; write corn (or 1) or soybean (or 5)"]
    mixed = codes.groupby(dates.year).nunique()
    return codes, [f"crop changes within {year}; give one crop per calendar year" for year in mixed.index[mixed > 1]]


def _value_faults(name: str, *, values: pd.Series, raw: pd.Series, dates: pd.DatetimeIndex) -> list[str]:
    """Return at most one fault of each kind, with the first day on which it occurs and the number of days."""
    low, high, remedy = LIMITS[name]
    not_number = values.isna() & (raw.notna() if name in OBSERVED_COLUMNS else True)
    outside = (values < low) | (values > high)
    faults = []
    if not_number.any():
        row = int(np.flatnonzero(not_number)[0])
        found = "empty" if pd.isna(raw.iloc[row]) else repr(raw.iloc[row])
        faults.append(f"{name} is {found} on {dates[row]:%Y-%m-%d} (days: {not_number.sum()}); give a number each day")
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        faults.append(
            f"{name} is {values.iloc[row]:g} on {dates[row]:%Y-%m-%d} (days: {outside.sum()}), "
            f"outside {low:g} to {high:g}; {remedy}"
        )
    return faults


def _soil_faults(numbers: pd.DataFrame) -> list[str]:
    """Return faults of the soil: changes in time, percent as unit, swapped water contents."""
    faults = [
        f"{name} changes from {numbers[name].min():g} to {numbers[name].max():g}; soil must be constant in time"
        for name in SOIL_NAMES
        if numbers[name].nunique() > 1
    ]
    soil = numbers[list(SOIL_NAMES)].mean()
    sand_silt = soil["TSAND"] + soil["TSILT"]
    if sand_silt <= 100:
        faults.append(f"TSAND + TSILT is {sand_silt:.3g} g kg-1, leaving 90 % clay or more; {LIMITS['TSAND'].remedy}")
    elif soil["TSOC"] < LEAST_CARBON_PER_CLAY * (1000 - sand_silt):
        faults.append(
            f"TSOC is {soil['TSOC']:.3g} g kg-1 beside {1000 - sand_silt:.3g} g kg-1 of clay, less than "
            f"{LEAST_CARBON_PER_CLAY:g} of it; {LIMITS['TSOC'].remedy}"
        )
    if (numbers["TWP"] >= numbers["TFC"]).any():
        faults.append("TWP is not below TFC; soil is drier at the wilting point than at field capacity")
    return faults


def _year_faults(numbers: pd.DataFrame, dates: pd.DatetimeIndex) -> list[str]:
    """Return faults of columns whose mean in a year is less than any field has, each with its first such year."""
    means = numbers.assign(**numbers.filter(["NEE"]).abs()).groupby(dates.year).mean()
    faults = []
    for name, (least, remedy) in LEAST_OF_A_YEAR.items():
        low = means[name][means[name] < least] if name in means else pd.Series()
        if len(low):
            faults.append(
                f"{name} has a mean of {low.iloc[0]:.2g} in {low.index[0]} (years: {len(low)}), below {least:g}, the "
                f"least of a field; {remedy}"
            )
    return faults


def _refuse(faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise UserError("; ".join(faults[:SHOWN_FAULTS]) + more)


def site_inputs(
    table: pd.DataFrame, *, name: str, notes: tuple[str, ...] = (), left_out: Sequence[int] = ()
) -> SiteInputs:
    """Return the checked inputs of a site.

    Parameters
    ----------
    table
        One row per day of complete calendar years: `date` (YYYY-MM-DD), `crop` (corn or 1, soybean or 5), the columns
        of `INPUT_COLUMNS` in the units of `model.features.FEATURES`; optionally observed RECO and NEE [g C m-2 d-1, NEE
        positive to the atmosphere], empty on days without an observation.
    name
        Site name.
    notes
        Caveats for readers of the scores.
    left_out
        Years between the others that may be missing from the table.

    Raises
    ------
    UserError
        Naming every missing column, the first gap, and for each column the first day without a number or with an
        implausible value, with the likely cause.
    """
    _refuse(_column_faults(table))
    if not len(table):
        raise UserError("no rows; give one row per day")
    dates = _dates(table, left_out=left_out)
    codes, faults = _crop_codes(table, dates)
    observed = [column for column in OBSERVED_COLUMNS if column in table.columns]
    numbers = table[[*INPUT_COLUMNS, *observed]].apply(pd.to_numeric, errors="coerce")
    for column in numbers.columns:
        faults += _value_faults(column, values=numbers[column], raw=table[column], dates=dates)
    _refuse(faults or [*_soil_faults(numbers), *_year_faults(numbers, dates)])
    numbers = numbers.assign(Crop_Type=codes, Year=dates.year).reindex(columns=[*FEATURE_NAMES, *OBSERVED_COLUMNS])
    values = numbers.to_numpy(np.float64)
    days = dates.to_numpy().astype("datetime64[D]")
    return SiteInputs(name, days, values[:, : len(FEATURE_NAMES)], values[:, -2], values[:, -1], notes)


def read_site_csv(path: Path) -> SiteInputs:
    """Return the checked inputs of a CSV file with the columns of `site_inputs`.

    Lines that start with # are comments; those that start with "# note:" become the notes.

    Raises
    ------
    UserError
        If the file cannot be read as CSV, or if `site_inputs` refuses the table.
    """
    try:
        # Read as text, so that a word among numbers is reported with its day and no column silently changes its type.
        table = pd.read_csv(path, comment="#", skipinitialspace=True, dtype=str)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable CSV file ({error}); `agcarbon site --template FILE` writes one"
        ) from None
    notes = tuple(line.removeprefix(NOTE).strip() for line in lines if line.startswith(NOTE))
    try:
        return site_inputs(table, name=path.stem, notes=notes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _legend() -> list[str]:
    return [
        "# Daily inputs of one point for `agcarbon site`: one row for every day of complete calendar years.",
        "# date: YYYY-MM-DD",
        "# crop: corn (or 1) or soybean (or 5), one per year",
        *(f"# {each.name} [{each.unit}]: {each.meaning}" for each in FEATURES if each.name not in DERIVED),
        "# RECO [g m-2 d-1]: observed ecosystem respiration, carbon; optional, empty on days without an observation",
        "# NEE [g m-2 d-1]: observed net ecosystem exchange, carbon, positive to the atmosphere; optional",
    ]


def write_site_csv(path: Path, table: pd.DataFrame, *, notes: tuple[str, ...] = ()) -> None:
    """Write a table with the columns of `site_inputs` as CSV below a legend of meanings and units.

    Notes are stored in the file and printed beside the scores, for instance that the observations are synthetic.
    """
    columns = [name for name in ("date", "crop", *INPUT_COLUMNS, *OBSERVED_COLUMNS) if name in table.columns]
    legend = "".join(f"{line}\n" for line in (*_legend(), *(f"{NOTE} {note}" for note in notes)))
    path.write_text(legend + table[columns].to_csv(index=False), encoding="utf-8")


def write_template(path: Path) -> None:
    """Write the legend and the header, without rows.

    Raises
    ------
    UserError
        If the file exists: a table with data must not be overwritten.
    """
    if path.exists():
        raise UserError(f"{path}: the file exists; name a new file for the template")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_site_csv(path, pd.DataFrame(columns=["date", "crop", *INPUT_COLUMNS, *OBSERVED_COLUMNS]))
