"""Aggregates in the cube: their groups, what they are made of, and the parts of them that one band and year fill.

    aggregates/0p0025      annual means and areas (year, cover, lat, lon)
    aggregates/0p5         the same on 0.5 degree
    aggregates/daily/YYYY  daily means of the modelled cells on 0.5 degree (time, lat, lon)
    aggregates/bands       for each band of the region, from the north: sums over its counties and over all of it, the
                           digest of the results that it was computed from, and digests of its parts of all arrays but
                           the daily ones, which are compared as they are read

The coordinate `cover` names the area types. The attribute `sources` of the annual groups has the years whose
aggregates are there, each with the digest of the results that they were computed from. A year that the arrays have
room for, but that `sources` does not name, holds nothing or half of its data. No two bands share a chunk, so that
each can be written by another worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import zarr

from pipeline.aggregate.bands import FINE_IN_COARSE, Band, BandYear, Frame, Mask, YearResults
from pipeline.aggregate.sums import AREA_TYPES, Array, Layers, Sums, means
from pipeline.aggregate.tables import ROUTES
from pipeline.cube import layout
from pipeline.cube.parts import PART_BYTES
from pipeline.cube.results import CheckedYear
from pipeline.digests import DIGEST_BYTES, content_digest
from pipeline.errors import DamagedError
from pipeline.grid.latlon import LatLonGrid
from pipeline.grid.sinusoidal import Tile
from pipeline.storage import cf
from pipeline.storage.repository import array, attribute, part, subgroup
from pipeline.variables import DAILY, FLUXES, Variable

FINE, COARSE, BANDS = "aggregates/0p0025", "aggregates/0p5", "aggregates/bands"
COUNTIES, ROUTE_SUMS, MADE_OF = f"{BANDS}/counties", f"{BANDS}/routes", f"{BANDS}/made_of"
_DIGESTS_PATH = f"{BANDS}/digests"

# Double precision: totals of the maps equal those of the counties to 1e-9, and single precision keeps 6e-8 only.
AREA = Variable("area", "m2", "area with results", dtype="float64", cell_methods="area: sum")
MISSING_AREA = Variable(
    "missing_area", "m2", "area modelled, but without result", dtype="float64", cell_methods="area: sum"
)
ANNUAL_LAYERS = (*(replace(flux, dtype="float64") for flux in FLUXES), AREA, MISSING_AREA)
DAILY_LAYERS = (*(replace(flux, dtype="float64") for flux in DAILY), AREA)

_SUMMED = "sums of areas [m2] and of area x flux [g yr-1], in the order of the attribute `layers`"
_COUNTIES = Variable("counties", "1", f"{_SUMMED}, over the part of each county in the band", dtype="float64")
_ROUTES = Variable("routes", "1", f"{_SUMMED}, over the band by four routes", dtype="float64")
_DIGESTS = Variable("digests", "1", "digests of the band's parts of annual maps and sums", dtype="uint8")
_MADE_OF = Variable("made_of", "1", "digest of the results that the band was computed from", dtype="uint8")

_READ = (*(flux.name for flux in FLUXES), "crop", "quality", "corn_fraction", "soybean_fraction")
# What has a digest of its own: maps of one area type, and the sums of a band.
_CHECKED = (
    *((f"{path}/{layer.name}", number) for path in (FINE, COARSE) for layer in ANNUAL_LAYERS
      for number in range(len(AREA_TYPES))),
    (COUNTIES, 0), (ROUTE_SUMS, 0),
)  # fmt: skip
_CHUNK = FINE_IN_COARSE  # fine cells of a chunk's edge: the least height of a band, the width of a block


def sources(root: zarr.Group, path: str = FINE) -> dict[int, str]:
    """Return the years whose aggregates a group holds, each with the digest of the results they are computed from."""
    # A group without the attribute is one whose first data were never committed.
    made_of: Mapping[str, str] = (attribute(subgroup(root, path), "sources") or {}) if path in root else {}
    return {int(year): digest for year, digest in made_of.items()}


def record_sources(root: zarr.Group, digests: Mapping[int, str]) -> None:
    """Name years as aggregated, in the commit that holds their data."""
    for path in (FINE, COARSE):
        known = {**sources(root, path), **digests}
        subgroup(root, path).attrs["sources"] = {str(year): digest for year, digest in sorted(known.items())}


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


def _over_bands(root: zarr.Group, path: str, year: int) -> Sums:
    sums = _read(root, path, year)
    for band, of_band in enumerate(sums):
        _check(root, (path, 0), year, band, [of_band])
    return Sums(sums.sum(axis=0))


def band_rows(root: zarr.Group, path: str) -> list[slice]:
    """Return the rows of each band in the annual map at `path`, such as `aggregates/0p5/nee`, from the north."""
    fine_in_cell = 1 if path.startswith(f"{FINE}/") else FINE_IN_COARSE
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
    number = AREA_TYPES.index(area_type)
    strip_YX = _read(root, path, year, number, band_rows(root, path)[band])
    # As they were written: fine maps block by block.
    fine = path.startswith(f"{FINE}/")
    blocks = np.split(strip_YX, range(_CHUNK, strip_YX.shape[1], _CHUNK), axis=1) if fine else [strip_YX]
    _check(root, (path, number), year, band, blocks)
    return strip_YX


def _read(root: zarr.Group, path: str, year: int, *where: int | slice) -> Array:
    try:
        return part(root, path, (year - layout.identity(root).first_year, *where))
    except DamagedError as error:
        raise _damaged(path, year, str(error)) from error


def _check(root: zarr.Group, what: tuple[str, int], year: int, band: int, pieces: Sequence[Array]) -> None:
    recorded = _read(root, _DIGESTS_PATH, year, band, _CHECKED.index(what))
    if recorded.tobytes().hex() != _joint_digest(map(content_digest, pieces)):
        raise _damaged(what[0], year, f"band {band} has other values than were computed")


def _joint_digest(digests: Iterable[str]) -> str:
    return content_digest(*map(bytes.fromhex, digests))[: 2 * PART_BYTES]


def _damaged(path: str, year: int, cause: str) -> DamagedError:
    return DamagedError(f"{path}, {year}: {cause}; make it again with `agcarbon aggregate --again`")


class BandDigests:
    """Digests of a band and year, which grow with each part that is written."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, int], list[str]] = {what: [] for what in _CHECKED}

    def add(self, part: Part) -> None:
        """Take in a part."""
        if part.path in (COUNTIES, ROUTE_SUMS):
            self._pieces[part.path, 0].append(content_digest(part.values))
        elif part.path.startswith((f"{FINE}/", f"{COARSE}/")):
            for number, of_type in enumerate(part.values):
                self._pieces[part.path, number].append(content_digest(of_type))

    def write(self, root: zarr.Group, year: int, band: Band) -> None:
        """Write the digests."""
        digests = [list(bytes.fromhex(_joint_digest(pieces))) for pieces in self._pieces.values()]
        array(root, _DIGESTS_PATH)[year - layout.identity(root).first_year, band.number] = np.array(digests, np.uint8)


def make_room(root: zarr.Group, frame: Frame, years: Sequence[int], *, anew: bool = False) -> None:
    """Create the arrays of these years, or lengthen them; write nothing where they are long enough.

    With `anew` existing arrays are deleted: nothing can be written into one whose manifest is damaged.
    """
    if "aggregates" in root and anew:
        del root["aggregates"]
    first_year = layout.identity(root).first_year
    names = [variable.name for variable in ANNUAL_LAYERS]
    for path, create, of in (
        # One year and area type in a chunk, since readers want one map; all types in a shard, as they are written. On
        # 0.5 degree, whose maps are small, all types in a chunk.
        (FINE, partial(_create_annual, grid=frame.fine, chunk=(1, _CHUNK, _CHUNK)), names),
        (COARSE, partial(_create_annual, grid=frame.coarse, chunk=(len(AREA_TYPES), 1, frame.coarse.cols)), names),
        (BANDS, partial(_create_bands, frame=frame), [_COUNTIES.name, _ROUTES.name, _MADE_OF.name, _DIGESTS.name]),
    ):
        if path not in root:
            create(root.create_group(path))
        # From the cube's first year on, so that a year has the same index here as in `annual`.
        layout.extend_years(subgroup(root, path), of, first=first_year, last=max(years))
    for year in years:
        if _daily(year) not in root:
            _create_daily(root.create_group(_daily(year)), frame.coarse, year)


def _create_annual(group: zarr.Group, *, grid: LatLonGrid, chunk: tuple[int, int, int]) -> None:
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon, step=1 / grid.per_degree)
    layout.create_year_axis(group)
    names = group.create_array("cover", shape=(len(AREA_TYPES),), dtype="string", dimension_names=("cover",))
    names.attrs["long_name"] = (
        "area averaged over: modelled cells in full, or the part under the crop where it is grown"
    )
    # Zarr v3 has a specification for strings of this type only.
    names[...] = np.array(AREA_TYPES, dtype=np.dtypes.StringDType())
    for variable in ANNUAL_LAYERS:
        whole = (1, len(AREA_TYPES), *chunk[1:])
        shards = None if whole == (1, *chunk) else whole
        shape = (0, len(AREA_TYPES), *grid.shape)
        cf.create(group, variable, cf.Layout(("year", "cover", "lat", "lon"), shape, (1, *chunk), shards))


def _create_daily(group: zarr.Group, grid: LatLonGrid, year: int) -> None:
    cf.write_time(group, year)
    cf.write_latlon(group, lat=grid.lat, lon=grid.lon, step=1 / grid.per_degree)
    shape = (cf.days_in_year(year), *grid.shape)
    for variable in DAILY_LAYERS:
        cf.create(group, variable, cf.Layout(("time", "lat", "lon"), shape, (shape[0], 1, shape[2])))


def _create_bands(group: zarr.Group, *, frame: Frame) -> None:
    layout.create_year_axis(group)
    group.attrs.update(
        {
            "counties": [zone.fips for zone in frame.zones],
            "routes": list(ROUTES),
            "covers": list(AREA_TYPES),
            "layers": [AREA.name, MISSING_AREA.name, *(flux.name for flux in FLUXES)],
            "fine_rows": [
                [rows.start, rows.stop] for rows, _ in (frame.fine.window(band.fine) for band in frame.bands)
            ],
        }
    )
    sums = Sums.zero().layers.shape
    for variable, dims, shape in (
        (_COUNTIES, ("cover", "layer", "county"), (*sums, len(frame.zones))),
        (_ROUTES, ("cover", "layer", "route"), (*sums, len(ROUTES))),
        (_MADE_OF, ("byte",), (DIGEST_BYTES,)),
        (_DIGESTS, ("checked", "part_byte"), (len(_CHECKED), PART_BYTES)),
    ):
        of_bands = cf.Layout(("year", "band", *dims), (0, len(frame.bands), *shape), (1, 1, *shape))
        cf.create(group, variable, of_bands)


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


def band_parts(results: YearResults, frame: Frame, band: Band, *, first_year: int) -> Iterator[Part]:
    """Yield the parts of the arrays that a band and year fill, as they are computed; `first_year` is the cube's."""
    sums, index = BandYear.empty(frame, band, days=results.days), results.year - first_year
    for block in sums.add_all(results):
        yield from _annual_parts(FINE, block.sums, (index, slice(None), *frame.fine.window(block.grid)))
    window = frame.coarse.window(band.coarse)
    yield from _annual_parts(COARSE, sums.coarse, (index, slice(None), *window))
    area_m2, totals_g = sums.daily[0], sums.daily[1:]
    for variable, values in zip(DAILY_LAYERS, (*means(totals_g, area_m2), area_m2), strict=True):
        yield Part(f"{_daily(results.year)}/{variable.name}", (slice(None), *window), values)
    yield Part(COUNTIES, (index, band.number), sums.counties.layers)
    yield Part(ROUTE_SUMS, (index, band.number), sums.routes.layers)


def _annual_parts(path: str, sums: Sums, where: tuple[int | slice, ...]) -> Iterator[Part]:
    for name, values in annual_layers(sums).items():
        yield Part(f"{path}/{name}", where, values)


def annual_layers(sums: Sums) -> dict[str, Array]:
    """Return the means of all fluxes [g C m-2 yr-1] and the areas [m2] by name, each (area types, *targets).

    A flux is NaN where there is no area; otherwise flux x `area` is the total [g C yr-1].
    """
    # `means` has area types first, layers are stored by variable.
    layers = (*np.moveaxis(sums.means(), 1, 0), sums.area_m2, sums.missing_m2)
    return {variable.name: values for variable, values in zip(ANNUAL_LAYERS, layers, strict=True)}


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
        return {name: self.layer(tile, name, mask) for name in _READ}

    def daily(self, tile: Tile, mask: Mask, days: slice) -> Layers:
        """Return the daily fluxes (time, N) of a tile for some days."""
        return {flux.name: self.flux(tile, flux.name, mask, days=days) for flux in DAILY}
