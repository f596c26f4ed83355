"""Flux towers of every kind, from CSV files or zip archives as downloaded.

`read_tower`, `read_tower_months` and `read_tower_weather` are the functions for other packages; `Tower`, `TowerMonths`
and `TowerWeather` are their results, `Partitioning` is one of their arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.ameriflux import is_base, read_base
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.fluxnet import Partitioning, read_fluxnet
from pipeline.sources.towers.months import TowerMonths, read_months
from pipeline.sources.towers.tables import MONTHS, STEPS_FIRST, TowerTable, find_tower_file
from pipeline.sources.towers.weather import TowerWeather, read_weather

__all__ = [
    "Partitioning",
    "Tower",
    "TowerMonths",
    "TowerWeather",
    "read_tower",
    "read_tower_months",
    "read_tower_weather",
]


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
