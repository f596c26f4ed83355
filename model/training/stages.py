"""The stages of pre-training: what learns, and from which loss.

Shape legend: B sites, T days. References: Liu et al. (2024), doi:10.1038/s41467-023-43860-5, table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.features import GPP, Scaler
from model.losses import flux_error, mass_balance, self_paced, squared_error
from model.network import KGMLNetwork

RA_HEAD = ("gru_Ra", "densor_Ra")
FLUX_HEADS = (*RA_HEAD, "gru_Rh", "densor_Rh", "gru_NEE", "densor_NEE")
YIELD_NETWORK = ("gru_basic", "attn", "densor_yield")


class YearSample(NamedTuple):
    """One calendar year at B sites: inputs, predictions and targets, normalised, and which sites count."""

    x_BTF: Tensor
    fluxes_BT3: Tensor
    yield_B: Tensor
    target_fluxes_BT3: Tensor
    target_yield_B: Tensor
    mask_B: Tensor


@dataclass(frozen=True)
class Stage:
    """What one stage trains.

    Attributes
    ----------
    name
        For progress messages and records.
    trainable
        Modules that learn; all others are frozen.
    loss
        Of a year, given the self-paced limit and the scalers.
    """

    name: str
    trainable: tuple[str, ...]
    loss: Callable[[YearSample, float, Scalers], Tensor]

    def freeze(self, network: KGMLNetwork) -> list[torch.nn.Parameter]:
        """Let only this stage's modules learn, and return their parameters."""
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in self.trainable)
        return [parameter for parameter in network.parameters() if parameter.requires_grad]


def yield_and_ra_loss(sample: YearSample, pace: float, _: Scalers) -> Tensor:
    """Self-paced squared error of Ra and of yield (step 1)."""
    mask_BT = sample.mask_B[:, None].expand(sample.x_BTF.shape[:2])
    ra = squared_error(sample.fluxes_BT3[..., 0], target=sample.target_fluxes_BT3[..., 0], mask=mask_BT).mean(1)
    yield_ = squared_error(sample.yield_B, target=sample.target_yield_B, mask=sample.mask_B)
    return self_paced(ra, pace=pace) + self_paced(yield_, pace=pace)


def flux_loss(sample: YearSample, _: float, scalers: Scalers) -> Tensor:
    """Squared error of Ra, Rh and NEE, and the mass balance (steps 2 and 4)."""
    mask_BT = sample.mask_B[:, None].expand(sample.x_BTF.shape[:2])
    error = flux_error(sample.fluxes_BT3, target_BT3=sample.target_fluxes_BT3, mask_BT=mask_BT)
    fluxes = physical_fluxes(sample.fluxes_BT3, scalers=scalers)
    gpp = _physical(sample.x_BTF[..., GPP], scaler=scalers.outputs["gpp"])
    return error + mass_balance(gpp, fluxes_BT3=fluxes, mask_BT=mask_BT)


def physical_fluxes(fluxes_BT3: Tensor, *, scalers: Scalers) -> Tensor:
    """Ra, Rh, NEE in gC m-2 d-1 with the network's signs, from normalised ones; any leading axes."""
    names = ("ra", "rh", "nee")
    return torch.stack(
        [_physical(fluxes_BT3[..., i], scaler=scalers.outputs[name]) for i, name in enumerate(names)], -1
    )


def _physical(z: Tensor, *, scaler: Scaler) -> Tensor:
    return z * scaler.std + scaler.mean


STAGES: Mapping[int, Stage] = {
    1: Stage("yield and Ra", (*YIELD_NETWORK, *RA_HEAD), yield_and_ra_loss),
    2: Stage("Ra, Rh and NEE", FLUX_HEADS, flux_loss),
}
