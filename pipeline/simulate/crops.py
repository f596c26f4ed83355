"""The modelled cells, and the crop of each of them in a year: pure functions of the crop fractions.

Shape legend: Y years, N cells of a tile; the axis of length 2 is corn, soybean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN

Floats = NDArray[np.float32]

_ROUNDING = 1e-6  # tolerance of float32 fractions: exactly half a cell must reach a threshold of 0.5


@dataclass(frozen=True)
class CropOfYear:
    """The crop of each cell in one year.

    Attributes
    ----------
    crop_N
        Crop code (N,).
    grown_N
        Whether corn + soybean reach the threshold (N,).
    """

    crop_N: NDArray[np.uint8]
    grown_N: NDArray[np.bool_]


def crop_of_year(fractions_Y2: Floats, first_crop: NDArray[np.uint8], threshold: float) -> CropOfYear:
    """Return the crop of the last of a sequence of years.

    It is the crop with the larger fraction in the newest year that has any corn or soybean; corn if both are equal.

    Parameters
    ----------
    fractions_Y2
        Corn and soybean fractions (Y, 2, N) of the years up to the one in question: from the region's first on, or from
        one on with which every cell has some.
    first_crop
        Crop code of a cell before its first year with corn or soybean (N,).
    threshold
        Corn + soybean fraction at which the crop counts as grown.

    Examples
    --------
    >>> fractions_Y2 = np.array([[[0.6], [0.1]], [[0.0], [0.0]]], np.float32)  # two years of one cell
    >>> crop_of_year(fractions_Y2, np.array([5], np.uint8), threshold=0.5)
    CropOfYear(crop_N=array([1], dtype=uint8), grown_N=array([False]))
    """
    crop = first_crop
    for fractions_2 in fractions_Y2:
        crop = np.where(has_crop(fractions_2), _larger(*fractions_2), crop)
    corn, soybean = fractions_Y2[-1]
    return CropOfYear(crop, corn + soybean >= threshold - _ROUNDING)


def has_crop(fractions_2: Floats) -> NDArray[np.bool_]:
    """Return the cells (N,) with any corn or soybean, given the fractions (2, N) of a year; unknown ones have none."""
    corn, soybean = fractions_2
    found: NDArray[np.bool_] = corn + soybean > 0
    return found


def modelled(fractions_Y2: Floats, threshold: float) -> NDArray[np.bool_]:
    """Return the cells (...) whose corn + soybean fraction, averaged over the mask years, reaches the threshold.

    A cell whose fractions are unknown (NaN) in one of the years is not modelled.
    """
    with np.errstate(invalid="ignore"):  # NaN compares as False, as it should
        chosen: NDArray[np.bool_] = fractions_Y2.sum(1).mean(0) >= threshold - _ROUNDING
    return chosen


def first_crop(fractions_Y2: Floats, threshold: float) -> NDArray[np.uint8]:
    """Return the crop (...) of the first mask year in which one is grown, which earlier years are given; 0 if none."""
    crop = np.zeros(fractions_Y2.shape[2:], np.uint8)
    for corn, soybean in fractions_Y2[::-1]:
        crop = np.where(corn + soybean >= threshold - _ROUNDING, _larger(corn, soybean), crop)
    return crop


def _larger(corn: Floats, soybean: Floats) -> NDArray[np.uint8]:
    return np.where(corn >= soybean, np.uint8(CORN), np.uint8(SOYBEAN))
