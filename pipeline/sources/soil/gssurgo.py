"""gSSURGO, gNATSGO: soil tables and rasters of map units -> the network's nine soil inputs, 0-30 cm, and carbon stocks.

A map unit is a mixture of components, a component a stack of horizons. Means are taken over depth (weighted by
thickness), then over components (by percentage), then over the map units of a cell (by area), each time over those that
have the value; the share that had it is returned beside it. So a missing value never counts as 0. gNATSGO has the same
tables with the gaps of the survey filled, in a geodatabase or, since its release of 2026, a GeoPackage.

References
----------
Soil Survey Staff, Gridded Soil Survey Geographic (gSSURGO) Database, USDA-NRCS; tables and columns are described in its
SSURGO metadata. Carbon stocks are those of its Value Added Look Up table (Valu1), except that components without data
are left out here and count as 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.features import SOIL_NAMES
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.archive_paths import inside
from pipeline.sources.raster import Pixels, cell_means, open_raster, read_pixels
from pipeline.sources.soil.geodatabase import FILE, Column, Table, read_table
from pipeline.sources.soil.product import OM_PER_SOC, PROFILE_CM, QUANTITIES, TOPSOIL_CM, GridSoil, SoilSettings

Array = NDArray[np.float64]

# By input of the network. Stored in g cm-3, % of fine earth, volumetric %, um s-1, weight %, -, meq per 100 g; the
# factors convert to Mg m-3, g kg-1, m3 m-3, mm h-1, g kg-1 of organic carbon, -, cmol kg-1; limits as in the product's
# table mdstattabcols. "_r" are representative values, between "_l" (low) and "_h" (high).
_FEATURES = {
    "TBKDS": Column("dbovendry_r", 1.0, 0.02, 2.6),
    "TSAND": Column("sandtotal_r", 10.0, 0.0, 100.0),
    "TSILT": Column("silttotal_r", 10.0, 0.0, 100.0),
    "TFC": Column("wthirdbar_r", 0.01, 0.0, 2000.0),
    "TWP": Column("wfifteenbar_r", 0.01, 0.0, 400.0),
    "TKSat": Column("ksat_r", 3.6, 0.0, 705.0),
    "TSOC": Column("om_r", 10.0 / OM_PER_SOC, 0.0, 100.0),
    "TPH": Column("ph1to1h2o_r", 1.0, 1.8, 11.0),
    "TCEC": Column("cec7_r", 1.0, 0.0, 400.0),
}
# For the stocks, to g m-3: the density at 1/3 bar refers to the volume of the soil in the field. The network's TBKDS is
# the oven-dry one, which is larger where clays shrink.
_MOIST_DENSITY = Column("dbthirdbar_r", 1e6, 0.02, 2.6)
_TOP, _BOTTOM = Column("hzdept_r", 1.0, 0.0, 9999.0), Column("hzdepb_r", 1.0, 0.0, 9999.0)
_PERCENT = Column("comppct_r", 1.0, 0.0, 100.0)
_FRAGMENTS = Column("fragvol_r", 1.0, 0.0, 100.0)

_MAPUNIT = Table("mapunit", "mukey")
_COMPONENT = Table("component", "cokey", ("mukey",), (_PERCENT,))
_CHORIZON = Table("chorizon", "chkey", ("cokey",), (_TOP, _BOTTOM, _MOIST_DENSITY, *_FEATURES.values()))
_CHFRAGS = Table("chfrags", "chfragskey", ("chkey",), (_FRAGMENTS,), optional=True)

_PERCENT_PLACE = QUANTITIES.index("soil_percent")
_FILLS = (2**31 - 1, 2.0**31, 2**32 - 1)  # of int32, float32 and uint32, in copies that have lost the tag
_EXACT_IN_FLOAT32 = 2**24  # rasters of keys come as float32 too, which has no odd numbers beyond


@dataclass(frozen=True)
class SoilArchive:
    """The files of a soil folder: geodatabases and map unit rasters, one or several of each (states)."""

    geodatabases: tuple[Path, ...]
    rasters: tuple[Path, ...]
    settings: SoilSettings

    @property
    def files(self) -> tuple[Path, ...]:
        """Geodatabases and rasters."""
        return (*self.geodatabases, *self.rasters)

    @property
    def notes(self) -> Mapping[str, str]:
        """Provenance: product, rule for components, methods."""
        return {
            "product": f"{' and '.join(sorted({_product(path) for path in self.geodatabases}))}, USDA-NRCS",
            "statistic": "representative values (_r)",
            "component rule": self.settings.component_rule,
            "TFC, TWP, TKSat": "surveyed (wthirdbar_r, wfifteenbar_r, ksat_r)",
            "TSOC": f"om_r / {OM_PER_SOC:g}",
            "TCEC": "surveyed (cec7_r)",
            "soc_stock, soc_stock_200": "om_r / 1.724 x dbthirdbar_r x thickness, rock fragments excluded",
        }

    def reader(self) -> Callable[[Grid], GridSoil]:
        """Read the tables, and return the function that reads the soil of a grid."""
        units = read_map_units(self.geodatabases, settings=self.settings)
        return lambda grid: soil_on_grid(self.rasters, units=units, grid=grid)


@dataclass(frozen=True)
class MapUnits:
    """Soil of N map units, sorted by key.

    Attributes
    ----------
    mukey_N
        Map unit keys.
    values_QN
        (14, N) in the order and units of `soil.product.QUANTITIES`; NaN where the survey has no value. Depths
        are means over the components that have data. Percentages may add up to a little more than 100, as surveyed.
    overlapping_horizons
        Horizons that began above the bottom of the one before, and were cut there.
    """

    mukey_N: NDArray[np.int64]
    values_QN: Array
    overlapping_horizons: int = 0

    @property
    def features_FN(self) -> Array:
        """(9, N), features and units of `model.features.SOIL_NAMES`."""
        features_FN: Array = self.values_QN[: len(SOIL_NAMES)]
        return features_FN

    def quantity(self, name: str) -> Array:
        """Return one of `QUANTITIES` (N,)."""
        values_N: Array = self.values_QN[QUANTITIES.index(name)]
        return values_N


def _product(geodatabase: Path) -> str:
    return "gNATSGO" if geodatabase.name.startswith("gNATSGO") else "gSSURGO"


def find_archive(folder: Path, *, settings: SoilSettings) -> SoilArchive:
    """Return the geodatabases and rasters below `folder`; raises `UserError` if either is absent."""
    geodatabases = inside(folder, {path for pattern in settings.geodatabases for path in folder.rglob(pattern)})
    inside(folder, (file for path in geodatabases if path.is_dir() for file in path.rglob("*")))
    rasters = inside(folder, {path for pattern in settings.rasters for path in folder.rglob(pattern)})
    if not geodatabases:
        raise UserError(
            f"{folder}: no geodatabase named {' or '.join(settings.geodatabases)}; put gSSURGO or gNATSGO there"
        )
    if not rasters:
        raise UserError(
            f"{folder}: no raster named {' or '.join(settings.rasters)}; export the geodatabase's MapunitRaster as "
            f"GeoTIFF"
        )
    return SoilArchive(tuple(geodatabases), tuple(rasters), settings)


def read_map_units(geodatabases: Sequence[Path], *, settings: SoilSettings) -> MapUnits:
    """Return the soil of all map units in the geodatabases (`.gdb` folders, `.gpkg`, or `.zip` files that hold one).

    Means over depth include only horizons with the value, means over components only components with one; a component
    without percentage has no weight. A map unit that is in several geodatabases is taken from the first.

    Raises
    ------
    UserError
        If a geodatabase is unreadable, does not have a table or column, or contains values outside their physical
        range, such as -1 for missing.
    """
    component = _components(geodatabases, settings)
    horizons = _horizons(geodatabases)
    # Keys are strings in the survey: components and map units are grouped by their index in these.
    cokeys = pd.Index(component["cokey"])
    mukeys = pd.Index(np.sort(read_table(geodatabases, _MAPUNIT)["mukey"].to_numpy(np.int64)))
    of_component = partial(_grouped_means, group_N=cokeys.get_indexer(pd.Index(horizons.cokey_H)), groups=len(cokeys))
    topsoil = of_component(horizons.values_VH, weight_N=horizons.thickness_cm(TOPSOIL_CM))
    profile = of_component(horizons.values_VH[-1:], weight_N=horizons.thickness_cm(PROFILE_CM))
    over_components = _grouped_means(
        _component_values(topsoil, profile),
        weight_N=component["comppct_r"].to_numpy(np.float64),
        group_N=mukeys.get_indexer(pd.Index(component["mukey"].astype(np.int64))),
        groups=len(mukeys),
    )
    values_QN = over_components.mean_QG
    known_percent_N = over_components.weight_QG[_PERCENT_PLACE]  # the weights are the percentages
    values_QN[_PERCENT_PLACE] = np.where(known_percent_N > 0, known_percent_N, np.nan)
    return MapUnits(mukeys.to_numpy(), values_QN, horizons.overlapping)


def _components(geodatabases: Sequence[Path], settings: SoilSettings) -> pd.DataFrame:
    """Return the components of each map unit, all or the largest; of a unit in two releases, those of the first."""
    component = read_table(geodatabases, _COMPONENT)
    component = component[component[FILE] == component.groupby("mukey")[FILE].transform("min")]
    if settings.component_rule == "dominant":
        # Ties are broken by key, so that the choice does not depend on the order of the table.
        largest_first = component.sort_values(["comppct_r", "cokey"], ascending=[False, True])
        component = largest_first.drop_duplicates("mukey")
    return component


class _Horizons(NamedTuple):
    """Horizons without overlap: component, interval [cm], values (10, H) as `_horizon_values`, number that were cut."""

    cokey_H: NDArray[np.object_]
    top_H: Array
    bottom_H: Array
    values_VH: Array
    overlapping: int

    def thickness_cm(self, depth_cm: int) -> Array:
        """Return the thickness above a depth (H,) [cm].

        It is 0 or negative, and so without weight, for horizons below the depth, and where a depth is missing or top
        and bottom are swapped.
        """
        return np.nan_to_num(np.minimum(self.bottom_H, depth_cm) - self.top_H)


def _horizons(geodatabases: Sequence[Path]) -> _Horizons:
    """Return the horizons; where two overlap, the lower one is cut, so that no depth counts twice."""
    chorizon = read_table(geodatabases, _CHORIZON).sort_values(["cokey", _TOP.name, _BOTTOM.name], ignore_index=True)
    cokey = chorizon["cokey"]
    # Deepest bottom so far, not only that of the horizon before: one may lie within another.
    deepest = chorizon[_BOTTOM.name].fillna(0).groupby(cokey).cummax()
    above = deepest.groupby(cokey).shift(fill_value=0).to_numpy(np.float64)
    top, bottom = chorizon[_TOP.name].to_numpy(np.float64), chorizon[_BOTTOM.name].to_numpy(np.float64)
    overlapping = int(((top < above) & (top < bottom)).sum())
    values_VH = _horizon_values(chorizon, read_table(geodatabases, _CHFRAGS))
    return _Horizons(cokey.to_numpy(object), np.maximum(top, above), bottom, values_VH, overlapping)


def _horizon_values(chorizon: pd.DataFrame, chfrags: pd.DataFrame) -> Array:
    """Return the nine features in units of the network, then organic carbon [g C m-3 of soil and rock], (10, H).

    Rock fragments hold no fine earth: they lower the stock by their volume, and no other value.
    """
    columns = [_FEATURES[name] for name in SOIL_NAMES]
    features_FH = np.stack([chorizon[column.name].to_numpy(np.float64) * column.factor for column in columns])
    fragments = chfrags.groupby("chkey")["fragvol_r"].sum().reindex(chorizon["chkey"], fill_value=0)
    fine_earth = 1 - fragments.to_numpy(np.float64).clip(max=100) / 100
    density = chorizon[_MOIST_DENSITY.name].to_numpy(np.float64) * _MOIST_DENSITY.factor
    # g kg-1 of organic carbon / 1000 x g m-3 of fine earth
    carbon = features_FH[SOIL_NAMES.index("TSOC")] / 1000 * density * fine_earth
    return np.concatenate([features_FH, carbon[None]])


class _Means(NamedTuple):
    """Weighted means (Q, groups), NaN where a group has no value, and the sums of the weights with one."""

    mean_QG: Array
    weight_QG: Array


def _grouped_means(values_QN: Array, *, weight_N: Array, group_N: NDArray[np.intp], groups: int) -> _Means:
    """Return means over the members of each group that have the value; members of group -1 are in none."""
    known = group_N >= 0
    has_QN = np.isfinite(values_QN) & (weight_N > 0) & known

    def total(weights_QN: Array) -> Array:
        return np.stack([np.bincount(group_N[known], row[known], groups) for row in weights_QN])

    weight_QG = total(np.where(has_QN, weight_N, 0.0))
    sum_QG = total(np.where(has_QN, weight_N * values_QN, 0.0))
    mean_QG = np.divide(sum_QG, weight_QG, out=np.full_like(sum_QG, np.nan), where=weight_QG > 0)
    return _Means(mean_QG, weight_QG)


def _component_values(topsoil: _Means, profile: _Means) -> Array:
    """Return `QUANTITIES` of components (14, K); the percentage is 1 where all nine features are known.

    The mean over components, weighted by percentage, then makes of it the percentage of components with data.
    """
    features_FK, carbon_K = topsoil.mean_QG[:-1], topsoil.mean_QG[-1]
    depth_K = topsoil.weight_QG[:-1].min(axis=0)
    known_depth_K = np.where(depth_K > 0, depth_K, np.nan)
    depth_200_K = np.where(profile.weight_QG[0] > 0, profile.weight_QG[0], np.nan)
    return np.vstack(
        [
            features_FK,
            carbon_K * topsoil.weight_QG[-1] / 100,  # g m-3 x cm of horizons with data
            known_depth_K,
            np.where(depth_K > 0, 1.0, np.nan),
            profile.mean_QG[0] * depth_200_K / 100,
            depth_200_K,
        ]
    )


def soil_on_grid(rasters: Sequence[Path], *, units: MapUnits, grid: Grid) -> GridSoil:
    """Return the soil of every cell of `grid`; rasters (of states) add up.

    Raises
    ------
    UserError
        If a raster is unreadable, geographic (not in a plane), contains values that are not integers, overlaps another
        raster, or if none of the keys is in `units`.
    """
    lookup = _Lookup(units)
    sums_LYX = np.zeros((lookup.layers, *grid.shape))
    for path in rasters:
        with open_raster(path) as source:
            read = partial(read_pixels, source, missing=_FILLS)
            sums_LYX += cell_means(source, grid=grid, layers=partial(lookup, path), read=read)
    if sums_LYX[-1].max() > 1 + 1e-6:  # the last layer: where there is any key
        raise UserError(f"rasters {', '.join(map(str, rasters))} overlap; keep one for each place")
    if lookup.unknown and not lookup.known:
        raise UserError(
            f"{rasters[0]}: none of its map unit keys, such as {min(lookup.unknown)}, is in the geodatabase; use "
            f"both of the same release"
        )
    quantities = len(QUANTITIES)
    share_QYX = sums_LYX[quantities:-1][lookup.mask_Q]
    return GridSoil.of(sums_LYX[:quantities], share_QYX=share_QYX, unknown_mukeys=tuple(sorted(lookup.unknown)))


class _Lookup:
    """Map unit keys to layers to be averaged: the unit's quantities (0 where missing), their masks, mapped or not.

    A mean over cells is the integral of a quantity divided by the integral of its mask.

    Attributes
    ----------
    mask_Q
        Index of each quantity's mask; most quantities share one.
    layers
        Number of layers.
    unknown, known
        Keys without a map unit that were met; whether any key had one.
    """

    def __init__(self, units: MapUnits) -> None:
        values_QN = units.values_QN
        has_QN = np.isfinite(values_QN)
        masks_MN, self.mask_Q = np.unique(has_QN, axis=0, return_inverse=True)
        # Two more columns, without data: keys that no unit has, and pixels without a key.
        self._table_LN = np.pad(np.concatenate([np.where(has_QN, values_QN, 0.0), masks_MN]), ((0, 1), (0, 2)))
        self._table_LN[-1, :-1] = 1.0
        self._mukey_N = units.mukey_N
        self.layers = len(self._table_LN)
        self.unknown: set[int] = set()
        self.known = False

    def __call__(self, path: Path, pixels: Pixels) -> Array:
        """Return the layers (L, height, width) of a window of stored keys, and note the keys without a map unit."""
        stored_YX = pixels.values_YX
        mapped = ~pixels.missing_YX & (stored_YX > 0)
        key_YX = np.where(mapped, stored_YX, 0).astype(np.int64)
        if (mapped & (key_YX != stored_YX)).any():
            raise UserError(f"{path}: contains values that are not integers; a raster of map unit keys is needed")
        if stored_YX.dtype == np.float32 and key_YX.max(initial=0) > _EXACT_IN_FLOAT32:
            raise UserError(
                f"{path}: contains {key_YX.max()} as float32, which is exact only up to {_EXACT_IN_FLOAT32}; export "
                f"the keys as 32-bit integers"
            )
        place_YX = np.searchsorted(self._mukey_N, key_YX).clip(max=len(self._mukey_N) - 1)
        found = mapped & (self._mukey_N[place_YX] == key_YX)
        self.unknown.update(np.unique(key_YX[mapped & ~found]).tolist())
        self.known |= bool(found.any())
        without_data_YX = np.where(mapped, len(self._mukey_N), len(self._mukey_N) + 1)
        return self._table_LN[:, np.where(found, place_YX, without_data_YX)]
