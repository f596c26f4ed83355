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


class Component(NamedTuple):
    """A component of a map unit: a soil series or an area without soil, and its share [%]."""

    name: str
    percent: int


class MapUnit(NamedTuple):
    """A map unit and its components; the remainder to 100 % is not surveyed."""

    symbol: str
    name: str
    components: tuple[Component, ...]


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
    # Horizons by series, in columns of the table chorizon; `fragments` is the volume of rock fragments [%].
    series = pd.read_csv(Path(__file__).with_suffix(".csv"))
    component = _components(mukeys, series=set(series["series"]))
    chorizon = _horizons(component, series=series)
    # Rows of chfrags exist for horizons with fragments only.
    rocky = chorizon[chorizon["fragments"] > 0]
    chfrags = pd.DataFrame({"fragvol_r": rocky["fragments"].astype(np.int16), "fragkind": "Mixed rock fragments"})
    return Tables(
        mapunit=mapunit.assign(mukind="Consociation", lkey="900000", mukey=mukeys),
        component=component,
        chorizon=chorizon.drop(columns="fragments"),
        chfrags=chfrags.assign(chkey=rocky["chkey"], chfragskey=_keys(len(rocky), first=93_000_001)),
    )


def _components(mukeys: list[str], *, series: set[str]) -> pd.DataFrame:
    rows = [(part, mukey) for unit, mukey in zip(MAP_UNITS, mukeys, strict=True) for part in unit.components]
    names = [part.name for part, _ in rows]
    return pd.DataFrame(
        {
            "comppct_r": np.array([part.percent for part, _ in rows], dtype=np.int16),
            "compname": names,
            "compkind": ["Series" if name in series else "Miscellaneous area" for name in names],
            "majcompflag": ["Yes" if part.percent > 50 else "No" for part, _ in rows],
            "mukey": [mukey for _, mukey in rows],
            "cokey": _keys(len(rows), first=91_000_001),
        }
    )


def _horizons(component: pd.DataFrame, *, series: pd.DataFrame) -> pd.DataFrame:
    """Table of horizons: every component has its own copy of those of its series, as in the product."""
    table = component[["compname", "cokey"]].merge(series, left_on="compname", right_on="series")
    cokey = table["cokey"]
    table = table.loc[:, "hzname":]
    thickness = (table["hzdepb_r"] - table["hzdept_r"]).astype(np.int16)
    clay = 100 - table["sandtotal_r"] - table["silttotal_r"]
    table = table.astype(dict.fromkeys(table.loc[:, "sandtotal_r":"cec7_r"], np.float32))
    table = table.astype({"hzdept_r": np.int16, "hzdepb_r": np.int16})
    table = table.assign(hzthk_r=thickness, claytotal_r=clay.astype(np.float32))
    return table.assign(cokey=cokey, chkey=_keys(len(table), first=92_000_001))


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
