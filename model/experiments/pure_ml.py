"""Pure-ML networks, without knowledge of the carbon cycle: the baselines of KGML-ag-Carbon.

Shape legend: B sites, T days of one year, F inputs, H 64 hidden units, O outputs.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: a two-layer GRU with attention for
yield, a multitask two-layer GRU of 64 units for fluxes; the same inputs, GPP among them, and squared errors alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from model.arrays import HIDDEN
from model.features import FEATURES
from model.network import DROPOUT, State, YearResult, attended, dense_head, draw_dense_weights

FLUXES = 3  # Ra, Rh, NEE


class YieldBaseline(nn.Module):
    """Yield of a year from a GRU and attention over its days: 62,146 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(len(FEATURES), HIDDEN, 2, batch_first=True, dropout=DROPOUT)
        self.drop = nn.Dropout(DROPOUT)
        self.attention = dense_head(last=nn.Tanh())
        self.head = dense_head()
        draw_dense_weights(self)

    def forward(self, x_BTF: Tensor, state: State | None = None) -> YearResult:
        """Run one calendar year; the result has no fluxes, and its state is carried in `basis_LBH`."""
        state = state or State.zeros(len(x_BTF), like=x_BTF)
        hidden_BTH, end_LBH = self.gru(x_BTF, state.basis_LBH)
        yield_B = self.head(attended(self.drop(hidden_BTH), score=self.attention))[:, 0]
        return YearResult(x_BTF.new_empty(*x_BTF.shape[:2], 0), yield_B, state._replace(basis_LBH=end_LBH))


class FluxBaseline(nn.Module):
    """Daily fluxes from a GRU: 41,475 parameters for Ra, Rh and NEE.

    Parameters
    ----------
    outputs
        Number of fluxes.
    """

    def __init__(self, outputs: int = FLUXES) -> None:
        super().__init__()
        self.gru = nn.GRU(len(FEATURES), HIDDEN, 2, batch_first=True, dropout=DROPOUT)
        self.drop = nn.Dropout(DROPOUT)
        self.head = nn.Linear(HIDDEN, outputs)
        draw_dense_weights(self)

    def forward(self, x_BTF: Tensor, state: State | None = None) -> YearResult:
        """Run one calendar year; the result's yield is 0, the mean, and its state is carried in `rh_LBH`."""
        state = state or State.zeros(len(x_BTF), like=x_BTF)
        hidden_BTH, end_LBH = self.gru(x_BTF, state.rh_LBH)
        return YearResult(self.head(self.drop(hidden_BTH)), x_BTF.new_zeros(len(x_BTF)), state._replace(rh_LBH=end_LBH))


class PureML(nn.Module):
    """Both baselines side by side with the interface of `model.network.KGMLNetwork`; they share no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.grain = YieldBaseline()  # the name of its tensors in stored weights
        self.fluxes = FluxBaseline()

    def forward(self, x_BTF: Tensor, state: State | None = None) -> YearResult:
        """Run one calendar year: normalised Ra, Rh and NEE (B, T, 3) and yield (B,)."""
        yields = self.grain(x_BTF, state)
        fluxes = self.fluxes(x_BTF, state)
        # Each baseline keeps its state in one slot of the network's four; the other two stay zero.
        return YearResult(fluxes.fluxes_BT3, yields.yield_B, yields.state._replace(rh_LBH=fluxes.state.rh_LBH))
