"""The catalog of a folder holds all of its files and is valid STAC."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
from pystac.extensions.classification import ClassificationExtension
from pystac.validation import RegisteredValidator

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.variables import Quality
from tests.helpers.filled_cube import Filled


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
