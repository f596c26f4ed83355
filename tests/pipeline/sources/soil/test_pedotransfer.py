"""Water from texture and from retention curves, against published tables and the inverse relation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.soil.pedotransfer import FIELD_CAPACITY_KPA, WILTING_POINT_KPA, RetentionCurve, texture_water

CM_WATER_PER_KPA = 10.197


@pytest.mark.parametrize(
    ("sand", "clay", "wilting_point", "field_capacity", "conductivity"),
    [  # Saxton & Rawls 2006, table 3, organic matter 2.5 %: all of its twelve classes
        (88, 5, 5, 10, 108.1), (80, 5, 5, 12, 96.7), (65, 10, 8, 18, 50.3), (40, 20, 14, 28, 15.5),
        (20, 15, 11, 31, 16.1), (10, 5, 6, 30, 22.0), (60, 25, 17, 27, 11.3), (30, 35, 22, 36, 4.3),
        (10, 35, 22, 38, 5.7), (10, 45, 27, 41, 3.7), (50, 40, 25, 36, 1.4), (25, 50, 30, 42, 1.1),
    ],
)  # fmt: skip
def test_texture_classes_hold_the_water_of_saxton_and_rawls_table(
    sand: float, clay: float, wilting_point: float, field_capacity: float, conductivity: float
) -> None:
    silt = 100 - sand - clay
    water = texture_water(np.array([sand * 10.0]), silt_g_kg=np.array([silt * 10.0]), soc_g_kg=np.array([25 / 1.724]))
    assert 100 * water.wilting_point[0] == pytest.approx(wilting_point, abs=0.51)
    assert 100 * water.field_capacity[0] == pytest.approx(field_capacity, abs=0.51)
    assert water.conductivity[0] == pytest.approx(conductivity, abs=0.051)


def test_missing_texture_holds_missing_water() -> None:
    water = texture_water(np.array([np.nan]), silt_g_kg=np.array([500.0]), soc_g_kg=np.array([20.0]))
    assert np.isnan([*water.field_capacity, *water.wilting_point, *water.conductivity]).all()


def test_the_curve_of_a_silt_loam_is_that_worked_by_hand() -> None:
    """Rosetta's silt loam: 0.065, 0.439, log10(alpha / cm-1) -2.296, n 1.663."""
    alpha = 10**-2.296 * CM_WATER_PER_KPA
    curve = RetentionCurve(*(np.array([value]) for value in (0.065, 0.439, alpha, 1.663)))
    # (0.0516 x 33)^1.663 = 2.42, 3.42^0.3987 = 1.633, 0.374 / 1.633 = 0.229; likewise 0.374 / 17.9 = 0.021
    assert curve.water(FIELD_CAPACITY_KPA)[0] == pytest.approx(0.294, abs=0.001)
    assert curve.water(WILTING_POINT_KPA)[0] == pytest.approx(0.086, abs=0.001)
    assert curve.water(0.0)[0] == 0.439


@given(st.floats(0.0, 0.15), st.floats(0.3, 0.6), st.floats(-2.5, 0.5), st.floats(1.05, 4.0), st.floats(0.05, 0.98))
def test_the_suction_at_which_a_share_of_the_pores_is_full_leaves_that_share(
    theta_r: float, theta_s: float, log_alpha: float, n: float, share: float
) -> None:
    """van Genuchten's relation the other way round: h = (S^(-1/m) - 1)^(1/n) / alpha."""
    m = 1 - 1 / n
    suction = (share ** (-1 / m) - 1) ** (1 / n) / 10**log_alpha
    curve = RetentionCurve(*(np.array([value]) for value in (theta_r, theta_s, 10**log_alpha, n)))
    assert curve.water(suction)[0] == pytest.approx(theta_r + share * (theta_s - theta_r), rel=1e-9)
