"""gSSURGO: soil tables and rasters of map units -> the nine soil inputs of the network, 0-30 cm.

A map unit is a mixture of components, a component a stack of horizons. Means are taken over depth, then over
components, then over the map units of a cell, each time over those that have the value; what share had it is returned
beside it.

References
----------
Soil Survey Staff, Gridded Soil Survey Geographic (gSSURGO) Database, USDA-NRCS. The carbon stock is `soc0_30` of its
Value Added Look Up table (Valu1), except that components without data are left out here and count as 0 there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyogrio
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from pyogrio.errors import DataLayerError, DataSourceError

from model.features import SOIL_NAMES
from pipeline.errors import UserError
from pipeline.grid import Grid
from pipeline.sources.raster import cell_means, open_raster

DEPTH_CM = 30
OM_PER_SOC = 1.724  # van Bemmelen: organic matter holds 58 % carbon

Array = NDArray[np.float64]


class SoilSettings(BaseModel, frozen=True, extra="forbid"):
    """How gSSURGO is found and averaged."""

    geodatabases: tuple[str, ...] = Field(
        ("gSSURGO*.gdb", "gSSURGO*.zip"), min_length=1, description="geodatabase folders, or zip files that hold one"
    )
    rasters: str = Field("MapunitRaster*.tif", description="GeoTIFFs of map unit keys, at any depth of the folder")
    component_rule: Literal["weighted", "dominant"] = Field(
        "weighted", description="components of a map unit: mean weighted by their percentage, or the largest alone"
    )


class _Column(NamedTuple):
    """A column of the table chorizon: factor to the network's unit, and the limits that the product sets itself."""

    name: str
    factor: float
    low: float
    high: float


# By input of the network. Stored in g cm-3, % of fine earth, volumetric %, um s-1, weight %, -, meq per 100 g; limits
# as in the product's table mdstattabcols.
_COLUMNS = {
    "TBKDS": _Column("dbovendry_r", 1.0, 0.02, 2.6),
    "TSAND": _Column("sandtotal_r", 10.0, 0.0, 100.0),
    "TSILT": _Column("silttotal_r", 10.0, 0.0, 100.0),
    "TFC": _Column("wthirdbar_r", 0.01, 0.0, 2000.0),
    "TWP": _Column("wfifteenbar_r", 0.01, 0.0, 400.0),
    "TKSat": _Column("ksat_r", 3.6, 0.0, 705.0),
    "TSOC": _Column("om_r", 10.0 / OM_PER_SOC, 0.0, 100.0),
    "TPH": _Column("ph1to1h2o_r", 1.0, 1.8, 11.0),
    "TCEC": _Column("cec7_r", 1.0, 0.0, 400.0),
}
_MOIST_DENSITY = _Column("dbthirdbar_r", 1e6, 0.02, 2.6)  # to g m-3, for the stock


class _Table(NamedTuple):
    """A table of the geodatabase: its key and the columns read with it."""

    name: str
    key: str
    columns: tuple[str, ...]


_MAPUNIT = _Table("mapunit", "mukey", ())
_COMPONENT = _Table("component", "cokey", ("mukey", "comppct_r"))
_CHORIZON = _Table(
    "chorizon",
    "chkey",
    ("cokey", "hzdept_r", "hzdepb_r", _MOIST_DENSITY.name, *(column.name for column in _COLUMNS.values())),
)
_CHFRAGS = _Table("chfrags", "chfragskey", ("chkey", "fragvol_r"))


@dataclass(frozen=True)
class SoilArchive:
    """The files of a soil folder: geodatabases and map unit rasters, one or several of each (states)."""

    geodatabases: tuple[Path, ...]
    rasters: tuple[Path, ...]


@dataclass(frozen=True)
class MapUnits:
    """Soil of N map units, 0-30 cm, sorted by key; NaN where the survey has no value.

    Attributes
    ----------
    mukey_N
        Map unit keys.
    features_FN
        (9, N), features and units of `model.features.SOIL_NAMES`.
    soc_stock_N
        Soil organic carbon to 30 cm [gC m-2], rock fragments excluded.
    depth_N
        Depth to which all nine features are known [cm], 0 to 30: mean over the components that have them all.
    percent_N
        Percentage of the map unit in such components.
    """

    mukey_N: NDArray[np.int64]
    features_FN: Array
    soc_stock_N: Array
    depth_N: Array
    percent_N: Array


@dataclass(frozen=True)
class GridSoil:
    """Soil on a grid: means over map units with data, weighted by the area that each shares with the cell.

    Attributes
    ----------
    features_FYX
        (9, rows, cols) float32, features and units of `model.features.SOIL_NAMES`; NaN where no map unit has data.
    coverage_YX
        Share of the cell on map units with data, 0 to 1, of the feature with the least: 0 where one is NaN.
    soc_stock_YX, depth_YX, percent_YX
        Carbon stock [gC m-2], depth with data [cm] and components with data [%]; see `MapUnits`.
    unknown_mukeys
        Keys in the rasters that no geodatabase holds; their area counts as area without data.
    """

    features_FYX: NDArray[np.float32]
    coverage_YX: NDArray[np.float32]
    soc_stock_YX: NDArray[np.float32]
    depth_YX: NDArray[np.float32]
    percent_YX: NDArray[np.float32]
    unknown_mukeys: tuple[int, ...]


def find_archive(folder: Path, *, settings: SoilSettings) -> SoilArchive:
    """Return the geodatabases and rasters below `folder`; raises `UserError` where one of the two is absent."""
    geodatabases = sorted(path for pattern in settings.geodatabases for path in folder.rglob(pattern))
    rasters = sorted(folder.rglob(settings.rasters))
    if not geodatabases:
        raise UserError(f"{folder}: no geodatabase named {' or '.join(settings.geodatabases)}; put gSSURGO there")
    if not rasters:
        raise UserError(
            f"{folder}: no raster named {settings.rasters}; export the geodatabase's MapunitRaster as GeoTIFF"
        )
    return SoilArchive(tuple(geodatabases), tuple(rasters))


def read_map_units(geodatabases: Sequence[Path], *, settings: SoilSettings) -> MapUnits:
    """Return the soil of all map units in the geodatabases (`.gdb` folders, or `.zip` files that hold one).

    A mean over depth takes only horizons with the value, a mean over components only components with one.

    Raises
    ------
    UserError
        If a geodatabase is unreadable, lacks a table or column, or holds values outside their physical range, such as
        -1 for missing.
    """
    component, chorizon = _read(geodatabases, _COMPONENT), _read(geodatabases, _CHORIZON)
    if settings.component_rule == "dominant":
        largest_first = component.sort_values(["comppct_r", "cokey"], ascending=[False, True])
        component = largest_first.drop_duplicates("mukey")
    cokeys = pd.Index(component["cokey"])
    mukeys = pd.Index(np.sort(_read(geodatabases, _MAPUNIT)["mukey"].to_numpy(np.int64)))

    over_depth = _grouped_means(
        _horizon_values(chorizon, _read(geodatabases, _CHFRAGS)),
        weight_N=_thickness_cm(chorizon),
        group_N=cokeys.get_indexer(chorizon["cokey"]),
        groups=len(cokeys),
    )
    over_components = _grouped_means(
        _component_values(over_depth),
        weight_N=component["comppct_r"].to_numpy(np.float64),
        group_N=mukeys.get_indexer(component["mukey"].astype(np.int64)),
        groups=len(mukeys),
    )
    *features_FN, soc_stock_N, depth_N = over_components.mean_QG
    percent_N = np.where(np.isfinite(depth_N), over_components.weight_QG[-1], np.nan)
    return MapUnits(mukeys.to_numpy(), np.stack(features_FN), soc_stock_N, depth_N, percent_N)


def _read(geodatabases: Sequence[Path], table: _Table) -> pd.DataFrame:
    """Rows of the table from all geodatabases; neighbouring states may both hold a row of a survey area they share."""
    rows = pd.concat([_read_one(path, table) for path in geodatabases], ignore_index=True)
    return rows.drop_duplicates(table.key, ignore_index=True)


def _read_one(geodatabase: Path, table: _Table) -> pd.DataFrame:
    columns = [table.key, *table.columns]
    try:
        rows: pd.DataFrame = pyogrio.read_dataframe(
            _gdal_path(geodatabase), layer=table.name, columns=columns, read_geometry=False
        )
    except (DataSourceError, DataLayerError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{geodatabase}: table {table.name} is unreadable ({error}); unpack or load it again"
        ) from error
    absent = [column for column in columns if column not in rows]
    if absent:
        raise UserError(
            f"{geodatabase}: table {table.name} lacks {', '.join(absent)}; use an unaltered gSSURGO release"
        )
    for column in (*_COLUMNS.values(), _MOIST_DENSITY):
        if column.name in rows:
            _check_range(rows[column.name], column, geodatabase)
    return rows


def _gdal_path(geodatabase: Path) -> str:
    if geodatabase.suffix != ".zip":
        return str(geodatabase)
    folders = {name[: name.index(".gdb/") + 4] for name in zipfile.ZipFile(geodatabase).namelist() if ".gdb/" in name}
    if len(folders) != 1:
        raise UserError(f"{geodatabase}: holds {len(folders)} geodatabases (.gdb folders), not 1; unpack it")
    return f"/vsizip/{geodatabase}/{folders.pop()}"


def _check_range(stored: pd.Series[float], column: _Column, geodatabase: Path) -> None:
    outside = stored[(stored < column.low) | (stored > column.high)]
    if len(outside):
        raise UserError(
            f"{geodatabase}: chorizon.{column.name} holds {outside.iloc[0]:g} ({len(outside)} rows), outside "
            f"{column.low:g} to {column.high:g}; a missing value must be NULL"
        )


def _thickness_cm(chorizon: pd.DataFrame) -> Array:
    """Thickness of each horizon above 30 cm (H,) [cm]; 0 where a depth is missing."""
    top, bottom = chorizon["hzdept_r"].to_numpy(np.float64), chorizon["hzdepb_r"].to_numpy(np.float64)
    thickness: Array = np.minimum(bottom, DEPTH_CM) - np.maximum(top, 0)
    return np.nan_to_num(thickness).clip(min=0)


def _horizon_values(chorizon: pd.DataFrame, chfrags: pd.DataFrame) -> Array:
    """The nine features in units of the network, then organic carbon [gC m-3 of whole soil]: (10, H)."""
    columns = [_COLUMNS[name] for name in SOIL_NAMES]
    features_FH = np.stack([chorizon[column.name].to_numpy(np.float64) * column.factor for column in columns])
    fragments = chfrags.groupby("chkey")["fragvol_r"].sum().reindex(chorizon["chkey"], fill_value=0)
    fine_earth = 1 - fragments.to_numpy(np.float64).clip(max=100) / 100
    density = chorizon[_MOIST_DENSITY.name].to_numpy(np.float64) * _MOIST_DENSITY.factor
    carbon = features_FH[SOIL_NAMES.index("TSOC")] / 1000 * density * fine_earth
    return np.concatenate([features_FH, carbon[None]])


class _Means(NamedTuple):
    """Weighted means (Q, groups), NaN where a group has no value, and the sum of weights that had one."""

    mean_QG: Array
    weight_QG: Array


def _grouped_means(values_QN: Array, *, weight_N: Array, group_N: NDArray[np.intp], groups: int) -> _Means:
    """Means over the members of each group that have the value; group -1 is none."""
    known = group_N >= 0
    has_QN = np.isfinite(values_QN) & (weight_N > 0) & known

    def total(weights_QN: Array) -> Array:
        return np.stack([np.bincount(group_N[known], row[known], groups) for row in weights_QN])

    weight_QG = total(np.where(has_QN, weight_N, 0.0))
    sum_QG = total(np.where(has_QN, weight_N * values_QN, 0.0))
    mean_QG = np.divide(sum_QG, weight_QG, out=np.full_like(sum_QG, np.nan), where=weight_QG > 0)
    return _Means(mean_QG, weight_QG)


def _component_values(over_depth: _Means) -> Array:
    """Features, carbon stock [gC m-2] and depth at which the scarcest feature is known [cm] of components: (11, K)."""
    features_FK, carbon_K = over_depth.mean_QG[:-1], over_depth.mean_QG[-1]
    stock_K = carbon_K * over_depth.weight_QG[-1] / 100
    depth_K = over_depth.weight_QG[:-1].min(axis=0)
    return np.vstack([features_FK, stock_K, np.where(depth_K > 0, depth_K, np.nan)])


def soil_on_grid(rasters: Sequence[Path], *, units: MapUnits, grid: Grid) -> GridSoil:
    """Return the soil of every cell of `grid`; rasters (of states) add up.

    Raises
    ------
    UserError
        If a raster is unreadable, geographic (not in a plane), holds other than whole keys, overlaps another raster, or
        none of the keys is in `units`.
    """
    lookup = _Lookup(units)
    sums_LYX = np.zeros((lookup.layers, *grid.shape))
    for path in rasters:
        with open_raster(path) as source:
            sums_LYX += cell_means(source, grid=grid, layers=partial(lookup, path, source.nodata))
    if sums_LYX[-1].max() > 1 + 1e-6:
        raise UserError(f"rasters {', '.join(map(str, rasters))} overlap; keep one for each place")
    if lookup.unknown and not lookup.known:
        raise UserError(
            f"{rasters[0]}: none of its map unit keys, such as {min(lookup.unknown)}, is in the geodatabase; take "
            f"both from the same release"
        )
    return _grid_soil(sums_LYX, lookup)


class _Lookup:
    """Map unit keys to layers: the unit's quantities (0 where missing), the masks of what it has, and mapped or not.

    Attributes
    ----------
    mask_Q
        Which of the masks tells where a quantity is there; most quantities share one.
    layers
        How many layers there are.
    unknown, known
        Keys met that no unit has; whether any had one.
    """

    def __init__(self, units: MapUnits) -> None:
        values_QN = np.vstack([units.features_FN, units.soc_stock_N, units.depth_N, units.percent_N])
        has_QN = np.isfinite(values_QN)
        masks_MN, self.mask_Q = np.unique(has_QN, axis=0, return_inverse=True)
        # Two more columns, without data: keys that no unit has, and pixels without a key.
        self._table_LN = np.pad(np.concatenate([np.where(has_QN, values_QN, 0.0), masks_MN]), ((0, 1), (0, 2)))
        self._table_LN[-1, :-1] = 1.0
        self._mukey_N = units.mukey_N
        self.layers = len(self._table_LN)
        self.unknown: set[int] = set()
        self.known = False

    def __call__(self, path: Path, nodata: float | None, stored_YX: NDArray[Any]) -> Array:
        """Layers (L, height, width) of a window of stored keys; notes the keys that no unit has."""
        mapped = np.isfinite(stored_YX) & (stored_YX > 0)
        if nodata is not None:
            mapped &= stored_YX != nodata
        key_YX = np.where(mapped, stored_YX, 0).astype(np.int64)
        if (mapped & (key_YX != stored_YX)).any():
            raise UserError(f"{path}: holds values that are not whole; a raster of map unit keys is needed")
        place_YX = np.searchsorted(self._mukey_N, key_YX).clip(max=len(self._mukey_N) - 1)
        found = mapped & (self._mukey_N[place_YX] == key_YX)
        self.unknown.update(np.unique(key_YX[mapped & ~found]).tolist())
        self.known |= bool(found.any())
        without_data_YX = np.where(mapped, len(self._mukey_N), len(self._mukey_N) + 1)
        return self._table_LN[:, np.where(found, place_YX, without_data_YX)]


def _grid_soil(sums_LYX: Array, lookup: _Lookup) -> GridSoil:
    """Divide sums over the cell by the share that had the value."""
    quantities = lookup.mask_Q.size
    value_QYX, share_QYX = sums_LYX[:quantities], sums_LYX[quantities:-1][lookup.mask_Q]
    # Below a millionth of the cell a share is what cancelling contours leave of 0.
    share_QYX = np.where(share_QYX > 1e-6, share_QYX, 0.0)
    mean_QYX = np.divide(value_QYX, share_QYX, out=np.full_like(value_QYX, np.nan), where=share_QYX > 0)
    *features_FYX, soc_stock_YX, depth_YX, percent_YX = mean_QYX.astype(np.float32)
    coverage_YX = share_QYX[: len(SOIL_NAMES)].min(axis=0).clip(max=1).astype(np.float32)
    return GridSoil(
        np.stack(features_FYX), coverage_YX, soc_stock_YX, depth_YX, percent_YX, tuple(sorted(lookup.unknown))
    )
