"""Layers: periods cover a year without gap or overlap, and each grid has the variables that the cube holds on it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from pipeline.export.layers import CELLS, PeriodName, periods, variables
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES


@pytest.mark.parametrize(("kind", "count"), [("annual", 1), ("monthly", 12), ("daily", 366)])
def test_periods_cover_the_year_once(kind: PeriodName, count: int) -> None:
    found = list(periods(2012, kind))
    assert len(found) == count
    assert (found[0].days.start, found[-1].days.stop) == (0, 366)
    for before, after in pairwise(found):
        assert after.first - before.last == timedelta(days=1)
        assert after.days.start == before.days.stop


def test_variables_are_those_that_the_cube_holds_on_a_grid() -> None:
    assert list(variables(CELLS, "annual")) == [variable.name for variable in (*ANNUAL, *ENSEMBLE_STD.values())]
    spreads = [variable.name for variable in ENSEMBLE_STD.values()]
    assert list(variables("0.5", "annual")) == [
        *(flux.name for flux in FLUXES),
        "area",
        "missing_area",
        "valid_share",
        *spreads,
    ]
    assert list(variables(CELLS, "daily")) == [flux.name for flux in DAILY]
    of_months = [f"{flux.name}{suffix}" for suffix in ("", "_spread") for flux in DAILY]
    assert list(variables(CELLS, "monthly")) == of_months
    assert list(variables("0.0025", "monthly")) == list(variables("0.5", "monthly")) == [*of_months, "area"]
    assert variables("0.0025", "daily") == {}


def test_a_sum_over_a_month_has_units_without_a_time() -> None:
    assert {variable.units for variable in variables(CELLS, "monthly").values()} == {"g m-2"}
