"""Factors agree with numbers computed by hand; a unit that depends on the crop has no value without one."""

from __future__ import annotations

import numpy as np
import pytest

from model.features import CORN, SOYBEAN
from pipeline.export.units import UNITS
from pipeline.variables import ANNUAL

BY_NAME = {variable.name: variable for variable in ANNUAL}


@pytest.mark.parametrize(
    ("unit", "crop", "gc_m2", "expected"),
    [
        # 380.0 / 0.45 = 844.44 g of dry matter; / 0.844 = 1000.53 g m-2 = 10.0053 t ha-1.
        ("t/ha", CORN, 380.0, 10.0053),
        # 187.92 / 0.54 = 348 g of dry matter; / 0.87 = 400 g m-2 = 4 t ha-1.
        ("t/ha", SOYBEAN, 187.92, 4.0),
        # 200 bu of 25.401 kg on 4046.86 m2 are 1255.35 g m-2; x 0.844 x 0.45 = 476.78 g C m-2.
        ("bu/acre", CORN, 476.78, 200.0),
        # 60 bu of 27.2155 kg on 4046.86 m2 are 403.51 g m-2; x 0.87 x 0.54 = 189.567 g C m-2.
        ("bu/acre", SOYBEAN, 189.567, 60.0),
        # 100 g C m-2 x 4046.856 m2 = 0.4046856 t C; x 3.666667 = 1.483847 t CO2. A loss stays negative.
        ("tCO2e/acre", CORN, 100.0, 1.483847),
        ("tCO2e/acre", 0, -100.0, -1.483847),
    ],
)
def test_conversions_agree_with_numbers_computed_by_hand(unit: str, crop: int, gc_m2: float, expected: float) -> None:
    (found,) = gc_m2 * UNITS[unit].factor(np.array([crop], np.uint8))
    assert found == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("unit", ["t/ha", "bu/acre"])
def test_yields_of_no_crop_have_no_value(unit: str) -> None:
    found = UNITS[unit].factor(np.array([[0, CORN], [2, SOYBEAN]], np.uint8))
    np.testing.assert_array_equal(np.isnan(found), [[True, False], [True, False]])


def test_a_converted_variable_has_a_name_and_units_of_its_own() -> None:
    found = UNITS["tCO2e/acre"].described(BY_NAME["dsoc"])
    assert (found.name, found.units) == ("dsoc_tco2e_acre", "t acre-1 yr-1")
    assert found.long_name == "soil carbon change: -nee - yield, positive = gain; as CO2"
