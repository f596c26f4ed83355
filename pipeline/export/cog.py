"""Cloud-Optimized GeoTIFFs: one layer per file, tiled, with overviews, statistics and what the layer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from pipeline.variables import Variable

BLOCK = 256  # pixels; a layer no larger than this needs no overview


@dataclass(frozen=True, eq=False)
class Raster:
    """A layer and where it lies.

    Attributes
    ----------
    values
        (rows, cols), north first, in the units of `variable`; `nodata` where there is nothing.
    transform
        Pixel indices (column, row) to the plane of `crs`.
    variable
        What the values are.
    tags
        Provenance, written as metadata of the file.
    """

    values: NDArray[Any]
    transform: Affine
    crs: str
    variable: Variable
    tags: Mapping[str, str]


def nodata(variable: Variable) -> float:
    """NaN for reals; for codes and flags, where 0 is a value, the largest integer."""
    return float("nan") if np.issubdtype(variable.dtype, np.floating) else float(np.iinfo(variable.dtype).max)


def write_cog(path: Path, raster: Raster) -> None:
    """Write a layer as a Cloud-Optimized GeoTIFF.

    Overviews average fluxes and take the commonest of codes and flags.
    """
    variable = raster.variable
    rows, cols = raster.values.shape
    # GDAL's COG driver only copies, and descriptions and units survive best from a GeoTIFF that has them all.
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=rows,
            width=cols,
            count=1,
            dtype=variable.dtype,
            crs=raster.crs,
            transform=raster.transform,
            nodata=nodata(variable),
        ) as draft:
            draft.write(raster.values.astype(variable.dtype, copy=False), 1)
            draft.set_band_description(1, variable.name)
            draft.units = (variable.units,)
            draft.update_tags(1, long_name=variable.long_name)
            draft.update_tags(TIFFTAG_SOFTWARE=f"agcarbon {version('agcarbon')}", **raster.tags)
        with memory.open() as draft:
            rasterio.shutil.copy(
                draft,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR="YES",
                STATISTICS="YES",
                BLOCKSIZE=BLOCK,
                OVERVIEW_RESAMPLING="AVERAGE" if np.issubdtype(variable.dtype, np.floating) else "MODE",
            )
