"""The five stages of training: the modules that are trained in each, and their learning rates.

Shape legend: B sites, T days, F features; the functions also take other leading axes.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5, table 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.features import FEATURE_NAMES, GPP, YEAR
from model.network import KGMLNetwork
from model.recipe.training import StageRecipe

BASIS = ("gru_basic",)
YIELD_HEAD = ("attn", "densor_yield")
RA_HEAD = ("gru_Ra", "densor_Ra")
RH_HEAD = ("gru_Rh", "densor_Rh")
FLUX_HEADS = (*RA_HEAD, *RH_HEAD, "gru_NEE", "densor_NEE")
SOIL_CARBON = FEATURE_NAMES.index("TSOC")


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes
    ----------
    name
        Name in progress messages and records.
    trainable
        Modules that are trained; all others are frozen.
    rising_respiration
        Inputs along which the magnitude of heterotrophic respiration must not fall.
    rising_yield
        Inputs along which yield must not fall.
    """

    name: str
    trainable: tuple[str, ...]
    rising_respiration: tuple[int, ...] = ()
    rising_yield: tuple[int, ...] = ()

    def freeze(self, network: KGMLNetwork) -> None:
        """Leave only this stage's modules trainable."""
        for name, parameter in network.named_parameters():
            # By the name of the module, as published: all its tensors or none.
            parameter.requires_grad_(name.split(".")[0] in self.trainable)

    def parameter_groups(self, network: KGMLNetwork, *, recipe: StageRecipe) -> list[dict[str, Any]]:
        """Return the trainable parameters with their learning rates, in the form that an optimiser takes."""
        return [
            {"params": list(module.parameters()), "lr": recipe.learning_rate * _rate_factor(name, recipe)}
            for name, module in network.named_children()
            if name in self.trainable
        ]


def _rate_factor(module: str, recipe: StageRecipe) -> float:
    """Return the relative learning rate: lower for the shared GRU in stage 3 and for the Rh block in stage 5."""
    if recipe.step == 3 and module in BASIS:
        return recipe.basis_factor
    return recipe.rh_factor if recipe.step == 5 and module in RH_HEAD else 1.0


# The names stand in the records of checkpoints.
STAGES: Mapping[int, Stage] = {
    1: Stage("yield and Ra, synthetic", (*BASIS, *YIELD_HEAD, *RA_HEAD)),
    2: Stage("Ra, Rh and NEE, synthetic", FLUX_HEADS, (SOIL_CARBON,)),
    3: Stage("yield, counties", (*BASIS, *YIELD_HEAD), rising_yield=(GPP, YEAR, SOIL_CARBON)),
    4: Stage("Ra, Rh and NEE again, synthetic", FLUX_HEADS, (SOIL_CARBON, GPP)),
    5: Stage("Ra, Rh and NEE, towers", FLUX_HEADS),
}


def set_dropout(network: KGMLNetwork, share: float) -> None:
    """Set the share of units that every layer of the network drops in training."""
    # GRUs of one layer have no dropout between layers.
    network.drop.p = share
    network.gru_basic.dropout = share
    network.gru_Rh.dropout = share


def physical_gpp(x_BTF: Tensor, *, scalers: Scalers) -> Tensor:
    """Return GPP [g C m-2 d-1] from normalised inputs; any leading axes."""
    scaler = scalers.features[GPP]
    return x_BTF[..., GPP] * scaler.std + scaler.mean


def physical_fluxes(fluxes_BT3: Tensor, *, scalers: Scalers) -> Tensor:
    """Return Ra, Rh and NEE [g C m-2 d-1] in the network's signs from normalised ones; any leading axes."""
    outputs = [scalers.outputs[name] for name in ("ra", "rh", "nee")]
    return torch.stack([fluxes_BT3[..., i] * scaler.std + scaler.mean for i, scaler in enumerate(outputs)], -1)


def physical_yield(yield_B: Tensor, *, scalers: Scalers) -> Tensor:
    """Return yield [g C m-2 yr-1] from normalised values of any shape."""
    scaler = scalers.outputs["yield"]
    return yield_B * scaler.std + scaler.mean
