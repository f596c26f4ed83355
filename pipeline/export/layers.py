"""Maps of the cube, one at a time: a variable of a year, month or day on one of its grids."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, TypeAlias

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN
from pipeline.aggregate.bands import COARSE_PER_DEGREE, FINE_PER_DEGREE
from pipeline.aggregate.layout import AREA, COARSE, FINE, MISSING_AREA, read_map
from pipeline.cube import layout
from pipeline.cube.results import CheckedYear, Mask
from pipeline.export.cog import Raster, nodata
from pipeline.grid.sinusoidal import SINUSOIDAL, Tile
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES, Quality, Variable

GridName: TypeAlias = Literal["250m", "0.0025", "0.5"]
PeriodName: TypeAlias = Literal["annual", "month", "day"]
MaskName: TypeAlias = Literal["region", "grown", "corn", "soybean"]

CELLS: GridName = "250m"
LATLON_MASKS: Mapping[MaskName, str] = {"region": "cells", "corn": "corn", "soybean": "soybean"}
"""Masks of the aggregates on longitude and latitude, each with the name of its area type in the cube."""

_CELLS_PER_DEGREE: Mapping[GridName, int] = {"0.0025": FINE_PER_DEGREE, "0.5": COARSE_PER_DEGREE}
GROUPS: Mapping[GridName, str] = {"0.0025": FINE, "0.5": COARSE}
CROPS: Mapping[MaskName, int] = {"corn": CORN, "soybean": SOYBEAN}


@dataclass(frozen=True)
class Period:
    """A year, month or day: its name (2012, 2012-07, 2012-07-15), first and last day.

    Examples
    --------
    >>> february = list(periods(2012, "month"))[1]
    >>> february.name, february.days
    ('2012-02', slice(31, 60, None))
    """

    name: str
    first: date
    last: date

    def lies_in(self, date: str) -> bool:
        """Return whether it is the year, month or day of this name, or a part of it.

        Examples
        --------
        >>> [month.name for month in periods(2012, "month") if month.lies_in("2012-1") or month.lies_in("2012-01")]
        ['2012-01']
        """
        return f"{self.name}-".startswith(f"{date}-")

    @property
    def days(self) -> slice:
        """Its days in arrays over the days of the year."""
        return slice(self.first.timetuple().tm_yday - 1, self.last.timetuple().tm_yday)


def periods(year: int, kind: PeriodName) -> Iterator[Period]:
    """Yield the year, its months or its days."""
    if kind == "annual":
        yield Period(f"{year}", date(year, 1, 1), date(year, 12, 31))
        return
    for month in range(1, 13):
        days = [date(year, month, day + 1) for day in range(calendar.monthrange(year, month)[1])]
        if kind == "month":
            yield Period(f"{year}-{month:02d}", days[0], days[-1])
        else:
            yield from (Period(day.isoformat(), day, day) for day in days)


def variables(grid: GridName, kind: PeriodName) -> dict[str, Variable]:
    """Return the variables that a cube has on a grid for a kind of period, by name; none where it has no such map.

    Standard deviations of an ensemble are there only if an ensemble computed the cube, and only by the cell: that of a
    mean over cells is not the mean of theirs, since errors of the members are correlated between neighbouring cells, to
    an unknown degree.
    """
    found: Mapping[tuple[bool, PeriodName], Sequence[Variable]] = {
        (True, "annual"): (*ANNUAL, *ENSEMBLE_STD.values()),
        (True, "month"): [_monthly(variable) for variable in DAILY],
        (True, "day"): DAILY,
        (False, "annual"): (*FLUXES, AREA, MISSING_AREA),
    }
    return {variable.name: variable for variable in found.get((grid == CELLS, kind), ())}


def _monthly(variable: Variable) -> Variable:
    # Not "month-1": UDUNITS takes a month for a twelfth of a year.
    return replace(variable, units="g m-2", long_name=f"{variable.long_name}, sum over the month")


@dataclass(frozen=True)
class Layer:
    """One map: a variable, a period, and the cells that it shows.

    Attributes
    ----------
    variable
        The variable.
    period
        Year, month or day.
    mask
        Cells that it shows; the others are nodata.
    """

    variable: Variable
    period: Period
    mask: MaskName = "region"


def read_cells(root: zarr.Group, layer: Layer, *, tiles: Sequence[Tile]) -> Raster:
    """Read a map of 250 m cells: the cells of these tiles that the layer shows; all others are nodata.

    Sums over a month are of fluxes as stored, rounded to 10 mantissa bits.
    """
    grid, results = layout.identity(root).grid, CheckedYear(root, layer.period.first.year)
    values = np.full(grid.shape, nodata(layer.variable), layer.variable.dtype)
    for tile in tiles:
        mask = results.mask(tile)
        chosen_N = _chosen(results, layer, tile, mask)
        shown = mask.copy()
        shown[mask] = chosen_N
        # Months are summed in double precision and stored in the layer's own.
        values[grid.window(tile)][shown] = _values(results, layer, tile, mask)[chosen_N]
    return Raster(values, grid.transform, SINUSOIDAL, layer.variable)


def _values(results: CheckedYear, layer: Layer, tile: Tile, mask: Mask) -> NDArray[Any]:
    """Return the layer's values (N,) at the modelled cells of a tile."""
    name = layer.variable.name
    if layer.period.name == f"{results.year}":
        return results.layer(tile, name, mask)
    days_TN = results.flux(tile, name, mask, days=layer.period.days)
    return np.asarray(days_TN.sum(axis=0, dtype=np.float64))


def _chosen(results: CheckedYear, layer: Layer, tile: Tile, mask: Mask) -> NDArray[np.bool_]:
    """Return which of the modelled cells (N,) the layer shows."""
    chosen_N = np.ones(mask.sum(), bool)
    if layer.mask != "region":
        chosen_N &= (results.layer(tile, "quality", mask) & Quality.NOT_GROWN) == 0
    if layer.mask in CROPS:
        chosen_N &= results.layer(tile, "crop", mask) == CROPS[layer.mask]
    return chosen_N


def read_latlon(root: zarr.Group, layer: Layer, grid: GridName) -> Raster:
    """Read a map of annual means on a lat-lon grid."""
    group = repository.subgroup(root, GROUPS[grid])
    path, year = f"{GROUPS[grid]}/{layer.variable.name}", layer.period.first.year
    values = read_map(root, path, year, area_type=LATLON_MASKS[layer.mask])
    step = 1 / _CELLS_PER_DEGREE[grid]
    # The coordinates are centres of cells, the transform is from the corner of the first.
    west, north = repository.values(group, "lon")[0] - step / 2, repository.values(group, "lat")[0] + step / 2
    transform = Affine(step, 0.0, float(west), 0.0, -step, float(north))
    return Raster(values, transform, "EPSG:4326", layer.variable)
