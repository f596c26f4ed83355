"""Sentences and numbers of the first screen, from sums that are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.aggregate.sums import AREA_TYPES
from pipeline.report import facts
from pipeline.report.quantities import DSOC, QUANTITIES
from pipeline.report.values import RegionValues
from pipeline.variables import FLUXES

AREA_M2 = np.array([2e6, 3e6])


def region(first: float, second: float) -> RegionValues:
    """A region of two years with these means of every quantity [g C m-2 yr-1]."""
    totals = {each.name: AREA_M2 * [first, second] for each in QUANTITIES}
    nothing: Any = {}
    return RegionValues(
        years=(2010, 2011), mean=nothing, annual=nothing, spreads=nothing, area_m2_Y=AREA_M2,
        missing_m2_Y=np.zeros(2), totals_g=totals, grown_m2=nothing, flagged_m2_FY=np.zeros((0, 2)),
        unremarked_m2_Y=AREA_M2, courses=nothing,
    )  # fmt: skip


@pytest.mark.parametrize(("sign", "word"), [(1, "gained"), (-1, "lost")])
def test_the_verdict_has_direction_size_and_tonnes_a_year(sign: int, word: str) -> None:
    # (2e6 * 10 + 3e6 * 60) / 5e6 = 40 g m-2 yr-1; 100 t in the mean of the years, of 2.5 km2.
    text = facts.verdict(region(sign * 10, sign * 60))
    assert f"soils under 2 km² of corn and soybean cropland {word} 40 g of carbon per square metre" in text
    assert text.endswith("100 tonnes of carbon a year in all.")


def test_headlines_have_the_units_of_fields_and_markets() -> None:
    soil, *others = facts.headlines(region(-10, -60))
    assert (soil.mean, soil.years) == ("−40", "years: −60 to −10")
    # 40 g m-2 = 0.4 t ha-1; 44/12 of it is CO2, and an acre is 0.404686 ha.
    assert soil.other == f"−0.40 t C ha⁻¹ yr⁻¹; −{0.4 * 44 / 12 * 0.404686:.2f} t CO₂e acre⁻¹ yr⁻¹"
    assert all(each.other == "−0.40 t C ha⁻¹ yr⁻¹" for each in others)


def subject_of(members: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cube of so many networks, whose soil carbon change has a standard deviation of 3 over them."""

    class Sums:
        def __add__(self, other: object) -> Sums:
            return self

        def whole(self) -> Sums:
            return self

        def spreads(self) -> np.ndarray:
            spreads = np.full((len(AREA_TYPES), len(FLUXES)), np.nan)
            spreads[AREA_TYPES.index("cells"), [flux.name for flux in FLUXES].index(DSOC.name)] = 3
            return spreads

    monkeypatch.setattr(facts.members, "count", lambda _: members)
    monkeypatch.setattr(facts, "county_sums", lambda *_: Sums())
    return SimpleNamespace(cube=SimpleNamespace(root=None), years=(2010, 2011))


def test_one_network_has_no_interval_but_the_scatter_of_the_years(monkeypatch: pytest.MonkeyPatch) -> None:
    text = facts.certainty(subject_of(1, monkeypatch), region(10, 60), None)
    assert text.startswith("No interval is given: one network computed it")
    assert "Years differ by ±35 g C m⁻² yr⁻¹" in text  # 50 / sqrt 2, with one year fewer


def test_an_ensemble_has_the_interval_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    table: Any = object()
    text = facts.certainty(subject_of(5, monkeypatch), region(10, 60), table)
    half = stats.t.ppf(0.95, 4) * 3
    assert f"40 ± {half:.0f} g C m⁻² yr⁻¹: the 90 % interval of 5 networks" in text
    outdated = facts.certainty(subject_of(5, monkeypatch), region(10, 60), None)
    assert "the aggregates are out of date" in outdated
