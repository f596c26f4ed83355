"""What is plausible: every variable has limits in its own units, and real values pass them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyogrio
import pytest

from model.features import CLIMATE_NAMES, FEATURES
from pipeline.inputs.layout import CLIMATE, FILLED_HOURS, ON_GRID
from pipeline.inputs.limits import LIMITS, faults, plausible
from pipeline.inputs.survey import DERIVED

STORED = {"climate": (*CLIMATE, FILLED_HOURS), **ON_GRID}


@pytest.mark.parametrize("product", STORED)
def test_every_variable_stored_or_derived_has_limits_in_its_units(product: str) -> None:
    units = {variable.name: variable.units for variable in (*STORED[product], *DERIVED.get(product, ()))}
    units |= {"tdif_air": "K"} if product == "climate" else {}  # a difference: the store says degC
    limits = {name: limits.units for name, limits in LIMITS[product].items()}
    assert {name: limits.get(name) for name in units} == units


@pytest.mark.parametrize("product", LIMITS)
def test_limits_are_ordered_and_those_of_the_mean_lie_inside(product: str) -> None:
    for limits in LIMITS[product].values():
        assert limits.low <= limits.mean_low < limits.mean_high <= limits.high


def test_means_of_the_network_s_training_are_plausible() -> None:
    known = {feature.name.lower(): feature for feature in FEATURES}
    tested = [(product, name) for product in LIMITS for name in LIMITS[product] if name in known]
    assert len(tested) == 17  # all features but crop type and year
    for product, name in tested:
        mean = known[name].scaler.mean
        assert faults(product, name, mean, mean, mean=mean) is None


@pytest.mark.parametrize(
    ("product", "variable", "factor", "offset"),
    [
        ("climate", "tmax_air", 1, 273.15),
        ("climate", "hmax_air", 10, 0),
        ("climate", "wind", 1 / 86.4, 0),
        ("climate", "precn", 1e-3, 0),
        ("climate", "radn", 1 / 0.0864, 0),
        ("climate", "radn", 1 / 3.6, 0),
        ("gpp", "gpp", 1000, 0),
        ("gpp", "gpp", 0.01, 0),
        ("soil", "tbkds", 1000, 0),
        ("soil", "tsand", 0.01, 0),
        ("soil", "tfc", 100, 0),
        ("soil", "tsoc", 0.1, 0),
        ("soil", "tcec", 10, 0),
    ],
)
def test_other_units_are_found_out(product: str, variable: str, factor: float, offset: float) -> None:
    mean = {feature.name.lower(): feature.scaler.mean for feature in FEATURES}[variable] * factor + offset
    fault = faults(product, variable, mean, mean, mean=mean)
    assert fault is not None
    assert "likely cause" in fault


def test_a_fault_names_value_limit_unit_and_cause() -> None:
    fault = faults("climate", "tmax_air", -20.0, 312.0)
    assert fault is not None
    assert fault.startswith("tmax_air: maximum 312 is above 55 degC (")
    assert "likely cause: kelvin" in fault
    both = faults("soil", "tph", -1.0, 14.0)
    assert both is not None
    assert "minimum -1 is below 1.8, maximum 14 is above 11" in both


def test_rounding_and_absent_values_are_no_faults() -> None:
    assert faults("crop", "corn_fraction", -1e-6, 1 + 1e-6) is None
    assert faults("crop", "corn_fraction", 0.0, 1.01) is not None
    assert faults("gpp", "gpp", None, None) is None
    assert plausible("gpp", "colour") is None
    assert faults("gpp", "colour", -1e9, 1e9) is None


@pytest.mark.realdata
def test_weather_and_soil_of_a_real_site_are_plausible(realdata: Path) -> None:
    days = pd.read_csv(realdata / "ecosys/ecosys_USNe3_daily.csv", comment="#")
    series = {
        "radn": days["srad_MJ_m2"],
        "tmax_air": days["tmax_C"],
        "tmin_air": days["tmin_C"],
        "tdif_air": days["tmax_C"] - days["tmin_C"],
        "hmax_air": days["vpmax_kPa"],
        "hdif_air": days["vpmax_kPa"] - days["vpmin_kPa"],
        "wind": days["wind_km_d"],
        "precn": days["precip_mm"],
    }
    assert {name.lower() for name in CLIMATE_NAMES} <= set(series)
    for name, values in series.items():
        assert faults("climate", name, values.min(), values.max(), mean=values.mean()) is None


@pytest.mark.realdata
def test_soil_limits_are_those_of_the_product_s_own_table(realdata: Path) -> None:
    archive = realdata / "gssurgo/gSSURGO_MH_FY26.zip"
    folder = next(name.split(".gdb/")[0] for name in zipfile.ZipFile(archive).namelist() if ".gdb/" in name)
    table = pyogrio.read_dataframe(f"/vsizip/{archive}/{folder}.gdb", layer="mdstattabcols")
    columns = table[table["tabphyname"] == "chorizon"].set_index("colphyname")
    factors = {
        "tbkds": ("dbovendry_r", 1),
        "tsand": ("sandtotal_r", 10),
        "tsilt": ("silttotal_r", 10),
        "tksat": ("ksat_r", 3.6),
        "tsoc": ("om_r", 5.80),
        "tph": ("ph1to1h2o_r", 1),
        "tcec": ("cec7_r", 1),
    }
    for name, (column, factor) in factors.items():
        limits = plausible("soil", name)
        assert limits is not None
        least, most = columns.loc[column, ["minimum", "maximum"]].astype(float)
        np.testing.assert_allclose([limits.low, limits.high], [least * factor, most * factor], rtol=1e-3)
