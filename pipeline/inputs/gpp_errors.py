"""The uncertainty of GPP of a tile-year, from which members are drawn.

Shape legend: N modelled cells of a tile, T days.
"""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats
from pipeline.grid.sinusoidal import RADIUS_M, Grid, Tile
from pipeline.inputs.view import InputsView
from pipeline.simulate.gpp_draws import Draws, GppErrors, Places, known_std

_MERIDIAN = -96.0  # distances to the east are counted from here, where the plane of the grid is slanted by 40 degrees
_EPOCH = dt.date(1970, 1, 1)


def read_gpp_errors(
    view: InputsView, tile: Tile, gpp_TN: Floats, *, year: int, mask: NDArray[np.bool_], draws: Draws
) -> GppErrors:
    """Return the uncertainty of the GPP (T, N) of the modelled cells of a tile; raises as `InputsView.read_gpp`."""
    std_TN, known_N = known_std(gpp_TN, view.read_gpp_uncertainty(tile, year, mask=mask))
    first_day = (dt.date(year, 1, 1) - _EPOCH).days
    return GppErrors(draws, places(view.grid.of(tile), mask), first_day, std_TN, known_N)


def places(grid: Grid, mask: NDArray[np.bool_]) -> Places:
    """Return the places of the modelled cells of a grid: along their parallel from a meridian, and from the equator."""
    # By row with `math`: the last bits of NumPy's cosine may depend on the place in an array.
    meridian_m = np.array([RADIUS_M * math.radians(_MERIDIAN) * math.cos(y / RADIUS_M) for y in grid.y_m.tolist()])
    rows, cols = np.nonzero(mask)
    return Places((grid.x_m[cols] - meridian_m[rows]) / 1000, grid.y_m[rows] / 1000)
