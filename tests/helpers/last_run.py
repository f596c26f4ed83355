"""What the last run of a cube computed, by its ledger."""

from __future__ import annotations

import numpy as np

from pipeline.cube.ledger import Ledger
from pipeline.job import Job
from pipeline.storage import repository


def tile_years_of_last_run(job: Job) -> set[tuple[str, int]]:
    """Tile-years that no later run has computed again; the ledger must hold them."""
    known = Ledger(repository.read(job.open_cube()))
    computed = (known.column("run") == len(known.runs) - 1) & known.column("fingerprint").any(axis=(-2, -1))
    return {(known.tiles[tile], known.years[year]) for year, tile in np.argwhere(computed)}
