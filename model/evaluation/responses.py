"""Responses of a network to its inputs: mean predictions as one input is set to each level of its range.

The input is set on all days of all sequences, all other inputs unchanged. Response curves judge a network; the response
checks of training use the same sequences of levels as losses, with gradient.

Shape legend: N sites, Y years, T days, F 19 inputs, J levels of an input.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: ranges and steps of its response
checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import Scalers
from model.data.records import Floats
from model.data.run_years import Forward, run_years
from model.data.sites import normalised_inputs
from model.features import CROP_TYPE, FEATURE_NAMES, FEATURES
from model.network import KGMLNetwork, YearResult

COARSE = 3
"""Stride through the levels of a grid in the checks of stage 5, as published."""


@dataclass(frozen=True)
class Grid:
    """Evenly spaced normalised values of one input.

    >>> Grid(feature=0, low=-1.0, high=1.0, step=0.5).levels
    (-1.0, -0.5, 0.0, 0.5, 1.0)
    >>> Grid(feature=0, low=-1.0, high=1.0, step=0.5).every(2).levels
    (-1.0, 0.0, 1.0)
    """

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
        """Return the grid of every stride-th level; the crop always keeps its two levels."""
        return self if self.feature == CROP_TYPE else replace(self, step=self.step * stride)


# Lowest level, highest level and step, in the order of `model.features.FEATURES`.
_Z_RANGES = (
    (-2.0, 2.0, 0.2), (-3.5, 2.5, 0.3), (-2.5, 5.0, 0.5), (-1.5, 3.5, 0.25), (-1.5, 7.0, 0.5), (-2.0, 5.5, 0.5),
    (-0.3889, 10.0, 0.5), (-1.0, 1.0, 2.0), (-0.5, 5.0, 0.25), (-1.6384, 1.6384, 0.192753), (-10.0, 2.0, 0.5),
    (-0.75, 4.0, 0.25), (-3.25, 1.25, 0.25), (-4.5, 5.0, 0.5), (-2.5, 3.0, 0.25), (-0.75, 7.75, 0.5),
    (-0.5, 5.0, 0.25), (-3.25, 4.25, 0.5), (-1.75, 3.5, 0.25),
)  # fmt: skip
GRIDS: tuple[Grid, ...] = tuple(Grid(i, *z) for i, z in enumerate(_Z_RANGES))
"""The published grid of each input, in the order of `model.features.FEATURES`."""
assert len(GRIDS) == len(FEATURES)


def moved(x_NYTF: Tensor, *, feature: int, levels: Sequence[float]) -> Tensor:
    """Return copies of normalised inputs, (J N, Y, T, F), level by level, with one input set to the level."""
    levels_J = x_NYTF.new_tensor(levels)
    x_JNYTF = x_NYTF.expand(len(levels_J), *x_NYTF.shape).clone()
    x_JNYTF[..., feature] = levels_J[:, None, None, None]
    return x_JNYTF.flatten(0, 1)


@dataclass(frozen=True)
class ResponseCurve:
    """Mean predictions at each level of an input, physical and in reporting signs.

    Attributes
    ----------
    feature
        Name of the input.
    levels
        Values of the input in its own unit.
    ra, rh
        Mean daily respiration, positive [g C m-2 d-1].
    grain
        Mean yield [g C m-2 yr-1]; the field's name is its key in `evaluation.json`.
    """

    feature: str
    levels: tuple[float, ...]
    ra: tuple[float, ...]
    rh: tuple[float, ...]
    grain: tuple[float, ...]


def response_curves(
    network: nn.Module,
    x_NYTF: Floats,
    *,
    scalers: Scalers,
    grids: Sequence[Grid] = GRIDS,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[ResponseCurve, ...]:
    """Return the response of Ra, Rh and yield to each input of the grids, over all sites and years.

    Parameters
    ----------
    network
        A network with the interface of `model.network.KGMLNetwork`; it is left in evaluation mode.
    x_NYTF
        Physical inputs of the sequences.
    scalers
        Scalers with which the network was trained.
    grids
        Inputs and their levels; by default the published ones of every input.
    progress
        Called with the name of the work, the number of curves done and the number of all.
    """
    network.eval()
    x = normalised_inputs(x_NYTF, scalers=scalers)
    curves = []
    for done, grid in enumerate(grids, start=1):
        curves.append(_curve(network, x, grid=grid, scalers=scalers))
        progress("response curves", done, len(grids))
    return tuple(curves)


@torch.no_grad()
def _curve(network: nn.Module, x_NYTF: Tensor, *, grid: Grid, scalers: Scalers) -> ResponseCurve:
    # Level by level, so that memory does not grow with the grid.
    means_J3 = np.array([_means(network, moved(x_NYTF, feature=grid.feature, levels=[z])) for z in grid.levels])
    chosen = [scalers.outputs[name] for name in ("ra", "rh", "yield")]
    ra, rh, yield_ = (means_J3[:, i] * scaler.std + scaler.mean for i, scaler in enumerate(chosen))
    mean, std = scalers.features[grid.feature]
    levels = tuple(mean + level * std for level in grid.levels)
    return ResponseCurve(
        FEATURE_NAMES[grid.feature], levels, tuple((-ra).tolist()), tuple((-rh).tolist()), tuple(yield_.tolist())
    )


def _means(network: nn.Module, x_NYTF: Tensor) -> list[float]:
    """Return mean Ra, Rh and yield, normalised."""
    years = list(run_years(network, x_NYTF))
    ra_rh = torch.stack([year.fluxes_BT3[..., :2].double().mean((0, 1)) for year in years]).mean(0)
    yield_ = torch.stack([year.yield_B.double().mean() for year in years]).mean()
    return [*ra_rh.tolist(), float(yield_)]


@dataclass(frozen=True)
class ResponseChecks:
    """Normalised sequences, and the grids of inputs that are moved in them during training."""

    x_NYTF: Tensor
    grids: tuple[Grid, ...]

    @classmethod
    def of(cls, x_NYTF: Tensor, features: tuple[int, ...], *, stride: int) -> ResponseChecks:
        """Return the checks along some inputs, at every stride-th level."""
        return cls(x_NYTF, tuple(GRIDS[feature].every(stride) for feature in features))


def mean_respiration(network: KGMLNetwork, x_NYTF: Tensor, *, grid: Grid, scalers: Scalers) -> Tensor:
    """Return mean daily Ra and Rh at each level, (J, 2) [g C m-2 d-1], negative, with gradient."""
    ra, rh = scalers.outputs["ra"], scalers.outputs["rh"]
    years = [result.fluxes_BT3[..., :2].mean(1) for result in _years(network, x_NYTF, grid)]
    mean_J2 = torch.stack(years).mean(0).reshape(len(grid.levels), -1, 2).mean(1)
    return mean_J2 * mean_J2.new_tensor([ra.std, rh.std]) + mean_J2.new_tensor([ra.mean, rh.mean])


def mean_yield(network: KGMLNetwork, x_NYTF: Tensor, *, grid: Grid) -> Tensor:
    """Return the mean normalised yield at each level, (J,), with gradient."""
    years = [result.yield_B for result in _years(network.yield_alone, x_NYTF, grid)]
    return torch.stack(years).mean(0).reshape(len(grid.levels), -1).mean(1)


def _years(network: Forward, x_NYTF: Tensor, grid: Grid) -> Iterator[YearResult]:
    # All levels in one batch: one pass through the days instead of one for each level.
    return run_years(network, moved(x_NYTF, feature=grid.feature, levels=grid.levels))
