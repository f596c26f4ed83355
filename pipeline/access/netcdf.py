"""One variable of the cube over an area and some years, as a compressed netCDF file with CF metadata.

A cell belongs to an area if its centre lies inside. The file is written block by block, in memory that does not depend
on its size.

References
----------
CF-1.11, https://cfconventions.org, sections 5.6 (grid mappings), 7.1 (bounds) and 7.3 (cell methods).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import netCDF4
import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from pipeline.access import dataset
from pipeline.access.dataset import OpenCube
from pipeline.access.window import Window
from pipeline.errors import UserError
from pipeline.grid.coverage import outlines
from pipeline.storage import cf
from pipeline.storage import files as outputs
from regions import did_you_mean

Frequency: TypeAlias = Literal["daily", "annual"]

_BLOCK_STEPS, _BLOCK_ROWS = 61, 240  # read at once: multiples of the chunks of file and cube
_CHUNK = (61, 48, 48)
_DAYS_SINCE = {"units": "days since 1970-01-01", "calendar": "standard"}


@dataclass(frozen=True)
class Extract:
    """Variable, daily or annual, and years of a file; all years with results if they are empty."""

    variable: str
    frequency: Frequency
    years: tuple[int, ...] = ()


@dataclass(frozen=True)
class Area:
    """An area in longitude and latitude [degree], and its name for messages."""

    name: str
    geometry: shapely.Polygon | shapely.MultiPolygon


def window_of(cube: OpenCube, area: Area) -> Window:
    """Return the window of the cells whose centres lie in an area; raises `UserError` if none of them is modelled."""
    (outline,) = outlines([area])
    grid = cube.grid
    # In the plane of `outlines`: x is the column, -y the row of the whole grid.
    left, bottom, right, top = shapely.bounds(outline)
    rows = _within(-top - grid.first_row, -bottom - grid.first_row, grid.rows)
    cols = _within(left - grid.first_col, right - grid.first_col, grid.cols)
    whole = Window(rows, cols)
    shapely.prepare(outline)
    x_YX, y_YX = np.meshgrid(
        grid.first_col + np.arange(cols.start, cols.stop) + 0.5,
        -grid.first_row - np.arange(rows.start, rows.stop) - 0.5,
    )
    inside_YX = shapely.contains_xy(outline, x_YX, y_YX)
    if not (inside_YX.any() and (inside_YX & cube.modelled(whole)).any()):
        raise UserError(f"{area.name}: no modelled cell of the cube lies in it; name another area")
    return Window(rows, cols, inside_YX)


def _within(first: float, end: float, length: int) -> slice:
    return slice(*np.clip([int(np.floor(first)), int(np.ceil(end))], 0, length).tolist())


def write_netcdf(
    cube: OpenCube, extract: Extract, location: str, *, window: Window | None = None, attributes: Mapping[str, Any]
) -> int:
    """Write a file; return its number of steps in time.

    Parameters
    ----------
    cube
        The cube.
    extract
        What to write.
    location
        File, or s3://bucket/key.
    window
        Cells; all if None.
    attributes
        Global attributes.

    Raises
    ------
    UserError
        If there is no such variable or year.
    """
    window = window or cube.whole
    years = cube.chosen(extract.years or None)
    layers = dataset.daily(cube, window) if extract.frequency == "daily" else dataset.annual(cube, window)
    if extract.variable not in layers:
        known = [str(name) for name in layers]
        near = did_you_mean(extract.variable, known)
        raise UserError(f"--variable {extract.variable}: {extract.frequency} variables are {', '.join(known)}{near}")
    of_steps = layers["time"].dt.year.values if "time" in layers.coords else layers["year"].values
    layer = layers[extract.variable].isel({layers[extract.variable].dims[0]: np.isin(of_steps, years)})
    with outputs.writing(location) as path, _created(path, attributes) as file:
        _write_time(file, _bounds(layer))
        _write_places(file, layer, cube, window)
        _write_layer(file, layer, cube, window)
    return int(layer.shape[0])


def _created(path: Path, attributes: Mapping[str, Any]) -> netCDF4.Dataset:
    file = netCDF4.Dataset(path, "w", format="NETCDF4")
    file.setncatts({**attributes, "Conventions": cf.CONVENTIONS})
    return file


def _bounds(layer: xr.DataArray) -> NDArray[np.int32]:
    """Return the first day of each step and the day after its last one (steps, 2) [days since 1970-01-01]."""
    if "time" in layer.dims:
        first = layer["time"].values.astype("datetime64[D]")
        end = first + np.timedelta64(1, "D")
    else:
        years = layer["year"].values.astype("int64") - 1970
        first, end = (each.astype("datetime64[Y]").astype("datetime64[D]") for each in (years, years + 1))
    return np.stack([first, end], axis=1).astype(np.int64).astype(np.int32)  # datetime64 counts days from 1970, too


def _write_time(file: netCDF4.Dataset, bounds_T2: NDArray[np.int32]) -> None:
    file.createDimension("time", len(bounds_T2))
    file.createDimension("bounds", 2)
    time = file.createVariable("time", "i4", ("time",))
    time.setncatts(
        {"standard_name": "time", "long_name": "first day", "axis": "T", "bounds": "time_bounds", **_DAYS_SINCE}
    )
    time[:] = bounds_T2[:, 0]
    file.createVariable("time_bounds", "i4", ("time", "bounds"))[:] = bounds_T2


def _write_places(file: netCDF4.Dataset, layer: xr.DataArray, cube: OpenCube, window: Window) -> None:
    """Write coordinates of the cells in the plane and on the globe, and the grid mapping."""
    for axis in ("y", "x"):
        file.createDimension(axis, layer.sizes[axis])
        centres = file.createVariable(axis, "f8", (axis,))
        centres.setncatts({**layer[axis].attrs, "axis": axis.upper()})
        centres[:] = layer[axis].values
    for name in ("latitude", "longitude"):
        place = file.createVariable(name, "f8", ("y", "x"), zlib=True, chunksizes=_chunks(layer)[1:])
        place.setncatts(layer[name].attrs)
        for rows in _parts(layer.sizes["y"], _BLOCK_ROWS):
            place[rows] = layer[name].isel(y=rows).values
    file.createVariable(cf.GRID_MAPPING, "i4").setncatts(cf.grid_mapping(cube.part(window).transform))


def _write_layer(file: netCDF4.Dataset, layer: xr.DataArray, cube: OpenCube, window: Window) -> None:
    """Write the values, block by block: cells outside the area, not modelled or without a result are empty."""
    real = np.issubdtype(layer.dtype, np.floating)
    fill = np.nan if real else np.iinfo(layer.dtype).max
    stored = file.createVariable(
        str(layer.name),
        f"{layer.dtype.kind}{layer.dtype.itemsize}",
        ("time", "y", "x"),
        zlib=True,
        complevel=4,
        shuffle=True,
        chunksizes=_chunks(layer),
        fill_value=fill,
    )
    flags = {
        name: np.asarray(layer.attrs[name], layer.dtype)
        for name in ("flag_values", "flag_masks")
        if name in layer.attrs
    }
    located = {"grid_mapping": cf.GRID_MAPPING, "coordinates": "latitude longitude"}
    stored.setncatts({**layer.attrs, **flags, **located})
    (steps, *_) = layer.dims
    for times in _parts(layer.shape[0], _BLOCK_STEPS):
        for rows in _parts(layer.sizes["y"], _BLOCK_ROWS):
            block = layer.isel({steps: times, "y": rows})
            stored[times, rows] = block if real else block.where(_there(cube, window.part(rows), block), fill)


def _there(cube: OpenCube, window: Window, codes: xr.DataArray) -> NDArray[np.bool_]:
    """Return where annual codes (year, y, x) of the cells of a window are values: elsewhere they are 0 in the cube."""
    modelled_TYX = np.stack([cube.modelled(window, year=int(year)) for year in codes["year"].values])
    return window.masked(modelled_TYX, slice(None), slice(None), fill=False)


def _chunks(layer: xr.DataArray) -> Sequence[int]:
    return [min(edge, size) for edge, size in zip(_CHUNK, layer.shape, strict=True)]


def _parts(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))
