"""The plan of an ingest: product-years to read again, refused requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ArchiveSettings, RunFile, StoreSettings
from pipeline.errors import UserError
from pipeline.ingest.plan import plan_ingest
from pipeline.sources.slope.settings import SlopeSettings
from tests.helpers import small_archives

WITH_UNCERTAINTY = SlopeSettings(uncertainty_pattern="sd/{YYYY}/{YYYY}{MM}{DD}_{tile}.tif", uncertainty_band=2)


def touch(folder: Path, year: int, tile: str = "h11v04", *, of: str = "", day: str = "07.01") -> Path:
    path = folder / f"GPP250m/{year}/GPP.{of or year}.{day}.{tile}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_another_setting_is_another_reading(copied: RunFile) -> None:
    codes = copied.crop.model_copy(update={"corn_codes": (1, 225)})
    plan = plan_ingest(copied.model_copy(update={"crop": codes}))
    assert [wanted.group for wanted in plan.todo] == ["crop/2011", "crop/2012"]


def test_nothing_found_at_all_is_refused_with_every_reason(ingested: RunFile) -> None:
    with pytest.raises(UserError) as error:
        plan_ingest(ingested, years=[2013], products=["climate", "gpp", "crop"])
    message = str(error.value)
    assert "NLDAS-2" in message
    assert "SLOPE" in message
    assert "2013" in message


def test_years_before_the_region_and_unknown_products_are_refused(ingested: RunFile) -> None:
    with pytest.raises(UserError, match="1999 is before region small begins, 2011; 'npp' is not one of the products"):
        plan_ingest(ingested, years=[1999], products=["npp"])


def test_a_store_of_another_grid_is_refused_with_the_difference(copied: RunFile) -> None:
    region = Path(copied.region)
    region.write_text(region.read_text().replace("tile_cells = 8", "tile_cells = 16"))
    with pytest.raises(UserError, match=r"inputs of another region: grid is .*'tile_cells': 8.* there and .* here"):
        plan_ingest(copied)


def test_granules_of_a_later_year_leave_earlier_ones_alone(copied: RunFile) -> None:
    small_archives.write_granules(copied.archives.nldas2, 2014)
    assert not plan_ingest(copied, products=["climate"]).todo


_REGION = """
title = "Test: a few tiles around 40 N, 89.5 W"
bbox = [-89.512, 39.988, -89.488, 40.012]
first_year = 2011
last_year = 2012
tile_cells = 8
"""


def test_ingest_plans_the_uncertainty_where_it_is_configured_alone(tmp_path: Path) -> None:
    for tile in ("h11v04", "h11v05"):
        gpp = touch(tmp_path, 2011, tile)
        (tmp_path / "sd/2011").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"sd/2011/20110701_{tile}.tif").write_bytes(gpp.read_bytes())
    (tmp_path / "small.toml").write_text(_REGION)
    run_file = RunFile(
        region=str(tmp_path / "small.toml"),
        archives=ArchiveSettings(slope=tmp_path),
        stores=StoreSettings(inputs=str(tmp_path / "inputs.icechunk")),
    )
    with_uncertainty = run_file.model_copy(update={"slope": WITH_UNCERTAINTY})
    groups = [
        [wanted.group for wanted in plan_ingest(one, years=[2011], products=["gpp"]).todo]
        for one in (run_file, with_uncertainty)
    ]
    assert groups == [["gpp/2011"], ["gpp/2011", "gpp_uncertainty/2011"]]
