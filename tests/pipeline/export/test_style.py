"""Styles parse, span the values, and have the colours of the maps; GDAL reads the names and colours of the classes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from pipeline.export.beside import side_files
from pipeline.export.cog import Sheet, drafting, finish
from pipeline.export.palettes import CROP_COLOURS, NOT_GROWN
from pipeline.export.scale import Statistics
from pipeline.export.style import qml
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL_WKT
from pipeline.variables import ANNUAL, Quality

BY_NAME = {variable.name: variable for variable in ANNUAL}
PLACE = Affine(CELL_M, 0, -7e6, 0, -CELL_M, 4.4e6)


def write(folder: Path, name: str, values: NDArray[np.generic]) -> Path:
    """Write a layer with the files beside it; return its path."""
    path = folder / f"{name}.tif"
    with drafting(folder / "draft", Sheet(values.shape, PLACE, SINUSOIDAL_WKT, 16), [BY_NAME[name]], {}) as draft:
        draft.write(values, 1)
    finish(folder / "draft", path, BY_NAME[name])
    for beside, content in side_files(str(path), BY_NAME[name], path).items():
        Path(beside).write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "colours", "low", "high"),
    [("gpp", "YlGn", -30.0, 60.0), ("nee", "BrBG_r", -60.0, 60.0), ("dsoc", "BrBG", -60.0, 60.0)],
)
def test_a_ramp_spans_the_values_in_the_colours_of_the_map(
    tmp_path: Path, name: str, colours: str, low: float, high: float
) -> None:
    values = np.full((40, 40), 1.0, np.float32)
    values[0, :3] = -30.0, 60.0, np.nan
    path = write(tmp_path, name, values)
    shader = ElementTree.fromstring(path.with_suffix(".qml").read_text()).find(".//colorrampshader")
    assert shader is not None
    items = [(float(item.get("value", "")), item.get("color")) for item in shader.findall("item")]
    assert [value for value, _ in items] == sorted({value for value, _ in items})
    assert (items[0][0], items[-1][0]) == (low, high)
    assert (float(shader.get("minimumValue", "")), float(shader.get("maximumValue", ""))) == (low, high)
    ramp = colormaps[colours]
    assert (items[0][1], items[-1][1]) == (to_hex(ramp(0.0)), to_hex(ramp(1.0)))
    if name != "gpp":  # no change is the middle of the colours
        assert dict(items)[0.0] == to_hex(ramp(0.5))
    (legend,) = shader.findall("rampLegendSettings")
    assert legend.get("suffix") == " g m-2 yr-1"


def test_outliers_do_not_fade_a_ramp_and_numbers_have_three_digits() -> None:
    """The colours span two standard deviations around the mean; the outliers have those of its ends."""
    style = ElementTree.fromstring(qml(BY_NAME["gpp"], Statistics(1000.0, 1008.5, 1003.0, 0.5)))
    items = {float(item.get("value", "")): item.get("color") for item in style.findall(".//item")}
    assert sorted(items)[:2] + sorted(items)[-2:] == [1000.0, 1002.0, 1004.0, 1008.5]
    ramp = colormaps["YlGn"]
    assert [items[value] for value in (1000.0, 1002.0)] == [to_hex(ramp(0.0))] * 2
    assert [items[value] for value in (1004.0, 1008.5)] == [to_hex(ramp(1.0))] * 2
    assert [each.get("value") for each in style.iter("Option") if each.get("name") == "decimals"] == ["2"]
    assert (style.findtext("mapTip") or "").endswith("%] g m-2 yr-1")


@pytest.mark.parametrize("statistics", [Statistics(2.0, 2.0, 2.0, 0.0), Statistics(-1.0, 1.0, 0.0, 1.0)])
def test_a_ramp_of_one_value_parses(statistics: Statistics) -> None:
    assert ElementTree.fromstring(qml(BY_NAME["gpp"], statistics)).findall(".//item")


def test_gdal_reads_the_colours_and_names_of_crops_and_empty_cells_are_not_zero(tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.uint8)
    values[:8], values[8:16], values[16:24] = 1, 5, 255
    path = write(tmp_path, "crop", values)
    with rasterio.open(path) as crop:
        table, tags = crop.colormap(1), crop.tags(1)
        np.testing.assert_array_equal(crop.read(1), values)
        assert (crop.read_masks(1) == 0).sum() == 8 * 32
    assert {code: "#{:02x}{:02x}{:02x}".format(*table[code]) for code in (0, 1, 5)} == {
        0: NOT_GROWN,
        1: CROP_COLOURS["corn"],
        5: CROP_COLOURS["soybean"],
    }
    assert (table[0][3], table[255][3]) == (255, 0), "empty cells are transparent, cells without a crop are not"
    assert (tags["flag_values"], tags["flag_meanings"]) == ("0 1 5", "none corn soybean")
    rasterio.shutil.copy(path, tmp_path / "seen.vrt", driver="VRT")
    seen = ElementTree.parse(tmp_path / "seen.vrt").findall(".//CategoryNames/Category")
    assert [name.text or "" for name in seen] == ["none", "corn", "", "", "", "soybean"]
    entries = ElementTree.fromstring(path.with_suffix(".qml").read_text()).findall(".//paletteEntry")
    assert {entry.get("label"): entry.get("color") for entry in entries} == {"none": NOT_GROWN, **CROP_COLOURS}


def test_tags_and_style_explain_every_bit_of_the_quality_flags(tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.uint16)
    values[0, :2] = Quality.NOT_GROWN | Quality.PARTIAL_SOIL, Quality.MISSING
    path = write(tmp_path, "quality", values)
    with rasterio.open(path) as quality:
        tags = quality.tags(1)
    assert tags["flag_masks"] == "1 2 4 8 16 32 64"
    assert tags["bit_16"] == "partial_soil: soil data do not cover the entire cell"
    items = ElementTree.fromstring(path.with_suffix(".qml").read_text()).findall(".//item")
    ends = [float(item.get("value", "")) for item in items]
    shown = [
        next(item.get("label") for item, end in zip(items, ends, strict=True) if value <= end) for value in (0, 17, 64)
    ]
    assert shown == ["0: none", "16: partial_soil", "64: missing"]
