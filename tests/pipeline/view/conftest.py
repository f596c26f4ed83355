from __future__ import annotations

import pytest

from tests.helpers.filled_cube import fill_cube
from tests.helpers.published import Published


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Results of 2011, and of 2012 in part."""
    return Published.of(fill_cube(tmp_path_factory.mktemp("view")))
