"""Flux towers of every kind, from CSV files or zip archives as downloaded."""

from __future__ import annotations

from pathlib import Path

from pipeline.sources.towers.ameriflux import is_base, read_base
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.fluxnet import Partitioning, read_fluxnet
from pipeline.sources.towers.tables import TowerTable, find_tower_file


def read_tower(path: Path, *, partitioning: Partitioning = "NT") -> Tower:
    """Return the days of a tower's file: FLUXNET (DD, HH or HR) or AmeriFlux BASE (HH or HR), as CSV or in its zip.

    `partitioning` chooses between the separations of NEE in FLUXNET files; BASE files have one at most.

    Raises
    ------
    UserError
        For what `find_tower_file`, `read_fluxnet` and `read_base` refuse.
    """
    table = TowerTable.of(find_tower_file(path))
    return read_base(table) if is_base(table) else read_fluxnet(table, partitioning=partitioning)
