"""Flux towers of every kind, from CSV files or zip archives as downloaded.

`read_tower` and `read_tower_months` are the functions for other packages; `Tower` and `TowerMonths` are their results,
`Partitioning` is one of their arguments.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.towers.ameriflux import is_base, read_base
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.fluxnet import Partitioning, read_fluxnet
from pipeline.sources.towers.months import TowerMonths, read_months
from pipeline.sources.towers.tables import MONTHS, TowerTable, find_tower_file

__all__ = ["Partitioning", "Tower", "TowerMonths", "read_tower", "read_tower_months"]


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
