"""Flux towers of every kind, from CSV files or zip archives as downloaded.

`read_tower` is the one function for other packages; `Tower` is its result, `Partitioning` one of its arguments.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.towers.ameriflux import is_base, read_base
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.fluxnet import Partitioning, read_fluxnet
from pipeline.sources.towers.tables import TowerTable, find_tower_file

__all__ = ["Partitioning", "Tower", "read_tower"]


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
