"""Training ranges: values inside and outside, JSON values, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.features import CORN, FEATURE_NAMES, SOYBEAN, YEAR
from model.ranges import PUBLISHED_RANGES, DensityLine, JointRanges, Range, TrainingRanges

LINE = DensityLine(1.475, -0.006, Range(-0.17, 0.17))
JOINT = JointRanges({CORN: Range(500, 1700), SOYBEAN: Range(300, 1190)}, LINE)
RANGES = TrainingRanges(PUBLISHED_RANGES.inputs, JOINT)


def test_the_published_ranges_are_those_of_the_published_response_checks() -> None:
    assert len(PUBLISHED_RANGES.inputs) == len(FEATURE_NAMES)
    assert PUBLISHED_RANGES.joint is None
    assert [year in PUBLISHED_RANGES.years for year in (2000, 2001, 2018, 2019)] == [False, True, True, False]
    bulk_density = PUBLISHED_RANGES.inputs[FEATURE_NAMES.index("TBKDS")]
    assert bulk_density == pytest.approx((1.38507 - 10 * 0.103345, 1.38507 + 2 * 0.103345), abs=1e-4)


def test_a_bound_is_inside_and_a_missing_value_is_not_outside() -> None:
    bound = float(np.float32(0.1))  # a single-precision value, exact in double precision
    values = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(0)), np.nan], np.float32)
    np.testing.assert_array_equal(Range(bound, 1.0).excludes(values), [False, True, False])


def test_annual_gpp_is_judged_by_the_crop() -> None:
    gpp, crop = np.array([1244.0, 1244.0, 1800.0, 200.0, np.nan]), np.array([5, 1, 1, 5, 5], np.uint8)
    np.testing.assert_array_equal(JOINT.gpp_outside(gpp, crop_N=crop), [True, False, True, True, False])
    only_corn = JointRanges({CORN: Range(500, 1700)}, LINE)
    np.testing.assert_array_equal(only_corn.gpp_outside(gpp, crop_N=crop), [True, False, True, True, False])


def test_bulk_density_is_judged_at_its_organic_carbon() -> None:
    assert LINE.excludes([1.17, 1.17, 1.25], carbon=[19, 60, 19]).tolist() == [True, False, False]
    assert LINE.at(19.0) == pytest.approx((1.191, 1.531))


def test_ranges_survive_json() -> None:
    assert TrainingRanges.parse(json.loads(json.dumps(RANGES.as_json()))) == RANGES
    assert RANGES.as_json()["inputs"]["Year"] == list(RANGES.inputs[YEAR])


@pytest.mark.parametrize("pair", [[1.0], [2.0, 1.0], ["a", 1.0], [float("nan"), 1.0], None])
def test_something_else_than_a_range_is_refused(pair: object) -> None:
    raw = RANGES.as_json()
    raw["inputs"]["TSOC"] = pair
    with pytest.raises((TypeError, ValueError)):
        TrainingRanges.parse(raw)
