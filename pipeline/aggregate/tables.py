"""Tables of the aggregates: counties and regional totals, and their CSV files beside the exports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd

from pipeline.aggregate.bands import BandYear
from pipeline.aggregate.sums import AREA_TYPES, Array, Sums
from pipeline.storage import files
from pipeline.variables import FLUXES
from regions import Zone

ROUTES = ("cells", "counties", "0.0025", "0.5")
"""Four ways to sum up the region, which give the same totals: over its cells, counties, fine and coarse map."""


@dataclass(frozen=True)
class RegionSums:
    """Sums of one year over the region, and over its parts.

    Attributes
    ----------
    routes
        Sums over the region by each of `ROUTES` (area types, layers, routes).
    counties
        Sums over each county (area types, layers, counties).
    """

    routes: Sums
    counties: Sums

    @classmethod
    def zero(cls, counties: int) -> RegionSums:
        """Return the sums over no cell."""
        return cls(Sums.zero(len(ROUTES)), Sums.zero(counties))

    def __add__(self, band: BandYear) -> RegionSums:
        return RegionSums(self.routes + band.routes, self.counties + band.counties)


def county_table(counties: Sums, zones: Sequence[Zone], *, year: int) -> pd.DataFrame:
    """Return one row per county and area type: areas [m2], mean [g C m-2 yr-1] and total [g C yr-1] of every flux."""
    return _table(pd.DataFrame({"fips": z.fips, "county": z.name, "state": z.state} for z in zones), counties, year)


def regional_table(routes: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per area type and route, with the areas, means and totals of `county_table` over the region."""
    return _table(pd.DataFrame({"route": ROUTES}), routes, year)


def _table(labels: pd.DataFrame, sums: Sums, year: int) -> pd.DataFrame:
    rows = [labels.assign(year=year, cover=name, **_columns(sums, index)) for index, name in enumerate(AREA_TYPES)]
    return pd.concat(rows, ignore_index=True)


def _columns(sums: Sums, area_type: int) -> dict[str, Array]:
    columns = {"area_m2": sums.area_m2[area_type], "missing_m2": sums.missing_m2[area_type]}
    means = sums.means()
    for index, flux in enumerate(FLUXES):
        columns[f"{flux.name}_g_m2"] = means[area_type, index]
        columns[f"{flux.name}_g"] = sums.totals_g[area_type, index]
    return columns


def disagreement(routes: Sums) -> float:
    """Return the largest difference of a total between the first route and the others, relative to the total."""
    by_cells = routes.layers[..., :1]
    difference = np.abs(routes.layers - by_cells)
    relative = np.divide(difference, np.abs(by_cells), out=np.zeros_like(difference), where=difference > 0)
    return float(relative.max())


def tables_location(exports: str) -> str:
    """Return the folder of counties.csv and region.csv below the exports."""
    return files.join(exports, "tables")


def read_county_table(exports: str) -> pd.DataFrame:
    """Return the table of counties: one row per county, year and area type; empty before the first aggregate."""
    return _read(exports, "counties")


def read_region_table(exports: str) -> pd.DataFrame:
    """Return the regional table: one row per year, area type and route; empty before the first aggregate."""
    return _read(exports, "region")


def have_year(exports: str, year: int) -> bool:
    """Return whether both tables have the year: the exports folder is the user's, and may have been emptied."""
    tables = (read_county_table(exports), read_region_table(exports))
    return all(not table.empty and (table["year"] == year).any() for table in tables)


def write_years(exports: str, totals: Mapping[int, RegionSums], zones: Sequence[Zone]) -> None:
    """Replace these years in both tables."""
    counties = [county_table(total.counties, zones, year=year) for year, total in totals.items()]
    regions = [regional_table(total.routes, year=year) for year, total in totals.items()]
    _replace(exports, "counties", totals.keys(), counties)
    _replace(exports, "region", totals.keys(), regions)


def remove_years(exports: str, years: Collection[int]) -> None:
    """Remove these years from the tables that have them."""
    for name in ("counties", "region"):
        table = _read(exports, name)
        if not table.empty and table["year"].isin(list(years)).any():
            _replace(exports, name, years, [])


def _replace(exports: str, name: str, years: Collection[int], new: Sequence[pd.DataFrame]) -> None:
    held = _read(exports, name)
    kept = held if held.empty else held[~held["year"].isin(list(years))]
    parts = [*([] if kept.empty else [kept]), *new]  # an empty table would change the types of columns
    # A stable sort keeps the order of counties and area types within a year.
    whole = pd.concat(parts, ignore_index=True).sort_values("year", kind="stable") if parts else kept
    with files.writing(_location(exports, name)) as path:
        whole.to_csv(path, index=False)


def _read(exports: str, name: str) -> pd.DataFrame:
    content = files.read(_location(exports, name))
    return pd.DataFrame() if content is None else pd.read_csv(BytesIO(content), dtype={"fips": str})


def _location(exports: str, name: str) -> str:
    return files.join(tables_location(exports), f"{name}.csv")
