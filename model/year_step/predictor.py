"""The predictor whose year step is compiled: the interface of `model.inference.Predictor`, on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from model.arrays import Floats, YearFluxes, YearInputs
from model.checkpoint import Checkpoint
from model.inference import MemberYear, Predictor
from model.year_step.packing import pack
from model.year_step.passes import CellGroup, GroupInputs, YearScalers, gather, run_year
from model.year_step.vectors import Lanes


class CompiledPredictor(Predictor):
    """A checkpoint ready to predict by compiled code.

    A cell's bits depend on its inputs alone: neither on `lanes` nor on which cells are predicted with it.

    Parameters
    ----------
    checkpoint
        The trained network.
    lanes
        Number of cells in a vector.
    """

    def __init__(self, checkpoint: Checkpoint, *, lanes: int) -> None:
        super().__init__(checkpoint, batch_cells=lanes)
        self._lanes = Lanes(lanes)
        self._packed = [pack(network) for network in self._networks]
        scalers = checkpoint.scalers
        self._scalers = YearScalers(
            np.array(scalers.features, np.float32),
            np.array([scalers.outputs[name] for name in ("ra", "rh", "nee", "yield", "residue")], np.float32),
            np.array(self._networks[0].residue_days, np.int64),
        )

    def year(self, inputs: YearInputs, state_SNH: Floats | None = None, *, summed: bool = False) -> YearFluxes:
        """Predict one year; see `Predictor.year`."""
        contiguous = np.ascontiguousarray(inputs.climate_7TC, np.float32)  # once, not for each batch
        return super().year(replace(inputs, climate_7TC=contiguous), state_SNH, summed=summed)

    def _members(self, inputs: YearInputs, batch: slice, state_SBH: Floats | None) -> list[MemberYear]:
        days, cells = inputs.gpp_TN.shape[0], batch.stop - batch.start
        group = _group(days, self.batch_cells)
        gather(_arrays(inputs, batch), self._scalers, group)
        results = []
        for member, network in enumerate(self._packed):
            before_6VH = group.states_2LHV[0].transpose(0, 2, 1)
            before_6VH[:] = 0.0
            if state_SBH is not None:
                before_6VH[:, :cells] = np.split(state_SBH, len(self._packed))[member]
            run_year(self._lanes, network, self._scalers, group)
            after_6VH = group.states_2LHV[days % 2].transpose(0, 2, 1)
            # Copies: the arrays of the group serve the next member and the next cells.
            fluxes_3TB, yield_B = group.fluxes_3TV[..., :cells].copy(), group.yield_1V[0, :cells].copy()
            results.append(MemberYear(fluxes_3TB, yield_B, after_6VH[:, :cells].copy()))
        return results


def _arrays(inputs: YearInputs, batch: slice) -> GroupInputs:
    """Return the inputs of a batch in the types and the order in memory for which the code was compiled."""
    return GroupInputs(
        np.float32(inputs.year),
        inputs.climate_7TC,
        np.ascontiguousarray(inputs.climate_of_N[batch], np.int64),
        np.ascontiguousarray(inputs.gpp_TN[:, batch], np.float32),
        np.ascontiguousarray(inputs.crop_N[batch], np.uint8),
        np.ascontiguousarray(inputs.soil_9N[:, batch], np.float32),
    )


# Years of 365 and of 366 days; allocated once, since fresh memory costs page faults.
@lru_cache(maxsize=2)
def _group(days: int, cells: int) -> CellGroup:
    return CellGroup.empty(days, cells)
