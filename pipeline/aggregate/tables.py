"""Tables of the aggregates: counties, states, regional totals, and months, and their CSV files beside the exports.

A state is the union of its counties in the region, and its sums are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from model.arrays import MONTHS
from pipeline.aggregate.months import spreads
from pipeline.aggregate.sums import AREA_TYPES, Array, Sums, interval_factor, means
from pipeline.storage import files
from pipeline.variables import DAILY, FLUXES
from regions import Zone

NAMES = ("counties", "states", "region", "counties_monthly", "states_monthly")
"""Names of the tables."""

ROUTES = ("cells", "counties", "0.0025", "0.05", "0.5")
"""Ways to sum up the region, which give the same totals: over its cells, counties and maps."""


@dataclass(frozen=True)
class YearSums:
    """The sums of a year: over each county, over the region by each of `ROUTES`, and over each county by month.

    `monthly` is (layers, 12, counties): sums of the layers of `pipeline.aggregate.months`.
    """

    counties: Sums
    routes: Sums
    monthly: Array


def county_table(counties: Sums, zones: Sequence[Zone], *, year: int) -> pd.DataFrame:
    """Return one row per county and area type: areas [m2], mean [g C m-2 yr-1] and total [g C yr-1] of every flux.

    `valid_share` is the share of the modelled area that has results.
    """
    return table_of(county_labels(zones), counties, year=year)


def county_labels(zones: Sequence[Zone]) -> pd.DataFrame:
    """Return FIPS code, county and state of zones."""
    return pd.DataFrame({"fips": zone.fips, "county": zone.name, "state": zone.state} for zone in zones)


def states_of(zones: Sequence[Zone]) -> tuple[pd.DataFrame, csr_array]:
    """Return the states of some zones, sorted, and 1 where a zone belongs to a state (states, zones)."""
    names = sorted({zone.state for zone in zones})
    members = np.array([[zone.state == name for zone in zones] for name in names], float)
    return pd.DataFrame({"state": names}), csr_array(members)


def state_table(counties: Sums, zones: Sequence[Zone], *, year: int) -> pd.DataFrame:
    """Return the rows of `county_table` by state."""
    labels, members = states_of(zones)
    return table_of(labels, counties.onto(members), year=year)


def monthly_table(labels: pd.DataFrame, sums: Array, *, year: int) -> pd.DataFrame:
    """Return one row per target and month: area [m2], mean [g C m-2 month-1] and total [g C month-1] of each flux.

    `sums` are those of `YearSums.monthly`. Of an ensemble, means and totals have the columns of `table_of`.
    """
    rows = [labels.assign(year=year, month=month + 1, **_month_columns(sums[:, month])) for month in range(MONTHS)]
    return pd.concat(rows, ignore_index=True)


def _month_columns(sums: Array) -> dict[str, Array]:
    """Return the columns of a month from sums of its layers (layers, *targets)."""
    area_m2, totals_g = sums[0], {flux.name: total for flux, total in zip(DAILY, sums[1:], strict=False)}
    columns = {"area_m2": area_m2}
    columns |= {f"{name}_g_m2": means(total, area_m2) for name, total in totals_g.items()}
    columns |= {f"{name}_g": total for name, total in totals_g.items()}
    members = (len(sums) - 1) // len(DAILY) - 1
    if members < 2:
        return columns
    spread_g = dict(zip(totals_g, spreads(sums), strict=True))
    return columns | _spread_columns(totals_g, spread_g, area_m2, members=members)


def regional_table(routes: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per area type and route, with the areas, means and totals of `county_table` over the region."""
    return table_of(pd.DataFrame({"route": ROUTES}), routes, year=year)


def table_of(labels: pd.DataFrame, sums: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per target and area type, with the labels of the targets and the columns of `county_table`.

    Of an ensemble, each mean and total has a standard deviation over the members, each of them summed over the target
    first (`nee_spread_g_m2`), and the bounds of a 90 % interval (`nee_low_g_m2`, `nee_high_g_m2`).
    """
    rows = [labels.assign(year=year, cover=name, **_columns(sums, index)) for index, name in enumerate(AREA_TYPES)]
    return pd.concat(rows, ignore_index=True)


def _columns(sums: Sums, area_type: int) -> dict[str, Array]:
    area_m2 = sums.area_m2[area_type]
    columns = {"area_m2": area_m2, "missing_m2": sums.missing_m2[area_type], "valid_share": sums.valid_share[area_type]}
    names = [flux.name for flux in FLUXES]
    totals_g = dict(zip(names, sums.totals_g[area_type], strict=True))
    for name, total in totals_g.items():
        columns |= {f"{name}_g_m2": means(total, area_m2), f"{name}_g": total}
    if sums.members < 2:
        return columns
    spread_g = dict(zip(names, sums.spread_g()[area_type], strict=True))
    return columns | _spread_columns(totals_g, spread_g, area_m2, members=sums.members)


def _spread_columns(
    totals_g: Mapping[str, Array], spread_g: Mapping[str, Array], area_m2: Array, *, members: int
) -> dict[str, Array]:
    """Return the standard deviation over members and the bounds of the 90 % interval of each mean and total."""
    factor, found = interval_factor(members), {}
    for unit, area in (("g_m2", area_m2), ("g", None)):
        for name, total in totals_g.items():
            value, spread = (each if area is None else means(each, area) for each in (total, spread_g[name]))
            found[f"{name}_spread_{unit}"] = spread
            found[f"{name}_low_{unit}"] = value - factor * spread
            found[f"{name}_high_{unit}"] = value + factor * spread
    return found


def disagreement(routes: Sums) -> float:
    """Return the largest difference of a total between the first route and the others, relative to the total."""
    # Without the members of an ensemble, which are absent from tile-years of an earlier version.
    return float(relative_differences(routes.layers[:, : 2 + len(FLUXES)]).max())


def relative_differences(totals: Array) -> Array:
    """Return the differences of totals (..., routes) from the first route, relative to it; NaN where one is NaN."""
    by_cells = totals[..., :1]
    difference: Array = np.abs(totals - by_cells)
    relative: Array = np.divide(difference, np.abs(by_cells), out=np.zeros_like(difference), where=difference != 0)
    return relative


def tables_location(exports: str) -> str:
    """Return the folder of the tables below the exports."""
    return files.join(exports, "tables")


def read_table(exports: str, name: str) -> pd.DataFrame:
    """Return a table of `NAMES`, empty before the first aggregate.

    It has one row per year and area type or month, and for each county, state or route.
    """
    content = files.read(_location(exports, name))
    return pd.DataFrame() if content is None else pd.read_csv(BytesIO(content), dtype={"fips": str})


def write(exports: str, sums: Mapping[int, YearSums], *, zones: Sequence[Zone]) -> None:
    """Write all tables, given the sums of all years."""
    labels, (states, members) = county_labels(zones), states_of(zones)
    ordered = sorted(sums.items())
    _write(exports, "counties", [county_table(of.counties, zones, year=year) for year, of in ordered])
    _write(exports, "states", [state_table(of.counties, zones, year=year) for year, of in ordered])
    _write(exports, "region", [regional_table(of.routes, year=year) for year, of in ordered])
    _write(exports, "counties_monthly", [monthly_table(labels, of.monthly, year=year) for year, of in ordered])
    by_state = ((year, of.monthly @ members.T.toarray()) for year, of in ordered)
    _write(exports, "states_monthly", [monthly_table(states, monthly, year=year) for year, monthly in by_state])


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
