"""Aggregates as people read them: maps in longitude and latitude, county tables, regional totals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.aggregate.sums import COVERS, Array, Sums
from pipeline.grid.latlon import LatLonGrid
from pipeline.variables import DAILY, FLUXES, Variable
from regions import Zone

ROUTES = ("cells", "counties", "0.0025", "0.5")  # four ways to the same regional total

# float64: totals of the maps are to equal those of the counties to 1e-9, and float32 keeps 6e-8.
AREA = Variable("area", "m2", "area with results", dtype="float64", cell_methods="area: sum")
MISSING_AREA = Variable(
    "missing_area",
    "m2",
    "area modelled, but without result",
    dtype="float64",
    cell_methods="area: sum",
)
_COVER = {"long_name": "area averaged over: modelled cells whole, or the part under the crop where it is grown"}


def annual_map(sums: Sums, grid: LatLonGrid, *, year: int) -> xr.Dataset:
    """Return sums over lat-lon cells as means of all fluxes and areas, (year, cover, lat, lon), latitude descending.

    A flux is NaN where there is no area; otherwise flux x `area` is the total [g yr-1].
    """
    layers = dict(zip((flux.name for flux in FLUXES), np.moveaxis(sums.means(), 1, 0), strict=True))
    layers |= {AREA.name: sums.area_m2, MISSING_AREA.name: sums.missing_m2}
    attributes = {variable.name: variable.attributes for variable in (*FLUXES, AREA, MISSING_AREA)}
    dims = ("year", "cover", "lat", "lon")
    data = {name: (dims, values[None], attributes[name]) for name, values in layers.items()}
    # Zarr v3 has a specification for strings of this type only.
    covers = np.array(COVERS, dtype=np.dtypes.StringDType())
    years = ("year", [year], {"long_name": "calendar year", "units": "1"})
    return xr.Dataset(data, {"year": years, "cover": ("cover", covers, _COVER), **_coordinates(grid)})


def daily_map(sums: Array, time: xr.DataArray, grid: LatLonGrid) -> xr.Dataset:
    """Return daily sums (area, then area x value of each of `DAILY`; time, lat, lon) as means and area."""
    area, totals = sums[0], sums[1:]
    means = np.divide(totals, area, out=np.full_like(totals, np.nan), where=area > 0)
    dims = ("time", "lat", "lon")
    data = {flux.name: (dims, mean, flux.attributes) for flux, mean in zip(DAILY, means, strict=True)}
    return xr.Dataset(data | {AREA.name: (dims, area, AREA.attributes)}, {"time": time, **_coordinates(grid)})


def county_table(counties: Sums, zones: Sequence[Zone], *, year: int) -> pd.DataFrame:
    """Return one row per county and cover: areas [m2], mean [g m-2 yr-1] and total [g yr-1] of every flux."""
    labels = pd.DataFrame({"fips": z.fips, "county": z.name, "state": z.state} for z in zones)
    frames = [labels.assign(year=year, cover=cover, **_columns(counties, index)) for index, cover in enumerate(COVERS)]
    return pd.concat(frames, ignore_index=True)


def regional_table(routes: Sums, *, year: int) -> pd.DataFrame:
    """Return one row per cover and route: areas, mean and total of every flux over the region, as in `county_table`."""
    labels = pd.DataFrame({"route": ROUTES})
    frames = [labels.assign(year=year, cover=cover, **_columns(routes, index)) for index, cover in enumerate(COVERS)]
    return pd.concat(frames, ignore_index=True)


def disagreement(routes: Sums) -> float:
    """Largest difference of a total between the first route and the others, relative to the total."""
    by_cells = routes.layers[..., :1]
    difference = np.abs(routes.layers - by_cells)
    relative = np.divide(difference, np.abs(by_cells), out=np.zeros_like(difference), where=difference > 0)
    return float(relative.max())


def _columns(sums: Sums, cover: int) -> dict[str, Array]:
    """Columns of one cover: areas, then mean and total of each flux."""
    columns = {"area_m2": sums.area_m2[cover], "missing_m2": sums.missing_m2[cover]}
    for index, flux in enumerate(FLUXES):
        columns[f"{flux.name}_g_m2"] = sums.means()[cover, index]
        columns[f"{flux.name}_g"] = sums.totals_g[cover, index]
    return columns


def _coordinates(grid: LatLonGrid) -> dict[str, tuple[str, Array, dict[str, str]]]:
    lat = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    lon = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
    return {"lat": ("lat", grid.lat, lat), "lon": ("lon", grid.lon, lon)}
