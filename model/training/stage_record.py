"""Record of a finished stage: settings, data, learning curve and scores, as JSON values.

Shape legend: N sites or site-years, Y years, T days.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from model.checkpoint import Scalers
from model.data.run_years import Prediction, predict
from model.data.sites import DataSet
from model.evaluation.scores import Balance, Carbon, balance
from model.network import KGMLNetwork
from model.training.scores import held_out_scores
from model.training.stages import physical_fluxes, physical_gpp
from model.training.trainer import Epoch


@dataclass(frozen=True)
class StageRecord:
    """Provenance and scores of one stage.

    Attributes
    ----------
    step, name
        Number and name of the stage in the published sequence.
    key
        Hash of everything that decides the stage's weights: recipe up to this stage, data, first weights.
    settings
        Recipe of the stage.
    data
        Digest of each data set, by its name.
    split
        Held-out part of each data set, by its name.
    start_sha256
        Digest of the checkpoint that the stage started from; None for random weights.
    best_epoch
        Number of the epoch whose weights were kept.
    curve
        Learning curve, one row for each epoch.
    scores
        Scores of the weights kept, on held-out synthetic sites and years.
    towers
        Scores on the test years of towers, by site and year (stage 5).
    git_revision, torch, threads, device
        Software and hardware of the training; another number of threads or another device changes the last bits.
    """

    step: int
    name: str
    key: str
    settings: Mapping[str, Any]
    data: Mapping[str, str]
    split: Mapping[str, Any]
    start_sha256: str | None
    best_epoch: int
    curve: tuple[Epoch, ...]
    scores: Mapping[str, Any]
    towers: Mapping[str, Any]
    git_revision: str
    torch: str
    threads: int
    device: str

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values; NaN becomes None."""
        # JSON has no NaN: strict readers refuse it.
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)), parse_constant=lambda _: None)
        return values

    def write(self, path: Path) -> None:
        """Write the record as a JSON file, which appears complete or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        partial.replace(path)


def site_scores(network: KGMLNetwork, *, data: DataSet) -> dict[str, Any]:
    """Return the scores on sites that training never saw and, under "held_out_years", on held-out years of others.

    Both have the daily skill of "ra", "rh" and "nee", that of "yield", the "annual" skill and the mass "balance". The
    best epoch was chosen on the held-out years alone; without sites that are held out entirely, both are the same, as
    published.
    """
    prediction, unseen_N1 = predict(network, data.validation.x_NYTF), data.unseen_N[:, None]
    held_out_NY = data.validation_mask_NY
    years = _scores(prediction, data=data, mask_NY=held_out_NY & ~unseen_N1)
    unseen = _scores(prediction, data=data, mask_NY=held_out_NY & unseen_N1) if data.unseen_N.any() else years
    return {**unseen, "held_out_years": years}


def _scores(prediction: Prediction, *, data: DataSet, mask_NY: Tensor) -> dict[str, Any]:
    scalers: Scalers = data.scalers
    table = held_out_scores(prediction, target=data.validation, mask_NY=mask_NY, scalers=scalers)
    gpp_NT = physical_gpp(data.validation.x_NYTF[mask_NY], scalers=scalers)
    fluxes_NT3 = physical_fluxes(prediction.fluxes_NYT3[mask_NY], scalers=scalers)
    return {
        "yield": table["yield"],
        **{name: table[f"{name}_daily"] for name in ("ra", "rh", "nee")},
        "annual": {name: table[f"{name}_annual"] for name in ("ra", "rh", "nee", "dsoc")},
        "balance": asdict(site_year_balance(gpp_NT, fluxes_NT3=fluxes_NT3)),
    }


def site_year_balance(gpp_NT: Tensor, *, fluxes_NT3: Tensor) -> Balance:
    """Return the balance of site-years from physical fluxes in the network's signs."""
    gpp, fluxes = (each.cpu().numpy()[:, None] for each in (gpp_NT, fluxes_NT3))
    nothing = np.full(gpp.shape[:2], np.nan, np.float32)
    return balance(Carbon.of_fluxes(gpp, fluxes_NYT3=fluxes, yield_NY=nothing))


def git_revision() -> str:
    """Return the revision of the source tree, or "unknown" outside a checkout."""
    # Of the tree that this module lies in, wherever the process was started.
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
