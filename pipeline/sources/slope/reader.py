"""SLOPE gross primary production: daily GeoTIFFs of one MODIS tile -> [g C m-2 d-1] on the grid's cells.

The files are int16 in units of 0.001 g C m-2 d-1 on the MODIS sinusoidal grid of 250 m, so that a pixel of a file is a
cell of the grid: values are decoded and cut out, never resampled.

References
----------
Jiang et al. (2021), Earth Syst. Sci. Data 13, 281-298, doi:10.5194/essd-13-281-2021. Product: SLOPE_GPP_CONUS_1786,
doi:10.3334/ORNLDAAC/1786.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass, fields
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL, Grid
from pipeline.progress import heartbeat
from pipeline.sources.raster import Pixels, open_raster, read_pixels
from pipeline.sources.slope.settings import Layer, Quantity, SlopeSettings, is_modis_plane

MISSING_FROM = 32767  # stored values from here up are fill
PLAUSIBLE_GPP = 50.0  # g C m-2 d-1; twice the peak of maize
OFF_GRID = 0.02  # largest misfit of a pixel [pixel]: file headers round their origin, a resampled grid is off by more
SUMMER = slice(151, 243)  # days of June to August, counted from 0; in leap years they begin a date earlier

_GAP = -1  # of integers: negative ones are missing in the product, too

_AS_RELEASED = CRS.from_string(SINUSOIDAL)


@dataclass(frozen=True)
class Unused:
    """Numbers of values (cells x days) in existing files that count as missing, each once.

    Attributes
    ----------
    declared
        Equal to the file's own missing value or to `nodata`.
    not_a_number
        NaN, in files of floating-point numbers.
    negative, high
        Below 0; from 32767 up.
    masked
        Hidden by the file's mask or alpha band alone.
    """

    declared: int = 0
    not_a_number: int = 0
    negative: int = 0
    high: int = 0
    masked: int = 0


@dataclass(frozen=True)
class SlopeYear:
    """One quantity of one year as released, with its gaps.

    Attributes
    ----------
    values_TYX
        (days, rows, cols) float32 [g C m-2 d-1]; NaN missing.
    absent_days
        Days without a file.
    unused
        Values of the files that count as missing.
    """

    values_TYX: NDArray[np.float32]
    absent_days: tuple[dt.date, ...]
    unused: Unused


@dataclass(frozen=True, eq=False)
class EncodedYear:
    """One quantity of one year as its files store it: half the memory of `SlopeYear` where they hold integers.

    Attributes
    ----------
    grid
        Its cells.
    stored_TYX
        (days, rows, cols): int16 in units of `scale`, `_GAP` missing; or float32 [g C m-2 d-1], NaN missing.
    scale
        g C m-2 d-1 per unit of integers.
    absent_days
        Days without a file.
    unused_X
        Numbers of values that count as missing, by column (reasons in the order of `Unused`, cols).
    """

    grid: Grid
    stored_TYX: NDArray[Any]
    scale: float
    absent_days: tuple[dt.date, ...]
    unused_X: NDArray[np.int64]

    def part(self, grid: Grid) -> SlopeYear:
        """Return the year on some of the columns, in its units."""
        assert (grid.first_row, grid.rows) == (self.grid.first_row, self.grid.rows), "values are counted by column"
        first = grid.first_col - self.grid.first_col
        cols = slice(first, first + grid.cols)
        unused = Unused(*self.unused_X[:, cols].sum(axis=1).tolist())
        return SlopeYear(_in_units(self.stored_TYX[..., cols], self.scale), self.absent_days, unused)


def _in_units(stored: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Return stored values in g C m-2 d-1."""
    if stored.dtype.kind == "f":
        return stored.copy()
    values: NDArray[np.float32] = stored * np.float32(scale)
    values[stored == _GAP] = np.nan
    return values


def days_of(year: int) -> list[dt.date]:
    """Return all calendar days of a year, 29 February included.

    Examples
    --------
    >>> len(days_of(2012)), str(days_of(2012)[59])
    (366, '2012-02-29')
    """
    return [dt.date(year, 1, 1) + dt.timedelta(n) for n in range(365 + calendar.isleap(year))]


def holds_integers(folder: Path, *, year: int, tile: str, layer: Layer) -> bool:
    """Return whether the first readable file of a MODIS tile and year holds integers."""
    for path in (folder / layer.file_name(day, tile=tile) for day in days_of(year)):
        try:
            with open_raster(path) as source:
                return bool(source.count >= layer.band and np.dtype(source.dtypes[layer.band - 1]).kind != "f")
        except UserError:  # absent or damaged: `read_year` counts the one and names the other
            continue
    return False


def read_year(folder: Path, *, year: int, grid: Grid, settings: SlopeSettings, quantity: Quantity = "gpp") -> SlopeYear:
    """Return GPP, or its uncertainty, of every day of `year` on `grid`, a rectangle inside one MODIS tile.

    Raises
    ------
    UserError
        If no day has a file; a file is truncated, off the grid, in another coordinate system, smaller than `grid`,
        without the quantity's band, or outside the plausible range (scale); or if GPP is implausibly low all summer
        (scale).
    """
    return decode_year(folder, year=year, grid=grid, settings=settings, quantity=quantity).part(grid)


def decode_year(
    folder: Path, *, year: int, grid: Grid, settings: SlopeSettings, quantity: Quantity = "gpp"
) -> EncodedYear:
    """Return the same as the files store it, for use part by part; parameters and errors are those of `read_year`."""
    found = _decode_layer(folder, year=year, grid=grid, layer=settings.layer(quantity))
    if quantity == "gpp":
        _check_summer(found, place=f"{folder}: GPP of {_modis_tile(grid)}", year=year, settings=settings)
    return found


def _check_summer(found: EncodedYear, *, place: str, year: int, settings: SlopeSettings) -> None:
    """Refuse a summer of little GPP: the values are probably decoded with the wrong scale."""
    peak = _largest(found.stored_TYX[SUMMER], found.scale)
    # Zeros alone are water or rock, whatever the scale.
    if 0 < peak < settings.min_summer_peak:
        rows, cols = found.grid.shape
        raise UserError(
            f"{place} from June to August {year} stays at or below {peak:.2g} g C m-2 d-1 (`min_summer_peak` "
            f"{settings.min_summer_peak:g}) on {rows} x {cols} cells; is `scale` ({settings.scale:g}) that of this "
            f"product? If nothing grows there, set `min_summer_peak` to 0"
        )


def _largest(stored: NDArray[Any], scale: float) -> float:
    """Return the largest of stored values [g C m-2 d-1]; 0 if all are missing."""
    largest = np.fmax.reduce(stored, axis=None, initial=0)
    return float(largest if stored.dtype.kind == "f" else np.float32(largest) * np.float32(scale))


def _decode_layer(folder: Path, *, year: int, grid: Grid, layer: Layer) -> EncodedYear:
    tile, days = _modis_tile(grid), days_of(year)
    paths = [folder / layer.file_name(day, tile=tile) for day in days]
    present = [path.is_file() for path in paths]
    if not any(present):
        example = paths[0].relative_to(folder)
        raise UserError(f"{folder}: no {layer.quantity} of {tile} in {year}, such as {example}; see `pattern`")
    stored_TYX: NDArray[Any] = np.full((len(days), *grid.shape), _GAP, np.int16)
    unused_X = np.zeros((len(fields(Unused)), grid.cols), np.int64)
    for number, path in compress(enumerate(paths), present):
        stored_YX = _decode_day(path, grid=grid, layer=layer, unused_X=unused_X)
        if stored_YX.dtype.kind == "f" and stored_TYX.dtype.kind != "f":
            stored_TYX = _in_units(stored_TYX, layer.scale)
        real = stored_TYX.dtype.kind == "f"
        stored_TYX[number] = _in_units(stored_YX, layer.scale) if real else stored_YX
        heartbeat()
    absent = tuple(day for day, there in zip(days, present, strict=True) if not there)
    return EncodedYear(grid, stored_TYX, layer.scale, absent, unused_X)


def _modis_tile(grid: Grid) -> str:
    names = {tile.modis for tile in grid.tiles()}
    assert len(names) == 1, "SLOPE is read by MODIS tile"
    return names.pop()


def _decode_day(path: Path, *, grid: Grid, layer: Layer, unused_X: NDArray[np.int64]) -> NDArray[Any]:
    """Return the stored values of a day, see `EncodedYear`, and add to its numbers of unused ones."""
    with open_raster(path) as source:
        _check_plane(source, assumed=layer.crs)
        _check_packing(source, layer=layer)
        pixels = read_pixels(source, _window(source, grid=grid), band=layer.band)
        declared = [value for value in (source.nodatavals[layer.band - 1], layer.nodata) if value is not None]
    missing_YX = _missing(pixels, declared=declared, unused_X=unused_X)
    # Integers that are not missing lie between 0 and `MISSING_FROM`, whatever their type in the file.
    real = pixels.values_YX.dtype.kind == "f"
    stored_YX = pixels.values_YX.astype(np.float32 if real else np.int16)
    stored_YX[missing_YX] = np.nan if real else _GAP
    if (largest := _largest(stored_YX, layer.scale)) > PLAUSIBLE_GPP:
        raise UserError(
            f"{path}: {layer.quantity} of {largest:g} g C m-2 d-1 is above {PLAUSIBLE_GPP:g}; SLOPE "
            f"stores integers of 0.001 g C m-2 d-1: is `{layer.scale_setting}` ({layer.scale:g}) that of this product?"
        )
    return stored_YX


def _missing(pixels: Pixels, *, declared: list[float], unused_X: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values are missing, and count each under the first reason that applies to it, by column."""
    stored_YX = pixels.values_YX
    low_YX, high_YX = stored_YX < 0, stored_YX >= MISSING_FROM
    reasons = (np.isin(stored_YX, declared), np.isnan(stored_YX), low_YX, high_YX, pixels.missing_YX)
    missing_YX = np.zeros(stored_YX.shape, bool)
    for count_X, reason_YX in zip(unused_X, reasons, strict=True):
        if (new_YX := reason_YX & ~missing_YX).any():
            count_X += new_YX.sum(axis=0)
            missing_YX |= reason_YX
    return missing_YX


def _check_packing(source: DatasetReader, *, layer: Layer) -> None:
    """Refuse a file without the layer's band, or whose own scale or offset contradicts the settings."""
    setting, scale = layer.scale_setting, layer.scale
    if source.count < layer.band:
        raise UserError(f"{source.name}: holds {source.count} bands, not the {layer.band} of `uncertainty_band`")
    dtype, tagged = source.dtypes[layer.band - 1], source.scales[layer.band - 1]
    if np.dtype(dtype).kind == "f" and scale != 1:
        raise UserError(
            f"{source.name}: holds {dtype}, but `{setting}` {scale:g} is for SLOPE's integers; set it to 1 if the file "
            f"is in g C m-2 d-1 already, or store its integers as int16"
        )
    offset = source.offsets[layer.band - 1]
    if offset != 0 or (tagged != 1 and not np.isclose(tagged, scale, rtol=1e-6, atol=0)):
        raise UserError(
            f"{source.name}: its tags give a scale of {tagged:g} and an offset of {offset:g}, but `{setting}` is "
            f"{scale:g} without offset; use the product as released or correct `{setting}`"
        )


def _check_plane(source: DatasetReader, *, assumed: str | None) -> None:
    if source.crs == _AS_RELEASED:  # quicker than to spell it out for every file
        return
    crs = source.crs.to_wkt() if source.crs else assumed
    if crs is None:
        raise UserError(f"{source.name}: has no coordinate system; set `crs` to that of such files")
    if not is_modis_plane(crs):
        raise UserError(
            f"{source.name}: coordinate system {source.crs or crs} is not the MODIS sinusoidal one ({SINUSOIDAL}); use "
            f"the product as released"
        )


def _window(source: DatasetReader, *, grid: Grid) -> Window:
    """Return the window of the grid in the file, whose pixels must be the grid's cells."""
    to_pixels = ~source.transform @ grid.transform
    corners = np.array([to_pixels @ (0, 0), to_pixels @ (grid.cols, grid.rows)])
    (left, top), (right, bottom) = corners.round().astype(int)
    if np.abs(corners - corners.round()).max() > OFF_GRID or (bottom - top, right - left) != grid.shape:
        raise UserError(
            f"{source.name}: pixels of {source.res[0]:.3f} m from ({source.transform.c:.1f}, {source.transform.f:.1f}) "
            f"are not cells of the MODIS grid ({CELL_M:.3f} m); use the product without resampling"
        )
    if left < 0 or top < 0 or right > source.width or bottom > source.height:
        raise UserError(
            f"{source.name}: {source.height} x {source.width} pixels do not contain rows {top} to {bottom} and columns "
            f"{left} to {right} of the region; use a larger clip"
        )
    return Window(left, top, grid.cols, grid.rows)
