"""Maps of SoilGrids 2.0 and tiles of POLARIS 1.0, generated, in the products' exact formats.

SoilGrids: int16, nodata -32768, pixels of 250 m of the product's own grid in the Interrupted Goode Homolosine. POLARIS:
float32, nodata -9999, 3600 x 3600 pixels of 1 arc-second from a corner of whole degrees; blocks without data take no
room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from pipeline.grid.sinusoidal import Grid, lonlat

HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"
# Centre pixels of silt loam, as stored; by depth from the top.
SOILGRIDS: dict[str, tuple[int, ...]] = {
    "bdod": (131, 137, 144), "sand": (150, 140, 130), "silt": (610, 600, 590), "soc": (250, 180, 120),
    "phh2o": (62, 63, 64), "cec": (190, 200, 210), "ocd": (330, 250, 180, 90, 50, 30),
}  # fmt: skip
POLARIS: dict[str, tuple[float, ...]] = {
    "sand": (15.0, 14.0, 13.0), "silt": (61.0, 60.0, 59.0), "ph": (6.2, 6.3, 6.4), "theta_r": (0.05, 0.06, 0.07),
    "theta_s": (0.46, 0.45, 0.44), "alpha": (-1.3, -1.2, -1.1), "n": (1.45, 1.4, 1.35), "ksat": (0.6, 0.3, -0.1),
    "bd": (1.31, 1.37, 1.44, 1.5, 1.55, 1.6), "om": (0.6, 0.45, 0.2, -0.2, -0.5, -0.8),
}  # fmt: skip
_TOPS = (0, 5, 15, 30, 60, 100, 200)

Values = NDArray[np.float64]
Paint = Callable[[str, int, float, tuple[int, int]], Values]
"""Variable, number of the depth, its centre value, shape -> pixels."""


def uniform(_variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
    return np.full(shape, centre)


def soilgrids_box(grid: Grid, *, margin: int = 3) -> tuple[Affine, tuple[int, int]]:
    """The product's pixels around a grid: their transform and shape."""
    corners = lonlat(*np.meshgrid(grid.x_edges_m, grid.y_edges_m))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", HOMOLOSINE, always_xy=True).transform(*corners)
    left, right = (int(f((edge + 19949750) / 250)) for f, edge in ((np.floor, x.min()), (np.ceil, x.max())))
    top, bottom = (int(f((8361000 - edge) / 250)) for f, edge in ((np.floor, y.max()), (np.ceil, y.min())))
    left, top, right, bottom = left - margin, top - margin, right + margin, bottom + margin
    return Affine(250, 0, -19949750 + 250 * left, 0, -250, 8361000 - 250 * top), (bottom - top, right - left)


def write_soilgrids(
    folder: Path,
    grid: Grid,
    *,
    paint: Paint = uniform,
    centres: Mapping[str, tuple[int, ...]] = SOILGRIDS,
    stat: str = "mean",
) -> Path:
    """Write the maps around a grid as in the product's folders: `sand/sand_0-5cm_mean.tif`."""
    transform, shape = soilgrids_box(grid)
    for variable, values in centres.items():
        for depth, centre in enumerate(values):
            path = folder / variable / f"{variable}_{_TOPS[depth]}-{_TOPS[depth + 1]}cm_{stat}.tif"
            write_map(path, paint(variable, depth, centre, shape).round(), transform=transform)
    return folder


def write_map(path: Path, values: NDArray[np.generic], *, transform: Affine, **profile: object) -> None:
    settings = {"dtype": "int16", "nodata": -32768, "crs": HOMOLOSINE, **profile}
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    with rasterio.open(path, "w", "GTiff", width, height, 1, transform=transform, **settings) as file:
        file.write(values.astype(str(settings["dtype"])), 1)


def polaris_window(grid: Grid, south: int, west: int) -> Window:
    """The pixels of a tile that a grid reaches into, and a few around them."""
    longitude, latitude = lonlat(*np.meshgrid(grid.x_edges_m, grid.y_edges_m))
    cols = np.clip([(longitude.min() - west) * 3600 - 3, (longitude.max() - west) * 3600 + 3], 0, 3600)
    rows = np.clip([(south + 1 - latitude.max()) * 3600 - 3, (south + 1 - latitude.min()) * 3600 + 3], 0, 3600)
    (left, right), (top, bottom) = (np.round(edges).astype(int) for edges in (cols, rows))
    return Window(left, top, right - left, bottom - top)


def write_polaris(
    folder: Path, grid: Grid, *, south: int, west: int, paint: Paint = uniform, **centres: tuple[float, ...]
) -> None:
    """Write the rasters of one tile, `clay/mean/0_5/lat4041_lon-89-88.tif`, with data where the grid is."""
    name = f"lat{south}{south + 1}_lon{west}{west + 1}.tif"
    window = polaris_window(grid, south, west)
    for variable, values in (POLARIS | centres).items():
        for depth, centre in enumerate(values):
            path = folder / variable / "mean" / f"{_TOPS[depth]}_{_TOPS[depth + 1]}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            profile = {"dtype": "float32", "nodata": -9999.0, "crs": "EPSG:4326", "tiled": True, "sparse_ok": True}
            transform = Affine(1 / 3600, 0, west, 0, -1 / 3600, south + 1)
            with rasterio.open(path, "w", "GTiff", 3600, 3600, 1, transform=transform, **profile) as file:
                pixels = paint(variable, depth, centre, (window.height, window.width))
                file.write(pixels.astype(np.float32), 1, window=window)


def overlaps(grid: Grid, cell: tuple[int, int], *, transform: Affine, shape: tuple[int, int], crs: str) -> Values:
    """Area of a cell over each pixel of a raster, by intersecting polygons; the cell's edges in 16 straight pieces."""
    row, col = cell
    (west, east), (north, south) = grid.x_edges_m[col : col + 2], grid.y_edges_m[row : row + 2]
    square = shapely.box(west, south, east, north)
    fine = shapely.segmentize(square, 15.0)
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)

    def place(points: Values) -> Values:
        return np.column_stack(~transform @ to_crs.transform(*lonlat(points[:, 0], points[:, 1])))

    outline = shapely.transform(fine, place)
    area = np.zeros(shape)
    left, top, right, bottom = np.clip(outline.bounds, 0, [shape[1], shape[0]] * 2)
    for y in range(int(top), int(np.ceil(bottom))):
        for x in range(int(left), int(np.ceil(right))):
            area[y, x] = outline.intersection(shapely.box(x, y, x + 1, y + 1)).area
    return area
