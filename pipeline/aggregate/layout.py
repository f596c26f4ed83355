"""Aggregates in the cube: their groups, what they are made of, and the parts of them that one band and year fill.

    aggregates/0p0025      annual means and areas (year, cover, lat, lon)
    aggregates/0p05, 0p5   the same on 0.05 and on 0.5 degree
    aggregates/monthly     on the same grids: sums over months of the modelled cells, as means over area (year, month,
                           lat, lon); on 0.0025 degree in single precision
    aggregates/daily/YYYY  daily means of the modelled cells on 0.5 degree (time, lat, lon)
    aggregates/bands       for each band of the region, from the north: sums over its counties and over all of it, the
                           digest of the results that it was computed from, and digests of its parts of all arrays

The coordinate `cover` names the area types. The attribute `sources` of the annual groups has the years whose
aggregates are there, each with the digest of the results that they were computed from. A year that the arrays have
room for, but that `sources` does not name, holds nothing or half of its data. No two bands share a chunk, so that
each can be written by another worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from model.arrays import MONTHS
from pipeline.aggregate.bands import BandYear, YearResults
from pipeline.aggregate.frame import FINE_IN_COARSE, FINE_IN_MIDDLE, Band, Frame, Mask
from pipeline.aggregate.months import month_layers
from pipeline.aggregate.sums import AREA_TYPES, MEMBERS, Array, Layers, Sums, means
from pipeline.aggregate.tables import ROUTES
from pipeline.cube import layout, members
from pipeline.cube.parts import PART_BYTES
from pipeline.cube.results import CheckedYear
from pipeline.digests import content_digest
from pipeline.errors import DamagedError
from pipeline.grid.sinusoidal import Tile
from pipeline.storage.repository import array, attribute, part, subgroup
from pipeline.variables import DAILY, ENSEMBLE_STD, FLUXES, MONTHLY, MONTHLY_STD, Variable

FINE, MIDDLE, COARSE, BANDS = "aggregates/0p0025", "aggregates/0p05", "aggregates/0p5", "aggregates/bands"
MONTHLY_FINE, MONTHLY_MIDDLE, MONTHLY_COARSE = (f"aggregates/monthly/{grid}" for grid in ("0p0025", "0p05", "0p5"))
DAILY_MAPS = "aggregates/daily"
COUNTIES, ROUTE_SUMS, MADE_OF = f"{BANDS}/counties", f"{BANDS}/routes", f"{BANDS}/made_of"
MONTHLY_COUNTIES = f"{BANDS}/monthly_counties"
MAPS = (FINE, MIDDLE, COARSE)
"""Groups of annual maps."""
MONTHLY_MAPS = (MONTHLY_FINE, MONTHLY_MIDDLE, MONTHLY_COARSE)
_DIGESTS_PATH = f"{BANDS}/digests"

# Double precision: totals of the maps equal those of the counties to 1e-9, and single precision keeps 6e-8 only.
AREA = Variable("area", "m2", "area with results", dtype="float64", cell_methods="area: sum")
MISSING_AREA = Variable(
    "missing_area", "m2", "area modelled, but without result", dtype="float64", cell_methods="area: sum"
)
VALID_SHARE = Variable("valid_share", "1", "share of the modelled area that has results", cell_methods="area: mean")
"""It follows from the two, and is not stored."""
ANNUAL_LAYERS = (*(replace(flux, dtype="float64") for flux in FLUXES), AREA, MISSING_AREA)
SPREADS = {name: replace(spread, dtype="float64") for name, spread in ENSEMBLE_STD.items()}
"""Standard deviations over the members of an ensemble of the means on the target, by the name of the flux."""
DAILY_LAYERS = (*(replace(flux, dtype="float64") for flux in DAILY), AREA)
MONTHLY_LAYERS = (*(replace(flux, dtype="float64") for flux in MONTHLY), AREA)
MONTHLY_SPREADS = tuple(replace(spread, dtype="float64") for spread in MONTHLY_STD.values())

_READ = (*(flux.name for flux in FLUXES), "crop", "quality", "corn_fraction", "soybean_fraction")
# What has a digest of its own: maps of one area type or month, the days of a flux, and the sums of a band.
CHECKED = (
    *((f"{path}/{layer.name}", number) for path in (FINE, COARSE) for layer in ANNUAL_LAYERS
      for number in range(len(AREA_TYPES))),
    (COUNTIES, 0), (ROUTE_SUMS, 0),
    # At the end, so that those of older aggregates keep their places.
    *((f"{MIDDLE}/{layer.name}", number) for layer in ANNUAL_LAYERS for number in range(len(AREA_TYPES))),
    (MONTHLY_COUNTIES, 0),
    *((f"{path}/{layer.name}", number) for path in MAPS for layer in SPREADS.values()
      for number in range(len(AREA_TYPES))),
    *((f"{path}/{layer.name}", month) for path in MONTHLY_MAPS for layer in (*MONTHLY_LAYERS, *MONTHLY_SPREADS)
      for month in range(MONTHS)),
    *((f"{DAILY_MAPS}/{layer.name}", 0) for layer in DAILY_LAYERS),
)  # fmt: skip
_SUMS = (COUNTIES, ROUTE_SUMS, MONTHLY_COUNTIES)
_FINE_IN_CELL = {
    FINE: 1,
    MONTHLY_FINE: 1,
    MIDDLE: FINE_IN_MIDDLE,
    MONTHLY_MIDDLE: FINE_IN_MIDDLE,
    COARSE: FINE_IN_COARSE,
    MONTHLY_COARSE: FINE_IN_COARSE,
    DAILY_MAPS: FINE_IN_COARSE,
}
_CHUNK = FINE_IN_COARSE  # fine cells of a chunk's edge: the least height of a band, the width of a block


def sources(root: zarr.Group, path: str = FINE) -> dict[int, str]:
    """Return the years whose aggregates a group holds, each with the digest of the results they are computed from."""
    # A group without the attribute is one whose first data were never committed.
    made_of: Mapping[str, str] = (attribute(subgroup(root, path), "sources") or {}) if path in root else {}
    return {int(year): digest for year, digest in made_of.items()}


def record_sources(root: zarr.Group, digests: Mapping[int, str]) -> None:
    """Name years as aggregated, in the commit that holds their data."""
    for path in MAPS:
        known = {**sources(root, path), **digests}
        subgroup(root, path).attrs["sources"] = {str(year): digest for year, digest in sorted(known.items())}


def outdated(root: zarr.Group) -> bool:
    """Return whether the aggregates have another structure than today's, so that all must be made anew."""
    if BANDS not in root:
        return False
    group = subgroup(root, BANDS)
    return any(attribute(group, name) != wanted for name, wanted in structure(root).items())


def structure(root: zarr.Group) -> dict[str, list[str]]:
    """Return what the arrays follow from: attributes of the group of bands."""
    return {"routes": list(ROUTES), "layers": summed_layers(root), "monthly_layers": _monthly_layers(root)}


def summed_layers(root: zarr.Group) -> list[str]:
    """Return the names of the layers of `Sums`."""
    of_members = [f"{flux.name} of member {number}" for number in range(members.count(root)) for flux in FLUXES]
    return [AREA.name, MISSING_AREA.name, *(flux.name for flux in FLUXES), *of_members]


def _monthly_layers(root: zarr.Group) -> list[str]:
    """Return the names of the layers of months."""
    of_members = [f"{flux.name} of member {number}" for number in range(members.count(root)) for flux in DAILY]
    return [AREA.name, *(flux.name for flux in DAILY), *of_members]


def made_of(root: zarr.Group, year: int) -> list[str]:
    """Return the digests of the results that the bands of a year were computed from; zeros for none."""
    index = year - layout.identity(root).first_year
    if BANDS not in root or index >= array(root, MADE_OF).shape[0]:
        return []
    return [digest.tobytes().hex() for digest in _read(root, MADE_OF, year)]


def county_sums(root: zarr.Group, year: int) -> Sums:
    """Return the sums over the counties of the region in a year that `sources` names."""
    return _over_bands(root, COUNTIES, year)


def route_sums(root: zarr.Group, year: int) -> Sums:
    """Return the sums over the region by each of `ROUTES` in a year that `sources` names."""
    return _over_bands(root, ROUTE_SUMS, year)


def monthly_county_sums(root: zarr.Group, year: int) -> Array:
    """Return the sums over the counties by month in a year that `sources` names, (layers, 12, counties)."""
    return _summed(root, MONTHLY_COUNTIES, year)


def _over_bands(root: zarr.Group, path: str, year: int) -> Sums:
    return Sums(_summed(root, path, year))


def _summed(root: zarr.Group, path: str, year: int) -> Array:
    sums = _read(root, path, year)
    for band, of_band in enumerate(sums):
        _check(root, (path, 0), year, band, [of_band])
    total: Array = sums.sum(axis=0)
    return total


def band_rows(root: zarr.Group, path: str) -> list[slice]:
    """Return the rows of each band in the map at `path`, such as `aggregates/0p5/nee`, from the north."""
    fine_in_cell = _FINE_IN_CELL[path.rpartition("/")[0]]
    return [
        slice(first // fine_in_cell, end // fine_in_cell)
        for first, end in attribute(subgroup(root, BANDS), "fine_rows")
    ]


def read_band(root: zarr.Group, path: str, year: int, band: int, *, area_type: str) -> Array:
    """Return the rows of a band in an annual map (lat, lon) of one area type.

    Parameters
    ----------
    root, path
        The cube, and the path of the array in it.
    year, band
        Calendar year that `sources` names, and number of the band.
    area_type
        A name of `AREA_TYPES`.

    Raises
    ------
    DamagedError
        If the values are not those that were computed.
    """
    return _read_strip(root, path, year, band, AREA_TYPES.index(area_type))


def read_month(root: zarr.Group, path: str, year: int, band: int, *, month: int) -> Array:
    """Return the rows of a band in a monthly map (lat, lon) of one month, from 0; raises as `read_band`."""
    return _read_strip(root, path, year, band, month)


def _read_strip(root: zarr.Group, path: str, year: int, band: int, number: int) -> Array:
    strip_YX = _read(root, path, year, number, band_rows(root, path)[band])
    # As they were written: fine maps block by block.
    fine = path.rpartition("/")[0] in (FINE, MONTHLY_FINE)
    blocks = np.split(strip_YX, range(_CHUNK, strip_YX.shape[1], _CHUNK), axis=1) if fine else [strip_YX]
    _check(root, (path, number), year, band, blocks)
    return strip_YX


def read_days(root: zarr.Group, name: str, year: int, band: int) -> Array:
    """Return the rows of a band in the daily maps of a layer (time, lat, lon); raises as `read_band`."""
    path = f"{DAILY_MAPS}/{name}"
    try:
        days_TYX: Array = part(root, f"{daily_path(year)}/{name}", (slice(None), band_rows(root, path)[band]))
    except DamagedError as error:
        raise _damaged(path, year, str(error)) from error
    _check(root, (path, 0), year, band, [days_TYX])
    return days_TYX


def _read(root: zarr.Group, path: str, year: int, *where: int | slice) -> Array:
    try:
        return part(root, path, (year - layout.identity(root).first_year, *where))
    except DamagedError as error:
        raise _damaged(path, year, str(error)) from error


def _check(root: zarr.Group, what: tuple[str, int], year: int, band: int, pieces: Sequence[Array]) -> None:
    recorded = _read(root, _DIGESTS_PATH, year, band, CHECKED.index(what))
    if recorded.tobytes().hex() != _joint_digest(map(content_digest, pieces)):
        raise _damaged(what[0], year, f"band {band} has other values than were computed")


def _joint_digest(digests: Iterable[str]) -> str:
    return content_digest(*map(bytes.fromhex, digests))[: 2 * PART_BYTES]


def _damaged(path: str, year: int, cause: str) -> DamagedError:
    return DamagedError(f"{path}, {year}: {cause}; make it again with `agcarbon aggregate --again`")


class BandDigests:
    """Digests of a band and year, which grow with each part that is written."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, int], list[str]] = {what: [] for what in CHECKED}

    def add(self, part: Part) -> None:
        """Take in a part."""
        group, _, name = part.path.rpartition("/")
        if group in MAPS or group in MONTHLY_MAPS:
            for number, of_type in enumerate(part.values):
                self._pieces[part.path, number].append(content_digest(of_type))
        else:
            path = part.path if part.path in _SUMS else f"{DAILY_MAPS}/{name}"
            self._pieces[path, 0].append(content_digest(part.values))

    def write(self, root: zarr.Group, year: int, band: Band) -> None:
        """Write the digests."""
        digests = [list(bytes.fromhex(_joint_digest(pieces))) for pieces in self._pieces.values()]
        array(root, _DIGESTS_PATH)[year - layout.identity(root).first_year, band.number] = np.array(digests, np.uint8)


def daily_path(year: int) -> str:
    """Return the group of the daily means of a year."""
    return f"{DAILY_MAPS}/{year}"


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


def band_parts(results: YearResults, frame: Frame, band: Band, *, first_year: int) -> Iterator[Part]:
    """Yield the parts of the arrays that a band and year fill, as they are computed; `first_year` is the cube's."""
    sums = BandYear.empty(frame, band, days=results.days, members=results.members)
    index = results.year - first_year
    for block in sums.add_all(results):
        place = (index, slice(None), *frame.fine.window(block.grid))
        yield from _annual_parts(FINE, block.sums, place)
        yield from _monthly_parts(MONTHLY_FINE, block.months, place)
    window, middle = frame.coarse.window(band.coarse), frame.middle.window(band.middle)
    yield from _annual_parts(MIDDLE, sums.middle, (index, slice(None), *middle))
    yield from _annual_parts(COARSE, sums.coarse, (index, slice(None), *window))
    yield from _monthly_parts(MONTHLY_MIDDLE, sums.monthly.middle, (index, slice(None), *middle))
    yield from _monthly_parts(MONTHLY_COARSE, sums.monthly.coarse, (index, slice(None), *window))
    area_m2, totals_g = sums.daily[0], sums.daily[1:]
    for variable, values in zip(DAILY_LAYERS, (*means(totals_g, area_m2), area_m2), strict=True):
        yield Part(f"{daily_path(results.year)}/{variable.name}", (slice(None), *window), values)
    yield Part(COUNTIES, (index, band.number), sums.counties.layers)
    yield Part(ROUTE_SUMS, (index, band.number), sums.routes.layers)
    yield Part(MONTHLY_COUNTIES, (index, band.number), sums.monthly.counties)


def _annual_parts(path: str, sums: Sums, where: tuple[int | slice, ...]) -> Iterator[Part]:
    for name, values in annual_layers(sums).items():
        yield Part(f"{path}/{name}", where, values)


def _monthly_parts(path: str, sums: NDArray[Any], where: tuple[int | slice, ...]) -> Iterator[Part]:
    for name, values in month_layers(sums).items():
        yield Part(f"{path}/{name}", where, values)


def annual_layers(sums: Sums) -> dict[str, Array]:
    """Return the means of all fluxes [g C m-2 yr-1] and the areas [m2] by name, each (area types, *targets).

    Of an ensemble also the standard deviations of the means over its members. A flux is NaN where there is no area;
    otherwise flux x `area` is the total [g C yr-1].
    """
    # `means` has area types first, layers are stored by variable.
    layers = (*np.moveaxis(sums.means(), 1, 0), sums.area_m2, sums.missing_m2)
    found = {variable.name: values for variable, values in zip(ANNUAL_LAYERS, layers, strict=True)}
    spreads = dict(zip((flux.name for flux in FLUXES), np.moveaxis(sums.spreads(), 1, 0), strict=True))
    return found | ({SPREADS[name].name: spreads[name] for name in SPREADS} if sums.members else {})


def write(root: zarr.Group, part: Part) -> None:
    """Write a part of an array."""
    array(root, part.path)[part.where] = part.values


def write_made_of(root: zarr.Group, year: int, band: Band, digest: str) -> None:
    """Record the digest of the results that a band and year were computed from."""
    index = year - layout.identity(root).first_year
    array(root, MADE_OF)[index, band.number] = np.frombuffer(bytes.fromhex(digest), np.uint8)


class CubeYear(CheckedYear):
    """The results of a year in a cube, as they are aggregated; its methods raise `DamagedError`."""

    def annual(self, tile: Tile, mask: Mask) -> Layers:
        """Return the annual layers (N,) of a tile that are aggregated."""
        found: dict[str, Any] = {name: self.layer(tile, name, mask) for name in _READ}
        if count := self.members:
            own = self.of_members(tile, mask)
            cells = found["gpp"].size
            absent = np.full((count, len(FLUXES), cells), np.nan)
            found[MEMBERS] = absent if own is None else members.fluxes(own, found["gpp"])
        return found

    @property
    def members(self) -> int:
        """Number of members of the ensemble; 0 for a single network."""
        return members.count(self.root)

    def daily(self, tile: Tile, mask: Mask, days: slice) -> Layers:
        """Return the daily fluxes (time, N) of a tile for some days."""
        return {flux.name: self.flux(tile, flux.name, mask, days=days) for flux in DAILY}
