"""Aggregates in the cube: their groups, what they are made of, and writing one band of them.

    aggregates/0p0025      annual means and areas (year, cover, lat, lon)
    aggregates/0p5         the same on 0.5 degree
    aggregates/daily/YYYY  daily means of the modelled cells on 0.5 degree (time, lat, lon)

The coordinate `cover` names the area types. The attribute `sources` of the annual groups has the years whose
aggregates are there, each with the digest of the results that they were computed from. A year that the arrays have
room for, but that `sources` does not name, holds nothing or half of its data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import zarr

from pipeline.aggregate.bands import FINE_IN_COARSE, BandYear, Frame
from pipeline.aggregate.sums import AREA_TYPES, Array, Layers, Sums, means
from pipeline.cube import layout
from pipeline.grid.latlon import LatLonGrid
from pipeline.grid.sinusoidal import Tile
from pipeline.storage import cf
from pipeline.storage.repository import array, attribute, part, subgroup
from pipeline.variables import DAILY, FLUXES, Variable

FINE, COARSE = "aggregates/0p0025", "aggregates/0p5"

# Double precision: totals of the maps equal those of the counties to 1e-9, and single precision keeps 6e-8 only.
AREA = Variable("area", "m2", "area with results", dtype="float64", cell_methods="area: sum")
MISSING_AREA = Variable(
    "missing_area", "m2", "area modelled, but without result", dtype="float64", cell_methods="area: sum"
)
ANNUAL_LAYERS = (*(replace(flux, dtype="float64") for flux in FLUXES), AREA, MISSING_AREA)
DAILY_LAYERS = (*(replace(flux, dtype="float64") for flux in DAILY), AREA)

_READ = (*(flux.name for flux in FLUXES), "crop", "quality", "corn_fraction", "soybean_fraction")
_CHUNK = 200  # cells of a chunk's edge: the height of a band, so that no chunk is written twice


def sources(root: zarr.Group, path: str = FINE) -> dict[int, str]:
    """Return the years whose aggregates a group holds, each with the digest of the results they are computed from."""
    # A group without the attribute is one whose first data were never committed.
    made_of: Mapping[str, str] = (attribute(subgroup(root, path), "sources") or {}) if path in root else {}
    return {int(year): digest for year, digest in made_of.items()}


def record_sources(root: zarr.Group, digests: Mapping[int, str]) -> None:
    """Name years as aggregated, in the commit that holds their data."""
    for path in (FINE, COARSE):
        known = {**sources(root, path), **digests}
        subgroup(root, path).attrs["sources"] = {str(year): digest for year, digest in known.items()}


def make_room(root: zarr.Group, frame: Frame, years: Sequence[int]) -> None:
    """Create the arrays of these years, or lengthen them; write nothing where they are long enough."""
    first_year = layout.identity(root).first_year
    names = [variable.name for variable in ANNUAL_LAYERS]
    for path, grid in ((FINE, frame.fine), (COARSE, frame.coarse)):
        if path not in root:
            _create_annual(root.create_group(path), grid)
        # From the cube's first year on, so that a year has the same index here as in `annual`.
        layout.extend_years(subgroup(root, path), names, first=first_year, last=max(years))
    for year in years:
        if _daily(year) not in root:
            _create_daily(root.create_group(_daily(year)), frame.coarse, year)


def _create_annual(group: zarr.Group, grid: LatLonGrid) -> None:
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon)
    layout.create_year_axis(group)
    names = group.create_array("cover", shape=(len(AREA_TYPES),), dtype="string", dimension_names=("cover",))
    names.attrs["long_name"] = (
        "area averaged over: modelled cells in full, or the part under the crop where it is grown"
    )
    # Zarr v3 has a specification for strings of this type only.
    names[...] = np.array(AREA_TYPES, dtype=np.dtypes.StringDType())
    # One year and area type in a chunk: a year can be written by itself, and readers want one map.
    chunk = (1, 1, min(_CHUNK, grid.rows), min(_CHUNK, grid.cols))
    for variable in ANNUAL_LAYERS:
        shape = (0, len(AREA_TYPES), *grid.shape)
        cf.create(group, variable, cf.Layout(("year", "cover", "lat", "lon"), shape, chunk))


def _create_daily(group: zarr.Group, grid: LatLonGrid, year: int) -> None:
    cf.write_time(group, year)
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon)
    shape = (cf.days_in_year(year), *grid.shape)
    for variable in DAILY_LAYERS:  # one chunk for the year: at 0.5 degree that is small
        cf.create(group, variable, cf.Layout(("time", "lat", "lon"), shape, shape))


def _daily(year: int) -> str:
    return f"aggregates/daily/{year}"


@dataclass(frozen=True)
class Part:
    """A part of one stored array.

    Attributes
    ----------
    path
        Path of the array in the cube.
    where
        Indices of the part.
    values
        Values of the part.
    """

    path: str
    where: tuple[int | slice, ...]
    values: Array


def annual_parts(aggregates: BandYear, frame: Frame, *, first_year: int) -> Iterator[Part]:
    """Yield the parts of the annual arrays that a band and year fill; `first_year` is that of the cube."""
    fine = aggregates.grid
    for path, sums, grid, whole in (
        (FINE, aggregates.fine, fine, frame.fine),
        (COARSE, aggregates.coarse, fine.coarsen(FINE_IN_COARSE), frame.coarse),
    ):
        where = (aggregates.year - first_year, slice(None), *whole.window(grid))
        for name, values in annual_layers(sums).items():
            yield Part(f"{path}/{name}", where, values)


def daily_parts(sums: Array, year: int) -> Iterator[Part]:
    """Yield the daily arrays of a year, given the sums of `pipeline.aggregate.bands.aggregate_daily`."""
    area_m2, totals_g = sums[0], sums[1:]
    for variable, values in zip(DAILY_LAYERS, (*means(totals_g, area_m2), area_m2), strict=True):
        yield Part(f"{_daily(year)}/{variable.name}", (slice(None),), values)


def annual_layers(sums: Sums) -> dict[str, Array]:
    """Return the means of all fluxes [g C m-2 yr-1] and the areas [m2] by name, each (area types, *targets).

    A flux is NaN where there is no area; otherwise flux x `area` is the total [g C yr-1].
    """
    # `means` has area types first, layers are stored by variable.
    layers = (*np.moveaxis(sums.means(), 1, 0), sums.area_m2, sums.missing_m2)
    return {variable.name: values for variable, values in zip(ANNUAL_LAYERS, layers, strict=True)}


def write(root: zarr.Group, parts: Iterable[Part]) -> None:
    """Write parts of arrays."""
    for each in parts:
        array(root, each.path)[each.where] = each.values


def read_annual(root: zarr.Group, tile: Tile, year: int) -> Layers:
    """Return the annual layers (rows, cols) of a tile that are aggregated; raises `DamagedError`."""
    cube = layout.identity(root)
    where = (year - cube.first_year, *cube.grid.window(tile))
    return {name: part(root, f"annual/{name}", where) for name in _READ}


def read_days(root: zarr.Group, year: int, tile: Tile, days: slice) -> Layers:
    """Return the daily fluxes (time, rows, cols) of a tile for some days of a year; raises `DamagedError`."""
    where = (days, *layout.identity(root).grid.window(tile))
    return {flux.name: part(root, f"daily/{year}/{flux.name}", where) for flux in DAILY}
