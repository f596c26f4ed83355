"""The weights of a network in the order in which the compiled year step reads them.

Hidden units are taken in pairs: the six numbers that one input contributes to the two units (reset r, update z and new
n of each) lie side by side. Rows of r and z are multiplied by -log2 e and those of n by -2 log2 e, so that
sigmoid(x) = 1 / (1 + 2^x') and tanh(x) = (1 - 2^x') / (1 + 2^x').

Shape legend: H 64 hidden units, P 32 pairs of them, K inputs, S 11 static inputs (crop, year, soil), O outputs.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model.arrays import HIDDEN
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, YEAR
from model.network import KGMLNetwork

Floats = NDArray[np.float32]

DAILY = (*range(len(FEATURES))[CLIMATE], GPP)
"""Features of every day, in the order of the rows of a day."""
STATIC = (CROP_TYPE, YEAR, *range(len(FEATURES))[SOIL])
"""Features of a whole year, in the order of the rows of the static inputs."""
DENSE_ROWS = 8  # outputs that `layers.dense` computes at once

_LOG2_E = np.log2(math.e)
_GATE_SCALE = np.repeat([-_LOG2_E, -_LOG2_E, -2 * _LOG2_E], HIDDEN)


class Dense(NamedTuple):
    """A dense layer: weights (O / 8, K, 8), bias (O,)."""

    weights: Floats
    bias: Floats


class Output(NamedTuple):
    """A dense layer of one output: weights (K,), bias (1,)."""

    weights: Floats
    bias: Floats


class Gru(NamedTuple):
    """One layer of a GRU.

    `weights` (P, K + H, 6): the K inputs of a day, then the H hidden units. `recurrent_bias` (H,): the bias within the
    reset gate. `static` (3 H outputs): the contribution of the inputs of the whole year, and all other biases.
    """

    weights: Floats
    recurrent_bias: Floats
    static: Dense


class Packed(NamedTuple):
    """All weights of a network."""

    basis_0: Gru
    basis_1: Gru
    ra_gru: Gru
    rh_0: Gru
    rh_1: Gru
    nee_gru: Gru
    attention: tuple[Dense, Dense, Dense]
    score: Output
    yield_layers: tuple[Dense, Dense, Dense]
    yield_: Output
    ra: Output
    rh: Output
    nee: Output


def pack(network: KGMLNetwork) -> Packed:
    """Return the weights of a network, packed."""
    daily, static = np.array(DAILY), np.array(STATIC)
    none, hidden = np.array([], int), np.arange(HIDDEN)
    return Packed(
        basis_0=_gru(network.gru_basic, 0, daily=daily, static=static),
        basis_1=_gru(network.gru_basic, 1, daily=hidden, static=none),
        # Inputs of a day in the order of its rows (`passes`), which differs from that of the published network.
        ra_gru=_gru(network.gru_Ra, 0, daily=np.r_[HIDDEN + daily, hidden], static=HIDDEN + static),
        rh_0=_gru(network.gru_Rh, 0, daily=np.r_[1 + HIDDEN + daily, 1 + hidden, 0], static=1 + HIDDEN + static),
        rh_1=_gru(network.gru_Rh, 1, daily=hidden, static=none),
        nee_gru=_gru(network.gru_NEE, 0, daily=np.r_[0, 1, 2 + daily], static=2 + static),
        attention=_hidden_layers(network.attn),
        score=_output(network.attn[6]),
        yield_layers=_hidden_layers(network.densor_yield),
        yield_=_output(network.densor_yield[6]),
        ra=_output(network.densor_Ra),
        rh=_output(network.densor_Rh),
        nee=_output(network.densor_NEE),
    )


def _gru(gru: nn.GRU, layer: int, *, daily: NDArray[np.int_], static: NDArray[np.int_]) -> Gru:
    """Return a layer of a GRU whose inputs are those of every day and those of the whole year, in these orders."""
    inputs = _double(getattr(gru, f"weight_ih_l{layer}")) * _GATE_SCALE[:, None]
    recurrent = _double(getattr(gru, f"weight_hh_l{layer}")) * _GATE_SCALE[:, None]
    bias = _double(getattr(gru, f"bias_ih_l{layer}")) * _GATE_SCALE
    recurrent_bias = _double(getattr(gru, f"bias_hh_l{layer}")) * _GATE_SCALE
    bias[: 2 * HIDDEN] += recurrent_bias[: 2 * HIDDEN]  # r and z add both; n has its own within the reset gate
    rows_GK = np.concatenate([inputs[:, daily], recurrent], 1)
    pairs = rows_GK.reshape(3, HIDDEN // 2, 2, -1).transpose(1, 3, 0, 2)  # P, K, gate, unit of the pair
    return Gru(
        _single(pairs.reshape(*pairs.shape[:2], 6)),
        _single(recurrent_bias[2 * HIDDEN :]),
        _dense(inputs[:, static], bias),
    )


def _hidden_layers(head: nn.Sequential) -> tuple[Dense, Dense, Dense]:
    first, second, third = (_dense(_double(head[i].weight), _double(head[i].bias)) for i in (0, 2, 4))
    return first, second, third


def _dense(weights_OK: NDArray[np.float64], bias_O: NDArray[np.float64]) -> Dense:
    blocks = weights_OK.reshape(len(weights_OK) // DENSE_ROWS, DENSE_ROWS, -1).transpose(0, 2, 1)
    return Dense(_single(blocks), _single(bias_O))


def _output(layer: Any) -> Output:
    return Output(_single(_double(layer.weight)[0]), _single(_double(layer.bias)))


def _double(parameter: Any) -> NDArray[np.float64]:
    array: NDArray[np.float64] = parameter.detach().cpu().double().numpy()
    return array.copy()


def _single(array: NDArray[np.float64]) -> Floats:
    return np.ascontiguousarray(array, np.float32)
