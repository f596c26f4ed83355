"""County yields of corn and soybean from NASS QuickStats CSV exports: bushels per acre <-> [g C m-2 yr-1].

Read are yields of counties from the annual survey. Rows that are something else are counted by what they are: those of
combined counties, withheld values, other items and periods. Both the search page's export and the API's CSV are taken.

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
from pipeline.sources.bushels import GRAINS, yield_bu_ac, yield_gc_m2
from pipeline.sources.county_codes import RENUMBERED, county_fips

_HEADER_LINE = (
    "Program,Year,Period,Week Ending,Geo Level,State,State ANSI,Ag District,Ag District Code,County,County ANSI,"
    "Zip Code,Region,watershed_code,Watershed,Commodity,Data Item,Domain,Domain Category,Value,CV (%)"
)
HEADER = _HEADER_LINE.split(",")
# Columns that are used, by the names of the search page's export and of the API.
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
EXPORT_CAP = 50_000  # rows at which exports are cut off without a word
COMBINED = ("", "888", "998", "999")  # county codes of combined counties, and of totals of districts and states
WITHHELD, ROUNDED_AWAY = "(D)", "(Z)"  # would disclose single farms; less than half the last digit shown


@dataclass(frozen=True)
class YieldCounts:
    """Rows of the files by what became of them; all but `rows`, `renumbered` and `without_cv` add up to `rows`.

    Attributes
    ----------
    rows, kept
        In the files; county yields that are given.
    other_program, other_period, other_level, other_item, other_domain
        Not of the survey, of a year, of counties, of these two yields, of all farms; each row is counted once, by the
        first of these.
    combined
        Combined counties, which have no code.
    withheld, rounded_away, other_symbol
        "(D)", "(Z)" and other symbols in place of a value.
    repeated
        The same county, year, crop and value as a row before.
    renumbered, without_cv
        Of the kept: counties that are given their new code, and yields without a coefficient of variation.
    """

    rows: int
    kept: int
    other_program: int
    other_period: int
    other_level: int
    other_item: int
    other_domain: int
    combined: int
    withheld: int
    rounded_away: int
    other_symbol: int
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
        yield_bu_ac, yield_gc_m2 [g C m-2 yr-1] and cv_percent, NaN where none is given.
    counts
        What was read and left out.
    capped
        Files that are as long as the longest export, so that their end may be missing.
    """

    table: pd.DataFrame
    counts: YieldCounts
    capped: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the yields must know, each counted."""
        counted = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in asdict(self.counts).items())
        return (
            f"QuickStats: {counted}.",
            *(
                f"{path.name} has exactly {EXPORT_CAP:,} rows, at which exports are cut off: download it in parts."
                for path in self.capped
            ),
        )


def read_quickstats(paths: Sequence[Path]) -> CountyYields:
    """Return the corn and soybean yields of counties in one or more exports.

    Raises
    ------
    UserError
        If a file has another header, a code, year or value is none, values are not in bushels per acre, two rows of a
        county, year and crop contradict each other, or no yield is left.
    """
    files = [_read(path) for path in paths]
    rows = pd.concat(files, ignore_index=True)
    fates = _fates(rows)
    yields = _parsed(rows[fates == "kept"])
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
        **{fate: int((fates == fate).sum()) for fate in _FATES},
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
                f"{path}: neither the header of a QuickStats export nor that of its API, which has {absent} too; give "
                f"the CSV as downloaded"
            )
        raw = raw.rename(columns={api: name for name, api in API_NAMES.items()})
    rows = pd.DataFrame({name: raw[name].str.strip() for name in API_NAMES})
    return rows.assign(place=[f"{path}, row {number}" for number in range(1, len(rows) + 1)])


_FATES = (
    "other_program",
    "other_period",
    "other_level",
    "other_item",
    "other_domain",
    "combined",
    "withheld",
    "rounded_away",
    "other_symbol",
)


def _fates(rows: pd.DataFrame) -> pd.Series:
    """What becomes of each row: the first of `_FATES` that it meets, else kept."""
    meets = [
        rows["Program"] != "SURVEY",
        rows["Period"] != "YEAR",
        rows["Geo Level"] != "COUNTY",
        ~rows["Data Item"].isin([grain.item for grain in GRAINS.values()]),
        rows["Domain"] != "TOTAL",
        rows["County ANSI"].str.removesuffix(".0").isin(COMBINED),
        rows["Value"] == WITHHELD,
        rows["Value"] == ROUNDED_AWAY,
        rows["Value"].str.fullmatch(r"\([A-Z]+\)"),
    ]
    return pd.Series(np.select(meets, list(_FATES), "kept"), rows.index)


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
                f"is it in kg per hectare or pounds per acre? Download {grain.item!r} as it is"
            )
        if rows["yield_bu_ac"].median() < grain.least_median:
            raise UserError(
                f"{rows['place'].iloc[0]} and on: the median Value of {rows['yield_bu_ac'].median():g} is below "
                f"{grain.least_median:g} bushels per acre; is it in tonnes per hectare? Download {grain.item!r} as it "
                f"is"
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


def write_quickstats(path: Path, yields: pd.DataFrame, *, names: pd.DataFrame | None = None) -> None:
    """Write yields as a QuickStats export, rounded to the 0.1 bushel per acre that surveys give.

    Parameters
    ----------
    yields
        Columns fips, year, crop, yield_gc_m2 [g C m-2 yr-1] and, where known, cv_percent.
    names
        State and county names by fips (columns state, county), written in capitals; None leaves them empty.
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
