"""Cropland Data Layer of the demo: land cover of a year as classified from satellite images, with a few errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from pipeline.demo.area import ALBERS, Pixels
from pipeline.demo.landscape import Codes, Cover

BACKGROUND = 0  # also of places without data: the product has no nodata value of its own
CONFUSED = (Cover.CORN, Cover.SOYBEAN, Cover.PASTURE)
CONFUSION = 0.01
"""Share of the pixels that are given one of the codes CONFUSED at random: isolated wrong pixels, as in the product."""
COLOURS = {
    BACKGROUND: (0, 0, 0),
    Cover.CORN: (255, 211, 0),
    Cover.SOYBEAN: (37, 111, 0),
    Cover.WINTER_WHEAT: (166, 112, 0),
    Cover.DOUBLE_CROP: (112, 112, 0),
    Cover.ALFALFA: (255, 166, 224),
    Cover.WATER: (77, 112, 163),
    Cover.OPEN_SPACE: (156, 156, 156),
    Cover.LOW_DENSITY: (156, 156, 156),
    Cover.FOREST: (147, 204, 147),
    Cover.PASTURE: (232, 255, 191),
}
"""Red, green and blue of the product's colour table, which readers must not take for bands."""


def classified(rng: np.random.Generator, *, codes: Codes) -> Codes:
    """Return the codes (n,) with the classifier's errors."""
    wrong = rng.random(codes.size) < CONFUSION
    return np.where(wrong, rng.choice(CONFUSED, codes.size), codes).astype(np.uint8)


def write_layer(path: Path, *, pixels: Pixels, codes: Codes) -> None:
    """Write the codes (n,) on the pixels as in the product: uncompressed strips, a colour table, no nodata tag."""
    raster = pixels.paint(codes, outside=BACKGROUND)
    rows, cols = raster.shape
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": ALBERS, "transform": pixels.transform}
    with rasterio.open(path, "w", height=rows, width=cols, **profile) as layer:
        layer.write(raster, 1)
        layer.write_colormap(1, {code: (*colour, 255) for code, colour in COLOURS.items()})
        layer.update_tags(1, LAYER_TYPE="thematic")
        layer.update_tags(TIFFTAG_IMAGEDESCRIPTION="synthetic land cover, agcarbon demo")
