"""A stand-in for the network's year: a few array operations, with a state that carries all earlier years.

What a campaign tests is what happens around the network; its forward pass would take most of the time.
"""

from __future__ import annotations

import numpy as np

from model.arrays import Floats, YearFluxes, YearInputs
from model.inference import Predictor


def year(predictor: Predictor, inputs: YearInputs, state_SNH: Floats | None = None, **_: object) -> YearFluxes:
    """Return fluxes that depend on every input and, through the state, on all that went before."""
    cells = inputs.gpp_TN.shape[1]
    before_N = np.zeros(cells, np.float32) if state_SNH is None else state_SNH[0, :, 0]
    climate_TN = inputs.climate_7TC.sum(axis=0)[:, inputs.climate_of_N]
    soil_N = inputs.soil_9N.sum(axis=0) + inputs.crop_N
    # Within -1 to 1, as the state of a GRU is: an audit checks that.
    memory_N = np.float32(0.5) * (before_N + np.tanh(np.float32(0.1) * inputs.gpp_TN.mean(axis=0)))
    ra_TN = np.float32(0.5) * inputs.gpp_TN + np.float32(0.01) * climate_TN
    rh_TN = np.broadcast_to(memory_N * np.float32(0.1) + soil_N * np.float32(1e-3), ra_TN.shape)
    state = np.broadcast_to(memory_N[None, :, None], (predictor.state_layers, cells, 64))
    return YearFluxes(
        ra_TN.astype(np.float32),
        rh_TN.astype(np.float32),
        (ra_TN + rh_TN - inputs.gpp_TN).astype(np.float32),
        (memory_N * 30).astype(np.float32),
        np.array(state, np.float32),
    )


def install() -> None:
    """Have every predictor of this process, and of those that it forks, predict by `year`."""
    Predictor.year = year  # type: ignore[method-assign]
