"""The files beside a GeoTIFF: its style, its thumbnail and, of crops, the names of their codes."""

from __future__ import annotations

from pathlib import Path

from pipeline.export.palettes import CROP_CLASSES
from pipeline.export.scale import Statistics
from pipeline.export.style import category_names, qml, style_name
from pipeline.export.thumbnail import thumbnail, thumbnail_name
from pipeline.variables import Variable


def side_names(location: str, variable: Variable) -> tuple[str, ...]:
    """Return the locations of the files to lie beside a GeoTIFF: style, thumbnail and, of `crop`, category names."""
    categories = (f"{location}.aux.xml",) if variable.name == "crop" else ()
    return style_name(location), thumbnail_name(location), *categories


def side_files(location: str, variable: Variable, path: Path) -> dict[str, bytes]:
    """Return the content of the files to lie beside a GeoTIFF at `location`, by theirs; it is read from `path`."""
    statistics = Statistics.read(path)
    contents = (qml(variable, statistics).encode(), thumbnail(variable, statistics, path))
    categories = category_names(CROP_CLASSES).encode()
    return dict(zip(side_names(location, variable), (*contents, categories), strict=False))
