"""Fields of a catalogue beside the files themselves, read by rasterio, and beside outlines of many points."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.warp import transform

from pipeline.cluster.executor import Serial
from pipeline.config import PublicationSettings
from pipeline.export.clip import Area
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.export.stac_fields import describe, footprint
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL_WKT
from pipeline.storage import files
from pipeline.storage.files import Stat
from tests.helpers.filled_cube import FIRST, LAST, Filled

WEST, EAST = (Area.of_bounds(text) for text in ("-89.52,39.98,-89.505,40.02", "-89.495,39.98,-89.48,40.02"))


@pytest.fixture(scope="module")
def collection(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> pystac.Collection:
    """Two areas that do not meet, in different years, and the first one in two other projections."""
    folder = str(tmp_path_factory.mktemp("fields"))
    for area, year, crs in (
        (WEST, FIRST, "native"),
        (EAST, LAST, "native"),
        (WEST, FIRST, "EPSG:5070"),
        (WEST, FIRST, "EPSG:4326"),
    ):
        selection = Selection(years=(year,), variables=("nee", "crop"), area=area, crs=crs)  # type: ignore[arg-type]
        report = export_cogs(filled.job, Serial(), selection, folder)
        assert not report.failures
    (found,) = pystac.Catalog.from_file(report.catalog).get_collections()
    return found


def test_bands_are_described_as_rasterio_reads_them(collection: pystac.Collection) -> None:
    for item in collection.get_items():
        for name in ("nee", "crop"):
            fields = item.assets[name].extra_fields
            with rasterio.open(item.assets[name].get_absolute_href()) as source:
                values = source.read(1, masked=True).compressed().astype(float)
                assert fields["unit"] == source.units[0] == ("g m-2 yr-1" if name == "nee" else "1")
                assert fields["data_type"] == source.dtypes[0]
                assert float(fields["nodata"]) == pytest.approx(source.nodata, nan_ok=True)
            found = [fields["statistics"][key] for key in ("minimum", "maximum", "mean", "stddev")]
            assert found == pytest.approx([values.min(), values.max(), values.mean(), values.std()], rel=1e-5, abs=1e-5)


def test_items_have_the_projection_and_pixels_of_their_files(collection: pystac.Collection) -> None:
    codes = set()
    for item in collection.get_items():
        properties, asset = item.properties, item.assets["nee"]
        with rasterio.open(asset.get_absolute_href()) as source:
            assert properties["proj:shape"] == list(source.shape)
            assert properties["proj:transform"] == list(source.transform)[:6]
            assert rasterio.CRS.from_wkt(properties["proj:wkt2"]) == source.crs
            corners = [source.transform @ (col, row) for col in (0, source.width) for row in (0, source.height)]
            lon, lat = transform(source.crs, "EPSG:4326", *np.transpose(corners))
        assert item.bbox == pytest.approx([min(lon), min(lat), max(lon), max(lat)], abs=2e-4)
        code, metres = properties["proj:code"], asset.extra_fields.get("raster:spatial_resolution")
        assert metres == {None: pytest.approx(CELL_M), "EPSG:5070": 250.0, "EPSG:4326": None}[code], "metres only"
        codes.add(code)
    assert codes == {None, "EPSG:5070", "EPSG:4326"}


def test_a_collection_reaches_over_all_of_its_items(collection: pystac.Collection) -> None:
    boxes = np.array([item.bbox for item in collection.get_items()])
    expected = [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]
    np.testing.assert_allclose(collection.extent.spatial.bboxes, [expected], atol=1e-9)
    assert collection.extent.temporal.intervals == [
        [datetime(FIRST, 1, 1, tzinfo=UTC), datetime(LAST, 12, 31, 23, 59, 59, tzinfo=UTC)]
    ]


@pytest.mark.parametrize(
    ("crs", "bounds"),
    [
        (SINUSOIDAL_WKT, (-9e6, 4.2e6, -8e6, 5.2e6)),
        ("EPSG:5070", (-5e5, 1.5e6, 1.5e6, 2.5e6)),
        ("EPSG:4326", (-100.0, 38.0, -80.0, 46.0)),
    ],
)
def test_a_footprint_has_the_curved_sides_of_a_large_map(crs: str, bounds: tuple[float, float, float, float]) -> None:
    west, _, east, _ = bounds
    sides = shapely.segmentize(shapely.box(*bounds), (east - west) / 1000)
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    expected = shapely.transform(sides, lambda xy: np.column_stack(back.transform(*xy.T)))
    found = footprint(bounds, crs)
    assert found.symmetric_difference(expected).area < 1e-3 * expected.area


def _item(**properties: str) -> pystac.Item:
    moment = datetime(2012, 1, 1, tzinfo=UTC)
    marked = {f"agcarbon:{name}": value for name, value in properties.items()}
    return pystac.Item("it", None, None, moment, marked)


def _described(item: pystac.Item, folder: Path) -> pystac.Collection:
    extent = pystac.Extent(pystac.SpatialExtent([[-90, 39, -89, 40]]), pystac.TemporalExtent([[item.datetime, None]]))
    collection = pystac.Collection("region", "A region", extent)
    collection.add_item(item)
    describe(collection, PublicationSettings(), str(folder))
    return collection


def test_the_version_is_the_release_or_the_state_without_one(tmp_path: Path) -> None:
    for release, version in (("v1.2", "v1.2"), ("none", "ABCDEF")):
        item = _item(release=release, cube_snapshot="ABCDEF")
        assert _described(item, tmp_path).extra_fields["version"] == item.properties["version"] == version


def test_an_object_with_the_tag_of_the_earlier_catalogue_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buckets have tags of their objects' contents."""
    tags = {"new": "1", "same": "2"}
    monkeypatch.setattr(files, "stat", lambda location: Stat(7, tags[Path(location).stem]))

    def described() -> dict[str, str]:
        item = _item(release="none", cube_snapshot="A")
        for name in tags:
            item.add_asset(name, pystac.Asset(f"../{name}.qml", media_type="application/xml"))
        _described(item, tmp_path)
        (tmp_path / "region").mkdir(exist_ok=True)
        (tmp_path / "region" / "it.json").write_text(json.dumps(item.to_dict(include_self_link=False)))
        return {name: asset.extra_fields["file:checksum"] for name, asset in item.assets.items()}

    def checksum(content: str) -> str:
        return "1220" + hashlib.sha256(content.encode()).hexdigest()

    for name in tags:
        (tmp_path / f"{name}.qml").write_text("before!")
    assert described() == dict.fromkeys(tags, checksum("before!"))
    tags["new"] = "3"
    (tmp_path / "new.qml").write_text("after!!")
    (tmp_path / "same.qml").unlink()  # reading it would fail
    assert described() == {"new": checksum("after!!"), "same": checksum("before!")}


def test_files_of_one_stack_on_different_pixels_make_none(
    filled: Filled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An area that was changed between two exports, under the same name."""
    for area, year in ((WEST, FIRST), (EAST, LAST)):
        named = Area(area.option, "field", area.geometry)
        report = export_cogs(
            filled.job, Serial(), Selection(years=(year,), variables=("crop",), area=named), str(tmp_path)
        )
    assert len(list(tmp_path.glob("*.tif"))) == 2
    assert not list(tmp_path.glob("*.vrt"))
    assert "no stack, since its files have different pixels" in caplog.text
    (collection,) = pystac.Catalog.from_file(report.catalog).get_collections()
    assert not collection.assets
