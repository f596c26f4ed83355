"""The demo's soil survey, read by the reader of gSSURGO, and the rasters of 30 m pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from affine import Affine

from pipeline.demo.area import Pixels
from pipeline.demo.cropland import write_layer
from pipeline.demo.soils import (
    FIRST_MUKEY,
    MAP_UNITS,
    survey_soils,
    survey_tables,
    write_geodatabase,
    write_mukey_raster,
)
from pipeline.sources.soil import gssurgo


def test_the_soil_reader_gives_the_soils_that_drive_the_simulator_and_the_stocks_of_valu1(tmp_path: Path) -> None:
    write_geodatabase(tmp_path / "gSSURGO_DEMO.gdb", survey_tables())
    units = gssurgo.read_map_units([tmp_path / "gSSURGO_DEMO.gdb"], settings=gssurgo.SoilSettings())
    valu1 = pyogrio.read_dataframe(tmp_path / "gSSURGO_DEMO.gdb", layer="Valu1")
    np.testing.assert_allclose(units.features_FN[:, :7], survey_soils(survey_tables()).features(), rtol=1e-6)
    np.testing.assert_allclose(units.quantity("soc_stock"), valu1["soc0_30"], atol=0.5)
    assert np.isnan(units.features_FN[:, 7:]).all()
    assert valu1["mukey"].map(type).eq(str).all()


def test_a_geodatabase_written_twice_holds_its_rows_once(tmp_path: Path) -> None:
    for _ in range(2):
        write_geodatabase(tmp_path / "gSSURGO_DEMO.gdb", survey_tables())
    assert pyogrio.read_info(tmp_path / "gSSURGO_DEMO.gdb", layer="mapunit")["features"] == len(MAP_UNITS)


def test_rasters_have_the_types_palette_and_nodata_of_their_products(tmp_path: Path) -> None:
    place = np.zeros(600)
    pixels = Pixels(np.ones((20, 30), bool), Affine(30, 0, 509_895, 0, -30, 1_919_715), place, place)
    soil = np.arange(pixels.longitude.size).astype(np.uint8) % len(MAP_UNITS)
    write_mukey_raster(tmp_path / "mukey.tif", pixels=pixels, soil=soil)
    write_layer(tmp_path / "cdl.tif", pixels=pixels, codes=np.where(soil == 0, 1, 5).astype(np.uint8))
    with rasterio.open(tmp_path / "mukey.tif") as keys, rasterio.open(tmp_path / "cdl.tif") as codes:
        assert keys.crs.to_epsg() == codes.crs.to_epsg() == 5070
        assert (keys.transform, keys.dtypes, keys.nodata) == (codes.transform, ("float32",), 2147483648)
        np.testing.assert_array_equal(keys.read(1).ravel().astype(int), FIRST_MUKEY + soil.astype(int))
        assert (codes.dtypes, codes.nodata, codes.profile["tiled"]) == (("uint8",), None, False)
        assert codes.colormap(1)[1] == (255, 211, 0, 255)
        assert codes.colormap(1)[5] == (37, 111, 0, 255)
        assert "synthetic" in codes.tags()["TIFFTAG_IMAGEDESCRIPTION"]
