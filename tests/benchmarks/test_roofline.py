"""The operations of a cell-year are those of the published network."""

from __future__ import annotations

from benchmarks.roofline import multiply_adds
from model.arrays import HIDDEN
from model.features import Scaler
from model.network import KGMLNetwork, OutputScalers
from model.year_step.packing import pack

UNIT = Scaler(0.0, 1.0)
NETWORK = KGMLNetwork(OutputScalers(UNIT, UNIT, UNIT, UNIT))
# Inputs that change from day to day, of each layer of GRU, by hand: climate and GPP are 8 of the 19 features.
GRUS = (8, 64, 64 + 8, 1 + 64 + 8, 64, 2 + 8)
ATTENTION = 64 * 64 + 64 * 64 + 64 * 32 + 32


def test_a_year_has_the_multiply_adds_of_the_published_layers() -> None:
    daily = sum(3 * 64 * (inputs + 64) for inputs in GRUS) + ATTENTION + 64 + 3 * 64
    static = 4 * 3 * 64 * 11  # crop, year and soil enter the first layer of four GRUs
    assert multiply_adds(pack(NETWORK), days=365) == 365 * daily + static + ATTENTION


def test_a_year_of_one_day_uses_every_weight_once() -> None:
    weights = sum(parameter.numel() for parameter in NETWORK.parameters() if parameter.ndim == 2)
    assert multiply_adds(pack(NETWORK), days=1) == weights + HIDDEN
