"""The catalog of a folder holds all of its files and is valid STAC."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import zarr
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.version import VersionExtension
from pystac.validation import RegisteredValidator
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import export_cogs
from pipeline.export.plain_zarr.store import export_zarr
from pipeline.export.selection import Selection
from pipeline.export.stac import write_catalog
from pipeline.export.stac_cube import DATACUBE
from pipeline.export.stac_fields import CLASSIFICATION, FILE_INFO, PROCESSING, PROJECTION, RASTER, VERSION
from pipeline.grid.sinusoidal import CELL_M
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.variables import Quality
from tests.helpers.filled_cube import ORIGIN, Filled
from tests.helpers.stac_schemas import faults


def test_the_catalog_holds_every_file_and_validates(filled: Filled, tmp_path: Path) -> None:
    export_cogs(filled.job, Serial(), Selection(variables=("nee", "crop")), str(tmp_path))
    report = export_cogs(
        filled.job, Serial(), Selection(years=(2012,), period="monthly", dates=("2012-07",)), str(tmp_path)
    )
    catalog = pystac.Catalog.from_file(report.catalog)
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert {name: sorted(item.assets) for name, item in items.items()} == {
        name: sorted(f"{variable}{kind}" for variable in variables for kind in ("", "_style", "_thumbnail"))
        for name, variables in {
            "small_2011": ("crop", "nee"),
            "small_2012": ("crop", "nee"),
            "small_2012-07": ("nee", "ra", "rh"),
        }.items()
    }
    for item in items.values():
        for asset in item.assets.values():
            assert asset.href.startswith("../")
            assert Path(asset.get_absolute_href() or "").exists()
    month = items["small_2012-07"].properties
    assert (month["start_datetime"], month["end_datetime"]) == ("2012-07-01T00:00:00Z", "2012-07-31T23:59:59Z")
    assert month["proj:shape"] == list(filled.job.grid.shape)
    lon, lat = filled.job.grid.lonlat()
    west, south, east, north = items["small_2011"].bbox or []
    assert west < lon.min() < lon.max() < east
    assert south < lat.min() < lat.max() < north


def test_the_catalog_is_valid_stac(filled: Filled, tmp_path: Path) -> None:
    report = export_cogs(filled.job, Serial(), Selection(variables=("nee", "crop", "quality")), str(tmp_path))
    validator = RegisteredValidator.get_validator()
    for file in [Path(report.catalog), *tmp_path.glob("small/*.json")]:
        stac = json.loads(file.read_text())
        validator.validate_core(stac, pystac.STACObjectType(stac["type"]), stac["stac_version"])


def test_the_catalog_explains_codes_and_flags(filled: Filled, tmp_path: Path) -> None:
    selection = Selection(years=(2011,), variables=("nee", "crop", "quality"))
    catalog = pystac.Catalog.from_file(export_cogs(filled.job, Serial(), selection, str(tmp_path)).catalog)
    (item,) = catalog.get_items(recursive=True)
    crop, quality = (ClassificationExtension.ext(item.assets[name]) for name in ("crop", "quality"))
    found = {each.value: (each.name, bool(each.nodata), each.color_hint) for each in crop.classes or []}
    assert found == {
        0: ("none", False, "EFE6CF"),
        1: ("corn", False, "E0A526"),
        5: ("soybean", False, "3F7F6B"),
        255: ("not_modelled", True, None),
    }
    assert {field.name: 1 << field.offset for field in quality.bitfields or []} == {
        str(bit.name).lower(): bit.value for bit in Quality
    }
    assert all([state.value for state in field.classes] == [0, 1] for field in quality.bitfields or [])


def _warped(source: Path, target: Path, crs: str = "EPSG:5070") -> None:
    """Reproject a file as GDAL's command line does: its tags are kept."""
    with rasterio.open(source) as original, WarpedVRT(original, crs=crs) as warped:
        profile = warped.profile | {"driver": "GTiff"}
        values, tags, described = warped.read(), original.tags(), original.descriptions
    with rasterio.open(target, "w", **profile) as copy:
        copy.write(values)
        copy.update_tags(**tags)
        copy.descriptions = described


def test_files_that_are_not_as_they_were_written_are_named_and_left_out(filled: Filled, tmp_path: Path) -> None:
    selection = Selection(years=(2011,), variables=("nee", "gpp", "rh"))
    export_cogs(filled.job, Serial(), selection, str(tmp_path))
    nee = tmp_path / "small_nee_2011.tif"
    _warped(nee, tmp_path / "albers.tif")
    shutil.copy(nee, tmp_path / "a_copy.tif")
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            tmp_path / "bare.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8"
        ) as bare:
            bare.write(np.zeros((1, 4, 4), np.uint8))
    _warped(tmp_path / "small_gpp_2011.tif", tmp_path / "moved.tif")
    shutil.move(tmp_path / "moved.tif", tmp_path / "small_gpp_2011.tif")
    with rasterio.open(tmp_path / "small_rh_2011.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as changed:
        changed.nodata = None
    report = write_catalog(str(tmp_path))
    assert report.left_out == {
        "a_copy.tif": "a copy of small_nee_2011.tif",
        "albers.tif": "a copy of small_nee_2011.tif",
        "bare.tif": "of another program",
        "broken.tif": "no GeoTIFF that can be read",
        "small_gpp_2011.tif": "changed: its pixels lie elsewhere than those that were written",
        "small_rh_2011.tif": "changed: it has no projection or no nodata",
    }
    (item,) = pystac.Catalog.from_file(report.location).get_items(recursive=True)
    assert {name: Path(asset.href).name for name, asset in item.assets.items()} == {
        "nee": "small_nee_2011.tif",
        "nee_style": "small_nee_2011.qml",
        "nee_thumbnail": "small_nee_2011.png",
    }
    again = export_cogs(filled.job, Serial(), selection, str(tmp_path))
    assert again.kept == 1, "those that were changed are written again"
    assert sorted(note.split(" ")[0] for note in again.notes if "not in the catalog" in note) == [
        "a_copy.tif", "albers.tif", "bare.tif", "broken.tif",
    ]  # fmt: skip


def test_items_have_checksums_sizes_versions_and_processing(filled: Filled, tmp_path: Path) -> None:
    report = export_cogs(filled.job, Serial(), Selection(years=(2011,), variables=("nee", "crop")), str(tmp_path))
    (item,) = pystac.Catalog.from_file(report.catalog).get_items(recursive=True)
    assert len(item.assets) == 6
    for asset in item.assets.values():
        content, described = Path(asset.get_absolute_href() or "").read_bytes(), FileExtension.ext(asset)
        assert described.size == len(content)
        assert described.checksum == "1220" + hashlib.sha256(content).hexdigest(), "a multihash of SHA-256"
    snapshot = repository.tip(filled.job.open_cube())
    assert VersionExtension.ext(item).version == snapshot
    assert item.properties["processing:software"] == {"agcarbon": version("agcarbon")}
    assert item.properties["processing:level"] == "L4"
    assert ORIGIN in item.properties["processing:lineage"]
    assert item.assets["nee"].extra_fields["raster:spatial_resolution"] == pytest.approx(CELL_M)
    assert not {"agcarbon:file", "agcarbon:pixels", "agcarbon:software"} & item.properties.keys()


def test_licence_and_providers_come_from_the_run_file(filled: Filled, tmp_path: Path) -> None:
    run_file = filled.job.path.parent / "licensed.toml"
    run_file.write_text(
        filled.job.path.read_text() + '[publication]\nlicense = "CC-BY-4.0"\nlicense_url = "https://example.org/by"\n'
        'providers = ["University of Tests; producer licensor; https://example.org", "A lab"]\n'
    )
    report = export_cogs(Job.open(run_file), Serial(), Selection(years=(2011,), variables=("nee",)), str(tmp_path))
    (collection,) = pystac.Catalog.from_file(report.catalog).get_collections()
    assert collection.license == "CC-BY-4.0"
    assert [link.target for link in collection.get_links("license")] == ["https://example.org/by"]
    assert [provider.to_dict() for provider in collection.providers or []] == [
        {"name": "University of Tests", "roles": ["producer", "licensor"], "url": "https://example.org"},
        {"name": "A lab", "roles": ["producer"]},
    ]


def test_the_cube_is_an_item_of_the_same_collection(filled: Filled, tmp_path: Path) -> None:
    export_cogs(filled.job, Serial(), Selection(years=(2011,), variables=("nee",)), str(tmp_path))
    report = export_zarr(filled.job, Serial(), str(tmp_path / "small.zarr"))
    zarr.create_group(tmp_path / "theirs.zarr")
    shutil.copytree(tmp_path / "small.zarr", tmp_path / "half.zarr")
    (tmp_path / "half.zarr" / "zarr.json").unlink()
    assert write_catalog(str(tmp_path)).left_out == {
        "half.zarr": "not complete; repeat its export",
        "theirs.zarr": "of another program",
    }
    catalog = pystac.Catalog.from_file(report.catalog)
    (collection,) = catalog.get_collections()
    items = {item.id: item for item in collection.get_items()}
    assert set(items) == {"small_2011", "small_cube"}
    cube, maps = items["small_cube"], items["small_2011"]
    assert cube.properties["start_datetime"] == "2011-01-01T00:00:00Z"
    assert cube.properties["end_datetime"] == "2012-12-31T23:59:59Z"
    assert cube.bbox == pytest.approx(maps.bbox, abs=1e-3)
    assert ProjectionExtension.ext(cube).transform == ProjectionExtension.ext(maps).transform
    described = DatacubeExtension.ext(cube)
    opened = zarr.open_group(cube.assets["zarr"].get_absolute_href(), mode="r", use_consolidated=True)
    variables = described.variables or {}
    assert {name.partition("/")[0] for name in variables} == {"annual", "daily"}
    for name, variable in variables.items():
        array = opened[name.replace("daily/", "daily/2012/")]
        assert list(array.metadata.dimension_names) == variable.dimensions
        assert array.attrs["units"] == variable.unit
    x = described.dimensions["x"]
    assert x.extent == pytest.approx(opened["annual/x"][:][[0, -1]].tolist())
    assert opened["annual/y"][:].min() == pytest.approx(described.dimensions["y"].extent[0])
    bands = {band["name"]: band for band in cube.assets["zarr"].extra_fields["bands"]}
    assert [each["value"] for each in bands["crop"]["classification:classes"]] == [0, 1, 5]
    content = (tmp_path / "small.zarr" / "zarr.json").read_bytes()
    assert FileExtension.ext(cube.assets["metadata"]).checksum == "1220" + hashlib.sha256(content).hexdigest()
    assert collection.extent.temporal.intervals[0][1] == datetime(2012, 12, 31, 23, 59, 59, tzinfo=UTC)
    validator = RegisteredValidator.get_validator()
    for file in tmp_path.glob("small/*.json"):
        stac = json.loads(file.read_text())
        validator.validate_core(stac, pystac.STACObjectType(stac["type"]), stac["stac_version"])


@pytest.mark.skipif("AGCARBON_STAC_SCHEMAS" not in os.environ, reason="AGCARBON_STAC_SCHEMAS names no folder")
def test_all_that_is_written_is_valid_under_core_and_declared_extensions(filled: Filled, tmp_path: Path) -> None:
    annual = Selection(years=(2011,), variables=("nee", "crop", "quality"))
    month = Selection(years=(2011,), variables=("nee",), period="monthly", dates=("2011-07",))
    for selection in (annual, month, replace(annual, grid="0.5", variables=("nee",))):
        export_cogs(filled.job, Serial(), selection, str(tmp_path))
    export_zarr(filled.job, Serial(), str(tmp_path / "small.zarr"))
    written = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json") if ".zarr" not in str(path)]
    found = [stac for stac in written if "stac_version" in stac]
    assert {stac["type"] for stac in found} == {"Catalog", "Collection", "Feature"}
    declared = {address for stac in found for address in stac.get("stac_extensions", [])}
    assert {DATACUBE, PROJECTION, CLASSIFICATION, PROCESSING, VERSION, RASTER, FILE_INFO} == declared
    schemas = Path(os.environ["AGCARBON_STAC_SCHEMAS"])
    assert [fault for stac in found for fault in faults(stac, schemas)] == []
    # The schemas are applied: an item that lost what an extension asks for is not valid.
    (item,) = (stac for stac in found if stac["id"] == "small_cube")
    item["properties"]["cube:dimensions"]["x"].pop("axis")
    assert any("datacube" in fault for fault in faults(item, schemas))


_EXPORT = """
import sys, time
from pathlib import Path
from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import Selection, export_cogs
from pipeline.job import Job
job, folder, own = Job.open(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
Path(folder, f"ready_{own}").touch()
while len(list(Path(folder).glob("ready*"))) < 2:
    time.sleep(0.01)
for period, variables in (("annual", ("nee", "gpp", own)), ("monthly", ("rh",))):
    report = export_cogs(job, Serial(), Selection(years=(2011,), variables=variables, period=period), folder)
    assert not report.failures, report.failures
"""


@pytest.mark.slow
def test_two_processes_that_export_into_one_folder_do_not_disturb_each_other(filled: Filled, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _EXPORT, str(filled.job.path), str(tmp_path), own],
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in ("crop", "quality")
    ]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    catalog = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    found = {Path(asset.href).name for item in catalog.get_items(recursive=True) for asset in item.assets.values()}
    beside = {path.name for path in tmp_path.iterdir() if path.suffix in (".tif", ".qml", ".png")}
    assert found == beside - {"small_rh_monthly.qml"}, "the style of a stack is no asset of an item"
    assert {"small_crop_2011.tif", "small_quality_2011.tif", "small_rh_2011-12.tif"} <= found
    assert not list(tmp_path.glob(".*"))
    alone = tmp_path / "alone"
    export_cogs(filled.job, Serial(), Selection(years=(2011,), variables=("nee", "gpp")), str(alone))
    for path in alone.glob("*.tif"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
