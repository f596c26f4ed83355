"""Harvested grain of single fields by year: CSV files with the columns year, crop, grain_t_ha and location.

Grain is in t ha-1 at the moisture of the market, 15.5 % for corn and 13 % for soybean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model.features import CORN, SOYBEAN
from pipeline.errors import UserError
from pipeline.sources.quickstats import GRAINS

COLUMNS = ["year", "crop", "grain_t_ha", "location"]
CODES = {"corn": CORN, "maize": CORN, "soybean": SOYBEAN}
MOISTURE = {CORN: 0.155, SOYBEAN: 0.13}
MOST_T_HA = 25.0  # above the highest yields of irrigated corn; a file in bushels per acre has larger values
G_M2_PER_T_HA = 100.0


def read_grain(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the carbon of harvested grain, one row per field and year: site, year, crop (code) and grain_gc_m2.

    grain_gc_m2 is in g C m-2 yr-1, with the carbon content of dry matter of `pipeline.sources.quickstats`.

    Raises
    ------
    UserError
        If a file is not readable, a column is missing, a crop is unknown, a value is not in t ha-1, or a year is given
        twice.
    """
    tables = [_read(path) for path in paths]
    if not tables:
        return pd.DataFrame({"site": [], "year": [], "crop": [], "grain_gc_m2": []})
    table = pd.concat(tables, ignore_index=True)
    twice = table[table.duplicated(["site", "year"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(f"grain of {first['site']} in {first['year']} is given twice; give each year once")
    return table


def _read(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype={"location": str, "crop": str})
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error})") from None
    absent = [name for name in COLUMNS if name not in raw]
    if absent:
        raise UserError(f"{path}: missing columns {absent}; give {', '.join(COLUMNS)}")
    crop, grain = raw["crop"].str.strip().str.lower().map(CODES), pd.to_numeric(raw["grain_t_ha"], errors="coerce")
    for faulty, name, meaning in (
        (crop.isna(), "crop", f"one of {', '.join(CODES)}"),
        (~grain.between(0, MOST_T_HA), "grain_t_ha", f"between 0 and {MOST_T_HA:g} t ha-1"),
    ):
        if faulty.any():
            row = int(np.flatnonzero(faulty)[0])
            raise UserError(f"{path}: {name} {raw[name].iloc[row]} in row {row + 1} is not {meaning}; correct it")
    dry = {code: (1 - MOISTURE[code]) * GRAINS[code].carbon * G_M2_PER_T_HA for code in MOISTURE}
    return pd.DataFrame(
        {"site": raw["location"], "year": raw["year"].astype(int), "crop": crop, "grain_gc_m2": grain * crop.map(dry)}
    )
