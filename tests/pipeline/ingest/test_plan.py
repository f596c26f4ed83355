"""The plan of an ingest: product-years to read again, refused requests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.config import RunFile
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
    assert [wanted.group for wanted in plan.todo if not wanted.unless_same_cells] == ["crop/2011", "crop/2012"]
    assert [wanted.group for wanted in plan.todo if wanted.unless_same_cells] == ["gpp/2011", "gpp/2012"]


def test_gpp_is_refused_without_the_crops_of_the_mask_years(copied: RunFile) -> None:
    shutil.rmtree(copied.stores.inputs)
    with pytest.raises(UserError, match=r"crops of 2011-2012 are not .* with --product crop --years 2011-2012 first"):
        plan_ingest(copied, products=["gpp"])
    plan = plan_ingest(copied, products=["gpp", "crop"], years=[2011])
    assert [wanted.group for wanted in plan.todo] == ["crop/2011"]
    assert [(one.group, "crops of 2012" in one.reason) for one in plan.absent] == [("gpp/2011", True)]


def test_a_lower_threshold_of_the_region_makes_gpp_be_read_for_more_cells(copied: RunFile) -> None:
    region = Path(copied.region)
    region.write_text(f"{region.read_text()}crop_threshold = 0.3\n")
    assert not plan_ingest(copied).todo  # a tenth of the cell is stored anyway
    region.write_text(region.read_text().replace("0.3", "0.05"))
    assert [wanted.group for wanted in plan_ingest(copied).todo] == ["gpp/2011", "gpp/2012"]


def test_nothing_found_at_all_is_refused_with_every_reason(ingested: RunFile) -> None:
    with pytest.raises(UserError) as error:
        plan_ingest(ingested, years=[2013], products=["climate", "gpp", "crop"])
    message = str(error.value)
    assert "NLDAS-2" in message
    assert "SLOPE" in message
    assert "2013" in message


def test_a_reason_is_given_once_a_product_however_many_years_are_absent(ingested: RunFile) -> None:
    with pytest.raises(UserError) as error:
        plan_ingest(ingested, years=range(2013, 2033), products=["climate", "gpp", "crop"])
    first, *reasons, last = str(error.value).splitlines()
    assert first == "nothing to ingest was found in the archives"
    assert [line.split(":")[0] for line in reasons] == [
        f"  {name} of 2013-2032 (the first of 20 years)" for name in ("climate", "crop", "gpp")
    ]
    assert "agcarbon fetch RUN_FILE --dry-run" in last
    assert not [line for line in reasons if "2014" in line]


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


def test_ingest_plans_the_uncertainty_where_it_is_configured_alone(copied: RunFile) -> None:
    slope = copied.archives.slope
    (slope / "sd/2011").mkdir(parents=True)
    for tile in ("h11v04", "h11v05"):
        shutil.copy(next(slope.glob(f"GPP250m/2011/*{tile}.tif")), slope / f"sd/2011/20110701_{tile}.tif")
    with_uncertainty = copied.model_copy(update={"slope": WITH_UNCERTAINTY})
    groups = [
        [wanted.group for wanted in plan_ingest(one, years=[2011], products=["gpp"], again=True).todo]
        for one in (copied, with_uncertainty)
    ]
    assert groups == [["gpp/2011"], ["gpp/2011", "gpp_uncertainty/2011"]]
