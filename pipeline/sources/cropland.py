"""Cropland Data Layer: yearly rasters of crop codes -> corn and soybean share of every cell.

References
----------
Boryan et al. (2011), Geocarto International 26, 341-358, doi:10.1080/10106049.2011.562309.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pipeline.grid import Grid


class CropSettings(BaseModel, frozen=True, extra="forbid"):
    """How crop layers are named and decoded."""

    pattern: str = Field(
        "{YYYY}_*m_cdls.tif", description="file name at any depth of the folder; {YYYY}: the year; 10, 30 or 56 m"
    )
    corn_codes: tuple[int, ...] = Field((1,), min_length=1, description="codes of corn")
    soybean_codes: tuple[int, ...] = Field((5,), min_length=1, description="codes of soybean")
    background_code: int | None = Field(0, description="code of area without data; none: the file's nodata alone")


@dataclass(frozen=True)
class CropShares:
    """Crops of one year, as shares of the cell's area (rows, cols) float32, 0 to 1.

    Attributes
    ----------
    corn_YX, soybean_YX
        Share under the crop; NaN where the layer covers nothing of the cell.
    covered_YX
        Share that the layer covers: inside the raster and not background.
    """

    corn_YX: NDArray[np.float32]
    soybean_YX: NDArray[np.float32]
    covered_YX: NDArray[np.float32]


def find_layer(folder: Path, *, year: int, settings: CropSettings) -> Path:
    """Return the crop layer of `year` below `folder`; raises `UserError` for none or several."""
    raise NotImplementedError


def crops_on_grid(layer: Path, *, grid: Grid, settings: CropSettings) -> CropShares:
    """Return the corn and soybean shares of every cell of `grid`, from exact overlaps in the layer's own plane.

    Raises
    ------
    UserError
        If the layer is unreadable, truncated, or geographic (not in a plane).
    """
    raise NotImplementedError
