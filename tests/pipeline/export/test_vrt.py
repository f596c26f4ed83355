"""A stack describes its files as the VRT does that GDAL itself makes of one of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from pipeline.export.cog import Sheet, drafting, finish
from pipeline.export.vrt import Page, stack
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL_WKT
from pipeline.variables import ANNUAL

BY_NAME = {variable.name: variable for variable in ANNUAL}
PLANES = {
    SINUSOIDAL_WKT: Affine(CELL_M, 0, -7e6, 0, -CELL_M, 4.4e6),
    "EPSG:5070": Affine(250, 0, 5e5, 0, -250, 1.9e6),
    "EPSG:4326": Affine(0.0025, 0, -89.5, 0, -0.0025, 40.1),
}
SHAPE, DATES = (32, 48), ("2011", "2012", "2013")


def write(folder: Path, name: str, crs: str, *, empty: str = "") -> list[Path]:
    """Write a layer of some years, whose values are their places and the year; one year may be empty."""
    paths = []
    for number, date in enumerate(DATES):
        paths.append(folder / f"{name}_{date}.tif")
        dtype = np.dtype(BY_NAME[name].dtype)
        values = np.arange(np.prod(SHAPE)).reshape(SHAPE) + number
        values = values.astype(dtype) if dtype.kind == "f" else np.array([0, 1, 5, 255], dtype)[values % 4]
        with drafting(folder / "draft", Sheet(SHAPE, PLANES[crs], crs, 16), [BY_NAME[name]], {}) as draft:
            if date != empty:
                draft.write(values, 1)
        finish(folder / "draft", paths[-1], BY_NAME[name])
    return paths


def read(paths: list[Path]) -> list[Page]:
    """Return the files as pages, the last year first."""
    pages = []
    for path, date in reversed(list(zip(paths, DATES, strict=True))):
        with rasterio.open(path) as source:
            pages.append(Page.read(source, file=path.name, date=date))
    return pages


@pytest.mark.parametrize("crs", PLANES)
@pytest.mark.parametrize("name", ["nee", "crop"])
def test_a_stack_is_described_as_gdal_describes_its_files(tmp_path: Path, name: str, crs: str) -> None:
    paths = write(tmp_path, name, crs)
    ours, gdals = tmp_path / "stack.vrt", tmp_path / "gdal.vrt"
    ours.write_text(stack(read(paths))[".vrt"])
    rasterio.shutil.copy(paths[0], gdals, driver="VRT")
    found, expected = (ElementTree.parse(path).getroot() for path in (ours, gdals))
    assert found.attrib == expected.attrib
    (srs,), (srs_of_gdal,) = found.findall("SRS"), expected.findall("SRS")
    assert srs.get("dataAxisToSRSAxisMapping") == srs_of_gdal.get("dataAxisToSRSAxisMapping")
    places = [[float(each) for each in (root.findtext("GeoTransform") or "").split(",")] for root in (found, expected)]
    assert places[0] == pytest.approx(places[1], rel=1e-15)
    (gdals_band,) = expected.findall("VRTRasterBand")
    for band in found.findall("VRTRasterBand"):
        assert band.get("dataType") == gdals_band.get("dataType")
        assert band.findtext("NoDataValue") == gdals_band.findtext("NoDataValue")
        assert (band.findtext("UnitType") or "1") == (gdals_band.findtext("UnitType") or "1")
        if name == "crop":
            assert band.findtext("ColorInterp") == gdals_band.findtext("ColorInterp")
            tables = [[entry.attrib for entry in each.findall("ColorTable/Entry")] for each in (band, gdals_band)]
            assert [tables[0][code] for code in (0, 1, 5, 255)] == [tables[1][code] for code in (0, 1, 5, 255)]


@pytest.mark.parametrize("crs", PLANES)
def test_bands_are_the_files_in_order_of_time_wherever_the_folder_is(tmp_path: Path, crs: str) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    paths = write(folder, "nee", crs)
    for ending, text in stack(read(paths)).items():
        (folder / f"stack{ending}").write_text(text)
    moved = folder.rename(tmp_path / "moved")
    with rasterio.open(moved / "stack.vrt") as opened, rasterio.open(moved / paths[0].name) as first:
        assert (opened.transform, opened.crs, opened.bounds) == (first.transform, first.crs, first.bounds)
        assert opened.descriptions == DATES
        assert opened.units == first.units * 3
        assert opened.read()[:, 3, 7].tolist() == [3 * SHAPE[1] + 7 + number for number in range(3)]
    items = ElementTree.fromstring((moved / "stack.qml").read_text()).findall(".//item")
    last = np.prod(SHAPE) + 1
    assert float(items[-1].get("value", "")) == last, "the style spans the values of all years"


def test_a_year_without_values_does_not_change_the_colours_of_the_others(tmp_path: Path) -> None:
    values = np.arange(np.prod(SHAPE), dtype=float)
    style = stack(read(write(tmp_path, "gpp", "EPSG:5070", empty="2011")))[".qml"]
    items = [float(item.get("value", "")) for item in ElementTree.fromstring(style).findall(".//item")]
    assert (items[0], items[-1]) == (values.min() + 1, values.max() + 2)
