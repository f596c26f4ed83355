"""Tables of the aggregates: counties and regional totals, and their CSV files beside the exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import pandas as pd

from pipeline.aggregate.sums import AREA_TYPES, Array, Sums
from pipeline.storage import files
from pipeline.variables import FLUXES
from regions import Zone

NAMES = ("counties", "region")
"""Names of the two tables."""

ROUTES = ("cells", "counties", "0.0025", "0.5")
"""Four ways to sum up the region, which give the same totals: over its cells, counties, fine and coarse map."""


def county_table(counties: Sums, zones: Sequence[Zone], *, year: int) -> pd.DataFrame:
    """Return one row per county and area type: areas [m2], mean [g C m-2 yr-1] and total [g C yr-1] of every flux."""
    return table_of(county_labels(zones), counties, year=year)


def county_labels(zones: Sequence[Zone]) -> pd.DataFrame:
    """Return FIPS code, county and state of zones."""
    return pd.DataFrame({"fips": zone.fips, "county": zone.name, "state": zone.state} for zone in zones)


def regional_table(routes: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per area type and route, with the areas, means and totals of `county_table` over the region."""
    return table_of(pd.DataFrame({"route": ROUTES}), routes, year=year)


def table_of(labels: pd.DataFrame, sums: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per target and area type, with the labels of the targets and the columns of `county_table`."""
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


def read_table(exports: str, name: str) -> pd.DataFrame:
    """Return a table of `NAMES`, empty before the first aggregate.

    It has one row per year and area type, and for each county or route.
    """
    content = files.read(_location(exports, name))
    return pd.DataFrame() if content is None else pd.read_csv(BytesIO(content), dtype={"fips": str})


def write(exports: str, *, counties: Mapping[int, Sums], routes: Mapping[int, Sums], zones: Sequence[Zone]) -> None:
    """Write both tables, given the sums of all years over each county and over the region by each of `ROUTES`."""
    _write(exports, "counties", [county_table(counties[year], zones, year=year) for year in sorted(counties)])
    _write(exports, "region", [regional_table(routes[year], year=year) for year in sorted(routes)])


def remove_year(exports: str, year: int) -> None:
    """Remove a year from the tables that have it."""
    for name in NAMES:
        table = read_table(exports, name)
        if not table.empty and (table["year"] == year).any():
            _write(exports, name, [table[table["year"] != year]])


def _write(exports: str, name: str, parts: Sequence[pd.DataFrame]) -> None:
    with files.writing(_location(exports, name)) as path:
        pd.concat(parts, ignore_index=True).to_csv(path, index=False)


def _location(exports: str, name: str) -> str:
    return files.join(tables_location(exports), f"{name}.csv")
