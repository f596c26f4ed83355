"""Stacks: one virtual raster (VRT) for all years, months or days of a variable, a band for each file, in order of time.

A GeoTIFF covers its region, so that nothing has to be joined in space; what a series consists of are its dates. A VRT
has no pixels of its own: GIS and GDAL open it as one raster, and read from the files beside it, by relative names.

References
----------
GDAL virtual format, https://gdal.org/en/stable/drivers/raster/vrt.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pipeline.export.cog import BLOCK
from pipeline.export.palettes import CROP_CLASSES
from pipeline.export.scale import Statistics
from pipeline.export.style import add_categories, qml
from pipeline.variables import Variable

_TYPES = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32", "float64": "Float64"}


@dataclass(frozen=True)
class Place:
    """Pixels of a file: rows and columns, GDAL's geotransform, coordinate reference system, order of its axes."""

    shape: tuple[int, int]
    geotransform: tuple[float, ...]
    wkt: str
    axes: str


@dataclass(frozen=True)
class Page:
    """A GeoTIFF as a band of a stack.

    Attributes
    ----------
    file
        Its name.
    date
        Year, month or day: 2012, 2012-07, 2012-07-15.
    place, variable, nodata, statistics
        Its pixels, what they hold, the value of empty ones, and statistics.
    """

    file: str
    date: str
    place: Place
    variable: Variable
    nodata: float
    statistics: Statistics

    @classmethod
    def read(cls, source: Any, *, file: str, date: str) -> Page:
        """Return the page of an open GeoTIFF."""
        axes = "2,1" if source.crs.is_geographic else "1,2"
        place = Place(source.shape, source.transform.to_gdal(), source.crs.to_wkt(version="WKT2_2019"), axes)
        tags, name, units = source.tags(1), source.descriptions[0], source.units[0] or "1"
        variable = Variable(name, units, tags.get("long_name", name), dtype=source.dtypes[0])
        return cls(file, date, place, variable, source.nodata, Statistics.of(tags))


def stack(pages: Sequence[Page]) -> dict[str, str]:
    """Return a VRT of pages on the same pixels, and its style for QGIS, by the endings of their names."""
    pages = sorted(pages, key=lambda page: page.date)
    place, variable = pages[0].place, pages[0].variable
    rows, cols = place.shape
    root = Element("VRTDataset", rasterXSize=str(cols), rasterYSize=str(rows))
    SubElement(root, "SRS", dataAxisToSRSAxisMapping=place.axes).text = place.wkt
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, place.geotransform))
    for number, page in enumerate(pages, start=1):
        _band(root, page, number)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode") + "\n"
    return {".vrt": text, ".qml": qml(variable, Statistics.joined([page.statistics for page in pages]))}


def _band(root: Element, page: Page, number: int) -> None:
    rows, cols = page.place.shape
    kind = _TYPES[page.variable.dtype]
    band = SubElement(root, "VRTRasterBand", dataType=kind, band=str(number))
    SubElement(SubElement(band, "Metadata"), "MDI", key="long_name").text = page.variable.long_name
    SubElement(band, "Description").text = page.date
    SubElement(band, "UnitType").text = page.variable.units
    SubElement(band, "NoDataValue").text = f"{page.nodata:g}"
    if page.variable.name == "crop":
        SubElement(band, "ColorInterp").text = "Palette"
        _colour_table(band)
        add_categories(band, CROP_CLASSES)
    source = SubElement(band, "SimpleSource")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = page.file
    SubElement(source, "SourceBand").text = "1"
    # With these GDAL opens a file only when its pixels are read: a year of days opens at once.
    sizes = {"RasterXSize": cols, "RasterYSize": rows, "DataType": kind, "BlockXSize": BLOCK, "BlockYSize": BLOCK}
    SubElement(source, "SourceProperties", _texts(sizes))
    for name in ("SrcRect", "DstRect"):
        SubElement(source, name, _texts({"xOff": 0, "yOff": 0, "xSize": cols, "ySize": rows}))


def _colour_table(band: Element) -> None:
    table, colours = SubElement(band, "ColorTable"), {each.value: each.colour for each in CROP_CLASSES}
    for value in range(256):
        red, green, blue = bytes.fromhex(colours.get(value, "#000000").removeprefix("#"))
        SubElement(table, "Entry", _texts({"c1": red, "c2": green, "c3": blue, "c4": 255 * (value in colours)}))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
