"""Layers of the network on vectors of cells: compiled code that the two passes call.

Each sum has one order, that of the weights: none is left to a library or to the compiler.

Shape legend: V cells, H 64 hidden units, G 192 gates (r, z, n of each), K inputs, O outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from model.year_step.packing import Dense, Floats, Gru, Output
from model.year_step.vectors import exp2, fma, load, positive, splat, store, weight

_HIDDEN = 64


@njit(inline="always")
def next_hidden(lanes: Any, before: Any, r: Any, z: Any, n: Any, m: Any) -> Any:
    """Return (1 - z) n + z h of a hidden unit h from its scaled gates; the argument of tanh is n + sigmoid(r) m.

    With Z = 2^z and N = 2^(n + sigmoid(r) m) it is ((1 + N) h + Z (1 - N)) / ((1 + N) (1 + Z)): one division.
    """
    one = splat(lanes, np.float32(1))
    update, new = exp2(z), exp2(fma(one / (one + exp2(r)), m, n))
    above = one + new
    return fma(before, above, update * (one - new)) / (above * (one + update))


@njit
def gru_step(lanes: Any, gru: Gru, start_GV: Floats, x_KV: Floats, before_HV: Floats, after_HV: Floats) -> None:
    """Write the hidden state after a day, from the inputs of the day and what those of the year contribute.

    The accumulators of two hidden units stay in registers over all inputs.
    """
    weights, at = gru.weights, 0
    for i in range(0, _HIDDEN, 2):
        r0, z0, n0 = load(lanes, start_GV, i), load(lanes, start_GV, 64 + i), load(lanes, start_GV, 128 + i)
        r1, z1, n1 = load(lanes, start_GV, i + 1), load(lanes, start_GV, 65 + i), load(lanes, start_GV, 129 + i)
        for k in range(x_KV.shape[0]):
            x = load(lanes, x_KV, k)
            r0, r1 = fma(weight(lanes, weights, at), x, r0), fma(weight(lanes, weights, at + 1), x, r1)
            z0, z1 = fma(weight(lanes, weights, at + 2), x, z0), fma(weight(lanes, weights, at + 3), x, z1)
            n0, n1 = fma(weight(lanes, weights, at + 4), x, n0), fma(weight(lanes, weights, at + 5), x, n1)
            at += 6
        m0, m1 = weight(lanes, gru.recurrent_bias, i), weight(lanes, gru.recurrent_bias, i + 1)
        for k in range(_HIDDEN):
            h = load(lanes, before_HV, k)
            r0, r1 = fma(weight(lanes, weights, at), h, r0), fma(weight(lanes, weights, at + 1), h, r1)
            z0, z1 = fma(weight(lanes, weights, at + 2), h, z0), fma(weight(lanes, weights, at + 3), h, z1)
            m0, m1 = fma(weight(lanes, weights, at + 4), h, m0), fma(weight(lanes, weights, at + 5), h, m1)
            at += 6
        store(lanes, after_HV, i, next_hidden(lanes, load(lanes, before_HV, i), r0, z0, n0, m0))
        store(lanes, after_HV, i + 1, next_hidden(lanes, load(lanes, before_HV, i + 1), r1, z1, n1, m1))


@njit
def dense(lanes: Any, layer: Dense, x_KV: Floats, y_OV: Floats, rectified: bool) -> None:
    """Write W x + b, or max(W x + b, 0), eight outputs at a time."""
    weights, bias, at = layer.weights, layer.bias, 0
    for i in range(0, bias.shape[0], 8):
        y0, y1 = weight(lanes, bias, i), weight(lanes, bias, i + 1)
        y2, y3 = weight(lanes, bias, i + 2), weight(lanes, bias, i + 3)
        y4, y5 = weight(lanes, bias, i + 4), weight(lanes, bias, i + 5)
        y6, y7 = weight(lanes, bias, i + 6), weight(lanes, bias, i + 7)
        for k in range(x_KV.shape[0]):
            x = load(lanes, x_KV, k)
            y0, y1 = fma(weight(lanes, weights, at), x, y0), fma(weight(lanes, weights, at + 1), x, y1)
            y2, y3 = fma(weight(lanes, weights, at + 2), x, y2), fma(weight(lanes, weights, at + 3), x, y3)
            y4, y5 = fma(weight(lanes, weights, at + 4), x, y4), fma(weight(lanes, weights, at + 5), x, y5)
            y6, y7 = fma(weight(lanes, weights, at + 6), x, y6), fma(weight(lanes, weights, at + 7), x, y7)
            at += 8
        for j, y in enumerate((y0, y1, y2, y3, y4, y5, y6, y7)):
            store(lanes, y_OV, i + j, positive(y) if rectified else y)


@njit
def output(lanes: Any, layer: Output, x_KV: Floats) -> Any:
    """Return w x + b; even and odd inputs are summed apart, so that one sum need not wait for the other."""
    even, odd = weight(lanes, layer.bias, 0), splat(lanes, np.float32(0))
    for k in range(0, x_KV.shape[0], 2):
        even = fma(weight(lanes, layer.weights, k), load(lanes, x_KV, k), even)
        odd = fma(weight(lanes, layer.weights, k + 1), load(lanes, x_KV, k + 1), odd)
    return even + odd


@njit
def head(lanes: Any, layers: tuple[Dense, Dense, Dense], last: Output, x_KV: Floats, scratch_2HV: Floats) -> Any:
    """Return the output of four dense layers, the first three rectified."""
    first, second, third = layers
    dense(lanes, first, x_KV, scratch_2HV[0], True)
    dense(lanes, second, scratch_2HV[0], scratch_2HV[1], True)
    dense(lanes, third, scratch_2HV[1], scratch_2HV[0], True)
    return output(lanes, last, scratch_2HV[0, :32])
