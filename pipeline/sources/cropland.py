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

from pipeline.errors import UserError
from pipeline.grid import Grid
from pipeline.sources.raster import cell_means, open_raster


class CropSettings(BaseModel, frozen=True, extra="forbid"):
    """How crop layers are named and decoded."""

    pattern: str = Field(
        "{YYYY}_*m_cdls.tif",
        pattern=r"\{YYYY\}",
        description="file name at any depth of the folder; {YYYY}: the year; 10, 30 or 56 m",
    )
    corn_codes: tuple[int, ...] = Field((1,), min_length=1, description="codes of corn")
    soybean_codes: tuple[int, ...] = Field((5,), min_length=1, description="codes of soybean")
    background_code: int = Field(0, description="code of area without data")


@dataclass(frozen=True)
class CropShares:
    """Crops of one year, as shares of the cell's area (rows, cols) float32, 0 to 1.

    Attributes
    ----------
    corn_YX, soybean_YX
        Share under the crop; NaN where the layer covers nothing of the cell.
    covered_YX
        Share that the layer covers: inside the raster and not background. Where it is below 1, the crops' shares are
        those of the covered part, still relative to the whole cell.
    """

    corn_YX: NDArray[np.float32]
    soybean_YX: NDArray[np.float32]
    covered_YX: NDArray[np.float32]


def find_layer(folder: Path, *, year: int, settings: CropSettings) -> Path:
    """Return the crop layer of `year` below `folder`; raises `UserError` for none or several."""
    pattern = settings.pattern.replace("{YYYY}", str(year))
    found = sorted(folder.rglob(pattern))
    if not found:
        raise UserError(f"{folder}: no crop layer of {year} named {pattern}; unpack it there or change `pattern`")
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(f"{folder}: several crop layers of {year} ({names}); keep one or narrow `pattern`")
    return found[0]


def crops_on_grid(layer: Path, *, grid: Grid, settings: CropSettings) -> CropShares:
    """Return the corn and soybean shares of every cell of `grid`, from exact overlaps in the layer's own plane.

    Raises
    ------
    UserError
        If the layer is unreadable, truncated, or geographic (not in a plane).
    """

    with open_raster(layer) as source:
        missing = [settings.background_code, *(value for value in source.nodatavals if value is not None)]

        def layers(codes_YX: NDArray[np.generic]) -> NDArray[np.bool_]:
            corn, soybean = np.isin(codes_YX, settings.corn_codes), np.isin(codes_YX, settings.soybean_codes)
            return np.stack([corn, soybean, ~np.isin(codes_YX, missing)])

        shares_LYX = cell_means(source, grid=grid, layers=layers)
    # Contours that cancel leave some 1e-13 in cells without any: a share of 0 is exactly 0 again after rounding.
    corn, soybean, covered = shares_LYX.round(9).astype(np.float32)
    corn[covered == 0] = soybean[covered == 0] = np.nan
    return CropShares(corn, soybean, covered)
