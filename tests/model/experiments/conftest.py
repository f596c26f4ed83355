from __future__ import annotations

import numpy as np
import pytest

from model.data.records import SiteSequences
from model.data.sites import simulate_sites


@pytest.fixture(scope="module")
def sequences() -> SiteSequences:
    return simulate_sites(3, sites=2, years=np.arange(2001, 2004))
