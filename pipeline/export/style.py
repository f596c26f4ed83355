"""Files beside a GeoTIFF: its style for QGIS (`.qml`), which QGIS applies by itself, and category names for GDAL.

GeoTIFF itself has a colour table for codes of 8 bits, which `cog` writes, but no place for ramps and names of classes.

References
----------
QGIS Layer Style, https://docs.qgis.org, appendix QGIS file formats; GDAL's persistent auxiliary metadata (`.aux.xml`),
https://gdal.org/en/stable/drivers/raster/gtiff.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import rasterio

from pipeline.export.palettes import CROP_CLASSES, QUALITY_CLASSES, Class, Ramp, ramp
from pipeline.variables import Variable

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_STOPS = 9  # of a ramp between its ends
_DEVIATIONS = 2  # standard deviations around the mean that the ramp spans: a few outliers do not fade the others


@dataclass(frozen=True)
class Statistics:
    """Minimum, maximum, mean and standard deviation of a layer."""

    minimum: float
    maximum: float
    mean: float
    stddev: float

    @classmethod
    def read(cls, path: Path) -> Statistics:
        """Return the statistics that a GeoTIFF states, and -1 to 1 for one without any value."""
        with rasterio.open(path) as source:
            tags = source.tags(1)
        names = ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")
        if f"STATISTICS_{names[0]}" not in tags:
            return cls(-1.0, 1.0, 0.0, 1.0)
        return cls(*(float(tags[f"STATISTICS_{name}"]) for name in names))


def style_name(name: str) -> str:
    """Return the name or location of the style beside a GeoTIFF.

    Examples
    --------
    >>> style_name("iowa_nee_2012.tif")
    'iowa_nee_2012.qml'
    """
    return f"{name.removesuffix('.tif')}.qml"


def side_files(location: str, variable: Variable, path: Path) -> dict[str, str]:
    """Return the content of the files to lie beside a GeoTIFF at `location`, by theirs; it is read from `path`."""
    found = {style_name(location): qml(variable, Statistics.read(path))}
    return found | ({f"{location}.aux.xml": category_names(CROP_CLASSES)} if variable.name == "crop" else {})


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
        _shader(pipe, _highest_bits(), kind="DISCRETE", unit="")
    else:
        _shader(pipe, _gradient(ramp(variable.name), statistics), kind="INTERPOLATED", unit=unit)
    SubElement(root, "customproperties").append(_option("agcarbon/title", f"{variable.long_name} [{variable.units}]"))
    ElementTree.indent(root)
    return _DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def category_names(classes: tuple[Class, ...]) -> str:
    """Return GDAL's auxiliary metadata with the names of the values 0, 1, 2, ...; empty where there is no class."""
    names = {each.value: each.name for each in classes}
    root = Element("PAMDataset")
    categories = SubElement(SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    for value in range(max(names) + 1):
        SubElement(categories, "Category").text = names.get(value, "")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


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


@dataclass(frozen=True)
class _Stop:
    """Value, colour and label of an entry of a shader."""

    value: float
    colour: str
    label: str


def _shader(pipe: Element, stops: list[_Stop], *, kind: str, unit: str) -> None:
    low, high = repr(stops[0].value), repr(stops[-1].value)
    renderer = _renderer(pipe, "singlebandpseudocolor", {"classificationMin": low, "classificationMax": high})
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        {"colorRampType": kind, "minimumValue": low, "maximumValue": high, "classificationMode": "1", "clip": "0"},
    )
    for stop in stops:
        SubElement(shader, "item", value=repr(stop.value), color=stop.colour, label=stop.label, alpha="255")
    SubElement(shader, "rampLegendSettings", suffix=unit, useContinuousLegend="1", direction="0", orientation="2")


def _gradient(colours: Ramp, statistics: Statistics) -> list[_Stop]:
    """Return a ramp over most values, whose ends reach to the lowest and the highest one."""
    low, high = statistics.minimum, statistics.maximum
    first = max(low, statistics.mean - _DEVIATIONS * statistics.stddev)
    last = min(high, statistics.mean + _DEVIATIONS * statistics.stddev)
    # Around zero for signed fluxes, so that colours separate sources from sinks.
    if colours.centred:
        low, high = -max(-low, high), max(-low, high)
        first, last = -max(-first, last), max(-first, last)
    hues = colours.stops(_STOPS)
    colour_of = {low: hues[0], high: hues[-1]} | dict(zip(np.linspace(first, last, _STOPS).tolist(), hues, strict=True))
    return [_Stop(value, colour_of[value], f"{value:.4g}") for value in sorted(colour_of)]


def _highest_bits() -> list[_Stop]:
    # An entry of a discrete shader ends at its value: 0, 1, 2 to 3, 4 to 7, ...
    return [
        _Stop(float(max(2 * each.value - 1, 0)), each.colour, f"{each.value}: {each.name}") for each in QUALITY_CLASSES
    ]
