from __future__ import annotations

import pytest

from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.executor import Serial
from tests.helpers.filled_cube import Filled, fill_cube


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Results of 2011, aggregated, and of 2012, in part."""
    filled = fill_cube(tmp_path_factory.mktemp("cube"))
    aggregate_cube(filled.job, Serial(), years=(2011,))
    return filled
