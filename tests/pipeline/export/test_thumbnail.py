"""Thumbnails are small, have the colours of the style, and are transparent where nothing is modelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import export_cogs
from pipeline.export.palettes import CROP_CLASSES, QUALITY_CLASSES
from pipeline.export.selection import Selection
from pipeline.export.thumbnail import SIDE
from tests.helpers.filled_cube import FIRST, Filled

NAMES = ("nee", "crop", "quality")


@pytest.fixture(scope="module")
def folder(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("thumbnails")
    export_cogs(filled.job, Serial(), Selection(years=(FIRST,), variables=NAMES), str(found))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_pixels_have_the_colours_of_the_values_or_none(folder: Path, name: str) -> None:
    picture = imread(folder / f"small_{name}_{FIRST}.png")
    with rasterio.open(folder / f"small_{name}_{FIRST}.tif") as source:
        values = source.read(1, masked=True)
    factor = picture.shape[0] // values.shape[0]
    assert max(picture.shape) <= SIDE < max(values.shape) * (factor + 1)
    picture = picture[::factor, ::factor]
    np.testing.assert_array_equal(picture[..., 3] == 0, np.ma.getmaskarray(values))
    if name == "nee":
        # At zero the middle of the ramp; beyond two standard deviations of the mean nearly its ends.
        middle, end = (colormaps["BrBG_r"](place)[:3] for place in (0.5, 1.0))
        shown = values.filled(np.inf)
        assert np.abs(picture[np.abs(shown) < 0.02 * values.std(), :3] - middle).max() < 0.04
        assert np.abs(picture[shown == values.max(), :3] - end).max() < 0.005
        return
    classes = CROP_CLASSES if name == "crop" else QUALITY_CLASSES
    for value in np.unique(values.compressed()):
        highest = 1 << (int(value).bit_length() - 1) if name == "quality" and value else value
        (colour,) = (each.colour for each in classes if each.value == highest)
        found = np.unique(picture[values.filled(9999 if name == "quality" else 254) == value, :3], axis=0)
        np.testing.assert_allclose(found, [to_rgb(colour)], atol=0.003)


def test_a_large_map_is_reduced(tmp_path: Path) -> None:
    from pipeline.export.beside import side_files
    from pipeline.export.cog import Sheet, drafting, finish
    from pipeline.grid.sinusoidal import SINUSOIDAL_WKT
    from pipeline.variables import ANNUAL

    gpp = next(variable for variable in ANNUAL if variable.name == "gpp")
    values, place = np.full((300, 1000), 5.0, np.float32), rasterio.Affine(231.65, 0, -7e6, 0, -231.65, 4.4e6)
    values[:, :500] = np.nan
    with drafting(tmp_path / "draft", Sheet(values.shape, place, SINUSOIDAL_WKT, 256), [gpp], {}) as draft:
        draft.write(values, 1)
    finish(tmp_path / "draft", tmp_path / "gpp.tif", gpp)
    (tmp_path / "gpp.png").write_bytes(side_files("gpp.tif", gpp, tmp_path / "gpp.tif")["gpp.png"])
    picture = imread(tmp_path / "gpp.png")
    assert picture.shape == (77, SIDE, 4)
    assert picture[:, 130:, 3].min() == 1
    assert picture[:, :126, 3].max() == 0


def test_the_catalog_has_thumbnails_and_stacks_as_assets(filled: Filled, tmp_path: Path) -> None:
    selection = Selection(variables=("nee", "crop"))
    catalog = pystac.Catalog.from_file(export_cogs(filled.job, Serial(), selection, str(tmp_path)).catalog)
    item = next(catalog.get_items(recursive=True))
    thumbnail = item.assets["nee_thumbnail"]
    assert (thumbnail.roles, thumbnail.media_type) == (["thumbnail"], "image/png")
    assert Path(thumbnail.get_absolute_href() or "").read_bytes().startswith(b"\x89PNG")
    (collection,) = catalog.get_children()
    assert isinstance(collection, pystac.Collection)
    assert sorted(collection.assets) == ["crop_annual", "nee_annual"]
    stack = Path(collection.assets["nee_annual"].get_absolute_href() or "")
    assert collection.assets["nee_annual"].href == "../small_nee_annual.vrt"
    with rasterio.open(stack) as opened:
        assert opened.descriptions == ("2011", "2012")
        assert opened.units == ("g m-2 yr-1",) * 2
        for band, year in enumerate(opened.descriptions, start=1):
            with rasterio.open(tmp_path / f"small_nee_{year}.tif") as one:
                np.testing.assert_array_equal(opened.read(band), one.read(1))
                assert (opened.crs, opened.transform) == (one.crs, one.transform)
    with rasterio.open(tmp_path / "small_crop_annual.vrt") as opened:
        assert (opened.nodata, opened.colormap(1)[1][:3]) == (255, (224, 165, 38))
    assert "2 bands" in (collection.assets["nee_annual"].title or "")
