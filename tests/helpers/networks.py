"""A small untrained network with scalers and inputs of plausible size."""

from __future__ import annotations

import numpy as np
import torch

from model.checkpoint import Scalers
from model.data.records import DAYS
from model.features import FEATURES, GPP, PUBLISHED_FEATURE_SCALERS
from model.network import KGMLNetwork, OutputScalers

SITES, YEARS = 3, 2

OUTPUTS = {"ra": (-1.4, 2.5), "rh": (-0.9, 0.6), "nee": (-0.5, 2.7), "yield": (220, 110), "residue": (330, 90)}
SCALERS = Scalers.parse({"features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[GPP], **OUTPUTS})


def network() -> KGMLNetwork:
    torch.manual_seed(10)
    outputs = SCALERS.outputs
    return KGMLNetwork(OutputScalers(outputs["gpp"], outputs["ra"], outputs["yield"], outputs["residue"]))


def inputs(sites: int = 2, years: int = 2) -> np.ndarray:
    z = np.random.default_rng(11).normal(0, 0.5, (sites, years, DAYS, len(FEATURES)))
    mean, std = np.array(PUBLISHED_FEATURE_SCALERS).T
    return (z * std + mean).astype(np.float32)
