"""The KGML-ag-Carbon network, exactly as published (161,413 parameters).

One call is one calendar year. In words, with ~ for normalised values and [a, b] for concatenation:

    h       = GRU_basic(x)                                      shared by all outputs
    yield~  = dense(sum over t of softmax_t(score(h_t)) h_t)    attention over the days
    Ra~     = dense(GRU_Ra([h, x]))
    residue = max(0, sum GPP + sum Ra - yield)                  physical; Ra <= 0
    Rh~     = dense(GRU_Rh([pulse of residue~, h, x]))
    NEE~    = dense(GRU_NEE([Ra~, Rh~, x]))

Nothing in the network closes the carbon balance: only the losses of training ask for GPP + Ra + Rh + NEE = 0.

Shape legend: B sites, T days of one calendar year (365 or 366), F 19 features, H 64 hidden units, L GRU layers.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.arrays import HIDDEN, RESIDUE_DAYS
from model.features import FEATURES, GPP, Scaler

DROPOUT = 0.2


class State(NamedTuple):
    """Hidden states of the four GRUs at a year's end; 384 numbers a site."""

    basis_LBH: Tensor  # L = 2
    ra_LBH: Tensor  # L = 1
    rh_LBH: Tensor  # L = 2
    nee_LBH: Tensor  # L = 1

    @classmethod
    def zeros(cls, sites: int, *, like: Tensor) -> State:
        """Return the state before any day, on the device and in the type of `like`."""
        return cls(*(like.new_zeros(layers, sites, HIDDEN) for layers in (2, 1, 2, 1)))

    def pack(self) -> Tensor:
        """Return the state as one array (6, B, H): basis 2, Ra 1, Rh 2, NEE 1 layers."""
        return torch.cat(self)

    @classmethod
    def unpack(cls, packed_6BH: Tensor) -> State:
        """Return the state that `pack` made an array of."""
        return cls(*(part.contiguous() for part in torch.split(packed_6BH, [2, 1, 2, 1])))

    def detach(self) -> State:
        """Return the state cut from the graph: gradients stop at year boundaries."""
        return State(*(part.detach() for part in self))


class YearResult(NamedTuple):
    """One calendar year of predictions, normalised, in the network's signs: Ra and Rh negative, NEE positive upward."""

    fluxes_BT3: Tensor  # Ra, Rh, NEE
    yield_B: Tensor
    state: State


class OutputScalers(NamedTuple):
    """The scalers that the residue equation needs inside the network [g C m-2]."""

    gpp: Scaler
    ra: Scaler
    yield_: Scaler
    residue: Scaler


def dense_head(last: nn.Module | None = None) -> nn.Sequential:
    """Return four dense layers from H to 1, those of attention and of yield, followed by `last`."""
    widths = ((HIDDEN, 64), (64, 64), (64, 32))
    layers = [layer for width in widths for layer in (nn.Linear(*width), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(32, 1), *([last] if last else []))


def draw_dense_weights(network: nn.Module) -> None:
    """Draw the weights of all dense layers as published, U(-0.1, 0.1) and bias 0; GRUs keep PyTorch's own."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -0.1, 0.1)
            nn.init.zeros_(module.bias)


def concatenated(*parts_BT: Tensor) -> Tensor:
    """Return the features of all parts as (B, T, F), with the days outermost in memory.

    A GRU runs over the days: cuDNN would copy the whole input, did it lie otherwise.
    """
    return torch.cat([part.transpose(0, 1) for part in parts_BT], -1).transpose(0, 1)


def attended(hidden_BTH: Tensor, *, score: nn.Module) -> Tensor:
    """Return the mean of hidden states over the days, (B, H), weighted by the softmax of their scores."""
    weight_BT1 = torch.softmax(score(hidden_BTH), dim=1)
    return (weight_BT1 * hidden_BTH).sum(1)


class KGMLNetwork(nn.Module):
    """Daily Ra, Rh, NEE and annual yield of one calendar year from 19 normalised inputs.

    Parameters
    ----------
    scalers
        Turn GPP, Ra and yield into physical units for the residue, and the residue back.
    residue_days
        0-based days on which the residue channel carries the year's residue; on all others it is 0, the mean residue.

    Notes
    -----
    Attribute names are those of the published weights. Submodules named `densor_*` are the output layers. The paper's
    text gives the shared GRU one layer; its code and weights have two.
    """

    def __init__(self, scalers: OutputScalers, residue_days: tuple[int, ...] = RESIDUE_DAYS) -> None:
        super().__init__()
        inputs = len(FEATURES)
        self.scalers = scalers
        self.residue_days = residue_days
        self.gru_basic = nn.GRU(inputs, HIDDEN, 2, batch_first=True, dropout=DROPOUT)
        self.gru_Ra = nn.GRU(HIDDEN + inputs, HIDDEN, 1, batch_first=True)
        self.gru_Rh = nn.GRU(1 + HIDDEN + inputs, HIDDEN, 2, batch_first=True, dropout=DROPOUT)
        self.gru_NEE = nn.GRU(2 + inputs, HIDDEN, 1, batch_first=True)
        self.drop = nn.Dropout(DROPOUT)
        self.densor_Ra = nn.Linear(HIDDEN, 1)
        self.densor_Rh = nn.Linear(HIDDEN, 1)
        self.densor_NEE = nn.Linear(HIDDEN, 1)
        self.attn = dense_head(last=nn.Tanh())
        self.densor_yield = dense_head()
        draw_dense_weights(self)

    def forward(self, x_BTF: Tensor, state: State | None = None) -> YearResult:
        """Run one calendar year.

        Parameters
        ----------
        x_BTF
            Normalised inputs, in the order of `model.features.FEATURES`.
        state
            Hidden states at the end of the year before; zeros if None.
        """
        state = state or State.zeros(len(x_BTF), like=x_BTF)
        # Each use of the shared hidden states draws its own dropout mask; the inputs x are never dropped.
        hidden_BTH, basis = self.gru_basic(x_BTF, state.basis_LBH)
        yield_B = self._yield(hidden_BTH)
        ra_BT1, ra_state = self._ra(hidden_BTH, x_BTF, state.ra_LBH)
        # The residue is that of the year being run: it needs the GPP, Ra and yield of all its days before Rh starts.
        residue_BT1 = self._residue_channel(self.residue(x_BTF[..., GPP], ra_BT1[..., 0], yield_B), days=x_BTF.shape[1])
        rh_BTH, rh_state = self.gru_Rh(concatenated(residue_BT1, self.drop(hidden_BTH), x_BTF), state.rh_LBH)
        rh_BT1 = self.densor_Rh(self.drop(rh_BTH))
        nee_BTH, nee_state = self.gru_NEE(concatenated(ra_BT1, rh_BT1, x_BTF), state.nee_LBH)
        fluxes_BT3 = torch.cat([ra_BT1, rh_BT1, self.densor_NEE(self.drop(nee_BTH))], -1)
        return YearResult(fluxes_BT3, yield_B, State(basis, ra_state, rh_state, nee_state))

    def yield_and_ra(self, x_BTF: Tensor, state: State) -> YearResult:
        """Run one calendar year up to Ra: the fluxes of the result are Ra alone, (B, T, 1).

        Neither yield nor Ra depends on what follows, so that values and gradients are those of `forward` (without
        dropout, bit for bit), at half the cost.
        """
        hidden_BTH, basis = self.gru_basic(x_BTF, state.basis_LBH)
        yield_B = self._yield(hidden_BTH)
        ra_BT1, ra_state = self._ra(hidden_BTH, x_BTF, state.ra_LBH)
        return YearResult(ra_BT1, yield_B, state._replace(basis_LBH=basis, ra_LBH=ra_state))

    def yield_alone(self, x_BTF: Tensor, state: State) -> YearResult:
        """Run one calendar year up to yield: the result has no fluxes, (B, T, 0)."""
        hidden_BTH, basis = self.gru_basic(x_BTF, state.basis_LBH)
        return YearResult(x_BTF[..., :0], self._yield(hidden_BTH), state._replace(basis_LBH=basis))

    def _yield(self, hidden_BTH: Tensor) -> Tensor:
        yield_B1: Tensor = self.densor_yield(attended(self.drop(hidden_BTH), score=self.attn))
        return yield_B1[:, 0]

    def _ra(self, hidden_BTH: Tensor, x_BTF: Tensor, start_LBH: Tensor) -> tuple[Tensor, Tensor]:
        """Return Ra (B, T, 1), normalised, and the state of its GRU at the year's end."""
        ra_BTH, end_LBH = self.gru_Ra(concatenated(self.drop(hidden_BTH), x_BTF), start_LBH)
        return self.densor_Ra(self.drop(ra_BTH)), end_LBH

    def residue(self, gpp_BT: Tensor, ra_BT: Tensor, yield_B: Tensor) -> Tensor:
        """Return the annual residue (B,), max(0, GPP + Ra - yield) [g C m-2 yr-1], from normalised values; Ra <= 0."""
        days = gpp_BT.shape[1]
        gpp, ra, yield_ = self.scalers.gpp, self.scalers.ra, self.scalers.yield_
        gpp_B = gpp_BT.sum(1) * gpp.std + days * gpp.mean
        ra_B = ra_BT.sum(1) * ra.std + days * ra.mean
        return torch.relu(gpp_B + ra_B - (yield_B * yield_.std + yield_.mean))

    def _residue_channel(self, residue_B: Tensor, *, days: int) -> Tensor:
        """Return the input (B, T, 1) of the Rh block: the normalised residue on its days, 0 on all others."""
        scaler = self.scalers.residue
        pulse_T = residue_B.new_zeros(days)
        for day in self.residue_days:  # a list as an index would have CUDA wait for all work before it
            pulse_T[day] = 1.0
        return (((residue_B - scaler.mean) / scaler.std)[:, None] * pulse_T)[..., None]
