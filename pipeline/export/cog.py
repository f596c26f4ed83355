"""Cloud-Optimized GeoTIFFs: one layer per file, tiled, with overviews, statistics and a description of the layer."""

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
    """A map with its place on the ground.

    Attributes
    ----------
    values
        Values (rows, cols), north first, in the units of `variable`; `nodata` where there is none.
    transform
        Transform from pixel indices (column, row) to coordinates of `crs`.
    crs
        Coordinate reference system, as rasterio takes it.
    variable
        The variable shown.
    """

    values: NDArray[Any]
    transform: Affine
    crs: str
    variable: Variable


def nodata(variable: Variable) -> float:
    """Return the value of empty pixels: NaN for reals; for codes and flags, where 0 is a value, the largest integer.

    Examples
    --------
    >>> nodata(Variable("crop", "1", "crop type", dtype="uint8"))
    255.0
    """
    return float("nan") if np.issubdtype(variable.dtype, np.floating) else float(np.iinfo(variable.dtype).max)


def write_cog(path: Path, raster: Raster, tags: Mapping[str, str]) -> None:
    """Write a map as a Cloud-Optimized GeoTIFF with `tags` as metadata of the file.

    Overviews average fluxes, and take the most frequent of codes and flags.
    """
    variable = raster.variable
    rows, cols = raster.values.shape
    is_real = np.issubdtype(variable.dtype, np.floating)
    # GDAL's COG driver cannot create a file, it copies a complete one: nothing can be added to a COG afterwards without
    # moving its directories from where readers expect them. So the draft, in memory, has all metadata.
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
            draft.update_tags(TIFFTAG_SOFTWARE=f"agcarbon {version('agcarbon')}", **tags)
        with memory.open() as draft:
            rasterio.shutil.copy(
                draft,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR="YES",  # of GDAL's two, the one that fits the data type
                STATISTICS="YES",  # range and mean, which the catalog repeats
                BLOCKSIZE=BLOCK,
                # By default the driver interpolates, between codes too: halfway from corn to soybean is no crop.
                OVERVIEW_RESAMPLING="AVERAGE" if is_real else "MODE",
            )
