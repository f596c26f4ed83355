"""The plain Zarr store of a cube: its groups and arrays, and their metadata documents.

    annual            layers (year, y, x), mask (y, x), cell_area (y)
    daily/YYYY        ra, rh, nee (time, y, x)
    overviews/FACTOR  annual layers with pixels of FACTOR x FACTOR cells
    agcarbon/         records of the export: no part of the data

Arrays have the types, chunks and values of the cube.

References
----------
Zarr conventions `multiscales`, `proj:` and `spatial:`, version 1, https://github.com/zarr-conventions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from affine import Affine
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from model.features import CORN, SOYBEAN
from pipeline.aggregate.layout import AREA
from pipeline.cube import layout
from pipeline.export.plain_zarr.overviews import Area, Majority, Mean, Rule, levels
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid
from pipeline.storage import cf
from pipeline.storage.repository import array, subgroup, write_values
from pipeline.variables import ANNUAL, DAILY, Variable, flag_attributes

DOCUMENT = "zarr.json"
ANNUAL_GROUP = "annual"
_NO_OVERVIEW = ("quality",)  # flags have no mean and no majority
_MULTISCALES = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v1/README.md",
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
}


def daily_group(year: int) -> str:
    """Return the path of the daily fluxes of a year."""
    return f"daily/{year}"


def overview_group(level: int) -> str:
    """Return the path of the overviews of a level, whose pixels have 2 ** level cells on a side."""
    return f"overviews/{2**level}"


def rule_of(variable: Variable) -> Rule:
    """Return how pixels of an overview follow from cells."""
    if variable.name == "crop":
        return Majority((0, CORN, SOYBEAN))
    return Area() if variable == AREA else Mean()


@dataclass(frozen=True)
class ZarrCube:
    """Structure of the store of a cube.

    Attributes
    ----------
    grid
        Cells.
    years
        All years of the cube's annual layers, in order.
    annual
        Annual layers.
    daily
        Years with daily fluxes.
    """

    grid: Grid
    years: tuple[int, ...]
    annual: tuple[Variable, ...]
    daily: tuple[int, ...]

    @classmethod
    def of(cls, root: zarr.Group, *, with_results: Iterable[int]) -> ZarrCube:
        """Return the structure for a cube with results of some years."""
        grid, years = layout.identity(root).grid, tuple(layout.years(root))
        return cls(grid, years, layout.annual_layers(root), tuple(with_results))

    @property
    def tiles_yx(self) -> tuple[int, int]:
        """Number of tiles in rows and columns."""
        return self.grid.rows // self.grid.tile_cells, self.grid.cols // self.grid.tile_cells

    @property
    def levels(self) -> range:
        """Levels of the overviews."""
        return range(1, levels(self.tiles_yx) + 1)

    @property
    def overviews(self) -> tuple[Variable, ...]:
        """Layers of the overviews: a standard deviation of a mean over cells is unknown, and left out."""
        return (*(layer for layer in self.annual if layer in ANNUAL and layer.name not in _NO_OVERVIEW), AREA)

    def extent(self, level: int) -> cf.Extent:
        """Return shape and place of the maps of a level; 0 are the cells."""
        rows, cols = (-(-length >> level) for length in self.grid.shape)
        return cf.Extent((rows, cols), self.grid.transform @ Affine.scale(2**level))

    def create_annual(self, root: zarr.Group) -> zarr.Group:
        """Create the arrays of annual layers, without values or coordinates."""
        group = root.create_group(ANNUAL_GROUP)
        of_years = replace(layout.annual_layout(self.grid), shape=(len(self.years), *self.grid.shape))
        for variable in self.annual:
            cf.create(group, variable, of_years, **flag_attributes(variable.name))
        cf.create(group, layout.MASK, cf.Layout.map(self.grid))
        return group

    def create_daily(self, root: zarr.Group, year: int) -> zarr.Group:
        """Create the arrays of a year's daily fluxes."""
        group = root.create_group(daily_group(year))
        for variable in DAILY:
            cf.create(group, variable, cf.Layout.daily(self.grid, year))
        return group

    def create_overview(self, root: zarr.Group, level: int) -> zarr.Group:
        """Create the arrays of a level of overviews."""
        group, edge = root.create_group(overview_group(level)), self.grid.tile_cells
        of_years = cf.Layout(("year", "y", "x"), (len(self.years), *self.extent(level).shape), (1, edge, edge))
        for variable in self.overviews:
            comment = _COMMENTS[type(rule_of(variable))]
            cf.create(group, variable, of_years, comment=comment, **flag_attributes(variable.name))
        return group

    def documents(self, attributes: Mapping[str, Any]) -> dict[str, bytes]:
        """Return all that is not values of tiles by its key: metadata documents, and coordinates.

        Parameters
        ----------
        attributes
            Global attributes, which each group has.
        """
        objects: dict[str, Buffer] = {}
        root = zarr.create_group(MemoryStore(objects))
        annual = self.create_annual(root)
        cf.create(annual, layout.CELL_AREA, cf.Layout(("y",), (self.grid.rows,), (self.grid.rows,)))
        write_values(annual, layout.CELL_AREA.name, self.grid.cell_area_m2())
        cf.write_yx(annual, self.grid)
        self._write_years(annual)
        for year in self.daily:
            group = self.create_daily(root, year)
            cf.write_time(group, year)
            cf.write_yx(group, self.grid)
        for level in self.levels:
            group, extent = self.create_overview(root, level), self.extent(level)
            y_m, x_m = extent.centres()
            cf.write_plane(group, extent, y_m=y_m, x_m=x_m)
            self._write_years(group)
        paths = [ANNUAL_GROUP, *map(daily_group, self.daily), *map(overview_group, self.levels)]
        for path in paths:
            subgroup(root, path).attrs.update(attributes)
        root.attrs.update({**attributes, **self._multiscales()})
        with warnings.catch_warnings():
            # Consolidated metadata of format 3 are no part of its specification yet; all groups are readable without.
            warnings.simplefilter("ignore", ZarrUserWarning)
            for path in (*paths, ""):
                zarr.consolidate_metadata(root.store, path=path)
        return {key: stored.to_bytes() for key, stored in objects.items()}

    def _write_years(self, group: zarr.Group) -> None:
        layout.create_year_axis(group)
        array(group, "year").resize((len(self.years),))
        write_values(group, "year", np.array(self.years))

    def _multiscales(self) -> dict[str, Any]:
        """Return the attributes of the root that describe the levels, the cells first."""
        whole = self.extent(0)
        located = whole.georeferencing(SINUSOIDAL_WKT, ("y", "x"))
        cells = {"asset": ANNUAL_GROUP, "transform": _scaled(1), **whole.attributes}
        coarser = [
            {
                "asset": overview_group(level),
                "derived_from": ANNUAL_GROUP,
                "transform": _scaled(2**level),
                **self.extent(level).attributes,
            }
            for level in self.levels
        ]
        # The convention has them at the levels alone.
        for name in whole.attributes:
            del located[name]
        return {
            **located,
            "zarr_conventions": [_MULTISCALES, *located["zarr_conventions"]],
            "multiscales": {"layout": [cells, *coarser], "resampling_method": "average"},
        }


_COMMENTS: Mapping[type[Rule], str] = {
    Mean: "area-weighted mean over the modelled cells that have a value",
    Majority: "code with the largest area of modelled cells; of equal areas the lowest",
    Area: "area of the modelled cells that have a result",
}


def _scaled(factor: int) -> dict[str, list[float]]:
    return {"scale": [float(factor)] * 2, "translation": [0.0, 0.0]}
