"""Zonal tables: areas, means and totals over fields, counties or states, by polygon, year and area type.

A state is the union of its counties, and its sums are theirs, so that totals over counties, states and the region agree
to rounding with those of `agcarbon aggregate`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from pipeline.aggregate.tables import county_labels, table_of
from pipeline.sources.polygons import Shape, read_shapes
from pipeline.variables import FLUXES
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
        fields = read_shapes(path, label=label)
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
        outlines = states(zones)
        members = np.array([[zone.state == name for zone in zones] for name in outlines], float)
        labels = pd.DataFrame({"state": list(outlines)})
        return cls(labels, list(outlines.values()), _shapes(zones), csr_array(members), True)


def _shapes(zones: Sequence[Zone]) -> tuple[Shape, ...]:
    return tuple(Shape(zone.fips, zone.geometry) for zone in zones)


def zonal_table(cube: OpenCube, areas: Areas, years: Sequence[int] | None = None) -> gpd.GeoDataFrame:
    """Return areas [m2], means [g C m-2 yr-1] and totals [Gg C yr-1] of every flux over polygons, in WGS84.

    `cover` is one of `aggregate.sums.AREA_TYPES`: the modelled cells in full, or the part of each under the crop for
    which it was modelled. `missing_m2` is the area of modelled cells whose inputs are missing. NEE (positive to the
    atmosphere) and dSOC (positive where the soil gains carbon) are also given in t CO2e yr-1, with the same signs.

    Raises
    ------
    UserError
        If a year has no results.
    """
    import geopandas as gpd

    series = PolygonSeries(cube, areas.parts, partial(tile_shares, disjoint=areas.disjoint))
    tables = [
        table_of(areas.labels, series.sums(year).onto(areas.members_AP), year=year) for year in cube.chosen(years)
    ]
    table = _in_units(pd.concat(tables, ignore_index=True))
    geometries = np.tile(np.array(areas.geometries, object), len(table) // len(areas.labels))
    return gpd.GeoDataFrame(table, geometry=geometries, crs=4326)


def _in_units(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with totals in Gg C and t CO2e instead of g C."""
    totals_g = {flux.name: table[f"{flux.name}_g"] for flux in FLUXES}
    renamed = table.drop(columns=[f"{name}_g" for name in totals_g])
    in_gg = {f"{name}_gg": total / G_PER_GG for name, total in totals_g.items()}
    return renamed.assign(**in_gg, **{f"{name}_t_co2e": totals_g[name] * T_CO2E_PER_G for name in IN_CO2E})


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
