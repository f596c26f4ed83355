"""Styles of GeoTIFFs for QGIS (`.qml`), which QGIS applies by itself, and category names for GDAL.

GeoTIFF itself has a colour table for codes of 8 bits, which `cog` writes, but no place for ramps and names of classes.

References
----------
QGIS Layer Style, https://docs.qgis.org, appendix QGIS file formats; GDAL's persistent auxiliary metadata (`.aux.xml`),
https://gdal.org/en/stable/drivers/raster/gtiff.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pipeline.export.palettes import CROP_CLASSES, Class, ramp
from pipeline.export.scale import Statistics, Stop, gradient, highest_bits
from pipeline.variables import Variable

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def style_name(name: str) -> str:
    """Return the name or location of the style beside a GeoTIFF.

    Examples
    --------
    >>> style_name("iowa_nee_2012.tif")
    'iowa_nee_2012.qml'
    """
    return f"{name.removesuffix('.tif')}.qml"


def qml(variable: Variable, statistics: Statistics) -> str:
    """Return the style of a layer for QGIS: colours, legend with the unit, and the value under the cursor."""
    root = Element("qgis", version="3.34", styleCategories="AllStyleCategories")
    tip = SubElement(root, "mapTip", enabled="1")
    unit = "" if variable.units == "1" else f" {variable.units}"
    tip.text = f"{variable.long_name}: [% raster_value(@layer, 1, @layer_cursor_point) %]{unit}"
    pipe = SubElement(root, "pipe")
    if variable.name == "crop":
        _palette(pipe, CROP_CLASSES)
    elif variable.name == "quality":
        _shader(pipe, highest_bits(), kind="DISCRETE", unit="")
    else:
        _shader(pipe, gradient(ramp(variable.name), statistics), kind="INTERPOLATED", unit=unit)
    SubElement(root, "customproperties").append(_option("agcarbon/title", f"{variable.long_name} [{variable.units}]"))
    ElementTree.indent(root)
    return _DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def category_names(classes: tuple[Class, ...]) -> str:
    """Return GDAL's auxiliary metadata with the names of the values 0, 1, 2, ...; empty where there is no class."""
    root = Element("PAMDataset")
    add_categories(SubElement(root, "PAMRasterBand", band="1"), classes)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def add_categories(band: Element, classes: tuple[Class, ...]) -> None:
    """Add the names of classes to GDAL's description of a band."""
    names = {each.value: each.name for each in classes}
    categories = SubElement(band, "CategoryNames")
    for value in range(max(names) + 1):
        SubElement(categories, "Category").text = names.get(value, "")


def _option(name: str, value: str) -> Element:
    options = Element("Option", type="Map")
    SubElement(options, "Option", name=name, type="QString", value=value)
    return options


def _renderer(pipe: Element, kind: str, attributes: Mapping[str, str] | None = None) -> Element:
    return SubElement(
        pipe, "rasterrenderer", {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", **(attributes or {})}
    )


def _palette(pipe: Element, classes: tuple[Class, ...]) -> None:
    palette = SubElement(_renderer(pipe, "paletted"), "colorPalette")
    for each in classes:
        SubElement(palette, "paletteEntry", value=str(each.value), color=each.colour, label=each.name, alpha="255")


def _shader(pipe: Element, stops: list[Stop], *, kind: str, unit: str) -> None:
    low, high = repr(stops[0].value), repr(stops[-1].value)
    renderer = _renderer(pipe, "singlebandpseudocolor", {"classificationMin": low, "classificationMax": high})
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        {"colorRampType": kind, "minimumValue": low, "maximumValue": high, "classificationMode": "1", "clip": "0"},
    )
    for stop in stops:
        SubElement(shader, "item", value=repr(stop.value), color=stop.colour, label=stop.label, alpha="255")
    legend = SubElement(
        shader, "rampLegendSettings", suffix=unit, useContinuousLegend="1", direction="0", orientation="2"
    )
    _number_format(legend, decimals=_decimals(stops[-1].value - stops[0].value))


def _decimals(span: float) -> int:
    """Return the decimals that give numbers of a range three digits.

    Examples
    --------
    >>> _decimals(979.0), _decimals(8.5)
    (0, 2)
    """
    return max(0, 2 - math.floor(math.log10(span))) if span > 0 else 2


def _number_format(legend: Element, *, decimals: int) -> None:
    # By default QGIS writes six decimals.
    options = SubElement(SubElement(legend, "numericFormat", id="basic"), "Option", type="Map")
    for name, kind, value in (
        ("decimals", "int", str(decimals)),
        ("rounding_type", "int", "0"),
        ("show_trailing_zeros", "bool", "false"),
        ("show_thousand_separator", "bool", "false"),
    ):
        SubElement(options, "Option", name=name, type=kind, value=value)
