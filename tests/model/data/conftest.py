from __future__ import annotations

import numpy as np
import pytest

from model.data.records import SiteSequences
from model.features import CORN, CROP_TYPE, FEATURES, GPP, PUBLISHED_FEATURE_SCALERS, SOIL, SOYBEAN, YEAR

SITES, YEARS = 3, 2


@pytest.fixture
def sequences() -> SiteSequences:
    rng = np.random.default_rng(3)
    mean, std = np.array(PUBLISHED_FEATURE_SCALERS).T
    x = rng.normal(mean, std / 4, (SITES, YEARS, 365, len(FEATURES))).astype(np.float32)
    x[..., CROP_TYPE] = rng.choice([CORN, SOYBEAN], (SITES, YEARS))[..., None]
    x[..., YEAR] = np.array([2004, 2005])[:, None]
    x[..., SOIL] = x[:, :1, :1, SOIL]
    respiration = -rng.gamma(2, 1.5, (SITES, YEARS, 365, 2)).astype(np.float32)
    nee = -(x[..., GPP] + respiration.sum(-1))
    grain = rng.uniform(80, 450, (SITES, YEARS)).astype(np.float32)
    fluxes = np.concatenate([respiration, nee[..., None]], -1)
    return SiteSequences(x, fluxes, grain, np.arange(2004, 2006), ("17019", "17019", "19001"), "synthetic: noise")
