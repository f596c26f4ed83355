"""Files of TRENDY-v9 models in the format of each, generated for tests."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline.grid.latlon import LatLonGrid
from pipeline.sources.trendy.fluxes import TrendyFluxes, read_trendy
from pipeline.sources.trendy.models import ModelTable, load_models
from pipeline.sources.trendy.regrid import Cells, cover_box

Array = NDArray[np.float64]


YEAR = 2008  # a leap year


WINDOW = cover_box((-96, 39, -92, 43))


STRENGTH = {
    "gpp": 6.0,
    "npp": 3.5,
    "ra": 2.5,
    "rh": 2.0,
    "nbp": 1.5,
}  # g C m-2 d-1; ra = gpp - npp, nbp = gpp - ra - rh


NOLEAP = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def rows(degree: float, *, poles: bool = False) -> Array:
    """Centres of rows from the south."""
    return np.linspace(-90, 90, round(180 / degree) + 1) if poles else np.arange(degree / 2 - 90, 90, degree)


def cols(degree: float, *, first: float = -180) -> Array:
    """Centres of columns of a ring whose first cell starts at `first`."""
    return first + degree / 2 + degree * np.arange(round(360 / degree))


@dataclass(frozen=True)
class Format:
    """Layout of a model's generated files: axes, time and peculiarities."""

    lat: Array
    lon: Array
    units: str = "days since 1700-01-01"
    calendar: str | None = "noleap"
    first_year: int = 1700
    time: Callable[[int], Array] | None = None  # values of the time axis from the number of months
    axes: tuple[str, str, str] = ("time", "lat", "lon")
    file: str = "{model}_S3_{variable}.nc"
    variables: tuple[str, ...] = ("gpp", "ra", "rh")
    stored: Callable[[str], str] = str
    february: int = 28
    fill: float | None = 1e20  # declared
    bounds: bool = False
    level: bool = False


def middles(count: int) -> Array:
    """Days of mid-month since a January of a calendar of 365 days."""
    ends = ends_of_months(count)
    return ends - np.resize(NOLEAP, count) / 2


def ends_of_months(count: int) -> Array:
    return np.cumsum(np.resize(NOLEAP, count)).astype(float)


def with_leap_days(count: int, first_year: int = 1700) -> Array:
    days = [calendar.monthrange(first_year + n // 12, n % 12 + 1)[1] for n in range(count)]
    return np.cumsum(days) - np.array(days) / 2


LONG = ("time", "latitude", "longitude")


GAUSS = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(96)[0]))


FORMATS = {
    "CABLE-POP": Format(
        np.arange(-59.5, 94, 1), cols(1), "months since 1700-1-16", "standard", time=np.arange, axes=LONG, february=29
    ),
    "CLASSIC": Format(GAUSS, cols(1.875, first=-0.9375), "days since 1700-12-31", "365_day", 1701, middles, LONG),
    "CLM5.0": Format(rows(180 / 191, poles=True), cols(1.25, first=-0.625), bounds=True, time=ends_of_months),
    "DLEM": Format(rows(0.5)[::-1], cols(0.5), "months since 1700-01-01", time=np.arange),
    "IBIS": Format(rows(1), cols(1), "month", None, time=lambda n: np.arange(n) + 1.0, axes=LONG, february=29),
    "ISAM": Format(rows(0.5), cols(0.5, first=0), "months since 1700-01-01", time=np.arange, stored=str.upper),
    "ISBA-CTRIP": Format(
        rows(1), cols(1), "days since 1700-01-01", "gregorian", time=with_leap_days, february=29,
        axes=("time_counter", "lat_FULL", "lon_FULL"),
    ),
    "JSBACH": Format(
        GAUSS[::-1], cols(1.875, first=-0.9375), "day as %Y%m%d.%f", "proleptic_gregorian", axes=LONG, february=29,
        time=lambda n: 1e4 * (1700 + np.arange(n) // 12) + 100.0 * (np.arange(n) % 12 + 1) + 15,
    ),
    "JULES-ES-1p0": Format(
        rows(1.25), cols(1.875, first=0), "seconds since 1700-01-01", "365_day", time=lambda n: middles(n) * 86400,
        axes=LONG, variables=("gpp", "npp", "rh"), stored=lambda name: "npp_nlim" if name == "npp" else name,
    ),
    "LPJ-GUESS": Format(rows(0.5), cols(0.5), time=middles, axes=LONG, variables=("gpp", "ra", "nbp")),
    "LPJwsl": Format(rows(0.5), cols(0.5), "days since 1700-01-01", "365_day", file="LPJ_S3_{variable}.nc", fill=None),
    "LPX-Bern": Format(rows(0.5), cols(0.5), axes=LONG, fill=np.nan),
    "OCN": Format(rows(1)[::-1], cols(1), calendar="365_day", axes=LONG),
    "ORCHIDEE": Format(rows(0.5)[::-1], cols(0.5), axes=LONG, level=True),
    "ORCHIDEE-CNP": Format(rows(2)[::-1], cols(2), "days since 1701-01-01", first_year=1701),
    "ORCHIDEEv3": Format(rows(0.5)[::-1], cols(0.5), axes=("time_counter", "lat", "lon")),
    "SDGVM": Format(
        rows(1), cols(1), "hours since 1900-01-01", "360_day", 1900, axes=LONG, february=29,
        time=lambda n: 720.0 * np.arange(n) + 360,
    ),
    "VISIT": Format(
        rows(0.5)[::-1], cols(0.5), "years since AD 0-Jan-1st", None, 1860, february=29,
        time=lambda n: 1860 + (np.arange(n) + 0.5) / 12,
    ),
    "YIBs": Format(
        rows(1, poles=True), cols(1), "years AD", None, file="YIBs_S3_Monthly_{variable}.nc", axes=LONG, february=29,
        time=lambda n: 1700 + (np.arange(n) + 0.5) / 12,
    ),
}  # fmt: skip


def season() -> Array:
    """Months of the year differ by 4 % and more."""
    return 1 + 0.05 * np.arange(12) * (-1.0) ** np.arange(12)


def pattern(cells: Cells) -> Array:
    """Exact means over cells of a pattern of the globe (rows, cols): 1 + sin(lat) / 10 + cos(lon) / 20."""
    sine, edges = np.sin(np.radians(cells.lat_edges)), np.radians(cells.lon_edges)
    along = np.diff(np.sin(edges)) / np.diff(edges)
    return 1 + (sine[:-1] + sine[1:])[:, None] / 20 + along / 20


def truth(variable: str, *, february: int, grid: LatLonGrid = WINDOW) -> Array:
    """The flux on the window (12, rows, cols) [g C m-2 month-1]."""
    days = NOLEAP + (february - 28) * (np.arange(12) == 1)
    return STRENGTH[variable] * (season() * days)[:, None, None] * pattern(Cells.of(grid))


def rate(variable: str, cells: Cells) -> Array:
    """The flux on a model's cells (12, rows, cols) [kg m-2 s-1]."""
    return STRENGTH[variable] / 86400 / 1000 * season()[:, None, None] * pattern(cells)


def write(path: Path, form: Format, variable: str, values: Array | None = None) -> Path:
    """One file of all its months, of which only those of 2008 between 30 N and 60 N are filled in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = Cells.around(form.lat, lon=form.lon, place="generated")
    values = rate(variable, cells) if values is None else values
    band = np.flatnonzero((form.lat > 30) & (form.lat < 60))
    band = slice(band.min(), band.max() + 1)
    count, start = 12 * (2020 - form.first_year), 12 * (YEAR - form.first_year)
    time, lat, lon = form.axes
    axes = {time: None, **({"level": 1} if form.level else {}), lat: form.lat.size, lon: form.lon.size}
    with netCDF4.Dataset(path, "w") as file:
        for name, size in axes.items():
            file.createDimension(name, size)
        for name, centres in ((lat, form.lat), (lon, form.lon)):
            file.createVariable(name, "f4", (name,))[:] = centres
        write_time(file, form, count)
        chunks = tuple({time: 12, lat: 10, lon: form.lon.size}.get(name, 1) for name in axes)
        stored = file.createVariable(
            form.stored(variable), "f4", tuple(axes), chunksizes=chunks, fletcher32=True, fill_value=form.fill
        )
        stored.units = "kg C m-2 s-1"
        stored[(slice(start, start + 12), *([0] if form.level else []), band)] = values[:, band]
    return path


def write_time(file: netCDF4.Dataset, form: Format, count: int) -> None:
    time = file.createVariable(form.axes[0], "f8", (form.axes[0],))
    time.units = form.units
    if form.calendar is not None:
        time.calendar = form.calendar
    time[:] = (form.time or middles)(count)
    if form.bounds:
        time.bounds = "time_bounds"
        file.createDimension("two", 2)
        ends = ends_of_months(count)
        file.createVariable("time_bounds", "f8", ("time", "two"))[:] = np.stack(
            [ends - np.resize(NOLEAP, count), ends], 1
        )


def write_model(folder: Path, model: str, form: Format | None = None) -> Path:
    form = form or FORMATS[model]
    for variable in form.variables:
        name = form.file.format(model=model, variable=form.stored(variable))
        write(folder / model / "S3" / name, form, variable)
    return folder


def read(folder: Path, model: str, table: ModelTable | None = None) -> TrendyFluxes:
    return read_trendy(folder, model=model, years=[YEAR], window=WINDOW, table=table)


def table_with(model: str, **entries: object) -> ModelTable:
    """The shipped table with changed entries of one model."""
    table = load_models().model_dump()
    table["models"][model] |= entries
    return ModelTable.model_validate(table)
