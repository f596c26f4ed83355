"""Cloud-Optimized GeoTIFFs: one layer per file, tiled, with overviews, statistics and a description of the layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from pipeline.export.palettes import CROP_CLASSES, classes
from pipeline.export.place import pixels_tag
from pipeline.variables import Variable

Rectangle: TypeAlias = tuple[slice, slice]
"""Rows and columns."""

BLOCK = 256  # pixels; a layer no larger than this needs no overview
SQUARE_OF = 16  # pixels: the edges of a GeoTIFF's blocks are multiples of it


@dataclass(frozen=True)
class Sheet:
    """The pixels of a map.

    Attributes
    ----------
    shape
        Rows and columns.
    transform
        Transform from pixel indices (column, row) to coordinates of `crs`.
    crs
        Coordinate reference system, as rasterio takes it.
    square
        Pixels along the edge of the squares in which the map is drafted; a multiple of `SQUARE_OF`.
    """

    shape: tuple[int, int]
    transform: Affine
    crs: str
    square: int

    def part(self, rows: slice, cols: slice) -> Sheet:
        """Return a rectangle of the pixels."""
        shape = rows.stop - rows.start, cols.stop - cols.start
        return replace(self, shape=shape, transform=self.transform @ Affine.translation(cols.start, rows.start))

    def squares(self) -> Iterator[Rectangle]:
        """Yield the squares, row by row; those at the end are smaller."""
        (rows, cols), edge = self.shape, self.square
        for row in range(0, rows, edge):
            for col in range(0, cols, edge):
                yield slice(row, min(row + edge, rows)), slice(col, min(col + edge, cols))


def nodata(variable: Variable) -> float:
    """Return the value of empty pixels: NaN for reals; for codes and flags, where 0 is a value, the largest integer.

    Examples
    --------
    >>> nodata(Variable("crop", "1", "crop type", dtype="uint8"))
    255.0
    """
    return float("nan") if np.issubdtype(variable.dtype, np.floating) else float(np.iinfo(variable.dtype).max)


@contextmanager
def drafting(path: Path, sheet: Sheet, bands: Sequence[Variable], tags: Mapping[str, str]) -> Iterator[DatasetWriter]:
    """Create a GeoTIFF of some variables of one type, to be written square by square; nodata where it is not.

    GDAL's COG driver cannot create a file, it copies a complete one: nothing can be added to a COG afterwards without
    moving its directories from where readers expect them. So the draft has all metadata.
    """
    rows, cols = sheet.shape
    variable = bands[0]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=cols,
        count=len(bands),
        dtype=variable.dtype,
        crs=sheet.crs,
        transform=sheet.transform,
        nodata=nodata(variable),
        tiled=True,
        # Blocks that are written once, as whole squares: none is compressed again, none is kept in memory.
        blockxsize=sheet.square,
        blockysize=sheet.square,
        compress="deflate",
        zlevel=1,
        sparse_ok=True,
        bigtiff="if_safer",
    ) as draft:
        for number, band in enumerate(bands, start=1):
            draft.set_band_description(number, band.name)
            draft.update_tags(number, long_name=band.long_name, **_class_tags(band))
        draft.units = tuple(band.units for band in bands)
        if variable.name == "crop":  # GeoTIFFs have colour tables for 8 bits only; nodata is transparent
            draft.write_colormap(1, {each.value: _rgb(each.colour) for each in CROP_CLASSES})
        draft.update_tags(**tags, **pixels_tag(sheet.shape, sheet.transform))
        yield draft


def _class_tags(variable: Variable) -> dict[str, str]:
    """Return the codes of a layer, or its flags, with their meanings: CF's attributes of them, as text."""
    found = classes(variable.name)
    if not found:
        return {}
    of_flags = variable.name == "quality"
    named = [each for each in found if each.value or not of_flags]
    values = " ".join(str(each.value) for each in named)
    meanings = {f"{'bit' if of_flags else 'code'}_{each.value}": f"{each.name}: {each.meaning}" for each in named}
    kind = "flag_masks" if of_flags else "flag_values"
    return {kind: values, "flag_meanings": " ".join(each.name for each in named), **meanings}


def _rgb(colour: str) -> tuple[int, int, int]:
    """Return the parts of a colour.

    Examples
    --------
    >>> _rgb("#e0a526")
    (224, 165, 38)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def finish(draft: Path, path: Path, variable: Variable) -> None:
    """Write a draft as a Cloud-Optimized GeoTIFF, in memory that does not depend on its size.

    Overviews average fluxes, and take the most frequent of codes and flags. They wait beside `path` in the meantime.

    Raises
    ------
    OSError
        If the file is not complete, such as on a full disk.
    """
    is_real = np.issubdtype(variable.dtype, np.floating)
    try:
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
        # The driver does not report that the end of a file could not be written; the last block is at the end.
        with rasterio.open(path) as cog:
            cog.read(1, window=Window(cog.width - 1, cog.height - 1, 1, 1))
    # GDAL's errors, which rasterio passes on as they are here; it raises SystemError for one without a message.
    except (RasterioError, CPLE_BaseError, SystemError) as error:
        raise OSError(f"{path} cannot be written: {error.__cause__ or error}") from error
