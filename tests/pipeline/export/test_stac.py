"""The catalog of a folder holds all of its files and is valid STAC."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
from pystac.validation import RegisteredValidator

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import Selection, export_cogs
from tests.helpers.filled_cube import Filled


def test_the_catalog_holds_every_file_and_validates(filled: Filled, tmp_path: Path) -> None:
    export_cogs(filled.job, Serial(), Selection(variables=("nee", "crop")), str(tmp_path))
    report = export_cogs(
        filled.job, Serial(), Selection(years=(2012,), period="month", dates=("2012-07",)), str(tmp_path)
    )
    catalog = pystac.Catalog.from_file(report.catalog)
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert {name: sorted(item.assets) for name, item in items.items()} == {
        "small_2011": ["crop", "nee"],
        "small_2012": ["crop", "nee"],
        "small_2012-07": ["nee", "ra", "rh"],
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
    report = export_cogs(filled.job, Serial(), Selection(variables=("nee",)), str(tmp_path))
    validator = RegisteredValidator.get_validator()
    for file in [Path(report.catalog), *tmp_path.glob("small/*.json")]:
        stac = json.loads(file.read_text())
        validator.validate_core(stac, pystac.STACObjectType(stac["type"]), stac["stac_version"])
