"""The day's extremes of air temperature and vapour pressure, estimated from daily means.

Daily files of towers hold means only. How far maximum and minimum lie from them follows from the radiation, the
temperature and the change from the day before to the day after, by four linear regressions on the hours of Mead,
Nebraska, 2001-2006 (continental, corn and soybean). The error on a year that the regression did not see is in `RMSE`;
beyond the climate of the Midwest it is unknown. The vapour pressure deficit would lower the error of temperature at
Mead, but instruments differ in it, above all in frost, so that the relation does not hold at the tower next to it.

The test of this module derives `COEFFICIENTS` and `RMSE` again from the hourly files and compares them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.synthetic.weather import saturation_pressure

Floats = NDArray[np.float64]

UNITS = {"TMAX_AIR": "degC", "TDIF_AIR": "degC", "HMAX_AIR": "kPa", "HDIF_AIR": "kPa"}
EXTREMES = ("tmax", "tmin", "hmax", "hmin")
COEFFICIENTS: Mapping[str, tuple[float, ...]] = {
    "constant": (1.4647, 1.6852, -0.03344, 0.078197),
    "clearness": (11.739, 8.3042, 0.26719, 0.057323),
    "radiation_mj_m2_d": (-0.15129, -0.028971, -0.004114, -0.0054134),
    "temperature_degc": (0.23071, 0.17003, -0.0015664, 0.00025563),
    "saturation_kpa": (-1.436, -1.33, 0.13002, 0.065753),
    "change_degc": (0.072571, 0.092892, 0.00093135, -0.00062598),
    "absolute_change_degc": (0.12942, 0.17437, 0.0049401, 0.0027325),
    "curvature_degc": (-0.07225, -0.084666, -0.0022265, -0.00148),
    "absolute_change_kpa": (-0.56779, 0.28779, 0.11752, 0.07339),
}
"""By predictor (`_predictors`): its part of TMAX - mean, mean - TMIN [degC], HMAX - mean and mean - HMIN [kPa]."""
RMSE: Mapping[str, float] = {"TMAX_AIR": 1.71, "TDIF_AIR": 3.20, "HMAX_AIR": 0.133, "HDIF_AIR": 0.199}
"""Error of the estimates [degC, kPa], each year estimated with coefficients of the other five."""


def _predictors(means: pd.DataFrame) -> pd.DataFrame:
    """Return the predictors of consecutive days (rows), NaN where a mean is missing.

    A neighbour that is missing counts as if it were like the day itself.
    """
    temperature = means["temperature_degc"]
    saturation = pd.Series(saturation_pressure(temperature.to_numpy(np.float64)), means.index)
    vapour = saturation - means["vpd_kpa"]
    before, after = (means.shift(step)["temperature_degc"].fillna(temperature) for step in (1, -1))
    vapour_change = vapour.shift(-1).fillna(vapour) - vapour.shift(1).fillna(vapour)
    return pd.DataFrame(
        {
            "constant": 1.0,
            "clearness": means["radiation_mj_m2_d"] / means["potential_mj_m2_d"],
            "radiation_mj_m2_d": means["radiation_mj_m2_d"],
            "temperature_degc": temperature,
            "saturation_kpa": saturation,
            "change_degc": after - before,
            "absolute_change_degc": (after - before).abs(),
            "curvature_degc": after + before - 2 * temperature,
            "absolute_change_kpa": vapour_change.abs(),
        },
        means.index,
    )


def _names(predictors: pd.DataFrame) -> list[str]:
    return [str(name) for name in predictors.columns]


def _centres(means: pd.DataFrame) -> Floats:
    """Return the means (T, 4) from which the distances of `EXTREMES` are counted, positive upwards and downwards."""
    temperature = means["temperature_degc"].to_numpy(np.float64)
    vapour = saturation_pressure(temperature) - means["vpd_kpa"].to_numpy(np.float64)
    return np.stack([temperature, temperature, vapour, vapour], axis=-1)


_SIGNS = np.array([1.0, -1.0, 1.0, -1.0])  # a maximum lies above the mean, a minimum below


def fit_extremes(means: pd.DataFrame, extremes: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Return least-squares coefficients in the form of `COEFFICIENTS`.

    Parameters
    ----------
    means
        As for `estimate_extremes`.
    extremes
        Columns `EXTREMES`, of the same days [degC, kPa].
    """
    predictors = _predictors(means)
    distances = _SIGNS * (extremes[list(EXTREMES)].to_numpy(np.float64) - _centres(means))
    solution, *_ = np.linalg.lstsq(predictors.to_numpy(np.float64), distances)
    return {name: tuple(row) for name, row in zip(_names(predictors), solution.tolist(), strict=True)}


def error_note() -> str:
    """Return a sentence on the estimates and their errors, for readers of results."""
    errors = ", ".join(f"{RMSE[name]:g} {unit} ({name})" for name, unit in UNITS.items())
    return (
        f"The file holds daily means only: the day's extremes are estimated by a regression on the hours of Mead, "
        f"Nebraska, 2001-2006, with an RMSE on years left out of {errors}."
    )


def estimate_extremes(
    means: pd.DataFrame, coefficients: Mapping[str, tuple[float, ...]] = COEFFICIENTS
) -> pd.DataFrame:
    """Return TMAX_AIR, TDIF_AIR [degC], HMAX_AIR and HDIF_AIR [kPa] of each day; NaN where one of its means is missing.

    No maximum is below its mean, no minimum above it, no vapour pressure below 0.

    Parameters
    ----------
    means
        Daily means by date, consecutive days: temperature_degc, vpd_kpa, radiation_mj_m2_d and potential_mj_m2_d, the
        radiation at the top of the atmosphere.
    """
    predictors = _predictors(means)
    table = np.array([coefficients[name] for name in _names(predictors)])
    distances = np.maximum(predictors.to_numpy(np.float64) @ table, 0.0)
    extremes = _centres(means) + _SIGNS * distances
    extremes[:, 2:] = np.maximum(extremes[:, 2:], 0.0)
    tmax, tmin, hmax, hmin = extremes.T
    columns = {"TMAX_AIR": tmax, "TDIF_AIR": tmax - tmin, "HMAX_AIR": hmax, "HDIF_AIR": hmax - hmin}
    return pd.DataFrame(columns, means.index)
