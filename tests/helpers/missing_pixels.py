"""The ways in which a copy of a raster says that a pixel is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray


def mark_missing(path: Path, missing_YX: NDArray[np.bool_], how: str) -> None:
    """Rewrite a raster of one band: its tag is lost, and pixels are missing by "nan", "mask", "alpha" or a number.

    "tag and alpha" gives a tag that no pixel has and an alpha band. Under a mask or an alpha of 0 the values stay.
    """
    with rasterio.open(path) as file:
        profile: dict[str, Any] = {**file.profile, "nodata": None}
        values = file.read(1)
    if how == "nan":
        values = np.where(missing_YX, np.nan, values).astype(np.float32)
    elif how not in ("mask", "alpha", "tag and alpha"):
        values = np.where(missing_YX, float(how), values).astype(np.result_type(values, np.min_scalar_type(int(how))))
    profile["dtype"] = values.dtype
    if "tag" in how:
        profile["nodata"] = 254
    if "alpha" in how:
        profile |= {"count": 2, "photometric": "minisblack", "alpha": "yes"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
        if how == "mask":
            file.write_mask(~missing_YX)
        if "alpha" in how:
            file.write(np.where(missing_YX, 0, 255).astype(values.dtype), 2)
