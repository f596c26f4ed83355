"""Mock files in the layouts of the authors' files, made from their description."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.features import PUBLISHED_FEATURE_SCALERS


def scalers() -> dict[str, Any]:
    """The content of `recotest_data_scaled_v4_scalers.sav`: arrays of NumPy, and a tensor of an earlier network."""
    return {
        "X_scaler": np.array(PUBLISHED_FEATURE_SCALERS),
        "Y1_scaler": np.array([[-1.3584, 2.5833], [-0.9747, 0.8567], [-0.5235, 2.9943]]),
        "Y2_scaler": np.array([[220.95, 103.95]]),
        "Res_scaler": np.array([[325.9, 120.0]]),
        "GPP_Res_fmean": torch.tensor(3.2),
    }


def best_epoch(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The content of `..._step5`: the epoch of the best validation, with losses as floats and as scalars of NumPy."""
    return {
        "epoch": 41,
        "model_state_dict": tensors,
        "R2": [0.94, np.float64(0.96)],
        "loss": [np.float32(19.1), 3.0],
        "los_val": np.float64(20.5),
        "R2_val": [np.float64(0.91), np.int64(1)],
    }


def last_epoch(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The content of `..._step5fs`: all losses and the last epoch."""
    return {"train_losses": [[np.float64(31.2)]], "val_losses": [[20.5]], "model_state_dict_fs": tensors}


def save(content: Any, path: Path, *, as_zip: bool = True) -> Path:
    """Write a file as PyTorch 1.6 and NumPy 1 did: NumPy 2 calls the module `numpy.core` by another name."""
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    if not as_zip:
        path.write_bytes(_of_numpy_1(path.read_bytes()))
        return path
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(name, _of_numpy_1(data) if name.endswith("data.pkl") else data)
    return path


def _of_numpy_1(content: bytes) -> bytes:
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


class Reduced:
    """An object that is unpickled by the call, and by the state, that it is given."""

    def __init__(self, call: Callable[..., Any], arguments: tuple[Any, ...], state: Any = None) -> None:
        self.reduced = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced
