"""Exact coverage of grid cells by zones: the share of the area of every cell in every county.

The coverage of a region is defined as the sum over its zones, so that counties and region agree to the last bit.

References
----------
exactextract, https://github.com/isciences/exactextract: coverage fractions of cells without sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.feature import JSONFeatureSource
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray

from pipeline.grid.sinusoidal import CELL_M, NORTH_M, WEST_M, Grid, sinusoidal

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Polygons = NDArray[np.object_]

# Boundaries are straight in longitude and latitude, hence curved in the sinusoidal plane. Cut into pieces of 0.005
# degree and joined by straight lines there, they are off by less than 2 cm.
_SEGMENT_DEGREE = 0.005


class Outlined(Protocol):
    """Something with an outline in longitude and latitude, such as a county."""

    @property
    def geometry(self) -> shapely.Polygon | shapely.MultiPolygon:
        """Longitude and latitude [degree]."""
        ...


def outlines(zones: Sequence[Outlined]) -> Polygons:
    """Return the outlines of zones in the plane of the grid [cell]: x is the column, -y the row of the whole grid."""
    lonlat = shapely.segmentize([zone.geometry for zone in zones], _SEGMENT_DEGREE)
    polygons: Polygons = shapely.transform(lonlat, _in_cells)
    return polygons


def coverage(polygons: Polygons, grid: Grid) -> csr_array:
    """Return the share of each cell inside each polygon, (polygons, cells of `grid` row by row), 0 to 1.

    Parameters
    ----------
    polygons
        Outlines from `outlines` that do not overlap. Where neighbours together cover more than a cell by rounding,
        their shares are scaled down to a sum of 1.
    """
    from scipy.sparse import csr_array

    found = shares(polygons, grid)
    covered = np.bincount(found.indices, found.data, minlength=found.shape[1])
    return csr_array((found.data / np.maximum(covered, 1)[found.indices], found.indices, found.indptr), found.shape)


def shares(polygons: Polygons, grid: Grid) -> csr_array:
    """Return the same for polygons that may overlap: the share of a cell in one does not depend on the others."""
    from scipy.sparse import csr_array

    west, north = grid.first_col, -grid.first_row
    east, south = west + grid.cols, north - grid.rows
    near = np.flatnonzero(shapely.intersects(polygons, shapely.box(west, south, east, north)))
    # exactextract needs a raster; only the positions of its cells are used, so that a constant without memory serves.
    raster = NumPyRasterSource(np.broadcast_to(np.float32(0), grid.shape), west, south, east, north)
    # Row by row of the matrix: a polygon meets a small part of the cells, whose numbers and shares are the CSR arrays.
    found = [_cells_in(polygons[zone], raster) for zone in near]
    starts = np.zeros(len(polygons) + 1, dtype=np.int64)
    starts[near + 1] = [len(cells) for cells, _ in found]
    cells = np.concatenate([cells for cells, _ in found], dtype=np.int64) if found else np.empty(0, np.int64)
    inside = np.concatenate([share for _, share in found]) if found else np.empty(0)
    return csr_array((inside, cells, starts.cumsum()), shape=(len(polygons), grid.rows * grid.cols))


def _cells_in(polygon: shapely.Geometry, raster: NumPyRasterSource) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the numbers of the cells that meet the polygon, and the share of each inside it."""
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(polygon)}
    (result,) = exact_extract(raster, JSONFeatureSource(feature), ["cell_id", "coverage"])
    return result["properties"]["cell_id"], result["properties"]["coverage"].astype(np.float64)


def _in_cells(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    x_m, y_m = sinusoidal(lonlat[:, 0], lonlat[:, 1])
    return np.column_stack([(x_m - WEST_M) / CELL_M, (y_m - NORTH_M) / CELL_M])
