"""Checks of one tile-year: consistent values pass them all, and each deviation fails the check meant for it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.audit.checks import (
    BUDGET,
    CHECKS,
    PATTERN,
    PLAUSIBLE,
    RECORD,
    check_new_year,
    check_restart,
    check_year,
    largest,
)
from pipeline.audit.reading import AuditedYear
from pipeline.cube.entry import COMPONENTS, RANGES, Fingerprint, Row
from pipeline.cube.layout import StoredYear
from pipeline.variables import DAILY, Quality

CELLS, DAYS = 6, 30
MISSING = 2  # the cell without a result


def consistent_year() -> AuditedYear:
    """A tile-year whose annual layers follow from its days; one cell has no result."""
    rng = np.random.default_rng(1)
    missing = np.arange(CELLS) == MISSING
    daily = {name: np.where(missing, np.nan, rng.uniform(1, 3, (DAYS, CELLS))) for name in ("ra", "rh")}
    gpp = np.where(missing, np.nan, rng.uniform(4, 8, CELLS)) * DAYS
    daily["nee"] = daily["ra"] + daily["rh"] - gpp / DAYS
    annual = {name: flux.sum(axis=0) for name, flux in daily.items()} | {"gpp": gpp, "yield": 0.3 * gpp}
    annual["reco"] = annual["ra"] + annual["rh"]
    annual["dsoc"] = -annual["nee"] - annual["yield"]
    annual["dsoc_balance"] = gpp - annual["reco"] - annual["yield"]
    annual["balance_residual"] = annual["reco"] - gpp - annual["nee"]
    annual["residue"] = np.maximum(gpp - annual["ra"] - annual["yield"], 0)
    codes: dict[str, NDArray[np.generic]] = {
        "quality": np.where(missing, Quality.MISSING, 0).astype(np.uint16),
        "crop": np.ones(CELLS, np.uint8),
        "corn_fraction": np.ones(CELLS, np.float32),
        "soybean_fraction": np.zeros(CELLS, np.float32),
    }
    stored = StoredYear(
        np.ones((2, 3), bool),
        {name: flux.astype(np.float32) for name, flux in daily.items()},
        {name: layer.astype(np.float32) for name, layer in annual.items()} | codes,
    )
    return AuditedYear(stored, recorded(stored), outside=0)


def recorded(stored: StoredYear) -> Row:
    fingerprint = Fingerprint(("11" * 16,) * len(COMPONENTS))
    return Row.of(
        stored,
        tile="h11v04-r0c0",
        year=2012,
        fingerprint=fingerprint,
        balance_residual=0.0,
        seconds=1.0,
        cpu_seconds=0.5,
        restart=False,
    )


def changed(name: str, *, by: float) -> AuditedYear:
    """The year with one annual layer changed in one cell, recorded as changed."""
    year = consistent_year()
    layer = year.stored.annual[name].copy()
    layer[0] += by  # type: ignore[call-overload]
    stored = replace(year.stored, annual=year.stored.annual | {name: layer})
    return AuditedYear(stored, recorded(stored), outside=0)


def failing(year: AuditedYear) -> dict[str, str]:
    return {found.check.name: found.why for found in check_year(year) if not found.passes}


def test_consistent_values_pass_every_check() -> None:
    results = list(check_year(consistent_year()))
    assert not failing(consistent_year())
    assert [result.check for result in results] == [check for check in CHECKS if check in {r.check for r in results}]
    assert all(result.values for result in results)


@pytest.mark.parametrize("name", ["reco", "dsoc_balance", "balance_residual", "residue"])
def test_an_annual_layer_that_is_not_the_sum_of_its_terms_fails_the_budget(name: str) -> None:
    assert failing(changed(name, by=0.5))[BUDGET.name] == name


def test_a_value_beyond_its_limits_is_named_with_its_range() -> None:
    assert "1 of yield beyond -200 to 1500" in failing(changed("yield", by=5000))[PLAUSIBLE.name]


def test_a_value_where_the_flag_says_missing_fails_and_spares_the_other_checks() -> None:
    year = consistent_year()
    layer = year.stored.annual["nee"].copy()
    layer[MISSING] = 1  # type: ignore[call-overload]
    stored = replace(year.stored, annual=year.stored.annual | {"nee": layer})
    assert failing(AuditedYear(stored, recorded(stored), outside=0)) == {PATTERN.name: "first: nee"}


@pytest.mark.parametrize(
    ("of_values", "in_ledger", "passes"),
    [(1.5, 1.5, True), (math.nan, math.nan, True), (math.nan, 1.5, False), (1.5, math.nan, False), (1.5, 2.5, False)],
)
def test_extremes_are_compared_with_nan_equal_to_nan(of_values: float, in_ledger: float, passes: bool) -> None:
    """A tile-year without any result has NaN for the extremes of its layers, in its values and in the ledger."""
    year = consistent_year()
    name = RANGES[0]
    flux = np.full((DAYS, CELLS), of_values, np.float32)
    stored = replace(year.stored, daily=year.stored.daily | {DAILY[0].name: flux})
    row = recorded(stored)
    year = AuditedYear(stored, replace(row, minimum=(in_ledger, *row.minimum[1:])), outside=0)
    (record,) = [found for found in check_year(year) if found.check is RECORD]
    assert record.passes is passes
    assert record.why == ("" if passes else f"recorded otherwise: minimum of {name}")


def test_a_difference_of_nan_is_the_largest_and_passes_no_limit() -> None:
    found = largest(BUDGET, {"a": 0.1, "b": math.nan, "c": 7.0}, 3)
    assert found.why == "b"
    assert not found.passes


def test_a_cell_that_ran_without_a_state_or_with_one_out_of_range_is_counted_once() -> None:
    state = np.zeros((2, 4, 1, 3), np.float32)
    state[:, :, 0, 0] = 1.5
    state[1, 2, 0, 1] = np.nan
    state[..., 2] = np.nan
    ran = np.array([[True, True, False]])
    assert check_restart(lambda layer: state[layer], 2, ran).worst == 2


def test_a_step_at_the_new_year_is_measured_against_the_largest_other_step() -> None:
    days = np.cumsum(np.full((8, 5), 0.1), axis=0)
    december, january = days[:4], days[4:] + 0.7
    found = check_new_year({"nee": december}, {"nee": january})
    assert found.worst == pytest.approx(8.0)
    assert found.values == 5
    assert check_new_year({"nee": december}, {"nee": days[4:]}).passes
