"""Hourly NLDAS-2 files per second of our reading beside `xarray.open_mfdataset` over the same files, in the same run.

    python benchmarks/climate.py [--hours 96] [--repeats 3]

The files cover the full grid, deflated (netCDF) or packed (GRIB-1, where eccodes is installed) as the archive's, with
weather drawn at random, in a temporary folder; they are in the page cache when they are read. All run on one thread.
Ours includes the index and gives daily climate; the baseline stops at hourly values in memory, once as xarray opens
files by default and once with all its checks turned off. Rates are per second of processor time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask
import netCDF4
import numpy as np
import pyproj  # noqa: F401  # before eccodes, or Python crashes at its exit
import xarray as xr
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from pipeline.sources.nldas2.daily import read_days
from pipeline.sources.nldas2.hours import USED
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.product import COLS, ROWS, VARIABLES, NldasSettings, Window

MIDWEST = Window(84, 164, 116, 196)
WHOLE = Window(0, 0, ROWS, COLS)
FIRST = dt.datetime(2010, 6, 1)
LAND = 0.774  # share of cells with values in the product
# Typical value, spread in space, decimal digits of the packing.
DRAWN = {
    "Tair": (290, 6, 2), "Qair": (0.01, 0.002, 7), "PSurf": (93e3, 3e3, 2), "Wind_E": (1, 3, 2), "Wind_N": (1, 3, 2),
    "LWdown": (330, 40, 2), "CRainf_frac": (0.5, 0.1, 4), "CAPE": (900, 200, 3), "PotEvap": (0.1, 0.02, 4),
    "Rainf": (1, 0.2, 4), "SWdown": (400, 80, 3),
}  # fmt: skip
UNCHECKED = {
    "combine": "nested", "concat_dim": "time", "data_vars": "minimal", "coords": "minimal", "compat": "override",
    "join": "override",
}  # fmt: skip
Fields = dict[str, np.ndarray]


def draw_hour(seed: int) -> Fields:
    """Smooth fields of all variables, rounded as the product is; NaN where it has no values."""
    rng = np.random.default_rng(seed)
    water_YX = gaussian_filter(np.random.default_rng(0).normal(size=(ROWS, COLS)), 20)
    water_YX = water_YX > np.quantile(water_YX, LAND)
    fields = {}
    for name, (typical, spread, digits) in DRAWN.items():
        smooth_YX = gaussian_filter(rng.normal(size=(ROWS, COLS)), 3)
        values_YX = np.clip(smooth_YX / smooth_YX.std(), -4, 4) * spread + typical
        fields[name] = np.where(water_YX, np.nan, np.round(values_YX, digits))
    return fields


def write_netcdf(path: Path, stamp: dt.datetime, fields: Fields) -> None:
    """Write a granule of version 2.0."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 1), ("lat", ROWS), ("lon", COLS)):
            file.createDimension(name, size)
        axis = file.createVariable("time", "f8", ("time",))
        axis.units = "hours since 1979-01-01 00:00:00"
        axis[:] = netCDF4.date2num(stamp, axis.units)
        file.createVariable("lat", "f8", ("lat",))[:] = WHOLE.latitudes
        file.createVariable("lon", "f8", ("lon",))[:] = WHOLE.longitudes
        for name, field_YX in fields.items():
            variable = file.createVariable(name, "f4", ("time", "lat", "lon"), zlib=True, complevel=2, fill_value=-9999)
            variable[0] = np.nan_to_num(field_YX, nan=-9999)


def write_grib(path: Path, stamp: dt.datetime, fields: Fields) -> None:
    """Write a granule of version 002."""
    eccodes = importlib.import_module("eccodes")
    with path.open("wb") as file:
        for name, field_YX in fields.items():
            of, hourly = VARIABLES[name].grib, int(VARIABLES[name].hourly)
            reference = stamp - dt.timedelta(hours=hourly)
            header = {
                "table2Version": 130, "Ni": COLS, "Nj": ROWS,
                "latitudeOfFirstGridPoint": 25063, "longitudeOfFirstGridPoint": -124938,
                "latitudeOfLastGridPoint": 52938, "longitudeOfLastGridPoint": -67063,
                "iDirectionIncrement": 125, "jDirectionIncrement": 125, "jScansPositively": 1,
                "indicatorOfParameter": of.parameter, "indicatorOfTypeOfLevel": of.level_type, "level": of.level,
                "dataDate": int(f"{reference:%Y%m%d}"), "dataTime": 100 * reference.hour,
                "unitOfTimeRange": 1, "timeRangeIndicator": 4 * hourly, "P1": 0, "P2": hourly,
                "missingValue": -9999, "bitmapPresent": 1, "decimalPrecision": DRAWN[name][2],
            }  # fmt: skip
            message = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
            for key, value in header.items():
                eccodes.codes_set(message, key, value)
            eccodes.codes_set_values(message, np.nan_to_num(field_YX, nan=-9999.0).ravel())
            eccodes.codes_write(message, file)
            eccodes.codes_release(message)


def write_archives(folder: Path, *, hours: int, forms: list[str]) -> None:
    """Write one folder of hourly files per form."""
    for form in forms:
        (folder / form).mkdir()
    for hour in range(hours):
        stamp, fields = FIRST + dt.timedelta(hours=hour), draw_hour(hour)
        base = f"NLDAS_FORA0125_H.A{stamp:%Y%m%d.%H}00"
        write_netcdf(folder / "netCDF" / f"{base}.020.nc", stamp, fields)
        if "GRIB-1" in forms:
            write_grib(folder / "GRIB-1" / f"{base}.002.grb", stamp, fields)


def read_ours(folder: Path, *, hours: int) -> None:
    """Index the files and read their days."""
    settings, last = NldasSettings(), FIRST.date() + dt.timedelta(hours // 24 - 1)
    index = index_archive(folder, settings=settings)
    daily = read_days(index, first=FIRST.date(), last=last, window=MIDWEST, settings=settings)
    assert daily.missing_hours_TYX.min() == 0


def read_xarray(folder: Path, **options: object) -> None:
    """Load the same variables and cells of all hours."""
    rows = slice(MIDWEST.first_row, MIDWEST.first_row + MIDWEST.rows)
    cols = slice(MIDWEST.first_col, MIDWEST.first_col + MIDWEST.cols)
    with xr.open_mfdataset(sorted(folder.iterdir()), **options) as dataset:  # type: ignore[arg-type]
        dataset[[variable.name for variable in USED]].isel(lat=rows, lon=cols).load()


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median processor time of a call, which other work on the machine stretches less than wall time."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return statistics.median(times)


def main() -> None:
    """Print one row per way to read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=96, help="whole days")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    hours = chosen.hours // 24 * 24
    forms = ["netCDF"] + ["GRIB-1"] * (importlib.util.find_spec("eccodes") is not None)
    with tempfile.TemporaryDirectory() as temporary, dask.config.set(scheduler="synchronous"):
        folder = Path(temporary)
        write_archives(folder, hours=hours, forms=forms)
        netcdf = folder / "netCDF"
        ways: dict[str, Callable[[], object]] = {
            "xarray.open_mfdataset (baseline)": lambda: read_xarray(netcdf),
            "xarray.open_mfdataset, unchecked": lambda: read_xarray(netcdf, **UNCHECKED),
            **{f"agcarbon, {form}": lambda form=form: read_ours(folder / form, hours=hours) for form in forms},
        }
        sizes = {form: sum(path.stat().st_size for path in (folder / form).iterdir()) / hours for form in forms}
        rates = {way: hours / seconds(function, chosen.repeats) for way, function in ways.items()}
    table = Table(
        title=f"{hours} hourly files, {', '.join(f'{form} of {size / 1e6:.1f} MB' for form, size in sizes.items())}"
    )
    for heading in ("", "files/s per core", "x baseline"):
        table.add_column(heading, justify="left" if not heading else "right")
    baseline = next(iter(rates.values()))
    for way, rate in rates.items():
        table.add_row(way, f"{rate:.1f}", f"{rate / baseline:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
