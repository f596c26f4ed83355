"""Which cells are modelled, and which crop each of them has in a year. Pure functions of the crop fractions.

Shape legend: Y years, N cells of a tile; the axis of length 2 is corn, soybean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN

Floats = NDArray[np.float32]

_ROUNDING = 1e-6  # shares are float32: exactly half a cell must count as half


@dataclass(frozen=True)
class CropOfYear:
    """Crop code (N,) of a year and whether it is grown at or above the threshold (N,)."""

    crop_N: NDArray[np.uint8]
    grown_N: NDArray[np.bool_]


def crop_of_year(fractions_Y2: Floats, first_crop: NDArray[np.uint8], threshold: float) -> CropOfYear:
    """Return the crop of the last of a sequence of years.

    Parameters
    ----------
    fractions_Y2
        Corn and soybean fractions (Y, 2, N) from the region's first year to the year in question.
    first_crop
        What a cell is given before its first year with corn or soybean (N,).
    threshold
        Corn + soybean from which the crop counts as grown.
    """
    crop = first_crop
    for corn, soybean in fractions_Y2:
        crop = np.where(corn + soybean > 0, _larger(corn, soybean), crop)
    corn, soybean = fractions_Y2[-1]
    return CropOfYear(crop, corn + soybean >= threshold - _ROUNDING)


def modelled(fractions_Y2: Floats, threshold: float) -> NDArray[np.bool_]:
    """Cells (...) whose corn + soybean share, averaged over the mask years, reaches the threshold.

    A cell of which a year is unknown (NaN) is not modelled.
    """
    with np.errstate(invalid="ignore"):
        chosen: NDArray[np.bool_] = fractions_Y2.sum(1).mean(0) >= threshold - _ROUNDING
    return chosen


def first_crop(fractions_Y2: Floats, threshold: float) -> NDArray[np.uint8]:
    """Crop (...) of the first of the mask years in which one is grown: what earlier years are given."""
    crop = np.zeros(fractions_Y2.shape[2:], np.uint8)
    for corn, soybean in fractions_Y2[::-1]:
        crop = np.where(corn + soybean >= threshold - _ROUNDING, _larger(corn, soybean), crop)
    return crop


def _larger(corn: Floats, soybean: Floats) -> NDArray[np.uint8]:
    return np.where(corn >= soybean, np.uint8(CORN), np.uint8(SOYBEAN))
