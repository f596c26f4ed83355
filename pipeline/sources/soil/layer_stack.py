"""Rasters of soil properties by depth, decoded and read together: one raster whose pixels are records.

Quantities that follow from several properties, such as field capacity, are thus computed pixel by pixel, before
anything is averaged: they are not linear in the properties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from pipeline.errors import UserError
from pipeline.sources.raster import Pixels, open_raster, read_pixels

OFF_GRID = 0.01  # largest misfit between the rasters of a stack [pixel]

Floats = NDArray[np.float32]


class Depth(NamedTuple):
    """An interval of depth [cm]."""

    top: int
    bottom: int


@dataclass(frozen=True)
class Property:
    """Coding of a soil property in the files of a product.

    Attributes
    ----------
    unit
        Unit of the stored values.
    low, high
        Stored values beyond these are in another unit.
    factor
        Factor to the unit of the network, after the antilogarithm.
    logarithm
        Whether log10 of the property is stored. It is undone before any mean is taken: the mean of logarithms would be
        a geometric mean, and amounts of soil add arithmetically.
    usual_high
        Limit that the median of a window exceeds in no soil: values whose logarithm was undone already do.
    """

    unit: str
    low: float
    high: float
    factor: float = 1.0
    logarithm: bool = False
    usual_high: float = np.inf


@dataclass(frozen=True)
class Coding:
    """Coding of the rasters of a product.

    Attributes
    ----------
    properties
        Coding of each variable.
    missing
        Stored values for missing data, besides each file's own.
    integers
        Whether integers are stored, so that floating-point numbers are values in another unit.
    remedy
        Advice for values that cannot be the product's.
    """

    properties: Mapping[str, Property]
    missing: tuple[float, ...]
    integers: bool
    remedy: str

    def decode(self, pixels: Pixels, file: LayerFile) -> Floats:
        """Return values in the unit of use, NaN where missing; raises `UserError` if the unit is not the product's."""
        prop = self.properties[file.variable]
        dtype = pixels.values_YX.dtype
        if self.integers and dtype.kind == "f":
            raise UserError(
                f"{file.path}: contains {dtype}, but {file.variable} is stored in integers of {prop.unit}; "
                f"{self.remedy}"
            )
        values_YX = pixels.values_YX.astype(np.float32)
        values_YX[pixels.missing_YX | ~np.isfinite(values_YX)] = np.nan
        self._check(values_YX[np.isfinite(values_YX)], file)
        if prop.logarithm:
            np.power(np.float32(10), values_YX, out=values_YX)
        return values_YX * np.float32(prop.factor)

    def _check(self, known_N: Floats, file: LayerFile) -> None:
        prop = self.properties[file.variable]
        outside = known_N[(known_N < prop.low) | (known_N > prop.high)]
        if outside.size:
            raise UserError(
                f"{file.path}: contains {outside[0]:g} ({outside.size} pixels), outside {prop.low:g} to {prop.high:g} "
                f"{prop.unit}, the range of {file.variable} as stored; {self.remedy}"
            )
        if known_N.size and np.median(known_N) > prop.usual_high:
            raise UserError(
                f"{file.path}: half of its values are above {np.median(known_N):g}, but {file.variable} is stored in "
                f"{prop.unit} and usually below {prop.usual_high:g}; {self.remedy}"
            )


class LayerFile(NamedTuple):
    """The raster of a property in an interval of depth."""

    variable: str
    depth: Depth
    path: Path


class LayerStack:
    """Rasters on the same pixels as one dataset for `cell_means`, with records for pixels.

    A record has a field for each variable with its depths in the order of the files; values are decoded, NaN missing.

    Raises
    ------
    UserError
        If the rasters do not have the same pixels.
    """

    def __init__(self, sources: Mapping[LayerFile, DatasetReader], coding: Coding) -> None:
        self._sources, self._coding = sources, coding
        first = next(iter(sources.values()))
        self.name: str = first.name
        self.crs: CRS | None = first.crs
        self.transform: Affine = first.transform
        self.width: int = first.width
        self.height: int = first.height
        for source in sources.values():
            self._check_aligned(source)
        depths = Counter(file.variable for file in sources)
        self.dtypes = (np.dtype([(variable, np.float32, (count,)) for variable, count in depths.items()]),)

    def _check_aligned(self, source: DatasetReader) -> None:
        to_pixels = ~self.transform @ source.transform
        corners = np.array([to_pixels @ (0, 0), to_pixels @ (source.width, source.height)])
        misfit = np.abs(corners - [(0, 0), (self.width, self.height)]).max()
        if source.crs != self.crs or misfit > OFF_GRID:
            raise UserError(
                f"{source.name}: its {source.height} x {source.width} pixels are not those of {self.name}; clip both "
                f"to the same rectangle, without resampling"
            )

    def read(self, band: int, *, window: Window) -> NDArray[np.void]:
        """Return the records (height, width) of a window; raises `UserError` with the path of a damaged file."""
        records_YX = np.empty((window.height, window.width), self.dtypes[0])
        places: Counter[str] = Counter()
        for file, source in self._sources.items():
            # The files are opened in nested contexts: their handlers would name the last file, whichever is damaged.
            try:
                pixels = read_pixels(source, window, band=band, missing=self._coding.missing)
            except RasterioError as error:
                reason = str(error.__cause__ or error)
                raise UserError(f"{file.path}: truncated or damaged ({reason}); download it again") from error
            values_YX = self._coding.decode(pixels, file)
            records_YX[file.variable][..., places[file.variable]] = values_YX
            places[file.variable] += 1
        return records_YX


@contextmanager
def open_stack(files: Sequence[LayerFile], *, coding: Coding) -> Iterator[LayerStack]:
    """Open rasters on the same pixels as one; raises `UserError` for one that is absent, damaged or different."""
    with ExitStack() as opened:
        yield LayerStack({file: opened.enter_context(open_raster(file.path)) for file in files}, coding)
