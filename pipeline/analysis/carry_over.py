"""Residue carried over: the part of a year's soil carbon change that is residue still to be respired.

The model's soil carbon change holds residue and humus. Residue R of a harvest is respired mostly in the year that
follows; Rh of year t in a cell is therefore written as

    Rh(t) = b R(t-1) + c GPP(t) + constant of the cell,

and b, the share of a harvest's residue respired in the year after, is found by least squares over all cells and pairs
of years. The pool at the end of a year is then b R(t), and the change carried over is C(t) = b (R(t) - R(t-1)): over
many years it cancels but for the first and the last residue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.cells import Floats

LEAST_YEARS = 3  # two pairs of consecutive years, so that a cell's own constant leaves something to fit
_D, _C, _RH, _R, _G = range(5)


@dataclass(frozen=True, eq=False)
class CarryOver:
    """Sums of products of deviations from each cell's mean, in the order dSOC, R(t) - R(t-1), Rh, R(t-1), GPP.

    Attributes
    ----------
    products_55
        Area-weighted sums, changed by `add`.
    """

    products_55: Floats = field(default_factory=lambda: np.zeros((5, 5)))

    def add(self, years: Sequence[int], layers: dict[str, NDArray[np.float32]], area_m2_N: Floats) -> None:
        """Add the layers dsoc, residue, rh and gpp (Y, N) of a tile; pairs with a gap between them are left out."""
        follows = np.flatnonzero(np.diff(years) == 1)
        if follows.size < LEAST_YEARS - 1:
            return
        of = {name: layer.astype(np.float64) for name, layer in layers.items()}
        now, before = follows + 1, follows
        change = of["residue"][now] - of["residue"][before]
        values_5PN = np.stack([of["dsoc"][now], change, of["rh"][now], of["residue"][before], of["gpp"][now]])
        whole_N = np.isfinite(values_5PN).all(axis=(0, 1))
        chosen = values_5PN[..., whole_N]
        deviations = chosen - chosen.mean(axis=1, keepdims=True)
        self.products_55[:] += np.einsum("apn,bpn,n->ab", deviations, deviations, area_m2_N[whole_N])

    @property
    def share(self) -> float:
        """The share b of a harvest's residue that is respired in the year after; NaN if it cannot be determined."""
        found = self.products_55
        inputs = found[np.ix_([_R, _G], [_R, _G])]
        if np.linalg.matrix_rank(inputs) < 2:
            return float("nan")
        return float(np.linalg.solve(inputs, found[[_R, _G], _RH])[0])

    @property
    def explained(self) -> float:
        """Share of the variance of dSOC between a cell's years that disappears without the carried-over part."""
        found, b = self.products_55, self.share
        removed = 2 * b * found[_D, _C] - b**2 * found[_C, _C]
        return float(removed / found[_D, _D]) if found[_D, _D] > 0 else float("nan")
