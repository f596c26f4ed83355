"""Archives of two years around 40 N, 89.5 W in the products' formats, small enough to ingest in a second.

The region crosses the border of two MODIS tiles; it reads four NLDAS-2 cells, of which the north-eastern is undefined.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pyogrio
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.config import ArchiveSettings, RunFile, StoreSettings
from pipeline.execution import ExecutionSettings
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, SINUSOIDAL, Grid
from regions import load_region

YEARS = (2011, 2012)
LATITUDES = 39.6875 + 0.125 * np.arange(6)
LONGITUDES = -89.8125 + 0.125 * np.arange(6)
UNDEFINED = (3, 3)  # centre 40.0625 N, 89.4375 W
DAYS = range(107, 305, 10)  # days of year with a SLOPE file: the gaps between are just short enough to be filled

_REGION = """
title = "Test: a few tiles around 40 N, 89.5 W"
bbox = [-89.512, 39.988, -89.488, 40.012]
first_year = 2011
last_year = 2012
tile_cells = 8
"""


def write_archives(folder: Path) -> RunFile:
    """Write the region and its archives, and return a run file for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(_REGION)
    run_file = RunFile(
        region=str(folder / "small.toml"),
        archives=ArchiveSettings(
            nldas2=folder / "nldas2", slope=folder / "slope", soil=folder / "gssurgo", crop=folder / "cdl"
        ),
        stores=StoreSettings(
            inputs=str(folder / "inputs.icechunk"), cube=str(folder / "cube.icechunk"), exports=str(folder / "exports")
        ),
        execution=ExecutionSettings(scheduler="serial"),
    )
    for year in YEARS:
        write_year(run_file, year)
    write_soil(run_file.archives.soil)
    return run_file


def write_year(run_file: RunFile, year: int) -> None:
    """Write one year of climate, crops and GPP."""
    write_granules(run_file.archives.nldas2, year)
    write_crops(run_file.archives.crop, year)
    for day in DAYS:
        for modis in ("h11v04", "h11v05"):
            write_gpp(run_file, dt.date(year, 1, 1) + dt.timedelta(day - 1), modis, gpp_of(run_file, modis))


@cache
def domain(region: str) -> Domain:
    return domain_of(load_region(region))


def write_granules(
    folder: Path, year: int, *, skip: slice = slice(0, 0), warmer: tuple[int, int] | None = None, rain: float = 0.1
) -> None:
    """Write a year of hours in one file, without the hours `skip`, the cell `warmer` 1 K warmer, `rain` each hour."""
    hours = np.delete(_hours(dt.date(year, 1, 1), dt.date(year + 1, 1, 1)), skip)
    _write_hours(folder / f"NLDAS_FORA0125_H.A{year}.020.nc.SUB.nc4", hours, warmer=warmer, rain=rain)


def write_months(folder: Path, year: int) -> None:
    """Write the same year in one file a month."""
    starts = [dt.date(year, month, 1) for month in range(1, 13)] + [dt.date(year + 1, 1, 1)]
    for first, stop in pairwise(starts):
        _write_hours(folder / f"NLDAS_FORA0125_H.A{first:%Y%m}.020.nc", _hours(first, stop))


def _hours(first: dt.date, stop: dt.date) -> NDArray[np.int64]:
    """Hours since 1979 of the days from `first` up to `stop`."""
    return np.arange(*(24 * (day - dt.date(1979, 1, 1)).days for day in (first, stop)))


def _write_hours(
    path: Path, hours: NDArray[np.int64], *, warmer: tuple[int, int] | None = None, rain: float = 0.1
) -> None:
    path.parent.mkdir(exist_ok=True)
    cell = np.arange(36.0).reshape(6, 6)
    if warmer:
        cell[warmer] += 10
    day = 5 * np.cos(2 * np.pi * (hours % 24 - 20) / 24)[:, None, None]
    values = {"Tair": 285 + day + cell / 10, "Qair": 0.006 + day / 20_000, "PSurf": 98000.0, "SWdown": 200.0}
    values |= {"Wind_E": 3.0, "Wind_N": -4.0, "Rainf": rain}
    with netCDF4.Dataset(path, "w") as file:
        for name, coordinate in (("time", hours.astype(float)), ("lat", LATITUDES), ("lon", LONGITUDES)):
            file.createDimension(name, coordinate.size)
            file.createVariable(name, "f8", (name,))[:] = coordinate
        file["time"].units = "hours since 1979-01-01"
        for name, value in values.items():
            field = np.ma.array(np.broadcast_to(value, (hours.size, 6, 6)), mask=False)
            field[:, *UNDEFINED] = np.ma.masked
            file.createVariable(name, "f4", ("time", "lat", "lon"), fill_value=-9999.0)[:] = field


def part_of_modis_tile(grid: Grid, modis: str) -> Grid:
    """The rows of the grid that lie in a MODIS tile."""
    border = int(modis[4:]) * MODIS_TILE_CELLS
    first = max(grid.first_row, border)
    last = min(grid.first_row + grid.rows, border + MODIS_TILE_CELLS)
    return Grid(first, grid.first_col, last - first, grid.cols, grid.tile_cells)


def gpp_of(run_file: RunFile, modis: str) -> NDArray[np.int16]:
    """Stored GPP: 5 gC m-2 d-1 and a number that names the cell's column."""
    rows, cols = part_of_modis_tile(domain(run_file.region).grid, modis).shape
    return np.broadcast_to(5000 + np.arange(cols), (rows, cols)).astype(np.int16)


def write_gpp(run_file: RunFile, day: dt.date, modis: str, stored: NDArray[np.int16]) -> Path:
    path = run_file.archives.slope / f"GPP250m/{day.year}/GPP.{day:%Y.%m.%d}.{modis}.tif"
    transform = part_of_modis_tile(domain(run_file.region).grid, modis).transform
    return _write_raster(path, stored, transform=transform, crs=SINUSOIDAL)


def write_crops(folder: Path, year: int, *, pasture: slice = slice(0, 0)) -> None:
    """Corn in the west and soybean in the east in odd years, the other way round in even ones; pasture in some rows."""
    codes = np.ones((240, 240), np.uint8)
    codes[:, 120:] = 5
    codes[pasture] = 176
    _write_raster(folder / f"{year}_30m_cdls.tif", codes if year % 2 else codes[:, ::-1], transform=_albers(15))


def write_soil(folder: Path) -> None:
    """Two soils and a lake in the north-west: map unit 3, without horizons."""
    folder.mkdir(exist_ok=True)
    keys = np.ones((240, 240), np.float32)
    keys[:, 120:] = 2
    keys[:110, :110] = 3
    _write_raster(folder / "MapunitRaster_30m.tif", keys, transform=_albers(5), nodata=2147483648.0)
    horizons = {
        "chkey": ["11", "21"], "cokey": ["1", "2"], "hzdept_r": [0.0, 0.0], "hzdepb_r": [50.0, 50.0],
        "dbthirdbar_r": [1.4, 1.5], "dbovendry_r": [1.4, 1.5], "sandtotal_r": [10.0, 80.0],
        "silttotal_r": [65.0, 12.0], "wthirdbar_r": [31.0, 14.0], "wfifteenbar_r": [16.0, 6.0],
        "ksat_r": [9.0, 90.0], "om_r": [3.448, 1.724], "ph1to1h2o_r": [6.3, 5.8], "cec7_r": [22.0, 6.0],
    }  # fmt: skip
    tables = {
        "mapunit": {"mukey": ["1", "2", "3"]},
        "component": {"cokey": ["1", "2", "3"], "mukey": ["1", "2", "3"], "comppct_r": [100.0, 100.0, 100.0]},
        "chorizon": horizons,
        "chfrags": {"chfragskey": ["9"], "chkey": ["21"], "fragvol_r": [5.0]},
    }
    for number, (name, table) in enumerate(tables.items()):
        path = folder / "gSSURGO_TEST.gdb"
        pyogrio.write_dataframe(pd.DataFrame(table), path, layer=name, driver="OpenFileGDB", append=number > 0)


def _albers(edge_m: float) -> Affine:
    """Pixels of 30 m around the region, with edges at `edge_m` modulo 30 m."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:5070", always_xy=True).transform(-89.5, 40.0)
    west, north = (round(value / 30) * 30 + edge_m for value in (x - 3600, y + 3600))
    return Affine(30, 0, west, 0, -30, north)


def _write_raster(path: Path, values: NDArray[np.generic], **profile: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    options = {"crs": "EPSG:5070", "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=1, **options) as file:
        file.write(values, 1)
    return path
