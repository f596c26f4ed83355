from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.features import PUBLISHED_FEATURE_SCALERS, SOIL
from model.synthetic.soils import draw_soils, water_retention
from model.synthetic.weather import SyntheticInputError


@pytest.mark.parametrize(
    ("sand", "clay", "wilting_point", "field_capacity", "conductivity"),
    [  # Saxton & Rawls 2006, table 3, organic matter 2.5 %
        (88, 5, 5, 10, 108.1), (65, 10, 8, 18, 50.3), (40, 20, 14, 28, 15.5), (20, 15, 11, 31, 16.1),
        (10, 35, 22, 38, 5.7), (25, 50, 30, 42, 1.1),
    ],
)  # fmt: skip
def test_water_retention_equals_the_table_of_saxton_and_rawls(
    sand: float, clay: float, wilting_point: float, field_capacity: float, conductivity: float
) -> None:
    water = water_retention(np.array([sand / 100]), clay=np.array([clay / 100]), organic_matter=np.array([2.5]))
    assert 100 * water.wilting_point[0] == pytest.approx(wilting_point, abs=0.6)
    assert 100 * water.field_capacity[0] == pytest.approx(field_capacity, abs=0.6)
    assert water.conductivity[0] == pytest.approx(conductivity, rel=0.06)


def test_drawn_soils_have_about_the_published_means_and_spreads() -> None:
    values, published = draw_soils(0, sites=5000).features(), np.array(PUBLISHED_FEATURE_SCALERS[SOIL])
    assert np.all(np.abs(values.mean(1) - published[:, 0]) < 0.6 * published[:, 1])
    assert np.all(np.abs(np.log(values.std(1) / published[:, 1])) < np.log(1.7))


def test_drawn_soils_hang_together() -> None:
    soils = draw_soils(1, sites=2000)
    assert soils.clay.min() > 0
    assert np.all(soils.wilting_point < soils.field_capacity)
    assert np.all(soils.field_capacity < soils.porosity)
    assert np.corrcoef(soils.organic_carbon, soils.bulk_density)[0, 1] < -0.5
    assert np.corrcoef(soils.sand, soils.conductivity)[0, 1] > 0.5


def test_soil_that_holds_no_water_is_refused_by_its_number() -> None:
    soils = draw_soils(1, sites=3)
    with pytest.raises(SyntheticInputError, match="site 0"):
        replace(soils, field_capacity=soils.wilting_point)
