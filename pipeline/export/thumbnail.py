"""Thumbnails of GeoTIFFs: small pictures in the colours of their styles, transparent where there is no value."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from pipeline.export.palettes import CROP_CLASSES, ramp
from pipeline.export.scale import Statistics, Stop, gradient, highest_bits
from pipeline.variables import Variable

SIDE = 256  # pixels of the longer side at most; small maps are enlarged by a whole factor


def thumbnail_name(name: str) -> str:
    """Return the name or location of the thumbnail beside a GeoTIFF."""
    return f"{name.removesuffix('.tif')}.png"


def thumbnail(variable: Variable, statistics: Statistics, path: Path) -> bytes:
    """Return the thumbnail of a GeoTIFF as PNG."""
    from matplotlib.image import imsave

    with rasterio.open(path) as source:
        reduced = tuple(max(1, round(size * min(1, SIDE / max(source.shape)))) for size in source.shape)
        values_YX = source.read(1, out_shape=reduced, masked=True)
    factor = max(1, SIDE // max(reduced))
    shown_YX = ~np.ma.getmaskarray(values_YX)
    rgba = np.zeros((*values_YX.shape, 4), np.uint8)
    rgba[shown_YX, :3], rgba[shown_YX, 3] = _colours(variable, statistics, values_YX.compressed()), 255
    picture = BytesIO()
    imsave(picture, rgba.repeat(factor, axis=0).repeat(factor, axis=1), format="png")
    return picture.getvalue()


def _colours(variable: Variable, statistics: Statistics, values_N: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colours (N, 3) of values."""
    if variable.name in ("crop", "quality"):
        stops = [Stop(each.value, each.colour, each.name) for each in CROP_CLASSES]
        stops = highest_bits() if variable.name == "quality" else stops
        return _parts(stops)[np.searchsorted([stop.value for stop in stops], values_N)]
    stops = gradient(ramp(variable.name), statistics)
    parts, ends = _parts(stops), [stop.value for stop in stops]
    return np.stack([np.interp(values_N, ends, part) for part in parts.T], axis=1).round().astype(np.uint8)


def _parts(stops: list[Stop]) -> NDArray[np.uint8]:
    """Return the red, green and blue parts of colours (stops, 3)."""
    return np.array([list(bytes.fromhex(stop.colour.removeprefix("#"))) for stop in stops], np.uint8)
