"""Corn and soybean area of counties from tables of the Corn-Soy Data Layer, 13 Midwest states, 1999-2018.

A table holds a year, a row a county, and the area [m2] by class: 0 other, 1 corn, 5 soybean. An empty cell of a crop
means that the layer has no pixel of it in the county, an area of zero; those are counted. Class 0 is left out: it is
empty in nine of ten counties and elsewhere is no complement of the crops, so that the table cannot give a crop's share
of a county's area.

References
----------
Wang et al. (2020), Scientific Data 7:307, doi:10.1038/s41597-020-00646-4; layer doi:10.5281/zenodo.4110647.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.county_codes import RENUMBERED, county_fips

HEADER = ["masterid", "0", "1", "5", "year", "STATEFP", "COUNTYFP"]
CROP_COLUMNS = {"1": "corn_m2", "5": "soybean_m2"}
NAME = "{year}_CSDL_13States_area_m2.csv"
LARGEST_COUNTY_M2 = 2e10  # Saint Louis, Minnesota, has 1.75e10
LEAST_LARGEST_M2 = 1e7  # in hectares, acres or km2 the largest crop area of a county is below 1e6


@dataclass(frozen=True)
class AreaCounts:
    """Rows that were read and what they lacked.

    Attributes
    ----------
    county_years
        Rows, one a county and year.
    without_corn, without_soybean, without_both
        Empty cells, taken as an area of 0.
    absent
        Counties that a year lacks and another year of those read has.
    renumbered
        Rows of counties that are given their new code.
    """

    county_years: int
    without_corn: int
    without_soybean: int
    without_both: int
    absent: int
    renumbered: int


@dataclass(frozen=True)
class CountyAreas:
    """Crop areas of counties.

    Attributes
    ----------
    table
        A row per year and county, in this order: year, fips (five digits), corn_m2 and soybean_m2, never NaN.
    counts
        What was read and what it lacked.
    """

    table: pd.DataFrame
    counts: AreaCounts

    def corn_share(self) -> pd.DataFrame:
        """Return corn's share of corn + soybean, years by counties; NaN where a county has neither or no row."""
        by_county = self.table.pivot(index="year", columns="fips", values=list(CROP_COLUMNS.values()))
        corn, both = by_county["corn_m2"], by_county["corn_m2"] + by_county["soybean_m2"]
        return pd.DataFrame(corn / both.where(both > 0))


def read_csdl_areas(folder: Path, *, years: Iterable[int]) -> CountyAreas:
    """Return the corn and soybean areas of all counties in the tables of `years`.

    Raises
    ------
    UserError
        If a year has no table, a table has another header, a code or an area is none, areas are not in m2, or a county
        is there twice.
    """
    tables = [_read(folder / NAME.format(year=year), year=year) for year in years]
    rows = pd.concat(tables, ignore_index=True)
    crops = rows[list(CROP_COLUMNS.values())]
    corn, soybean = (crops[name].isna() for name in crops)
    counts = AreaCounts(
        county_years=len(rows),
        without_corn=int(corn.sum()),
        without_soybean=int(soybean.sum()),
        without_both=int((corn & soybean).sum()),
        absent=rows["year"].nunique() * rows["fips"].nunique() - len(rows),
        renumbered=int(rows["fips"].isin(RENUMBERED).sum()),
    )
    table = rows.assign(fips=rows["fips"].replace(RENUMBERED), **crops.fillna(0.0))
    return CountyAreas(table.sort_values(["year", "fips"], ignore_index=True), counts)


def _read(path: Path, *, year: int) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error}); download it again") from None
    if list(raw.columns) != HEADER:
        raise UserError(f"{path}: columns {list(raw.columns)} are not {HEADER}; give the table as released")
    fips = county_fips(raw["STATEFP"], raw["COUNTYFP"])
    whole = fips.notna() & (raw["masterid"].str.zfill(5) == fips)
    _refuse(path, raw["masterid"], ~whole, meaning="the county of STATEFP and COUNTYFP")
    _refuse(path, raw["year"], raw["year"] != str(year), meaning=f"the year {year} of the file's name")
    _refuse(path, raw["masterid"], fips.replace(RENUMBERED).duplicated(), meaning="there once")
    areas = {name: _areas(path, raw[column]) for column, name in CROP_COLUMNS.items()}
    return pd.DataFrame({"year": year, "fips": fips, **areas})


def _areas(path: Path, spelled: pd.Series) -> pd.Series:
    areas = pd.to_numeric(spelled, errors="coerce").astype(np.float64)
    faulty = (spelled != "") & ~areas.between(0, LARGEST_COUNTY_M2)
    _refuse(path, spelled, faulty, meaning=f"an area in m2, 0 to {LARGEST_COUNTY_M2:g}")
    if not areas.max() >= LEAST_LARGEST_M2:
        raise UserError(
            f"{path}: the largest area of class {spelled.name}, {areas.max():g}, is below {LEAST_LARGEST_M2:g} m2; is "
            f"it in hectares, acres or km2? Convert it to m2"
        )
    return areas


def _refuse(path: Path, column: pd.Series, faulty: pd.Series, *, meaning: str) -> None:
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise UserError(
            f"{path}: {column.name} {column.iloc[row]!r} in row {row + 1} is not {meaning}; give the table as released"
        )
