"""Geodatabases of gSSURGO with a few map units, components and horizons."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyogrio

PROPERTIES = {
    "dbovendry_r": 1.4, "dbthirdbar_r": 1.3, "sandtotal_r": 10.0, "silttotal_r": 65.0, "wthirdbar_r": 30.0,
    "wfifteenbar_r": 15.0, "ksat_r": 9.0, "om_r": 3.0, "ph1to1h2o_r": 6.5, "cec7_r": 20.0,
}  # fmt: skip


def horizon(component: str, top: int, bottom: int, **properties: float | None) -> dict[str, object]:
    """Return a row of chorizon, with the properties of a silt loam unless given."""
    key = f"{component}-{top}"
    return {"cokey": component, "chkey": key, "hzdept_r": top, "hzdepb_r": bottom, **PROPERTIES, **properties}


def write_geodatabase(
    path: Path,
    components: list[tuple[str, str, int | None]],
    horizons: list[dict[str, object]],
    fragments: tuple[tuple[str, int], ...] = (),
) -> Path:
    """Write a geodatabase, or a GeoPackage, with the tables that are read; components are (mukey, cokey, comppct_r)."""
    component = pd.DataFrame(components, columns=["mukey", "cokey", "comppct_r"])
    chfrags = pd.DataFrame(fragments, columns=["chkey", "fragvol_r"])
    chfrags["chfragskey"] = [str(row) for row in range(len(chfrags))]
    tables = {
        "mapunit": component[["mukey"]].drop_duplicates(),
        "component": component,
        "chorizon": pd.DataFrame(horizons),
        "chfrags": chfrags.astype({"chkey": str, "chfragskey": str}),
    }
    for name, table in tables.items():
        stored_as_int16 = table.columns.intersection(["comppct_r", "hzdept_r", "hzdepb_r", "fragvol_r"])
        table = table.astype(dict.fromkeys(stored_as_int16, "Int16"))
        pyogrio.write_dataframe(table, path, layer=name, driver="GPKG" if path.suffix == ".gpkg" else "OpenFileGDB")
    return path
