"""Response curves: mean predictions as one input is set to each level of its range, in all days of all sequences.

Shape legend: N sites, Y years, T days, F features, J levels, B samples.

References
----------
Liu et al. (2024), doi:10.1038/s41467-023-43860-5: ranges and steps of its response checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.data.run_years import Forward, run_years, yield_alone
from model.features import CROP_TYPE, FEATURES
from model.network import KGMLNetwork, YearResult

COARSE = 3
"""Levels that a coarse grid skips ahead by."""


@dataclass(frozen=True)
class Grid:
    """Evenly spaced normalised values of one input."""

    feature: int
    low: float
    high: float
    step: float

    @property
    def levels(self) -> tuple[float, ...]:
        """The values, from low to high."""
        # The last level of the year lies a rounding error of the published step beyond its range.
        return tuple(self.low + i * self.step for i in range(int((self.high - self.low) / self.step + 1e-4) + 1))

    def every(self, stride: int) -> Grid:
        """Return the grid of every stride-th level; the crop's two levels always stay."""
        return self if self.feature == CROP_TYPE else replace(self, step=self.step * stride)


_Z_RANGES = (
    (-2.0, 2.0, 0.2), (-3.5, 2.5, 0.3), (-2.5, 5.0, 0.5), (-1.5, 3.5, 0.25), (-1.5, 7.0, 0.5), (-2.0, 5.5, 0.5),
    (-0.3889, 10.0, 0.5), (-1.0, 1.0, 2.0), (-0.5, 5.0, 0.25), (-1.6384, 1.6384, 0.192753), (-10.0, 2.0, 0.5),
    (-0.75, 4.0, 0.25), (-3.25, 1.25, 0.25), (-4.5, 5.0, 0.5), (-2.5, 3.0, 0.25), (-0.75, 7.75, 0.5),
    (-0.5, 5.0, 0.25), (-3.25, 4.25, 0.5), (-1.75, 3.5, 0.25),
)  # fmt: skip
GRIDS: tuple[Grid, ...] = tuple(Grid(i, *z) for i, z in enumerate(_Z_RANGES))
"""The published grid of each input, in the order of `model.features.FEATURES`."""
assert len(GRIDS) == len(FEATURES)


@dataclass(frozen=True)
class Checks:
    """Sequences, normalised, and the grids of inputs that the response checks move over them."""

    x_NYTF: Tensor
    grids: tuple[Grid, ...]

    @classmethod
    def of(cls, x_NYTF: Tensor, features: tuple[int, ...], *, stride: int) -> Checks:
        """Return checks along inputs, at every which level."""
        return cls(x_NYTF, tuple(GRIDS[feature].every(stride) for feature in features))


def moved(x_NYTF: Tensor, *, grid: Grid) -> Tensor:
    """Return copies of normalised inputs, (J N, Y, T, F), level by level, with one input set to the level."""
    levels_J = x_NYTF.new_tensor(grid.levels)
    x_JNYTF = x_NYTF.expand(len(levels_J), *x_NYTF.shape).clone()
    x_JNYTF[..., grid.feature] = levels_J[:, None, None, None]
    return x_JNYTF.flatten(0, 1)


def mean_respiration(network: KGMLNetwork, x_NYTF: Tensor, *, grid: Grid, scalers: Scalers) -> Tensor:
    """Return mean daily Ra and Rh at each level, (J, 2) [gC m-2 d-1], negative, with gradient."""
    ra, rh = scalers.outputs["ra"], scalers.outputs["rh"]
    years = [result.fluxes_BT3[..., :2].mean(1) for result in _run(network, x_NYTF, grid)]
    mean_J2 = torch.stack(years).mean(0).reshape(len(grid.levels), -1, 2).mean(1)
    return mean_J2 * mean_J2.new_tensor([ra.std, rh.std]) + mean_J2.new_tensor([ra.mean, rh.mean])


def mean_yield(network: KGMLNetwork, x_NYTF: Tensor, *, grid: Grid) -> Tensor:
    """Return the mean normalised yield at each level, (J,), with gradient."""
    years = [result.yield_B for result in _run(yield_alone(network), x_NYTF, grid)]
    return torch.stack(years).mean(0).reshape(len(grid.levels), -1).mean(1)


def _run(network: Forward, x_NYTF: Tensor, grid: Grid) -> Iterator[YearResult]:
    return run_years(network, moved(x_NYTF, grid=grid))
