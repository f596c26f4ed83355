"""Weights and scalers in the files of the authors of KGML-ag-Carbon, which `torch.save` wrote; no code in them is run.

A file of weights holds the 46 tensors under `model_state_dict` (epoch of the best validation) or `model_state_dict_fs`
(last epoch). The file of scalers holds rows (mean, std): `X_scaler` (19, 2) of the inputs, `Y1_scaler` (3, 2) of Ra, Rh
and NEE [g C m-2 d-1], `Y2_scaler` (1, 2) of the yield and `Res_scaler` (1, 2) of the residue [g C m-2 yr-1]. Ra and Rh
are negative, NEE is positive to the atmosphere.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5; files: doi:10.5281/zenodo.10155516.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import CheckpointError, Scalers
from model.features import FEATURE_NAMES, FEATURES, GPP
from model.ranges import PUBLISHED_RANGES
from model.unpickling import UnsafeFileError, load_numbers

LAST_EPOCH = "model_state_dict_fs"
_WEIGHT_KEYS = ("model_state_dict", LAST_EPOCH, "state_dict")
_ROWS = {
    "X_scaler": FEATURE_NAMES,
    "Y1_scaler": ("Ra", "Rh", "NEE"),
    "Y2_scaler": ("yield",),
    "Res_scaler": ("residue",),
}
_OPEN_BALANCE = 0.1  # of mean GPP; means of all simulations close, those of a sample nearly


@dataclass(frozen=True)
class AuthorsWeights:
    """Tensors by their published names, and the key under which the file holds them; empty if it holds nothing else."""

    tensors: Mapping[str, Tensor]
    key: str


def read_weights(path: str | Path) -> AuthorsWeights:
    """Return the state dict of one of the authors' files, alone or within a training state.

    Raises
    ------
    CheckpointError
        If the file is absent or damaged, holds no mapping, or names anything but tensors, numbers and containers.
    """
    content = _mapping(path)
    for key in _WEIGHT_KEYS:
        if isinstance(content.get(key), dict):
            return AuthorsWeights(content[key], key)
    return AuthorsWeights(content, "")


def is_scaler_file(path: str | Path) -> bool:
    """Return whether a file begins like one of `torch.save`, a ZIP archive or a pickle, and not like JSON."""
    with Path(path).open("rb") as file:
        return file.read(2).startswith((b"PK", b"\x80"))


def read_scalers(path: str | Path) -> Scalers:
    """Return the scalers in the authors' file `recotest_data_scaled_v4_scalers.sav`.

    Other entries of the file are ignored; `GPP_Res_fmean` belongs to an earlier network.

    Raises
    ------
    CheckpointError
        If an array is missing, of another shape, in another order or of other signs.
    """
    content = _mapping(path)
    try:
        return _scalers({name: _rows(content, name) for name in _ROWS})
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _mapping(path: str | Path) -> Mapping[str, Any]:
    try:
        content = load_numbers(path)
    except UnsafeFileError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a mapping of names to tensors or arrays")
    return dict(content)


def _rows(content: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    if name not in content:
        raise CheckpointError(
            f"no {name}, it holds {', '.join(sorted(map(str, content))[:8])}; the file of scalers holds "
            f"{', '.join(_ROWS)} (recotest_data_scaled_v4_scalers.sav)"
        )
    values, expected = np.asarray(content[name]), (len(_ROWS[name]), 2)
    if values.dtype.kind not in "fiu" or values.shape != expected:
        raise CheckpointError(
            f"{name} has shape {values.shape} of {values.dtype}, not {expected} of numbers: (mean, std) of "
            f"{', '.join(_ROWS[name])}; use recotest_data_scaled_v4_scalers.sav and not a file of data"
        )
    return values.astype(np.float64)


def _scalers(rows: Mapping[str, NDArray[np.float64]]) -> Scalers:
    inputs = rows["X_scaler"]
    outputs = {"gpp": inputs[GPP], "yield": rows["Y2_scaler"][0], "residue": rows["Res_scaler"][0]}
    outputs |= dict(zip(("ra", "rh", "nee"), rows["Y1_scaler"], strict=True))
    scalers = Scalers.parse({"features": inputs.tolist()} | {name: row.tolist() for name, row in outputs.items()})
    _check_order(scalers)
    _check_balances({name: scaler.mean for name, scaler in scalers.outputs.items()})
    return scalers


def _check_order(scalers: Scalers) -> None:
    for i, (feature, scaler) in enumerate(zip(FEATURES, scalers.features, strict=True)):
        low, high = PUBLISHED_RANGES.inputs[i]
        if not low <= scaler.mean <= high:
            raise CheckpointError(
                f"row {i} of X_scaler, {feature.name}, has the mean {scaler.mean:g} {feature.unit}, not {low:g} to "
                f"{high:g} as in the published data; the rows must be {', '.join(FEATURE_NAMES)}"
            )


def _check_balances(mean: Mapping[str, float]) -> None:
    """Refuse means of other signs, units or rows: NEE is defined as -(GPP + Ra + Rh), residue as GPP + Ra - yield."""
    fluxes = mean["gpp"] + mean["ra"] + mean["rh"] + mean["nee"]
    if not abs(fluxes) <= _OPEN_BALANCE * mean["gpp"]:
        raise CheckpointError(
            f"the means of GPP, Ra, Rh and NEE add up to {fluxes:.3g} g C m-2 d-1 and not to 0; rows of Y1_scaler are "
            f"Ra, Rh (both negative) and NEE (positive to the atmosphere); use the file as the authors wrote it"
        )
    residue = 365 * (mean["gpp"] + mean["ra"]) - mean["yield"]
    if not abs(residue - mean["residue"]) <= _OPEN_BALANCE * 365 * mean["gpp"]:
        raise CheckpointError(
            f"the mean of Res_scaler is {mean['residue']:.4g} g C m-2 yr-1, but GPP + Ra - yield is {residue:.4g}; Ra "
            f"is the first row of Y1_scaler, Y2_scaler and Res_scaler are sums of a year; use the file as the authors "
            f"wrote it"
        )
