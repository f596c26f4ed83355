"""Zonal tables: areas, means and totals over fields, counties or states, by polygon, year and area type.

A state is the union of its counties, and its sums are theirs, so that totals over counties, states and the region agree
to rounding with those of `agcarbon aggregate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from scipy.sparse import csr_array, eye_array

from pipeline.access.dataset import OpenCube
from pipeline.access.polygons import tile_shares
from pipeline.access.series import PolygonSeries
from pipeline.aggregate.tables import county_labels, monthly_table, states_of, table_of
from pipeline.sources.polygons import Shape, read_shapes
from regions import Zone, states

if TYPE_CHECKING:
    import geopandas as gpd

G_PER_GG = 1e9
T_CO2E_PER_G = 44 / 12 * 1e-6  # by molar masses of CO2 and carbon, rounded as in the IPCC's guidelines
IN_CO2E = ("nee", "dsoc")


@dataclass(frozen=True, eq=False)
class Areas:
    """The polygons of a zonal table, A, each the union of some parts, P.

    Attributes
    ----------
    labels
        Columns that name each polygon (A rows).
    geometries
        Their outlines in longitude and latitude [degree].
    parts, members_AP
        The parts, and 1 where a part belongs to a polygon.
    disjoint
        Whether the parts do not overlap.
    """

    labels: pd.DataFrame
    geometries: Sequence[shapely.Polygon | shapely.MultiPolygon]
    parts: Sequence[Shape]
    members_AP: csr_array
    disjoint: bool

    @classmethod
    def of_fields(cls, path: Path, *, label: str | None = None) -> Areas:
        """Return the polygons of a vector file; raises as `read_shapes`."""
        return cls.of_shapes(read_shapes(path, label=label))

    @classmethod
    def of_shapes(cls, fields: Sequence[Shape]) -> Areas:
        """Return these polygons, which may overlap."""
        labels = pd.DataFrame({"label": [each.label for each in fields]})
        return cls(labels, [each.geometry for each in fields], fields, csr_array(eye_array(len(fields))), False)

    @classmethod
    def of_counties(cls, zones: Sequence[Zone]) -> Areas:
        """Return the counties of a region."""
        return cls(
            county_labels(zones),
            [zone.geometry for zone in zones],
            _shapes(zones),
            csr_array(eye_array(len(zones))),
            True,
        )

    @classmethod
    def of_states(cls, zones: Sequence[Zone]) -> Areas:
        """Return the states of a region, or their parts inside it."""
        labels, members_AP = states_of(zones)
        return cls(labels, list(states(zones).values()), _shapes(zones), members_AP, True)


def _shapes(zones: Sequence[Zone]) -> tuple[Shape, ...]:
    return tuple(Shape(zone.fips, zone.geometry) for zone in zones)


def zonal_table(cube: OpenCube, areas: Areas, years: Sequence[int] | None = None) -> gpd.GeoDataFrame:
    """Return areas [m2], means [g C m-2 yr-1] and totals [Gg C yr-1] of every flux over polygons, in WGS84.

    `cover` is one of `aggregate.sums.AREA_TYPES`: the modelled cells in full, or the part of each under the crop for
    which it was modelled. `missing_m2` is the area of modelled cells whose inputs are missing. NEE (positive to the
    atmosphere) and dSOC (positive where the soil gains carbon) are also given in t CO2e yr-1, with the same signs.
    Of an ensemble, means and totals have spread and bounds; see `pipeline.aggregate.tables.table_of`.

    Raises
    ------
    UserError
        If a year has no results.
    """
    series = _series(cube, areas)
    return _with_outlines(
        areas,
        (table_of(areas.labels, series.sums(year).onto(areas.members_AP), year=year) for year in cube.chosen(years)),
    )


def monthly_zonal_table(cube: OpenCube, areas: Areas, years: Sequence[int] | None = None) -> gpd.GeoDataFrame:
    """Return areas [m2], means [g C m-2 month-1] and totals [Gg C month-1] of Ra, Rh and NEE by month, in WGS84.

    They are of the modelled cells with results on all days of the month; NEE also in t CO2e month-1. Of an ensemble,
    means and totals have spread and bounds.

    Raises
    ------
    UserError
        If a year has no results.
    """
    series, members_PA = _series(cube, areas), areas.members_AP.T.toarray()
    sums = ((year, series.months(year) @ members_PA) for year in cube.chosen(years))
    return _with_outlines(areas, (monthly_table(areas.labels, of_year, year=year) for year, of_year in sums))


def _series(cube: OpenCube, areas: Areas) -> PolygonSeries:
    return PolygonSeries(cube, areas.parts, partial(tile_shares, disjoint=areas.disjoint))


def _with_outlines(areas: Areas, tables: Iterable[pd.DataFrame]) -> gpd.GeoDataFrame:
    """Return tables whose rows repeat the polygons in their order as one table in the units of zonal tables."""
    import geopandas as gpd

    table = _in_units(pd.concat(tables, ignore_index=True))
    geometries = np.tile(np.array(areas.geometries, object), len(table) // len(areas.labels))
    return gpd.GeoDataFrame(table, geometry=geometries, crs=4326)


def _in_units(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with totals in Gg C and t CO2e instead of g C."""
    totals_g = {name.removesuffix("_g"): table[name] for name in map(str, table.columns) if name.endswith("_g")}
    renamed = table.drop(columns=[f"{name}_g" for name in totals_g])
    in_gg = {f"{name}_gg": total / G_PER_GG for name, total in totals_g.items()}
    # Of NEE and dSOC by their names alone, or those of their spread and bounds.
    parts = [name for name in totals_g if name.partition("_")[0] in IN_CO2E and "balance" not in name]
    in_co2e = {f"{name}_t_co2e": totals_g[name] * T_CO2E_PER_G for name in parts}
    return renamed.assign(**in_gg, **in_co2e)


def without_results(table: pd.DataFrame) -> str | None:
    """Return a sentence on the polygons and years without any area with results; None if there are none."""
    cells = table[table["cover"] == "cells"]
    empty = cells[cells["area_m2"] == 0]
    if empty.empty:
        return None
    first = empty.iloc[0]
    return (
        f"{len(empty)} of {len(cells)} polygon-years have no modelled cell with results, and no means (such as "
        f"{first.iloc[0]}, {first['year']})"
    )
