"""CF conventions on Zarr groups: coordinates, grid mapping, arrays with their attributes and layout, packed integers.

Groups written here open with `xarray.open_zarr(store, group=..., consolidated=False)`, times decoded and the
projection known to rioxarray.

References
----------
CF-1.11, https://cfconventions.org, sections 3 (attributes), 4 (coordinates), 5.6 (grid mappings) and 8.1 (packing).
Zarr conventions `proj:` and `spatial:`, version 1, https://github.com/zarr-conventions.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid
from pipeline.storage.repository import DIGEST, Array, array, write_values
from pipeline.variables import Variable

CONVENTIONS = "CF-1.11"
GRID_MAPPING = "spatial_ref"  # the name that rioxarray looks for

LONLAT = "EPSG:4326"
_CONVENTIONS = "https://raw.githubusercontent.com/zarr-conventions"
_PROJ, _SPATIAL = (
    {
        "schema_url": f"{_CONVENTIONS}/{repository}/refs/tags/v1/schema.json",
        "spec_url": f"https://github.com/zarr-conventions/{repository}/blob/v1/README.md",
        "uuid": uuid,
        "name": name,
        "description": description,
    }
    for repository, uuid, name, description in (
        (
            "geo-proj",
            "f17cb550-5864-4468-aeb7-f3180cfb622f",
            "proj:",
            "Coordinate reference system information for geospatial data",
        ),
        ("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "spatial", "Spatial coordinate information"),
    )
)

_GEOREFERENCING = ("coordinates", "zarr_conventions", "proj:", "spatial:")  # attributes of groups begin with these
_OF_VALUES = ("scale_factor", "_FillValue", DIGEST)

LEAP_DAYS = 366
_CHUNK_DAYS, _CHUNK_CELLS = 61, 48  # 366 = 6 x 61; a map of one day and the series of one field are both cheap


def days_in_year(year: int) -> int:
    """365 or 366."""
    return 365 + calendar.isleap(year)


def largest_divisor(number: int, *, most: int) -> int:
    """Return the largest divisor of `number` up to `most`: an edge of chunks that fill a shard.

    Examples
    --------
    >>> largest_divisor(240, most=50)
    48
    """
    return max(n for n in range(1, most + 1) if number % n == 0)


@dataclass(frozen=True)
class Layout:
    """Dimensions of an array and its partition: `shards` are the unit of writing, `chunks` the unit of reading."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None

    @classmethod
    def daily(cls, grid: Grid, year: int) -> Layout:
        """(time, y, x) with one shard per tile; shards of 366 days serve common years as well."""
        edge = largest_divisor(grid.tile_cells, most=_CHUNK_CELLS)
        return cls(
            ("time", "y", "x"),
            (days_in_year(year), *grid.shape),
            (_CHUNK_DAYS, edge, edge),
            (LEAP_DAYS, grid.tile_cells, grid.tile_cells),
        )

    @classmethod
    def map(cls, grid: Grid) -> Layout:
        """(y, x) with one chunk per tile."""
        return cls(("y", "x"), grid.shape, (grid.tile_cells, grid.tile_cells))


# In a chunk of the grid the days of a cell lie side by side: they differ little, and a cell without values has none on
# any day. Climate keeps its order: its neighbouring cells are more alike than its days.
_TIME_FASTEST = TransposeCodec(order=(1, 2, 0))
# One block of Blosc for all of a chunk, not its own choice of smaller ones: cells of the same weather are compressed
# together. `python -m benchmarks.storage` compares the alternatives.
_BLOCK_BYTES = 2**20
# Blosc decodes most altered bytes to other numbers without an error; the checksum detects them.
_CODECS = (BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", blocksize=_BLOCK_BYTES), Crc32cCodec())


def create(group: zarr.Group, variable: Variable, layout: Layout, **attributes: Any) -> zarr.Array[Any]:
    """Create the array of `variable` in `group`, empty, with its CF attributes and any further `attributes`."""
    located = {"grid_mapping": GRID_MAPPING} if layout.dims[-2:] == ("y", "x") else {}
    described: dict[str, Any] = {**variable.attributes, **located, **attributes}
    return group.create_array(
        variable.name,
        shape=layout.shape,
        dtype=variable.dtype,
        chunks=layout.chunks,
        shards=layout.shards,
        filters=[_TIME_FASTEST] if layout.dims == ("time", "y", "x") else None,
        compressors=_CODECS,
        fill_value=variable.fill_value,
        dimension_names=layout.dims,
        attributes=described,
    )


def complete(group: zarr.Group, model: zarr.Group) -> None:
    """Add to a group and its arrays the attributes of `model`, the same group newly made; georeferencing is replaced.

    What says how stored values are read (packing, digests) is never added; nothing is written where none is missing.
    """
    _complete(group, model, replaced=_GEOREFERENCING)
    for name, layer in model.arrays():
        if name in group:
            _complete(array(group, name), layer, replaced=("",) if name == GRID_MAPPING else ())


def _complete(node: zarr.Group | Array, model: zarr.Group | Array, *, replaced: tuple[str, ...]) -> None:
    """Add to `node` the attributes that are missing there, and replace those that begin with one of `replaced`."""
    present, wanted = node.attrs.asdict(), model.attrs.asdict()
    changed = {
        name: value
        for name, value in wanted.items()
        if present.get(name) != value and (name not in present or name.startswith(replaced)) and name not in _OF_VALUES
    }
    if changed:
        node.attrs.update(changed)


def quantised(values: NDArray[np.floating], scale: float) -> NDArray[np.float32]:
    """Return the nearest multiples of `scale`, each as it is unpacked.

    Examples
    --------
    >>> quantised(np.array([1.2344, np.nan], np.float32), 0.001).tolist()
    [1.2340000867843628, nan]
    """
    steps: NDArray[np.float32] = np.rint(values / np.float32(scale)).astype(np.float32)
    return steps * np.float32(scale)


@dataclass(frozen=True)
class Packing:
    """CF packing of an array: units of the variable in one stored integer, and the integer for no value; or None."""

    scale: float | None = None
    missing: int | None = None

    @classmethod
    def of(cls, layer: zarr.Array[Any]) -> Packing:
        """Return the packing that an array's attributes declare."""
        attributes: dict[str, Any] = layer.attrs.asdict()
        return cls(attributes.get("scale_factor"), attributes.get("_FillValue"))

    def unpacked(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return stored values in the units of the variable, NaN where there is none; as they are without a packing."""
        values = stored if self.scale is None else stored * np.float32(self.scale)
        return values if self.missing is None else np.where(stored == self.missing, np.float32(np.nan), values)


def packed(values: NDArray[np.floating], scale: float, *, missing: int) -> NDArray[np.int16]:
    """Return values as integers in steps of `scale`, `missing` for NaN.

    Raises
    ------
    UserError
        If a value is beyond the integers.
    """
    largest, stored = np.iinfo(np.int16).max, np.empty(values.shape, np.int16)
    for into, part in zip(stored, values, strict=True):  # day by day: temporary arrays stay small
        steps = np.rint(part / np.float32(scale))
        worst = float(np.fmax.reduce(np.abs(steps), axis=None, initial=0.0))
        if worst > largest:
            raise UserError(
                f"{worst * scale:g} is beyond {largest * scale:g}, the largest value that is stored in steps of "
                f"{scale:g}; is that the scale of the archive's product?"
            )
        into[...] = np.where(np.isnan(steps), missing, steps)
    return stored


def write_time(group: zarr.Group, year: int) -> None:
    """Write the coordinate `time`: every calendar day of `year`, stamped 00:00 UTC."""
    first = np.datetime64(f"{year}-01-01", "D").astype(np.int32)
    days = first + np.arange(days_in_year(year), dtype=np.int32)
    _coordinate(
        group,
        "time",
        days,
        standard_name="time",
        long_name="day",
        units="days since 1970-01-01",
        calendar="standard",
        axis="T",
    )


def write_months(group: zarr.Group) -> None:
    """Write the coordinate `month`, 1 to 12."""
    _coordinate(group, "month", np.arange(1, 13, dtype=np.int32), long_name="month of the year", units="1")


@dataclass(frozen=True)
class Extent:
    """Shape (rows, cols) of a group's maps, and their cell indices (column, row) to coordinates."""

    shape: tuple[int, int]
    transform: Affine

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the convention `spatial:` that describe it."""
        return {"spatial:shape": list(self.shape), "spatial:transform": list(self.transform)[:6]}

    def centres(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return the coordinates of the centres of the rows and of the columns."""
        rows, cols = (np.arange(length) + 0.5 for length in self.shape)
        return self.transform.f + rows * self.transform.e, self.transform.c + cols * self.transform.a

    def georeferencing(self, crs: str, dims: tuple[str, str]) -> dict[str, Any]:
        """Return a group's attributes of the conventions `proj:` and `spatial:`, for a code or WKT2 of a projection."""
        corners = np.array([self.transform @ (0, 0), self.transform @ (self.shape[1], self.shape[0])])
        return {
            "zarr_conventions": [_PROJ, _SPATIAL],
            "proj:code" if crs == LONLAT else "proj:wkt2": crs,
            "spatial:dimensions": list(dims),
            "spatial:bbox": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
            "spatial:registration": "pixel",
            **self.attributes,
        }


def write_yx(group: zarr.Group, grid: Grid) -> None:
    """Write the coordinates `y` and `x` [m] of the cell centres, north first, and the grid mapping `spatial_ref`."""
    write_plane(group, Extent(grid.shape, grid.transform), y_m=grid.y_m, x_m=grid.x_m)


def write_plane(group: zarr.Group, extent: Extent, *, y_m: NDArray[np.floating], x_m: NDArray[np.floating]) -> None:
    """Write the same for cells of any size, whose centres are given."""
    for name, centres in (("y", y_m), ("x", x_m)):
        long_name = f"{name} coordinate of the cell centre, MODIS sinusoidal"
        standard_name = f"projection_{name}_coordinate"
        _coordinate(
            group, name, centres, standard_name=standard_name, long_name=long_name, units="m", axis=name.upper()
        )
    array = group.create_array(
        GRID_MAPPING, shape=(), dtype="int32", fill_value=0, attributes=grid_mapping(extent.transform)
    )
    array[...] = 0
    # Without this attribute xarray opens a grid mapping as data, and rioxarray does not find it.
    group.attrs["coordinates"] = GRID_MAPPING
    group.attrs.update(extent.georeferencing(SINUSOIDAL_WKT, ("y", "x")))


def grid_mapping(transform: Affine) -> dict[str, Any]:
    """Return the attributes of a grid mapping of the sinusoidal plane, with GDAL's transform of its cells."""
    geotransform = " ".join(repr(number) for number in transform.to_gdal())
    return CRS.from_wkt(SINUSOIDAL_WKT).to_cf() | {"GeoTransform": geotransform}


def write_latlon(group: zarr.Group, *, lat: NDArray[np.float64], lon: NDArray[np.float64], step: float) -> None:
    """Write the coordinates `lat` and `lon` of cell centres on a regular grid with this step [degree]."""
    _coordinate(group, "lat", lat, standard_name="latitude", long_name="latitude", units="degrees_north", axis="Y")
    _coordinate(group, "lon", lon, standard_name="longitude", long_name="longitude", units="degrees_east", axis="X")
    down = step if lat[-1] > lat[0] else -step
    transform = Affine(step, 0.0, float(lon[0]) - step / 2, 0.0, down, float(lat[0]) - down / 2)
    group.attrs.update(Extent((lat.size, lon.size), transform).georeferencing(LONLAT, ("lat", "lon")))


def _coordinate(group: zarr.Group, name: str, values: NDArray[np.generic], **attributes: Any) -> None:
    group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape,
        fill_value=0,
        dimension_names=(name,),
        attributes=attributes,
    )
    write_values(group, name, values)
