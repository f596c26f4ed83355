"""Soil survey of the demo: a geodatabase of gSSURGO's tables and a raster of its map units.

The soils are series of central Illinois with typical, rounded properties; keys and map are invented. As in the survey,
properties are missing in single horizons, map units are mixed of components that do not add up to 100 %, and towns and
water have components without horizons.

References
----------
Soil Survey Staff, Gridded Soil Survey Geographic (gSSURGO) Database, USDA-NRCS; its table Valu1 has `soc0_30`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyogrio
import rasterio

from model.synthetic.soils import Soils
from pipeline.demo.area import ALBERS, Pixels
from pipeline.demo.landscape import Codes

MISSING = float("nan")
FIRST_MUKEY = 900_001
NODATA = 2_147_483_648.0  # of the product's raster; one above the largest 32-bit integer
OM_PER_SOC = 1.724  # van Bemmelen factor
DEPTH_CM = 30
NETWORK_UNITS = {
    "dbovendry_r": 1.0,
    "sandtotal_r": 10.0,
    "silttotal_r": 10.0,
    "wthirdbar_r": 0.01,
    "wfifteenbar_r": 0.01,
    "ksat_r": 3.6,
    "om_r": 10 / OM_PER_SOC,
    "ph1to1h2o_r": 1.0,
    "cec7_r": 1.0,
}
"""Factors from the units of the survey to those of the network, in the order of its soil features."""


class Horizon(NamedTuple):
    """A soil horizon in columns and units of the table chorizon, whose names end in `_r`."""

    hzname: str
    hzdept: int
    hzdepb: int
    sandtotal: float
    silttotal: float
    om: float
    dbthirdbar: float
    dbovendry: float
    ksat: float
    wthirdbar: float
    wfifteenbar: float
    ph1to1h2o: float
    cec7: float
    fragments: int = 0
    """Volume of rock fragments [%], a column of the table chfrags."""


class Component(NamedTuple):
    """A component of a map unit: a soil series or an area without soil, and its share [%]."""

    name: str
    percent: int


class MapUnit(NamedTuple):
    """A map unit and its components; the remainder to 100 % is not surveyed."""

    symbol: str
    name: str
    components: tuple[Component, ...]


SERIES = {
    "Sable": (
        Horizon("Ap", 0, 20, 3, 67, 5.0, 1.30, 1.42, 9.0, 36.5, 20.0, 6.5, 28.0),
        Horizon("A", 20, 48, 3, 66, 4.2, 1.32, 1.44, 9.0, 36.0, 20.0, 6.6, 27.0),
        Horizon("Bg", 48, 110, 3, 67, 1.2, 1.40, 1.52, 9.0, 34.0, 19.5, 7.0, 22.0),
    ),
    "Ipava": (
        Horizon("Ap", 0, 23, 4, 72, 4.3, 1.35, 1.45, 9.0, 33.0, 16.5, 6.3, 22.5),
        Horizon("A", 23, 46, 4, 68, 3.4, 1.35, 1.46, 9.0, 33.5, 17.5, 6.2, 22.0),
        Horizon("Bt", 46, 120, 3, 60, 0.9, 1.38, 1.55, 2.8, 34.0, 21.0, 6.6, 24.0),
    ),
    "Tama": (
        Horizon("Ap", 0, 18, 3, 73, 3.5, 1.35, 1.44, 9.0, 32.5, 15.8, 6.3, 20.5),
        Horizon("A", 18, 36, 3, 70, 2.6, 1.36, 1.46, 9.0, 32.5, 16.8, 6.1, 20.0),
        Horizon("Bt", 36, 115, 3, 68, 0.8, 1.38, 1.50, 9.0, 32.0, 17.5, 6.0, 20.0),
    ),
    "Rozetta": (
        Horizon("Ap", 0, 17, 4, 74, 1.9, 1.40, 1.48, 9.0, 31.0, 14.0, 6.1, 15.5),
        Horizon("Bt", 17, 110, 4, 66, 0.6, 1.45, 1.56, 9.0, 32.0, 18.0, 5.6, 19.0),
    ),
    "Sawmill": (
        Horizon("Ap", 0, 25, 8, 60, 5.2, 1.30, 1.41, 9.0, 35.5, 20.0, 7.0, 30.0),
        Horizon("A", 25, 75, 8, 60, 4.0, 1.35, 1.46, 9.0, 35.0, 20.0, 7.1, 28.0),
        Horizon("Bg", 75, 150, 12, 58, 1.5, 1.40, 1.52, 9.0, 33.0, 19.0, 7.2, 23.0),
    ),
    "Plainfield": (
        Horizon("Ap", 0, 20, 90, 6, 0.9, 1.52, 1.55, 92.0, 9.0, 3.2, 5.8, 4.8, 2),
        Horizon("Bw", 20, 70, 92, 5, 0.4, 1.58, 1.60, 92.0, 7.0, 2.4, 5.6, MISSING, 4),
        Horizon("C", 70, 150, 95, 3, 0.2, 1.60, MISSING, 92.0, 5.5, 1.8, 5.8, MISSING, 6),
    ),
    "Onarga": (
        Horizon("Ap", 0, 22, 60, 27, 2.4, 1.46, 1.52, 28.0, 20.0, 9.0, 6.1, 11.5),
        Horizon("A", 22, 38, 62, 25, 1.8, 1.48, MISSING, 28.0, 19.0, 8.8, 6.0, 10.5),
        Horizon("Bt", 38, 95, 58, 24, 0.7, 1.52, 1.58, 28.0, 20.5, 11.0, 5.9, 11.0),
    ),
}

MAP_UNITS = (
    MapUnit("68A", "Sable silty clay loam, 0 to 2 percent slopes", (Component("Sable", 92), Component("Ipava", 6))),
    MapUnit("43A", "Ipava silt loam, 0 to 2 percent slopes", (Component("Ipava", 90), Component("Sable", 8))),
    MapUnit("36B", "Tama silt loam, 2 to 5 percent slopes", (Component("Tama", 91), Component("Ipava", 5))),
    MapUnit("279C2", "Rozetta silt loam, 5 to 10 percent slopes", (Component("Rozetta", 88), Component("Tama", 7))),
    MapUnit("3107A", "Sawmill silty clay loam, 0 to 2 percent slopes, frequently flooded", (Component("Sawmill", 95),)),
    MapUnit("54B", "Plainfield sand, 1 to 7 percent slopes", (Component("Plainfield", 90), Component("Onarga", 5))),
    MapUnit("150B", "Onarga sandy loam, 2 to 5 percent slopes", (Component("Onarga", 88), Component("Plainfield", 9))),
    MapUnit("533", "Urban land", (Component("Urban land", 100),)),
    MapUnit("W", "Water", (Component("Water", 100),)),
)
"""Map units in the order of the constants of `pipeline.demo.landscape`; the last two have no horizons."""


class Tables(NamedTuple):
    """The tables of a gSSURGO geodatabase with soil properties, under their names."""

    mapunit: pd.DataFrame
    component: pd.DataFrame
    chorizon: pd.DataFrame
    chfrags: pd.DataFrame


def survey_tables() -> Tables:
    """Return the tables of the survey; all keys are strings, as in the product."""
    mukeys = [str(FIRST_MUKEY + index) for index in range(len(MAP_UNITS))]
    mapunit = pd.DataFrame({"musym": [unit.symbol for unit in MAP_UNITS], "muname": [unit.name for unit in MAP_UNITS]})
    component = _components(mukeys)
    chorizon = _horizons(component)
    # Rows of chfrags exist for horizons with fragments only.
    rocky = chorizon[chorizon["fragments"] > 0]
    chfrags = pd.DataFrame({"fragvol_r": rocky["fragments"].astype(np.int16), "fragkind": "Mixed rock fragments"})
    return Tables(
        mapunit=mapunit.assign(mukind="Consociation", lkey="900000", mukey=mukeys),
        component=component,
        chorizon=chorizon.drop(columns="fragments"),
        chfrags=chfrags.assign(chkey=rocky["chkey"], chfragskey=_keys(len(rocky), first=93_000_001)),
    )


def _components(mukeys: list[str]) -> pd.DataFrame:
    rows = [(part, mukey) for unit, mukey in zip(MAP_UNITS, mukeys, strict=True) for part in unit.components]
    names = [part.name for part, _ in rows]
    return pd.DataFrame(
        {
            "comppct_r": np.array([part.percent for part, _ in rows], dtype=np.int16),
            "compname": names,
            "compkind": ["Series" if name in SERIES else "Miscellaneous area" for name in names],
            "majcompflag": ["Yes" if part.percent > 50 else "No" for part, _ in rows],
            "mukey": [mukey for _, mukey in rows],
            "cokey": _keys(len(rows), first=91_000_001),
        }
    )


def _horizons(component: pd.DataFrame) -> pd.DataFrame:
    """Table of horizons: every component has its own copy of those of its series, as in the product."""
    keyed = zip(component["compname"], component["cokey"], strict=True)
    rows = [(horizon, cokey) for name, cokey in keyed for horizon in SERIES.get(name, ())]
    table = pd.DataFrame([horizon for horizon, _ in rows])
    thickness = (table["hzdepb"] - table["hzdept"]).astype(np.int16)
    clay = 100 - table["sandtotal"] - table["silttotal"]
    table = table.astype({"hzdept": np.int16, "hzdepb": np.int16} | dict.fromkeys(Horizon._fields[3:13], np.float32))
    table = table.assign(hzthk=thickness, claytotal=clay.astype(np.float32))
    table = table.rename(columns={name: f"{name}_r" for name in table.columns.difference(["hzname", "fragments"])})
    return table.assign(cokey=[cokey for _, cokey in rows], chkey=_keys(len(rows), first=92_000_001))


def _keys(length: int, *, first: int) -> list[str]:
    return [str(first + index) for index in range(length)]


def carbon_table(tables: Tables) -> pd.DataFrame:
    """Return columns of the table Valu1 for soil organic carbon of 0-30 cm: stock [g C m-2], depth [cm], share [%]."""
    rock = tables.chfrags.groupby("chkey")["fragvol_r"].sum()
    horizon = tables.chorizon.assign(rock=tables.chorizon["chkey"].map(rock).fillna(0))
    thickness = (horizon["hzdepb_r"].clip(upper=DEPTH_CM) - horizon["hzdept_r"]).clip(lower=0)
    carbon = horizon["om_r"] / 100 / OM_PER_SOC * horizon["dbthirdbar_r"] * 1e6 * (1 - horizon["rock"] / 100)
    by_horizon = pd.DataFrame({"cokey": horizon["cokey"], "soc0_30": thickness / 100 * carbon, "tk0_30s": thickness})
    stocks = tables.component.merge(by_horizon.groupby("cokey").sum(), on="cokey")
    share = stocks.groupby("mukey")["comppct_r"].sum()
    weighted = stocks[["soc0_30", "tk0_30s"]].mul(stocks["comppct_r"], axis=0)
    means = weighted.groupby(stocks["mukey"]).sum().div(share, axis=0)
    table = means.assign(soc0_30=means["soc0_30"].round()).astype(np.float32).reindex(tables.mapunit["mukey"])
    return table.assign(musumcpcts=share.reindex(table.index, fill_value=0).astype(np.int16)).reset_index()


def survey_soils(tables: Tables) -> Soils:
    """Return the soils of the map units with horizons, in the order of MAP_UNITS: means over 0-30 cm."""
    horizon, component = tables.chorizon, tables.component
    thickness = (horizon["hzdepb_r"].clip(upper=DEPTH_CM) - horizon["hzdept_r"]).clip(lower=0)
    values = pd.DataFrame({column: horizon[column] * factor for column, factor in NETWORK_UNITS.items()})
    by_component = _weighted_means(values, weight=thickness, by=horizon["cokey"])
    shares = component.set_index("cokey").loc[by_component.index]
    by_unit = _weighted_means(by_component, weight=shares["comppct_r"], by=shares["mukey"])
    return Soils(*by_unit.to_numpy(np.float64).T)


def _weighted_means(values: pd.DataFrame, *, weight: pd.Series, by: pd.Series) -> pd.DataFrame:
    """Weighted means of the rows with a value in each group; missing properties do not count, as in the survey."""
    weights = values.notna().mul(weight, axis=0)
    return (values * weights).groupby(by).sum() / weights.groupby(by).sum()


def write_geodatabase(path: Path, tables: Tables) -> None:
    """Write the tables and Valu1 as a file geodatabase, replacing an existing one."""
    if path.exists():
        shutil.rmtree(path)  # GDAL would append the rows to its tables
    layers = tables._asdict() | {"Valu1": carbon_table(tables)}
    for number, (name, table) in enumerate(layers.items()):
        pyogrio.write_dataframe(table, path, layer=name, driver="OpenFileGDB", append=number > 0)


def write_mukey_raster(path: Path, *, pixels: Pixels, soil: Codes) -> None:
    """Write the keys of the map units `soil` (n,), an index of MAP_UNITS, on the pixels."""
    # Keys as 32-bit floats, which hold them exactly up to 2^24: a trap for readers that expect integers.
    keys = pixels.paint((FIRST_MUKEY + soil.astype(np.int64)).astype(np.float32), outside=int(NODATA))
    rows, cols = keys.shape
    place = {"height": rows, "width": cols, "crs": ALBERS, "transform": pixels.transform}
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "nodata": NODATA, "compress": "deflate"}
    with rasterio.open(path, "w", **place, **profile) as raster:
        raster.write(keys, 1)
        raster.update_tags(TIFFTAG_IMAGEDESCRIPTION="synthetic map unit keys, agcarbon demo")
