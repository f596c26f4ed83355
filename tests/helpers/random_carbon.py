"""Site-years and a tower with random inputs and fluxes that close the carbon balance."""

from __future__ import annotations

import numpy as np

from model.data.records import DAYS, SiteSequences, TowerSet
from model.features import FEATURE_NAMES, FEATURES
from model.ranges import PUBLISHED_RANGES

GPP = FEATURE_NAMES.index("GPP")


def random_sequences() -> SiteSequences:
    """Two sites in two years, corn and soybean in turn; an origin that HTML must escape."""
    rng = np.random.default_rng(0)
    x = np.empty((2, 2, DAYS, len(FEATURES)), np.float32)
    for i in range(len(FEATURES)):
        low, high = PUBLISHED_RANGES.inputs[i]
        x[..., i] = rng.uniform(low, high, x.shape[:3])
    x[..., FEATURE_NAMES.index("Crop_Type")] = np.array([[1, 5], [5, 1]])[..., None]
    ra, rh = -0.5 * x[..., GPP], -rng.uniform(0.5, 1.5, x.shape[:3])
    fluxes = np.stack([ra, rh, -(x[..., GPP] + ra + rh)], -1).astype(np.float32)
    grain = rng.uniform(100, 300, (2, 2)).astype(np.float32)
    return SiteSequences(x, fluxes, grain, np.array([2001, 2002]), ("17001", "17003"), "synthetic: dice <i> & more")


def random_tower(sequences: SiteSequences) -> TowerSet:
    """The first site as a tower that did not observe the first 20 days."""
    mask = np.ones((2, DAYS), bool)
    mask[0, :20] = False
    reco = np.where(mask, -sequences.fluxes_NYT3[0, :, :, :2].sum(-1), 0)
    nee = np.where(mask, sequences.fluxes_NYT3[0, ..., 2], 0)
    return TowerSet("US-X", sequences.x_NYTF[0], reco, nee, mask, sequences.years, "a tower of dice")
