"""What the tests of sites share: a small table of daily inputs and an untrained network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from model.checkpoint import Checkpoint
from model.features import FEATURES, Scaler
from model.network import KGMLNetwork, OutputScalers

SOIL = {
    "TBKDS": 1.3,
    "TSAND": 100.0,
    "TSILT": 600.0,
    "TFC": 0.32,
    "TWP": 0.15,
    "TKSat": 30.0,
    "TSOC": 20.0,
    "TPH": 6.2,
    "TCEC": 20.0,
}


@pytest.fixture
def site_days() -> pd.DataFrame:
    """Three years of plausible days, 2003 to 2005: corn, soybean, corn; Reco and NEE as if observed."""
    dates = pd.date_range("2003-01-01", "2005-12-31")
    noise = np.random.default_rng(1).normal(size=(3, len(dates)))
    season = np.clip(np.sin(2 * np.pi * (dates.day_of_year.to_numpy() - 105) / 365), 0, None)
    reco = 1 + 9 * season + 0.2 * noise[0]
    gpp = 17 * season
    return pd.DataFrame(
        {
            "date": dates.strftime("%Y-%m-%d"),
            "crop": np.where(dates.year == 2004, "soybean", "corn"),
            "RADN": 10 + 12 * season,
            "TMAX_AIR": 5 + 25 * season + noise[1],
            "TDIF_AIR": 10.0,
            "HMAX_AIR": 0.6 + 1.8 * season,
            "HDIF_AIR": 0.4,
            "WIND": 300.0,
            "PRECN": np.clip(5 * noise[2], 0, None),
            "GPP": gpp,
            **SOIL,
            "RECO": reco,
            "NEE": reco - gpp,
        }
    )


@pytest.fixture
def untrained() -> Checkpoint:
    """A checkpoint with seeded random weights."""
    unit = Scaler(0.0, 1.0)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = KGMLNetwork(OutputScalers(unit, unit, unit, unit))
    scalers = {
        "features": [feature.scaler for feature in FEATURES],
        "gpp": (2.9, 5.8),
        "ra": (-1.4, 2.6),
        "rh": (-1.0, 0.9),
        "nee": (-0.5, 3.0),
        "yield": (221.0, 104.0),
        "residue": (326.0, 150.0),
    }
    return Checkpoint.from_published(network.state_dict(), scalers, record={"origin": "random weights"})
