"""The values of the picture of a year are those of the cube."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from pipeline.errors import UserError
from pipeline.export.year_values import read_year
from pipeline.storage import repository
from pipeline.variables import Quality
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
    caption = read_year(filled.job, note="synthetic archives").caption
    assert caption.startswith(f"synthetic archives; network weights ({ORIGIN}); 2012: 1 of 3 tiles have no result")


def test_a_year_without_results_is_refused(filled: Filled) -> None:
    with pytest.raises(UserError, match="no results of 2020"):
        read_year(filled.job, year=2020)
