"""One calendar year of V cells in two passes over the days: up to yield and Ra, then Rh and NEE.

Two passes, since the residue that enters Rh on days 299 and 300 needs the GPP, Ra and yield of the whole year.

Shape legend: V cells, T days, R 75 rows of a day, S 11 static inputs, L 6 layers of state, H 64 hidden units, G 192.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.arrays import HIDDEN
from model.year_step.layers import dense, gru_step, head, output
from model.year_step.packing import STATIC, Floats, Packed
from model.year_step.vectors import Lanes, exp2, fma, load, positive, splat, store

# Rows of a day, so that the inputs of each GRU are neighbours.
_RA, _RH, _FEATURES, _HIDDEN_ROWS, _RESIDUE, ROWS = 0, 1, 2, 10, 74, 75
_BASIS_0, _BASIS_1, _RA_GRU, _RH_0, _RH_1, _NEE_GRU, LAYERS = range(7)
_LOG2_E = np.float32(np.log2(math.e))
_TWO_LOG2_E = np.float32(-2 * np.log2(math.e))


class YearScalers(NamedTuple):
    """Scalers as single precision: features (19, 2), outputs Ra, Rh, NEE, yield and residue (5, 2); residue days."""

    features: Floats
    outputs: Floats
    residue_days: NDArray[np.int64]


class CellGroup(NamedTuple):
    """V cells in one year: inputs, results and everything between.

    Attributes
    ----------
    days_TRV
        Inputs of the GRUs on each day: Ra and Rh, seven of climate and GPP, hidden units of the basis, the residue.
    static_SV
        Normalised crop, year and soil.
    start_LGV
        Contribution of the static inputs and biases to the gates of each layer of GRU.
    states_2LHV
        Hidden states before and after a day, which alternate: before the first day they are in the first half.
    context_HV, scratch_2HV
        Attended hidden units; room for the dense layers.
    fluxes_3TV, yield_1V
        Results: Ra, Rh, NEE in reporting signs [g C m-2 d-1], yield [g C m-2 yr-1].
    """

    days_TRV: Floats
    static_SV: Floats
    start_LGV: Floats
    states_2LHV: Floats
    context_HV: Floats
    scratch_2HV: Floats
    fluxes_3TV: Floats
    yield_1V: Floats

    @classmethod
    def empty(cls, days: int, cells: int) -> CellGroup:
        """Return arrays without values for a year of so many days."""
        return cls(
            days_TRV=_aligned(days, ROWS, cells),
            static_SV=_aligned(len(STATIC), cells),
            start_LGV=_aligned(LAYERS, 3 * HIDDEN, cells),
            states_2LHV=_aligned(2, LAYERS, HIDDEN, cells),
            context_HV=_aligned(HIDDEN, cells),
            scratch_2HV=_aligned(2, HIDDEN, cells),
            fluxes_3TV=_aligned(3, days, cells),
            yield_1V=_aligned(1, cells),
        )


def _aligned(*shape: int) -> Floats:
    """Return an array that begins at a multiple of 64 bytes, so that no vector crosses a cache line needlessly."""
    size = 4 * int(np.prod(shape))
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(np.float32).reshape(shape)


class GroupInputs(NamedTuple):
    """Inputs of at most V cells, N, as `YearInputs` has them; cell n reads climate series `climate_of_N[n]`."""

    year: np.float32
    climate_7TC: Floats
    climate_of_N: NDArray[np.intp]
    gpp_TN: Floats
    crop_N: NDArray[np.uint8]
    soil_9N: Floats


@njit(nogil=True)
def gather(inputs: GroupInputs, scalers: YearScalers, group: CellGroup) -> None:
    """Write the normalised inputs of the cells; lanes beyond the last cell repeat it."""
    days, static, z = group.days_TRV, group.static_SV, scalers.features
    last = inputs.gpp_TN.shape[1] - 1
    for v in range(days.shape[2]):
        n = min(v, last)
        static[0, v] = (np.float32(inputs.crop_N[n]) - z[7, 0]) / z[7, 1]
        static[1, v] = (inputs.year - z[9, 0]) / z[9, 1]
        for s in range(9):
            static[2 + s, v] = (inputs.soil_9N[s, n] - z[10 + s, 0]) / z[10 + s, 1]
    for t in range(days.shape[0]):
        for v in range(days.shape[2]):
            n = min(v, last)
            series = inputs.climate_of_N[n]
            for f in range(7):
                days[t, _FEATURES + f, v] = (inputs.climate_7TC[f, t, series] - z[f, 0]) / z[f, 1]
            days[t, _FEATURES + 7, v] = (inputs.gpp_TN[t, n] - z[8, 0]) / z[8, 1]
            days[t, _RESIDUE, v] = np.float32(0)


@njit(nogil=True)
def run_year(lanes: Lanes, network: Packed, scalers: YearScalers, group: CellGroup) -> None:
    """Run one calendar year: from inputs and first states to fluxes, yield and last states."""
    for layer, gru in enumerate(
        (network.basis_0, network.basis_1, network.ra_gru, network.rh_0, network.rh_1, network.nee_gru)
    ):
        dense(lanes, gru.static, group.static_SV[: gru.static.weights.shape[1]], group.start_LGV[layer], False)
    residue = _first_pass(lanes, network, scalers, group)
    for day in scalers.residue_days:
        store(lanes, group.days_TRV[day], _RESIDUE, residue)
    _second_pass(lanes, network, group)
    _report(lanes, scalers, group)


@njit
def _first_pass(lanes: Any, network: Packed, scalers: YearScalers, group: CellGroup) -> Any:
    """Run the basis, Ra and yield; return the normalised residue of the year."""
    days, start = group.days_TRV, group.start_LGV
    zero = splat(lanes, np.float32(0))
    gpp_sum, ra_sum, weight_sum = (zero, zero), (zero, zero), zero
    group.context_HV[:] = np.float32(0)
    for t in range(days.shape[0]):
        day, before, after = days[t], group.states_2LHV[t % 2], group.states_2LHV[1 - t % 2]
        features = day[_FEATURES:_HIDDEN_ROWS]
        gru_step(lanes, network.basis_0, start[_BASIS_0], features, before[_BASIS_0], after[_BASIS_0])
        gru_step(lanes, network.basis_1, start[_BASIS_1], after[_BASIS_0], before[_BASIS_1], after[_BASIS_1])
        hidden = day[_HIDDEN_ROWS:_RESIDUE]
        for k in range(hidden.shape[0]):
            store(lanes, hidden, k, load(lanes, after[_BASIS_1], k))
        gru_step(lanes, network.ra_gru, start[_RA_GRU], day[_FEATURES:_RESIDUE], before[_RA_GRU], after[_RA_GRU])
        ra = output(lanes, network.ra, after[_RA_GRU])
        store(lanes, day, _RA, ra)
        ra_sum, gpp_sum = _plus(ra_sum, ra), _plus(gpp_sum, load(lanes, day, _HIDDEN_ROWS - 1))
        weight_sum = weight_sum + _attend(lanes, network, hidden, group)
    for k in range(group.context_HV.shape[0]):
        store(lanes, group.context_HV, k, load(lanes, group.context_HV, k) / weight_sum)
    yield_ = head(lanes, network.yield_layers, network.yield_, group.context_HV, group.scratch_2HV)
    z, count = scalers.outputs, np.float32(days.shape[0])
    gpp = _sum_of_days(lanes, gpp_sum[0], scalers.features[8], count)
    ra = _sum_of_days(lanes, ra_sum[0], z[0], count)
    physical_yield = _sum_of_days(lanes, yield_, z[3], np.float32(1))
    store(lanes, group.yield_1V, 0, physical_yield)
    residue = positive(gpp + ra - physical_yield)
    return (residue - splat(lanes, z[4, 0])) / splat(lanes, z[4, 1])


@njit(inline="always")
def _attend(lanes: Any, network: Packed, hidden_HV: Floats, group: CellGroup) -> Any:
    """Add a day's hidden units to the context, weighted by the exponential of its score; return the weight.

    The score is a tanh, so that the exponential lies between 1/e and e: a running sum needs no maximum.
    """
    score = head(lanes, network.attention, network.score, hidden_HV, group.scratch_2HV)
    one, power = splat(lanes, np.float32(1)), exp2(score * splat(lanes, _TWO_LOG2_E))
    weight_of_day = exp2((one - power) / (one + power) * splat(lanes, _LOG2_E))
    for k in range(hidden_HV.shape[0]):
        added = fma(weight_of_day, load(lanes, hidden_HV, k), load(lanes, group.context_HV, k))
        store(lanes, group.context_HV, k, added)
    return weight_of_day


@njit(inline="always")
def _plus(total: tuple[Any, Any], term: Any) -> tuple[Any, Any]:
    """Return a sum and its rounding error with one more term (Kahan 1965, doi:10.1145/363707.363723).

    A plain sum of 365 days would be off by 1e-5 of the residue's standard deviation, and Rh with it.
    """
    value, error = total
    corrected = term - error
    risen = value + corrected
    return risen, (risen - value) - corrected


@njit(inline="always")
def _sum_of_days(lanes: Any, normalised: Any, scaler: Floats, days: Any) -> Any:
    """Return the sum over days in physical units from the sum of normalised values."""
    return fma(normalised, splat(lanes, scaler[1]), splat(lanes, days * scaler[0]))


@njit
def _second_pass(lanes: Any, network: Packed, group: CellGroup) -> None:
    """Run Rh and NEE, whose normalised values are left in `fluxes_3TV`."""
    days, start = group.days_TRV, group.start_LGV
    for t in range(days.shape[0]):
        day, before, after = days[t], group.states_2LHV[t % 2], group.states_2LHV[1 - t % 2]
        gru_step(lanes, network.rh_0, start[_RH_0], day[_FEATURES:ROWS], before[_RH_0], after[_RH_0])
        gru_step(lanes, network.rh_1, start[_RH_1], after[_RH_0], before[_RH_1], after[_RH_1])
        store(lanes, day, _RH, output(lanes, network.rh, after[_RH_1]))
        gru_step(lanes, network.nee_gru, start[_NEE_GRU], day[:_HIDDEN_ROWS], before[_NEE_GRU], after[_NEE_GRU])
        store(lanes, group.fluxes_3TV[0], t, load(lanes, day, _RA))
        store(lanes, group.fluxes_3TV[1], t, load(lanes, day, _RH))
        store(lanes, group.fluxes_3TV[2], t, output(lanes, network.nee, after[_NEE_GRU]))


@njit
def _report(lanes: Any, scalers: YearScalers, group: CellGroup) -> None:
    """Turn normalised fluxes into reporting signs and units: Ra and Rh positive, NEE positive to the atmosphere."""
    for i in range(3):
        sign = np.float32(1 if i == 2 else -1)
        mean, std = splat(lanes, sign * scalers.outputs[i, 0]), splat(lanes, sign * scalers.outputs[i, 1])
        for t in range(group.fluxes_3TV.shape[1]):
            store(lanes, group.fluxes_3TV[i], t, fma(load(lanes, group.fluxes_3TV[i], t), std, mean))
