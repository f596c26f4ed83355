from __future__ import annotations

import pytest

from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from pipeline.job import Job
from tests.helpers.filled_cube import fill_cube

# Across the borders of counties.
REGION = """
title = "Four counties"
bbox = [-89.62, 39.97, -89.52, 40.03]
first_year = 2011
last_year = 2012
tile_cells = 48
"""


@pytest.fixture(scope="session")
def aggregated(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A complete cube of random results, with its aggregates."""
    job = fill_cube(tmp_path_factory.mktemp("tables"), complete=True, region=REGION).job
    aggregate_cube(job, Serial())
    return job
