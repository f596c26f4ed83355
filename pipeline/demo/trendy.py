"""Small files of three TRENDY-v9 models in the models' own formats, for the demo; their fluxes are invented.

Each has peculiarities of the real files: DLEM counts months in a unit without dates and has rows from the north, CLM5.0
stamps the ends of months of 365-day years and has their bounds, and JULES has `npp_nlim` in place of Ra.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.area import demo_years

README = """Synthetic files in the formats of TRENDY-v9 models (DLEM, CLM5.0, JULES-ES-1p0).

Written by `agcarbon demo`. No model computed them: they serve to try `agcarbon analyze trendy`.
"""
_FIRST_YEAR, _LAST_YEAR = 1700, 2019
_MONTHS = 12 * (_LAST_YEAR + 1 - _FIRST_YEAR)
_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_SECONDS_PER_DAY, _G_PER_KG = 86400, 1000
_WEST, _EAST, _SOUTH, _NORTH = -96.0, -84.0, 35.0, 45.0  # degrees around the demo
_MISSING = -99999.0

Floats = NDArray[np.float64]


def _ends() -> Floats:
    return np.cumsum(np.resize(_DAYS, _MONTHS)).astype(np.float64)


def _middles_in_seconds() -> Floats:
    return (_ends() - np.resize(_DAYS, _MONTHS) / 2) * _SECONDS_PER_DAY


@dataclass(frozen=True)
class _Model:
    """Format of a model's files, and its mean GPP in July [g C m-2 d-1] and shares of Ra and Rh in GPP."""

    name: str
    step: tuple[float, float]  # degrees of latitude and longitude
    units: str
    time: Callable[[], Floats]
    calendar: str
    july: float
    ra: float
    rh: float
    from_north: bool = False
    bounds: bool = False
    axes: tuple[str, str, str] = ("time", "lat", "lon")
    npp: bool = False


_MODELS = (
    _Model("DLEM", (0.5, 0.5), "months since 1700-01-01", lambda: np.arange(_MONTHS, dtype=np.float64), "standard",
           9.0, 0.48, 0.42, from_north=True),
    _Model("CLM5.0", (0.9375, 1.25), "days since 1700-01-01", _ends, "noleap", 7.5, 0.52, 0.40, bounds=True),
    _Model("JULES-ES-1p0", (1.25, 1.875), "seconds since 1700-01-01", _middles_in_seconds, "365_day", 10.5, 0.45, 0.47,
           axes=("time", "latitude", "longitude"), npp=True),
)  # fmt: skip


def write_trendy(folder: Path) -> None:
    """Write the files of all models below `folder`, with values in the demo's years and none in others."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.txt").write_text(README, encoding="utf-8")
    for model in _MODELS:
        fluxes = {"gpp": 1.0, "rh": model.rh, **({"npp_nlim": 1 - model.ra} if model.npp else {"ra": model.ra})}
        for variable, share in fluxes.items():
            path = folder / model.name / f"{model.name}_S3_{variable}.nc"
            path.parent.mkdir(exist_ok=True)
            _write(path, model, variable, share)


def _write(path: Path, model: _Model, variable: str, share: float) -> None:
    lat = np.arange(_SOUTH + model.step[0] / 2, _NORTH, model.step[0])
    lat = lat[::-1] if model.from_north else lat
    lon = np.arange(_WEST + model.step[1] / 2, _EAST, model.step[1])
    time_name, *places = model.axes
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension(time_name, None)
        for name, centres in zip(places, (lat, lon), strict=True):
            file.createDimension(name, centres.size)
            file.createVariable(name, "f4", (name,))[:] = centres
        time = file.createVariable(time_name, "f8", (time_name,))
        time.units, time.calendar = model.units, model.calendar
        time[:] = model.time()
        if model.bounds:
            time.bounds = "time_bounds"
            file.createDimension("two", 2)
            ends = _ends()
            file.createVariable("time_bounds", "f8", (time_name, "two"))[:] = np.stack(
                [ends - np.resize(_DAYS, _MONTHS), ends], axis=1
            )
        stored = file.createVariable(
            variable, "f4", model.axes, chunksizes=(12, lat.size, lon.size), zlib=True, fill_value=_MISSING
        )
        stored.units = "kg C m-2 s-1"
        for year in demo_years():
            start = 12 * (year - _FIRST_YEAR)
            stored[start : start + 12] = share * _gpp(model, year, lat) * np.ones(lon.size)


def _gpp(model: _Model, year: int, lat: Floats) -> Floats:
    """Return an invented GPP (12, rows, 1) [kg m-2 s-1]: a season, weaker northwards, different from year to year."""
    season = np.exp(-(((np.arange(12) - 6) / 2.0) ** 2))
    strength = model.july * (1 + 0.05 * np.sin(year)) * (1 - 0.02 * (lat - 40))
    flux: Floats = season[:, None, None] * strength[:, None] / _SECONDS_PER_DAY / _G_PER_KG
    return flux
