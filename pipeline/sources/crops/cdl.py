"""Cropland Data Layer: yearly rasters of crop codes -> corn and soybean share of every cell.

There is one national raster a year since 2008, and one a state before that (30 m, or 56 m where AWiFS images were
used), as GeoTIFF or, in older releases, ERDAS Imagine, or in the zip it is downloaded in. The resolution does not
matter: shares are from exact overlaps of pixels and cells. The settings list the codes of corn and soybean; double
crops (225, 226, 237, 241, 26 ...) are neither by default.

References
----------
Boryan et al. (2011), Geocarto International 26, 341-358, doi:10.1080/10106049.2011.562309.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.archive_paths import check_member, inside
from pipeline.sources.crops.settings import CropSettings
from pipeline.sources.raster import Pixels, cell_means, open_raster, read_pixels

RASTERS = (".tif", ".img")  # GeoTIFF, ERDAS Imagine

FILLS = (-9999, -32768, 32767, 65535)  # of copies in other types than the product's uint8, often without a tag
NO_DATA = (81, 255, *FILLS)  # 81 is "Clouds/No Data" in the legend, which ends at 254

# Codes of the product's legend, 0 and 81 apart. 62, 171 and 181 are grassland and pasture of older releases.
_SPANS = ((1, 6), (10, 14), (21, 77), (82, 83), (87, 88), (92, 92), (111, 112), (121, 124), (131, 131), (141, 143),
          (152, 152), (171, 171), (176, 176), (181, 181), (190, 190), (195, 195), (204, 250), (254, 254))  # fmt: skip
LEGEND = frozenset(code for first, last in _SPANS for code in range(first, last + 1)) - {73}
_FEW = 3  # codes: every strip of the product has more, if only by its roads and water
_STRAY = 0.05  # share of pixels of unknown codes from which a raster is another product
_CULTIVATED = {1, 2}


@dataclass(frozen=True)
class CropShares:
    """Crops of one year, as shares of the cell's area (rows, cols) float32, 0 to 1.

    Attributes
    ----------
    corn_YX, soybean_YX
        Share under the crop; NaN where the layer covers no part of the cell.
    covered_YX
        Share that the layer covers: inside the raster and not missing, such as background, clouds or masked. Where it
        is below 1, the crops' shares are those of the covered part, still relative to the entire cell.
    doubts
        Numbers of pixels that suggest another product, by reason.
    """

    corn_YX: NDArray[np.float32]
    soybean_YX: NDArray[np.float32]
    covered_YX: NDArray[np.float32]
    doubts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Codes:
    """Codes of corn, soybean and missing data in a layer; all others are other crops or land."""

    corn: tuple[int, ...]
    soybean: tuple[int, ...]
    missing: tuple[float, ...]


def files_like(folder: Path, pattern: str) -> list[Path]:
    """Return files at any depth whose names match, also if they end as another raster or a zip.

    Of one name in several formats, as a zip that was unpacked beside itself, only those of the first format: that of
    the pattern, then `RASTERS`, then zips.
    """
    found: list[Path] = []
    for ending in dict.fromkeys((Path(pattern).suffix, *RASTERS, ".zip")):
        known = {path.stem for path in found}
        matching = folder.rglob(str(Path(pattern).with_suffix(ending)))
        found += inside(folder, (path for path in matching if path.is_file() and path.stem not in known))
    return found


def find_layer(folder: Path, *, year: int, settings: CropSettings, state_fips: str = "") -> Path | None:
    """Return the national crop layer of `year` below `folder`, or that of a state; None if there is none.

    Raises
    ------
    UserError
        If there are several.
    """
    template = settings.state_pattern.replace("{FIPS}", state_fips) if state_fips else settings.pattern
    found = files_like(folder, template.replace("{YYYY}", str(year)))
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found)
        raise UserError(f"{folder}: several crop layers of {year} ({names}); keep one or narrow `pattern`")
    return found[0] if found else None


def raster_of(path: Path) -> Path:
    """Return the path for GDAL: the file itself, or the raster inside the zip it was downloaded in.

    Reading from a zip is slower, since compressed data cannot be skipped.

    Raises
    ------
    UserError
        If the file is not a readable zip, or does not contain exactly one raster, of its own name.
    """
    if path.suffix.lower() != ".zip":
        return path
    try:
        with zipfile.ZipFile(path) as archive:
            rasters = [name for name in archive.namelist() if name.lower().endswith(RASTERS)]
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: absent, truncated or not a zip ({error}); download it again") from error
    if [Path(name).stem.lower() for name in rasters] != [path.stem.lower()]:
        found = ", ".join(rasters) or "no raster"
        raise UserError(
            f"{path}: contains {found} instead of {' or '.join(path.stem + ending for ending in RASTERS)} alone; "
            f"download it again or unpack it"
        )
    check_member(path, rasters[0])
    # Braces keep GDAL from guessing where the zip's path ends, and survive `Path`, which a double slash does not.
    return Path(f"/vsizip/{{{path.resolve()}}}/{rasters[0]}")


def crops_on_grid(layer: Path, *, grid: Grid, settings: CropSettings) -> CropShares:
    """Return the corn and soybean shares of every cell of `grid`, from exact overlaps in the layer's own plane.

    Raises
    ------
    UserError
        If the layer is unreadable, truncated, geographic (not in a plane), a stack of several bands, or has values that
        are not the product's codes.
    """
    with open_raster(raster_of(layer)) as source:
        check_bands(source)
        codes = Codes(settings.corn_codes, settings.soybean_codes, (settings.background_code, *NO_DATA))
        pixels = Counter[int]()
        shares = shares_of(source, grid=grid, codes=codes, pixels=pixels)
    known = LEGEND.union(settings.corn_codes, settings.soybean_codes)
    return replace(shares, doubts=_doubts(pixels, layer=layer, known=known))


def _doubts(pixels: Counter[int], *, layer: Path, known: frozenset[int]) -> dict[str, int]:
    """Return the numbers of pixels of unknown codes, by code, and of all pixels if they have suspiciously few codes.

    Raises
    ------
    UserError
        For the codes of another layer, such as the cultivated and confidence layers that come with the product.
    """
    unknown = {code: pixels[code] for code in sorted(set(pixels) - known)}
    found = ", ".join(map(str, [*unknown][:5])) if sum(unknown.values()) > _STRAY * pixels.total() else ""
    found = "1 and 2 alone" if set(pixels) == _CULTIVATED else found
    if found:
        raise UserError(
            f"{layer}: contains {found}, which are not the crop codes of a Cropland Data Layer; is it another layer, "
            f"such as the cultivated or the confidence one? Put the crop layer there, or narrow `pattern`"
        )
    doubts = {f"pixels of code {code}, unknown in {layer.name}": count for code, count in unknown.items()}
    few = {f"pixels read from {layer.name} with fewer than {_FEW} codes": pixels.total()}
    return doubts | (few if len(pixels) < _FEW else {})


def check_bands(source: DatasetReader) -> None:
    """Raise `UserError` for several bands: the first band of a stack of years or classes is not the year's crops."""
    bands = sum(band is not ColorInterp.alpha for band in source.colorinterp)
    if bands != 1:
        raise UserError(f"{source.name}: {bands} bands where a crop layer has 1; split the stack by year")


def shares_of(source: DatasetReader, *, grid: Grid, codes: Codes, pixels: Counter[int] | None = None) -> CropShares:
    """Return the crop shares of every cell from an open raster of codes, and add to `pixels` those of each code."""

    def layers(stored: Pixels) -> NDArray[np.bool_]:
        known_YX = ~stored.missing_YX
        if pixels is not None:
            pixels.update(_count_codes(stored.values_YX[known_YX], name=source.name))
        corn, soybean = (np.isin(stored.values_YX, crop) & known_YX for crop in (codes.corn, codes.soybean))
        return np.stack([corn, soybean, known_YX])

    read = partial(read_pixels, source, missing=codes.missing)
    shares_LYX = cell_means(source, grid=grid, layers=layers, read=read)
    # Where contours of an overlap cancel, about 1e-13 remains: after rounding, a share of 0 is exactly 0.
    corn, soybean, covered = shares_LYX.round(9).astype(np.float32)
    corn[covered == 0] = soybean[covered == 0] = np.nan  # unknown is not the same as no crop
    return CropShares(corn, soybean, covered)


def _count_codes(codes_N: NDArray[np.generic], *, name: str) -> dict[int, int]:
    """Return the number of pixels of each code; raises `UserError` for fractions, as of a resampled layer."""
    codes, counts = np.unique(codes_N, return_counts=True)
    fractions = codes[codes % 1 != 0]
    if fractions.size:
        raise UserError(
            f"{name}: contains {fractions[0]:g} where crop codes are whole numbers, so that it was resampled by "
            f"averaging; use the layer as released, or resample it by nearest neighbour"
        )
    return dict(zip(codes.astype(int).tolist(), counts.tolist(), strict=True))
