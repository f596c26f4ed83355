"""County yields of corn and soybean from NASS QuickStats CSV exports: bushels per acre <-> [g C m-2 yr-1].

Yields of counties from the annual survey are read. All other rows are counted by kind: combined counties, withheld
values, other items and periods. Exports of the search page and CSV files of the API are both accepted.

References
----------
USDA National Agricultural Statistics Service, Quick Stats, https://quickstats.nass.usda.gov (US public domain).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from model.features import CORN, SOYBEAN
from pipeline.errors import UserError

_HEADER_LINE = (
    "Program,Year,Period,Week Ending,Geo Level,State,State ANSI,Ag District,Ag District Code,County,County ANSI,"
    "Zip Code,Region,watershed_code,Watershed,Commodity,Data Item,Domain,Domain Category,Value,CV (%)"
)
HEADER = _HEADER_LINE.split(",")
# Columns that are read: their names in an export of the search page, and in the API's CSV.
API_NAMES = {
    "Program": "source_desc",
    "Year": "year",
    "Period": "reference_period_desc",
    "Geo Level": "agg_level_desc",
    "State ANSI": "state_ansi",
    "County ANSI": "county_ansi",
    "Data Item": "short_desc",
    "Domain": "domain_desc",
    "Value": "Value",
    "CV (%)": "CV (%)",
}
EXPORT_CAP = 50_000  # rows at which exports end without any notice
COMBINED = ("", "888", "998", "999")  # county codes of combined counties, and of totals of districts and states
WITHHELD, ROUNDED_AWAY = "(D)", "(Z)"  # to avoid disclosing data of single farms; less than half the rounding unit
# Counties that were given another code, old to new: all years have the code of the boundaries in `regions`.
RENUMBERED = {"46113": "46102"}  # Shannon County SD became Oglala Lakota in 2015
LAST_STATE, LAST_COUNTY = 78, 840  # Virgin Islands; Winchester city, Virginia
GRAMS_PER_POUND = 453.59237
M2_PER_ACRE = 4046.8564224


@dataclass(frozen=True)
class Grain:
    """Units and carbon content of a crop's grain, and the range of its yields [bushel per acre].

    Attributes
    ----------
    item
        Data Item of QuickStats.
    pounds_per_bushel, moisture, carbon
        Weight of a bushel, its moisture at the market (share of the weight), and the carbon content of dry matter
        (share), as in the published evaluation of KGML-ag-Carbon.
    least_median, most
        Lowest median of a file and highest value that are possible in bushels per acre; beyond, the unit is another.
    """

    item: str
    pounds_per_bushel: float
    moisture: float
    carbon: float
    least_median: float
    most: float

    @property
    def gc_m2_per_bu_ac(self) -> float:
        """Carbon in the grain of one bushel per acre [g C m-2]."""
        return self.pounds_per_bushel * GRAMS_PER_POUND / M2_PER_ACRE * (1 - self.moisture) * self.carbon


# 150 bushels per acre of corn are 9 t ha-1, 50 of soybean 3.4 t ha-1; the highest corn yield of a county in 2012-2021
# is 296. A file in t ha-1 has medians below `least_median`, one in kg ha-1 or pounds per acre values above `most`.
GRAINS = {
    CORN: Grain("CORN, GRAIN - YIELD, MEASURED IN BU / ACRE", 56, 0.156, 0.45, least_median=20, most=400),
    SOYBEAN: Grain("SOYBEANS - YIELD, MEASURED IN BU / ACRE", 60, 0.13, 0.54, least_median=8, most=130),
}


def yield_gc_m2(bushels_per_acre: pd.Series, crop: pd.Series) -> pd.Series:
    """Return grain carbon [g C m-2 yr-1] of yields [bushel per acre] by crop code.

    Examples
    --------
    >>> bushels, crop = pd.Series([200.0, 60.0]), pd.Series([CORN, SOYBEAN])
    >>> yield_gc_m2(bushels, crop).round(1).tolist()
    [476.8, 189.6]
    >>> yield_bu_ac(yield_gc_m2(bushels, crop), crop).round(1).tolist()
    [200.0, 60.0]
    """
    return bushels_per_acre * crop.map({code: grain.gc_m2_per_bu_ac for code, grain in GRAINS.items()})


def yield_bu_ac(grain_gc_m2: pd.Series, crop: pd.Series) -> pd.Series:
    """Return yields [bushel per acre] of grain carbon [g C m-2 yr-1] by crop code."""
    return grain_gc_m2 / crop.map({code: grain.gc_m2_per_bu_ac for code, grain in GRAINS.items()})


def county_fips(state: pd.Series, county: pd.Series) -> pd.Series:
    """Return five-digit FIPS codes from codes of states and counties as tables spell them; NaN where either is none.

    Renumbered counties keep the code of the table; `RENUMBERED` has the new one.

    Examples
    --------
    >>> county_fips(pd.Series(["17", "17.0", "17"]), pd.Series(["19", "019", "998"])).tolist()
    ['17019', '17019', nan]
    """
    codes = [_code(state, last=LAST_STATE).str.zfill(2), _code(county, last=LAST_COUNTY).str.zfill(3)]
    return codes[0] + codes[1]


def _code(spelled: pd.Series, *, last: int) -> pd.Series:
    digits = spelled.str.strip().str.extract(r"^0*([1-9]\d*)(?:\.0+)?$", expand=False)
    return digits.where(pd.to_numeric(digits) <= last)


@dataclass(frozen=True, kw_only=True)
class YieldCounts:
    """Numbers of rows by their use; all but `rows`, `renumbered` and `without_cv` add up to `rows`.

    Attributes
    ----------
    rows, kept
        Rows of the files; county yields in the result.
    other_program, other_period, other_level, other_item, other_domain
        Rows not of the survey, of a year, of counties, of the two yields, of all farms; each row is counted once, by
        the first of these.
    combined
        Rows of combined counties, which have no code.
    withheld, rounded_away, other_symbol
        Rows with "(D)", "(Z)" or another symbol in place of a value.
    repeated
        Rows that repeat county, year, crop and value of an earlier one.
    renumbered, without_cv
        Of the kept rows, those of renumbered counties, and those without a coefficient of variation.
    """

    rows: int
    kept: int
    other_program: int = 0
    other_period: int = 0
    other_level: int = 0
    other_item: int = 0
    other_domain: int = 0
    combined: int = 0
    withheld: int = 0
    rounded_away: int = 0
    other_symbol: int = 0
    repeated: int
    renumbered: int
    without_cv: int


@dataclass(frozen=True)
class CountyYields:
    """Yields of counties.

    Attributes
    ----------
    table
        A row per county, year and crop, in this order: fips (five digits), year, crop (1 corn, 5 soybean),
        yield_bu_ac, yield_gc_m2 [g C m-2 yr-1] and cv_percent, NaN where the file gives none.
    counts
        Numbers of rows read and left out.
    capped
        Files with as many rows as the longest possible export, so that their end may be missing.
    """

    table: pd.DataFrame
    counts: YieldCounts
    capped: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the rows left out, and on files that may be incomplete."""
        counted = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in asdict(self.counts).items())
        return (
            f"QuickStats: {counted}.",
            *(
                f"{path.name} has exactly {EXPORT_CAP:,} rows, the limit of an export, and may be incomplete: download "
                f"it in parts."
                for path in self.capped
            ),
        )


def read_quickstats(paths: Sequence[Path]) -> CountyYields:
    """Return the corn and soybean yields of counties in one or more exports.

    Raises
    ------
    UserError
        If a file has another header, a code, year or value is malformed, values are not in bushels per acre, two rows
        of a county, year and crop contradict each other, or no yield remains.
    """
    files = [_read(path) for path in paths]
    rows = pd.concat(files, ignore_index=True)
    uses = _uses(rows)
    yields = _parsed(rows[uses == "kept"])
    if yields.empty:
        raise UserError(
            f"{', '.join(map(str, paths))}: none of {len(rows):,} rows is a survey yield of a county, items "
            f"{[grain.item for grain in GRAINS.values()]}; choose them in QuickStats"
        )
    _check_units(yields)
    table = _without_repeats(yields)
    counts = YieldCounts(
        rows=len(rows),
        kept=len(table),
        repeated=len(yields) - len(table),
        renumbered=int(table["fips"].isin(RENUMBERED).sum()),
        without_cv=int(table["cv_percent"].isna().sum()),
        **{str(use): int(count) for use, count in uses.value_counts().items() if use != "kept"},
    )
    table["fips"] = table["fips"].replace(RENUMBERED)
    capped = tuple(path for path, file in zip(paths, files, strict=True) if len(file) == EXPORT_CAP)
    return CountyYields(table, counts, capped)


def _read(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error}); download it again") from None
    if list(raw.columns) != HEADER:
        absent = [name for name in API_NAMES.values() if name not in raw]
        if absent:
            raise UserError(
                f"{path}: neither the header of a QuickStats export nor that of its API, of which {absent} is missing; "
                f"give the CSV as downloaded"
            )
        raw = raw.rename(columns={api: name for name, api in API_NAMES.items()})
    rows = pd.DataFrame({name: raw[name].str.strip() for name in API_NAMES})
    return rows.assign(place=[f"{path}, row {number}" for number in range(1, len(rows) + 1)])


def _uses(rows: pd.DataFrame) -> pd.Series:
    """Use of each row, a field of `YieldCounts`: the first whose condition it meets, else kept."""
    conditions = {
        "other_program": rows["Program"] != "SURVEY",
        "other_period": rows["Period"] != "YEAR",
        "other_level": rows["Geo Level"] != "COUNTY",
        "other_item": ~rows["Data Item"].isin([grain.item for grain in GRAINS.values()]),
        "other_domain": rows["Domain"] != "TOTAL",
        "combined": rows["County ANSI"].str.removesuffix(".0").isin(COMBINED),
        "withheld": rows["Value"] == WITHHELD,
        "rounded_away": rows["Value"] == ROUNDED_AWAY,
        "other_symbol": rows["Value"].str.fullmatch(r"\([A-Z]+\)"),
    }
    return pd.Series(np.select(list(conditions.values()), list(conditions), "kept"), rows.index)


def _parsed(rows: pd.DataFrame) -> pd.DataFrame:
    fips = county_fips(rows["State ANSI"], rows["County ANSI"])
    _refuse(rows, fips.isna(), column="County ANSI", meaning="with State ANSI the code of a county")
    year = rows["Year"].str.extract(r"^((?:18|19|20)\d\d)(?:\.0)?$", expand=False)
    _refuse(rows, year.isna(), column="Year", meaning="a year")
    # A comma is taken between thousands only: "9,4" of another locale would become 94.
    spelled = rows["Value"].str.fullmatch(r"(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?|\.\d+")
    _refuse(rows, ~spelled, column="Value", meaning="a number of bushels per acre")
    crop = rows["Data Item"].map({grain.item: code for code, grain in GRAINS.items()})
    bushels = rows["Value"].str.replace(",", "").astype(np.float64)
    return pd.DataFrame(
        {
            "fips": fips,
            "year": year.astype(np.int64),
            "crop": crop.astype(np.int64),
            "yield_bu_ac": bushels,
            "yield_gc_m2": yield_gc_m2(bushels, crop),
            "cv_percent": pd.to_numeric(rows["CV (%)"], errors="coerce").astype(np.float64),
            "place": rows["place"],
        }
    )


def _refuse(rows: pd.DataFrame, faulty: pd.Series, *, column: str, meaning: str) -> None:
    if faulty.any():
        row = rows[faulty].iloc[0]
        raise UserError(f"{row['place']}: {column} {row[column]!r} is not {meaning}; give the file as downloaded")


def _check_units(yields: pd.DataFrame) -> None:
    for code, grain in GRAINS.items():
        rows = yields[yields["crop"] == code]
        wrong = rows[(rows["yield_bu_ac"] <= 0) | (rows["yield_bu_ac"] > grain.most)]
        if len(wrong):
            row = wrong.iloc[0]
            raise UserError(
                f"{row['place']}: Value {row['yield_bu_ac']:g} is not between 0 and {grain.most:g} bushels per acre; "
                f"is it in kg per hectare or pounds per acre? Download {grain.item!r} without conversion"
            )
        if rows["yield_bu_ac"].median() < grain.least_median:
            raise UserError(
                f"{rows['place'].iloc[0]} and later rows: the median Value of {rows['yield_bu_ac'].median():g} is "
                f"below {grain.least_median:g} bushels per acre; is it in tonnes per hectare? Download {grain.item!r} "
                f"without conversion"
            )


def _without_repeats(yields: pd.DataFrame) -> pd.DataFrame:
    key = ["fips", "year", "crop"]
    new_codes = yields["fips"].replace(RENUMBERED)
    groups = yields.groupby([new_codes, "year", "crop"])
    contradicting = groups["yield_bu_ac"].transform("nunique") > 1
    if contradicting.any():
        one = yields[contradicting].sort_values(key).iloc[:2]
        values = " and ".join(f"{row.yield_bu_ac:g} ({row.place})" for row in one.itertuples())
        raise UserError(
            f"county {one['fips'].iloc[0]} has two yields in {one['year'].iloc[0]}, {values}; remove the wrong one"
        )
    first = yields.drop(columns="place").sort_values([*key, "cv_percent"])  # a row with its CV before one without
    return first[~first.assign(fips=new_codes).duplicated(key)].reset_index(drop=True)


def read_county_table(path: Path, *, crop: int) -> pd.DataFrame:
    """Return yields of one crop from a CSV file with the columns year, state_fips, county_fips and yield_bu_ac.

    Columns are fips, year, crop and yield_gc_m2 [g C m-2 yr-1].

    Raises
    ------
    UserError
        If the file is not readable, a column is missing, or a code or value is malformed.
    """
    columns = ["year", "state_fips", "county_fips", "yield_bu_ac"]
    try:
        raw = pd.read_csv(path, usecols=columns, dtype=str)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a CSV file with the columns {', '.join(columns)} ({error})") from None
    grain = GRAINS[crop]
    fips = county_fips(raw["state_fips"], raw["county_fips"])
    numbers = {name: pd.to_numeric(raw[name], errors="coerce") for name in ("year", "yield_bu_ac")}
    faulty = fips.isna() | numbers["year"].isna() | ~numbers["yield_bu_ac"].between(0, grain.most)
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise UserError(
            f"{path}: row {row + 1}, {raw.iloc[row].to_dict()}, is not a county's yield of 0 to {grain.most:g} bushels "
            f"per acre; correct or remove it"
        )
    yields = yield_gc_m2(numbers["yield_bu_ac"], pd.Series(crop, raw.index))
    return pd.DataFrame({"fips": fips, "year": numbers["year"].astype(int), "crop": crop, "yield_gc_m2": yields})


def write_quickstats(path: Path, yields: pd.DataFrame, *, names: pd.DataFrame | None = None) -> None:
    """Write yields as a QuickStats export, rounded to 0.1 bushel per acre as in the survey.

    Parameters
    ----------
    yields
        Columns fips, year, crop, yield_gc_m2 [g C m-2 yr-1] and, where known, cv_percent.
    names
        State and county names by fips (columns state, county), written in capitals; None leaves the columns empty.
    """
    empty = pd.Series("", yields.index)
    spelled = dict.fromkeys(HEADER, empty) | {
        "Program": "SURVEY",
        "Year": yields["year"],
        "Period": "YEAR",
        "Geo Level": "COUNTY",
        "State ANSI": yields["fips"].str[:2].astype(int),
        "County ANSI": yields["fips"].str[2:].astype(int),
        "watershed_code": 0,
        "Commodity": yields["crop"].map({CORN: "CORN", SOYBEAN: "SOYBEANS"}),
        "Data Item": yields["crop"].map({code: grain.item for code, grain in GRAINS.items()}),
        "Domain": "TOTAL",
        "Domain Category": "NOT SPECIFIED",
        "Value": yield_bu_ac(yields["yield_gc_m2"], yields["crop"]).map("{:.1f}".format),
        "CV (%)": yields.get("cv_percent", empty),
    }
    if names is not None:
        of = names.reindex(yields["fips"]).set_axis(yields.index, axis=0)
        spelled |= {"State": of["state"].str.upper(), "County": of["county"].str.upper()}
    pd.DataFrame(spelled)[HEADER].to_csv(path, index=False)
