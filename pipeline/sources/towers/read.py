"""Flux towers of every kind, from CSV files or zip archives as downloaded.

`read_tower`, `read_tower_months` and `read_tower_weather` are the functions for other packages; `Tower`, `TowerMonths`
and `TowerWeather` are their results, `Partitioning` is one of their arguments.
"""

from __future__ import annotations

from pathlib import Path

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


def read_tower(path: Path, *, partitioning: Partitioning = "NT") -> Tower:
    """Return the days of a tower's file: FLUXNET (DD, HH or HR) or AmeriFlux BASE (HH or HR), as CSV or in its zip.

    `partitioning` chooses between the two partitionings of NEE in FLUXNET files; BASE files have one at most.

    Raises
    ------
    UserError
        If no table of fluxes is found, or it is refused by `read_fluxnet` or `read_base`.
    """
    table = TowerTable.of(find_tower_file(path))
    return read_base(table) if is_base(table) else read_fluxnet(table, partitioning=partitioning)


def read_tower_months(path: Path, *, partitioning: Partitioning = "NT") -> TowerMonths:
    """Return the monthly fluxes of a FLUXNET file (MM), as CSV or in its zip.

    Raises
    ------
    UserError
        If no table of monthly fluxes is found, or it is refused by `read_months`.
    """
    return read_months(TowerTable.of(find_tower_file(path, resolutions=MONTHS)), partitioning=partitioning)


def read_tower_weather(path: Path) -> TowerWeather:
    """Return the climate inputs from a tower's file: FLUXNET (HH, HR or DD) or AmeriFlux BASE, as CSV or in its zip.

    Of an archive, hourly and half-hourly files are taken before daily ones, because they hold the extremes of a day.

    Raises
    ------
    UserError
        If no table is found, or it is refused by `read_weather`.
    """
    return read_weather(TowerTable.of(find_tower_file(path, resolutions=STEPS_FIRST)))
