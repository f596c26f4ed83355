"""Soil of cells from rasters of soil properties by depth interval (SoilGrids, POLARIS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.features import SOIL_NAMES
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.raster import cell_means
from pipeline.sources.soil.layer_stack import Depth, LayerStack
from pipeline.sources.soil.product import QUANTITIES, TOPSOIL_CM

DEPTHS = (Depth(0, 5), Depth(5, 15), Depth(15, 30), Depth(30, 60), Depth(60, 100), Depth(100, 200))
"""The intervals of both products, those of GlobalSoilMap."""
TOPSOIL = tuple(depth for depth in DEPTHS if depth.bottom <= TOPSOIL_CM)
_THICKNESS_CM_D = np.array([depth.bottom - depth.top for depth in DEPTHS], np.float64)
_TOPSOIL_CM_D = _THICKNESS_CM_D[: len(TOPSOIL)]

Array = NDArray[np.float64]
Records = NDArray[np.void]


@dataclass(frozen=True)
class CellSums:
    """Integrals over cells of each of `QUANTITIES`, and shares of the cell with it, (14, rows, cols); tiles add up."""

    value_QYX: Array
    share_QYX: Array

    def __add__(self, other: CellSums) -> CellSums:
        return CellSums(self.value_QYX + other.value_QYX, self.share_QYX + other.share_QYX)


def cell_sums(
    stack: LayerStack, *, grid: Grid, quantities: Callable[[Records], Array], geographic: bool = False
) -> CellSums:
    """Return the integrals over the cells of `grid` of the quantities of pixels; see `cell_means`.

    Parameters
    ----------
    quantities
        From records of pixels (height, width) to values (Q, height, width), NaN where missing.
    """

    def layers(records_YX: NDArray[Any]) -> Array:
        values_QYX = quantities(records_YX)
        has_QYX = np.isfinite(values_QYX)
        return np.concatenate([np.where(has_QYX, values_QYX, 0.0), has_QYX])

    value_QYX, share_QYX = np.split(cell_means(stack, grid=grid, layers=layers, geographic=geographic), 2)
    return CellSums(value_QYX, share_QYX)


def profile_quantities(features: Mapping[str, NDArray[Any]], *, carbon_g_m3_YXD: NDArray[Any]) -> Array:
    """Return `QUANTITIES` of pixels (14, height, width); NaN where no depth has the value.

    Parameters
    ----------
    features
        By name of the network's input, in its unit, (height, width, 3): 0-5, 5-15, 15-30 cm. Features that are not
        given are NaN, and do not count towards the thickness with all features.
    carbon_g_m3_YXD
        Organic carbon [g C m-3] (height, width, 6) down to 200 cm.
    """
    values_QYX = np.full((len(QUANTITIES), *carbon_g_m3_YXD.shape[:2]), np.nan)
    for feature, values_YXD in features.items():
        values_QYX[SOIL_NAMES.index(feature)] = mean_over_topsoil(values_YXD)
    # Depths in which every feature is known: the others do not support the vector of nine.
    all_known_YXD = np.logical_and.reduce([np.isfinite(values_YXD) for values_YXD in features.values()])
    depth_YX = _or_nan(all_known_YXD @ _TOPSOIL_CM_D)
    top_YXD = carbon_g_m3_YXD[..., : len(TOPSOIL)]
    values_QYX[len(SOIL_NAMES) :] = [
        _stock_g_m2(top_YXD, _TOPSOIL_CM_D),
        depth_YX,
        np.where(np.isfinite(depth_YX), 100.0, np.nan),  # a pixel has no components
        _stock_g_m2(carbon_g_m3_YXD, _THICKNESS_CM_D),
        _or_nan(_known_cm(carbon_g_m3_YXD, _THICKNESS_CM_D)),
    ]
    return values_QYX


def mean_over_topsoil(values_YXD: NDArray[Any]) -> Array:
    """Return the mean (height, width) over those of 0-5, 5-15 and 15-30 cm that have the value, weighted by thickness.

    Examples
    --------
    >>> mean_over_topsoil(np.array([[[3.0, 6.0, np.nan]]])).tolist()
    [[5.0]]
    """
    known_YX = _known_cm(values_YXD, _TOPSOIL_CM_D)
    mean_YX: Array = np.full(known_YX.shape, np.nan)
    np.divide(np.nan_to_num(values_YXD) @ _TOPSOIL_CM_D, known_YX, out=mean_YX, where=known_YX > 0)
    return mean_YX


def _known_cm(values_YXD: NDArray[Any], thickness_cm_D: Array) -> Array:
    known_YX: Array = np.isfinite(values_YXD) @ thickness_cm_D
    return known_YX


def _stock_g_m2(carbon_g_m3_YXD: NDArray[Any], thickness_cm_D: Array) -> Array:
    # Depths without data count as 0 in the stock of 0-200 cm: the thickness with data is stored beside it.
    known_YX = np.isfinite(carbon_g_m3_YXD).any(axis=-1)
    return np.where(known_YX, np.nan_to_num(carbon_g_m3_YXD) @ thickness_cm_D / 100, np.nan)


def _or_nan(depth_cm_YX: Array) -> Array:
    return np.where(depth_cm_YX > 0, depth_cm_YX, np.nan)
