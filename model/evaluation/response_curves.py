"""What a network answers as one input moves: mean Ra, Rh and yield along the published grids.

Everything here is physical and in reporting signs: respiration positive.

Shape legend: N sites, Y years, T days, F inputs, J levels of an input.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: ranges and steps of its
response checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import Scalers
from model.data.records import Floats
from model.data.run_years import run_years
from model.data.sites import normalised_inputs
from model.evaluation.responses import GRIDS, Grid
from model.features import FEATURE_NAMES


@dataclass(frozen=True)
class ResponseCurve:
    """Mean predictions as one input is set to each level, on all days.

    Attributes
    ----------
    feature
        Name of the input.
    levels
        Physical values of it.
    ra, rh
        Mean daily respiration, positive [g C m-2 d-1].
    grain
        Mean yield [g C m-2 yr-1].
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
        Left in evaluation mode.
    x_NYTF
        Physical inputs of the sequences in which inputs are moved.
    scalers
        That the network was trained with.
    grids
        Inputs and levels; by default the published ones, of every input.
    progress
        Called with what is done, how much of it and how much there is.
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
    means_J3 = np.array([_mean_response(network, x_NYTF, feature=grid.feature, level=z) for z in grid.levels])
    chosen = [scalers.outputs[name] for name in ("ra", "rh", "yield")]
    ra, rh, grain = (means_J3[:, i] * scaler.std + scaler.mean for i, scaler in enumerate(chosen))
    mean, std = scalers.features[grid.feature]
    levels = tuple(mean + level * std for level in grid.levels)
    return ResponseCurve(
        FEATURE_NAMES[grid.feature], levels, tuple((-ra).tolist()), tuple((-rh).tolist()), tuple(grain.tolist())
    )


def _mean_response(network: nn.Module, x_NYTF: Tensor, *, feature: int, level: float) -> list[float]:
    moved_NYTF = x_NYTF.clone()
    moved_NYTF[..., feature] = level
    years = list(run_years(network, moved_NYTF))
    ra_rh = torch.stack([year.fluxes_BT3[..., :2].double().mean((0, 1)) for year in years]).mean(0)
    grain = torch.stack([year.yield_B.double().mean() for year in years]).mean()
    return [*ra_rh.tolist(), float(grain)]
