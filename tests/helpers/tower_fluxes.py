"""Towers of random fluxes in five years, corn and soybean in turn, by the day or by the month."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.checkpoint import Checkpoint
from model.data.records import DAYS, TowerSet
from model.features import FEATURE_NAMES
from tests.helpers.random_carbon import random_sequences

YEARS = np.arange(2003, 2008)
CROPS = (1, 5, 1, 5, 1)


def random_years(*, site: str = "US-Ne1", monthly: bool = False) -> TowerSet:
    """A tower whose first 20 days, or January, of the first year are not observed."""
    rng = np.random.default_rng(3)
    x = random_sequences().x_NYTF.reshape(4, DAYS, -1)[[0, 1, 2, 3, 0]].copy()
    x[..., FEATURE_NAMES.index("Crop_Type")] = np.array(CROPS)[:, None]
    x[..., FEATURE_NAMES.index("Year")] = YEARS[:, None]
    mask = np.ones((5, DAYS), bool)
    mask[0, : 31 if monthly else 20] = False
    reco = rng.uniform(1, 9, mask.shape).astype(np.float32)
    nee = (reco - x[..., FEATURE_NAMES.index("GPP")]).astype(np.float32)
    tower = TowerSet(site, x, reco, nee, mask, YEARS, "random numbers", monthly)
    values = {name: np.where(mask, tower.as_observed(getattr(tower, name)), 0) for name in ("reco_YT", "nee_YT")}
    return replace(tower, **{name: each.astype(np.float32) for name, each in values.items()})


def recorded(checkpoint: Checkpoint, *, site: str = "US-Ne1", test: tuple[int, ...] = (2006, 2007)) -> Checkpoint:
    """The checkpoint with a record of a tower: 2003-2004 learned, 2005 chosen on."""
    tower = {
        "soil": "s", "tower": [f"towers/FLX_{site}_FLUXNET2015_SUBSET_DD_2003-2007.csv"], "crop": "corn",
        "years": "2003-2007", "training_years": [2003, 2004], "validation_years": [2005], "test_years": list(test),
    }  # fmt: skip
    return replace(checkpoint, record={**checkpoint.record, "recipe": {"towers": [tower]}})
