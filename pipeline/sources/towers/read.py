"""Flux towers of every kind, from CSV files or zip archives as downloaded.

`read_tower`, `read_tower_months`, `read_tower_weather`, `read_annual_nee` and `tower_name` are the functions for other
packages; `Tower`, `TowerMonths` and `TowerWeather` are results, `Partitioning` is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.ameriflux import is_base, read_base
from pipeline.sources.towers.annual_nee import annual_nee
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.fluxnet import Partitioning, read_fluxnet
from pipeline.sources.towers.months import TowerMonths, read_months
from pipeline.sources.towers.tables import DAYS_FIRST, MONTHS, STEPS_FIRST, TowerFile, TowerTable, find_tower_file
from pipeline.sources.towers.weather import TowerWeather, read_weather

__all__ = [
    "Partitioning",
    "Tower",
    "TowerMonths",
    "TowerWeather",
    "read_annual_nee",
    "read_tower",
    "read_tower_months",
    "read_tower_weather",
    "tower_name",
]


def tower_name(path: Path) -> str:
    """Return the name of a tower, such as US-Ne1, from the name of its file; the file need not exist."""
    return TowerFile(path).site


def read_tower(*paths: Path, partitioning: Partitioning = "NT") -> Tower:
    """Return the days of a tower's file: FLUXNET (DD, HH or HR) or AmeriFlux BASE (HH or HR), as CSV or in its zip.

    Several files of one tower, of different years, are joined. `partitioning` chooses between the two partitionings of
    NEE in FLUXNET files; BASE files have one at most.

    Raises
    ------
    UserError
        If no table of fluxes is found, if it is refused by `read_fluxnet` or `read_base`, or if files are of different
        towers or share days.
    """
    towers = [_read_tower(path, partitioning=partitioning) for path in paths]
    first = towers[0]
    other = next((tower for tower in towers if tower.site != first.site), None)
    if other:
        raise UserError(f"{paths[0]} is of {first.site}, {paths[towers.index(other)]} of {other.site}; give one tower")
    reading = tuple(dict.fromkeys(note for tower in towers for note in tower.reading))
    return replace(first, days=_joined([tower.days for tower in towers], paths), reading=reading)


def _read_tower(path: Path, *, partitioning: Partitioning) -> Tower:
    table = TowerTable.of(find_tower_file(path))
    return read_base(table) if is_base(table) else read_fluxnet(table, partitioning=partitioning)


def _joined(days: Sequence[pd.DataFrame], paths: Sequence[Path]) -> pd.DataFrame:
    """Return the days of several files in order."""
    joined = pd.concat(days).sort_index()
    twice = joined.index[joined.index.duplicated()]
    if len(twice):
        names = ", ".join(path.name for path in paths)
        raise UserError(f"{names}: {len(twice):,} days are in two files, the first {twice[0]:%Y-%m-%d}; give each once")
    return joined


def read_tower_months(path: Path, *, partitioning: Partitioning = "NT") -> TowerMonths:
    """Return the monthly fluxes of a FLUXNET file (MM), as CSV or in its zip.

    Raises
    ------
    UserError
        If no table of monthly fluxes is found, or it is refused by `read_months`.
    """
    return read_months(TowerTable.of(find_tower_file(path, resolutions=MONTHS)), partitioning=partitioning)


def read_tower_weather(*paths: Path) -> TowerWeather:
    """Return the climate inputs from a tower's file: FLUXNET (HH, HR or DD) or AmeriFlux BASE, as CSV or in its zip.

    Several files, of different years, are joined. Of an archive, hourly and half-hourly files are taken before daily
    ones, because they hold the extremes of a day.

    Raises
    ------
    UserError
        If no table is found, if it is refused by `read_weather`, or if files share days.
    """
    read = [read_weather(TowerTable.of(find_tower_file(path, resolutions=STEPS_FIRST))) for path in paths]
    notes = tuple(dict.fromkeys(note for weather in read for note in weather.notes))
    return TowerWeather(_joined([weather.days for weather in read], paths), notes)


def read_annual_nee(*paths: Path) -> pd.DataFrame:
    """Return annual NEE and its standard uncertainty [g C m-2 yr-1] by year, of one or more FLUXNET files (DD, MM).

    Columns nee and nee_sd as in `annual_nee`.

    Raises
    ------
    UserError
        If no table is found, or it is refused by `annual_nee`.
    """
    files = [find_tower_file(path, resolutions=(*DAYS_FIRST, *MONTHS)) for path in paths]
    return pd.concat([annual_nee(TowerTable.of(file)) for file in files]).sort_index()
