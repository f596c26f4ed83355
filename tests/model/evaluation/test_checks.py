"""What is asked of a network, against curves and yields whose answer is plain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.evaluation.checks import response_verdicts, yield_verdict
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import Carbon, yield_bounds

RISING = ResponseCurve("GPP", (0.0, 10.0, 20.0), (0.0, 4.0, 8.0), (0.5, 0.5, 0.6), (10.0, 200.0, 300.0))


def test_curves_that_rise_or_stay_pass() -> None:
    found = list(response_verdicts([RISING, replace(RISING, feature="TSOC")]))
    assert [one.check for one in found] == [
        "Rh does not fall as TSOC rises",
        "Rh does not fall as GPP rises",
        "yield does not fall as GPP rises",
    ]
    assert all(one.holds for one in found)
    assert found[2].found == "mean yield runs from 10 to 300 g C m-2 yr-1 over 3 levels"


@pytest.mark.parametrize(("output", "check"), [("rh", "Rh"), ("grain", "yield")])
def test_a_curve_that_falls_anywhere_fails_and_the_place_is_named(output: str, check: str) -> None:
    found = list(response_verdicts([replace(RISING, **{output: (0.1, 0.6, 0.4)})]))
    assert {one.check: one.holds for one in found} == {
        "Rh does not fall as GPP rises": output != "rh",
        "yield does not fall as GPP rises": output != "grain",
    }
    (fault,) = [one for one in found if not one.holds]
    assert fault.check.startswith(check)
    assert fault.found.endswith("it falls in 1 steps, most (0.2) between 10 and 20")


def test_other_inputs_are_not_judged() -> None:
    assert not list(response_verdicts([replace(RISING, feature="WIND", rh=(3.0, 2.0, 1.0))]))


def carbon(grain: list[float]) -> Carbon:
    """Five years of 1000 g C m-2 of GPP each."""
    gpp = np.full((1, len(grain), 365), 1000 / 365, np.float32)
    return Carbon(gpp, gpp, gpp, gpp, gpp, np.array([grain], np.float32))


def test_yields_must_lie_between_nothing_and_half_of_gpp() -> None:
    assert yield_verdict(yield_bounds(carbon([1.0, 200.0, 499.0]))).holds
    bounds = yield_bounds(carbon([0.0, -3.0, 200.0, 500.5, 600.0]))
    assert (bounds.negative, bounds.above, bounds.within) == (2, 2, pytest.approx(0.2))
    verdict = yield_verdict(bounds)
    assert not verdict.holds
    assert verdict.found.startswith("within in 1 of 5 site-years; 2 at or below 0, 2 too high")


def test_crops_that_failed_are_counted_apart() -> None:
    observed = carbon([0.0, 19.0, 21.0, 250.0, np.nan])
    bounds = yield_bounds(carbon([-1.0, 15.0, -2.0, 240.0, 200.0]), observed=observed)
    assert (bounds.failed, bounds.failed_outside, bounds.negative) == (2, 1, 2)
    assert "the crop failed in 2, of which 1 are outside" in yield_verdict(bounds).found
