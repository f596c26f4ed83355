"""The values of the picture of a year are those of the cube."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr

from pipeline.errors import UserError
from pipeline.export.year_values import Subject, read_year
from pipeline.storage import repository
from pipeline.variables import Quality
from regions import counties
from tests.helpers.filled_cube import ORIGIN, Filled


def _cube(filled: Filled, group: str) -> xr.Dataset:
    session = filled.job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, consolidated=False)


def test_courses_are_means_over_the_cells_where_the_crop_is_grown(filled: Filled) -> None:
    courses = read_year(filled.job, year=2011).courses
    annual, nee = _cube(filled, "annual").sel(year=2011), _cube(filled, "daily/2011")["nee"]
    grown = (annual["quality"] & Quality.NOT_GROWN == 0) & annual["gpp"].notnull()
    for name, code in {"corn": 1, "soybean": 5}.items():
        expected = nee.where(grown & (annual["crop"] == code)).mean(("y", "x"), dtype=np.float64)
        np.testing.assert_allclose(courses[name], expected.values, rtol=1e-6, atol=1e-9)


def test_the_caption_names_synthetic_archives_and_missing_tiles(filled: Filled) -> None:
    found = read_year(filled.job, note="Synthetic archives")
    assert found.note == "Synthetic archives"
    assert found.caption.startswith(f"Network weights: {ORIGIN}; 2012: 1 of 3 tiles have no result")


def test_a_year_without_results_is_refused(filled: Filled) -> None:
    with pytest.raises(UserError, match="no results of 2020"):
        read_year(filled.job, year=2020)


def test_a_part_has_the_values_of_its_cells_and_no_others(filled: Filled) -> None:
    whole = read_year(filled.job, year=2011, names=("dsoc", "nee"))
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in whole.zones])
    bbox = (west + (east - west) / 3, south, east, north - (north - south) / 4)
    subject = Subject.of(filled.job.region, bbox=",".join(map(str, bbox)))
    part = read_year(filled.job, subject, year=2011, names=("dsoc",))
    lon, lat = whole.grid.lonlat()
    inside = (lon > bbox[0]) & (lon < bbox[2]) & (lat > bbox[1]) & (lat < bbox[3])
    assert 0 < inside.sum() < inside.size
    assert part.grid.rows < whole.grid.rows
    expected = whole.layers["dsoc"][inside]
    found = part.layers["dsoc"]
    np.testing.assert_array_equal(found[np.isfinite(found)], expected[np.isfinite(expected)])
    assert shapely.total_bounds([zone.geometry for zone in part.zones]) == pytest.approx(bbox, abs=1e-6)


def test_all_states_are_the_whole_region(filled: Filled) -> None:
    whole = read_year(filled.job, year=2011, names=("dsoc",))
    named = sorted({zone.state for zone in whole.zones})
    by_states = read_year(filled.job, Subject.of(filled.job.region, states=named), year=2011, names=("dsoc",))
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in whole.zones])
    box = Subject.of(filled.job.region, bbox=f"{west},{south},{east},{north}")
    np.testing.assert_array_equal(by_states.layers["dsoc"], read_year(filled.job, box, year=2011).layers["dsoc"])
    assert by_states.title == f"{whole.title}: {', '.join(named)}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bbox": "1,2,3"}, "--bbox 1,2,3: write west,south,east,north"),
        ({"bbox": "3,2,1,4"}, "--bbox 3,2,1,4: west is to be less than east"),
        ({"states": ("IL", "KS")}, "--states KS: not in the region, which has IL"),
        ({"states": ("IL",), "bbox": "1,2,3,4"}, "give one of them"),
    ],
)
def test_a_part_that_is_not_there_is_refused(filled: Filled, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Subject.of(filled.job.region, **options)


def test_a_region_elsewhere_is_refused(filled: Filled) -> None:
    elsewhere = Subject("Elsewhere", tuple(zone for zone in counties() if zone.state == "KS"))
    with pytest.raises(UserError, match="Elsewhere: no tile with results there"):
        read_year(filled.job, elsewhere, year=2011)
