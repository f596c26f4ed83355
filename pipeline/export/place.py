"""Marks by which a GeoTIFF is known as the one that this program wrote, and not as a copy that was changed.

Tags survive a reprojection, a clip and a new name. A file therefore names itself and its pixels in tags, and both are
compared with the file as it is found.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from pipeline.storage import files as outputs

FILE, PIXELS, SOFTWARE = "AGCARBON_FILE", "AGCARBON_PIXELS", "AGCARBON_SOFTWARE"
_VARIABLE = "AGCARBON_VARIABLE"


def pixels_tag(shape: tuple[int, int], transform: Affine) -> dict[str, str]:
    """Return the tag of a file's pixels: rows, columns and affine transform."""
    return {PIXELS: " ".join([*map(str, shape), *(f"{number:.12g}" for number in list(transform)[:6])])}


def fault(location: str) -> str | None:
    """Return why the file at a location is not one that this program wrote, or None if it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the answer says so
        try:
            with outputs.readable_by_gdal(location), rasterio.open(location) as source:
                return _fault(source, outputs.name_of(location))
        except RasterioIOError:
            return "no GeoTIFF that can be read"


def _fault(source: Any, name: str) -> str | None:
    tags: Mapping[str, str] = source.tags()
    if _VARIABLE not in tags:
        return "of another program"
    if FILE not in tags or PIXELS not in tags:
        return "of an earlier version of agcarbon; export it again"
    if tags[FILE] != name:
        return f"a copy of {tags[FILE]}"
    if source.crs is None or source.nodata is None:
        return "changed: it has no projection or no nodata"
    if tags[PIXELS] != pixels_tag(source.shape, source.transform)[PIXELS]:
        return "changed: its pixels lie elsewhere than those that were written"
    if source.descriptions[0] != tags[_VARIABLE]:
        return "changed: its first band is not the variable that was written"
    return None
