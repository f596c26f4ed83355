"""Rasters: opened with errors that name the file, read with their missing pixels, and averaged over cells of a grid.

A pixel is missing if any of these says so: the file's nodata tag, NaN, the file's mask, an alpha band of 0, or a value
that the product's legend has for missing data. Copies of a product use one or another of them, often without the tag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from pipeline.errors import UserError
from pipeline.grid.pixel_overlap import Overlap, cell_areas
from pipeline.grid.sinusoidal import CELL_M, RADIUS_M, Grid, lonlat

_BLOCK_PIXELS = 400_000  # bounds the memory of one block: pixels x layers x 16 bytes

# GDAL chooses the driver by content: a text named .tif could be a virtual raster that refers to any file or URL.
_DRIVERS = {".vrt": "VRT", ".img": "HFA"}

Values = NDArray[np.generic]
Array = NDArray[np.float64]


class Pixels(NamedTuple):
    """Stored values of a window (height, width), and which of them are missing."""

    values_YX: NDArray[Any]
    missing_YX: NDArray[np.bool_]


@contextmanager
def open_raster(path: Path) -> Iterator[DatasetReader]:
    """Open a raster; raises `UserError` with the path if the file is damaged, also when it is read inside the block."""
    driver = _DRIVERS.get(path.suffix.lower(), "GTiff")
    try:
        with rasterio.open(path, driver=driver) as source:
            if driver == "HFA":
                _check_folder(path, source.files)
            yield source
    except RasterioError as error:
        reason = str(error.__cause__ or error)
        raise UserError(f"{path}: absent, truncated or not a raster ({reason}); download it again") from error


def _check_folder(path: Path, files: Collection[str]) -> None:
    """Raise `UserError` if an ERDAS Imagine raster has its pixels in a file of another folder, which it may name."""
    elsewhere = [file for file in files if Path(file).parent != path.parent]
    if elsewhere:
        raise UserError(f"{path}: refers to {elsewhere[0]}, outside its folder; download it again")


def read_pixels(
    source: DatasetReader,
    window: Window,
    *,
    band: int = 1,
    missing: Collection[float] = (),
    valid: tuple[int, ...] = (),
) -> Pixels:
    """Return the pixels of a window, empty where it is; one rule for missing pixels in all products.

    Parameters
    ----------
    missing
        Values for missing data in the product's legend.
    valid
        Values that are data even if the file's tag gives them for missing.
    """
    values_YX = source.read(band, window=window)
    tagged = [value for value in source.nodatavals[band - 1 : band] if value is not None and value not in valid]
    missing_YX = np.isin(values_YX, [*missing, *tagged]) | ~np.isfinite(values_YX)
    if MaskFlags.per_dataset in source.mask_flag_enums[band - 1]:
        missing_YX |= source.read_masks(band, window=window) == 0
    # GDAL leaves an alpha band out of the mask if there is a tag as well.
    if ColorInterp.alpha in source.colorinterp:
        missing_YX |= source.read(source.colorinterp.index(ColorInterp.alpha) + 1, window=window) == 0
    return Pixels(values_YX, missing_YX)


def cell_means(
    source: DatasetReader,
    *,
    grid: Grid,
    layers: Callable[[Any], Values],
    read: Callable[[Window], Any] | None = None,
    geographic: bool = False,
) -> Array:
    """Return the mean of each layer over each cell of `grid`, (L, rows, cols); beyond its edge the raster counts as 0.

    The cells are taken as quadrilaterals in the raster's plane (an edge of 232 m bows by about 1 mm); areas are exact.
    The raster is read in windows, so that memory does not grow with the grid.

    Parameters
    ----------
    layers
        Function from what is read, pixels (height, width), to finite layers (L, height, width).
    read
        Function that reads a window, which may be empty; without it, the values of the first band are read.
    geographic
        Whether the raster is in longitude and latitude, which then serves as the plane. All pixels of a cell have the
        same weight there, though their areas differ by d(cos)/cos = tan(latitude) x 3.6e-5 from edge to edge: by less
        than 1e-4 below 70 degrees.

    Raises
    ------
    UserError
        If the raster has no coordinate system, or not one of the expected kind.
    """
    to_plane = _plane_of(source, geographic=geographic)
    read = read or partial(_read, source)
    means_LYX = None
    for rows, cols in _blocks(grid, cells=_block_cells(source, grid=grid, geographic=geographic)):
        x_px, y_px = _corners(rows, cols, grid=grid, source=source, to_plane=to_plane)
        window = _window(x_px, y_px, source=source)
        layers_LYX = layers(read(window))
        # Exact areas make means conservative: over all cells, those of a class add up to its area in the raster.
        overlap = Overlap.of(x_px - window.col_off, y_px - window.row_off, shape=layers_LYX.shape[1:])
        if means_LYX is None:
            means_LYX = np.empty((len(layers_LYX), *grid.shape))
        means_LYX[:, rows, cols] = overlap.integrate(layers_LYX) / cell_areas(x_px, y_px)
    assert means_LYX is not None  # a grid holds at least one tile
    return means_LYX


def _plane_of(source: DatasetReader, *, geographic: bool) -> Transformer:
    """Return the map from longitude and latitude to the raster's plane; NAD83 and WGS84 (1 to 2 m apart) are one."""
    if geographic and (source.crs is None or not source.crs.is_geographic):
        raise UserError(
            f"{source.name}: coordinate system {source.crs} is not longitude and latitude; use the product as released"
        )
    if not geographic and (source.crs is None or not source.crs.is_projected):
        raise UserError(
            f"{source.name}: coordinate system {source.crs} is not projected, so that areas cannot be computed "
            f"in it; use the product in its own Albers projection (EPSG:5070)"
        )
    crs = CRS.from_user_input(source.crs)
    return Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)


def _block_cells(source: DatasetReader, *, grid: Grid, geographic: bool) -> int:
    """Return the edge of a block in cells, so that its pixels fit into memory at any resolution."""
    pixel_area_m2 = abs(source.transform.determinant)
    if geographic:
        # Square degrees to square metres at the northern edge of the grid, where pixels are smallest.
        pixel_area_m2 *= (math.radians(1) * RADIUS_M) ** 2 * math.cos(float(grid.y_m[0]) / RADIUS_M)
    return max(int(math.sqrt(_BLOCK_PIXELS * pixel_area_m2) / CELL_M), 1)


def _blocks(grid: Grid, *, cells: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, grid.rows, cells):
        for col in range(0, grid.cols, cells):
            yield slice(row, min(row + cells, grid.rows)), slice(col, min(col + cells, grid.cols))


def _corners(
    rows: slice, cols: slice, *, grid: Grid, source: DatasetReader, to_plane: Transformer
) -> tuple[Array, Array]:
    """Return the pixel coordinates (x, y) of the corners of a block of cells, each (rows + 1, cols + 1)."""
    x_edges_m, y_edges_m = grid.x_edges_m[cols.start : cols.stop + 1], grid.y_edges_m[rows.start : rows.stop + 1]
    x_m, y_m = to_plane.transform(*lonlat(*np.meshgrid(x_edges_m, y_edges_m)))
    x_px, y_px = ~source.transform @ (x_m, y_m)
    return x_px, y_px


def _window(x_px: Array, y_px: Array, *, source: DatasetReader) -> Window:
    """Return the window of the pixels under the corners, cut to the raster; empty where it does not reach."""
    first_col, last_col = (int(np.clip(edge, 0, source.width)) for edge in (np.floor(x_px.min()), np.ceil(x_px.max())))
    first_row, last_row = (int(np.clip(edge, 0, source.height)) for edge in (np.floor(y_px.min()), np.ceil(y_px.max())))
    return Window(first_col, first_row, last_col - first_col, last_row - first_row)


def _read(source: DatasetReader, window: Window) -> Values:
    if not (window.width and window.height):
        return np.empty((window.height, window.width), source.dtypes[0])
    values: Values = source.read(1, window=window)
    return values
