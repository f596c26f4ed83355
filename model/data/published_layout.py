"""Site sequences in the layout of the published *ecosys* simulations, read from and written to files.

A file is a mapping of arrays: `X` (Y x 365, N, 12), each column normalised with its row (mean, std) of `X_scaler`
(12, 2), in the order of `DAILY_COLUMNS`; `Xsp` (N, 9) with `Xsp_scaler` (9, 2), the soil; `FIPS_ref` (N), the county of
each simulation. Ra and Rh are negative, NEE = -(GPP + Ra + Rh), and the year's grain carbon is GrainC of its second
last day. The published files are pickles written by `torch.save`; ours are safetensors, which cannot hold code.

Shape legend: N sites, Y years, T 365 days, F 19 features.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray

from model.data.records import CROPS, DAYS, DataSetError, Floats, SiteSequences
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, PUBLISHED_FEATURE_SCALERS, SOIL, YEAR
from model.unpickling import UnsafeFileError, load_numbers

FORMAT = "agcarbon-sequences-1"
DAILY_COLUMNS = (*(feature.name for feature in FEATURES[: GPP + 1]), "Ra", "Rh", "GrainC")
RA, RH, GRAIN = (DAILY_COLUMNS.index(name) for name in ("Ra", "Rh", "GrainC"))
GRAIN_DAY = 363  # 0-based: the second last day of the year
FIRST_YEAR = 2001  # of the published simulations
_CROP_TOLERANCE = 0.01


@dataclass(frozen=True)
class _Layout:
    """The arrays of a file, checked against each other."""

    x: Floats  # (Y * 365, N, 12)
    x_scaler: NDArray[np.float64]
    soil: Floats  # (N, 9)
    soil_scaler: NDArray[np.float64]
    sites: tuple[str, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> _Layout:
        absent = [name for name in ("X", "X_scaler", "Xsp", "Xsp_scaler", "FIPS_ref") if name not in raw]
        if absent:
            raise DataSetError(f"no {', '.join(absent)}: not the published layout of synthetic data")
        x, soil = (_numbers(raw, name).astype(np.float32, copy=False) for name in ("X", "Xsp"))
        if x.ndim != 3 or x.shape[2] != len(DAILY_COLUMNS) or len(x) == 0 or len(x) % DAYS:
            raise DataSetError(f"X has shape {x.shape}, not (years x {DAYS}, sites, {len(DAILY_COLUMNS)})")
        layout = cls(x, _scalers(raw, "X_scaler"), soil, _scalers(raw, "Xsp_scaler"), _names(raw["FIPS_ref"]))
        sites, soils = x.shape[1], SOIL.stop - SOIL.start
        for name, found, expected in (
            ("X_scaler", layout.x_scaler.shape, (len(DAILY_COLUMNS), 2)),
            ("Xsp", soil.shape, (sites, soils)),
            ("Xsp_scaler", layout.soil_scaler.shape, (soils, 2)),
            ("FIPS_ref", (len(layout.sites),), (sites,)),
        ):
            if found != expected:
                raise DataSetError(f"{name} has shape {found}, not {expected} as the {sites} sites of X require")
        layout._check_values()
        return layout

    def _check_values(self) -> None:
        gaps = [name for i, name in enumerate(DAILY_COLUMNS) if not np.isfinite(self.x[..., i]).all()]
        if gaps:
            raise DataSetError(f"X holds values of {', '.join(gaps)} that are not finite; remove sites with gaps")
        # A file with positive respiration would train a network that respires the wrong way, without an error anywhere.
        for column in (RA, RH):
            mean, std = self.x_scaler[column]
            if self.x[..., column].mean(dtype=np.float64) * std + mean > 0:
                raise DataSetError(f"{DAILY_COLUMNS[column]} is positive on average; respiration is negative here")

    @property
    def years(self) -> int:
        return len(self.x) // DAYS

    def daily(self, column: int) -> Floats:
        """Return a column in its own unit, (N, Y, 365)."""
        mean, std = self.x_scaler[column]
        return self.x[:, :, column].T.reshape(-1, self.years, DAYS) * np.float32(std) + np.float32(mean)

    def sequences(self, first_year: int, origin: str) -> SiteSequences:
        years = np.arange(first_year, first_year + self.years)
        x_NYTF = np.empty((len(self.sites), self.years, DAYS, len(FEATURES)), np.float32)
        for column in (*range(CLIMATE.start, CLIMATE.stop), GPP):
            x_NYTF[..., column] = self.daily(column)
        x_NYTF[..., CROP_TYPE] = _crops(self.daily(CROP_TYPE))
        x_NYTF[..., YEAR] = years[None, :, None]
        soil = self.soil * self.soil_scaler[:, 1] + self.soil_scaler[:, 0]
        x_NYTF[..., SOIL] = soil[:, None, None, :]
        ra, rh = self.daily(RA), self.daily(RH)
        # NEE is defined by the balance; the layout does not store it.
        fluxes = np.stack([ra, rh, -(x_NYTF[..., GPP] + ra + rh)], axis=-1)
        return SiteSequences(x_NYTF, fluxes, self.daily(GRAIN)[..., GRAIN_DAY], years, self.sites, origin)


def _numbers(raw: Mapping[str, Any], name: str) -> NDArray[Any]:
    try:
        values = np.asarray(raw[name])
    except (TypeError, ValueError, RuntimeError):
        values = np.empty(0, object)
    if values.dtype.kind not in "fiu":
        raise DataSetError(f"{name} is a {type(raw[name]).__name__} without numbers")
    return values


def _scalers(raw: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    """Return rows (mean, std), all standard deviations above 0."""
    scalers = _numbers(raw, name).astype(np.float64)
    if not np.isfinite(scalers).all() or np.any(scalers[..., -1] <= 0):
        raise DataSetError(f"{name} holds a mean or standard deviation that is not finite, or a deviation not above 0")
    return scalers


def _names(raw: Any) -> tuple[str, ...]:
    """Return site names; numbers are county codes of five digits."""
    try:
        values = raw.tolist() if hasattr(raw, "tolist") else list(raw)
        return tuple(value if isinstance(value, str) else f"{int(value):05d}" for value in values)
    except (TypeError, ValueError, OverflowError):
        raise DataSetError("FIPS_ref must be a list of county codes, one for each site") from None


def _crops(crop_NYT: Floats) -> Floats:
    # Codes were normalised and come back with rounding errors.
    codes = np.rint(crop_NYT)
    faulty = ~np.isin(codes, CROPS) | (np.abs(crop_NYT - codes) > _CROP_TOLERANCE)
    if faulty.any():
        raise DataSetError(
            f"Crop_Type holds {crop_NYT[faulty][0]:g}; it is {CROPS[0]} for corn, {CROPS[1]} for soybean"
        )
    return codes


def read_published_layout(path: str | Path, *, first_year: int = FIRST_YEAR) -> SiteSequences:
    """Return the sequences in a file that `write_published_layout` wrote, or in one of the published pickles.

    Parameters
    ----------
    path
        A `.safetensors` file of ours, or a pickle of plain arrays; no code in it is run.
    first_year
        Calendar year in which pickles begin, because they do not state it; ours do.

    Raises
    ------
    DataSetError
        If the file is absent or damaged, holds anything but plain values, or arrays that do not fit together.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return _read_ours(path)
        return _Layout.of(_unpickled(path)).sequences(first_year, f"simulations of {path.name}")
    except DataSetError as error:
        raise DataSetError(f"{path}: {error}") from None


def _read_ours(path: Path) -> SiteSequences:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("agcarbon", "{}"))
            raw = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise DataSetError(f"not readable ({error})") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise DataSetError(f"not of format {FORMAT!r}; write it with `write_published_layout`")
    try:
        sites, first_year, origin = metadata["sites"], int(metadata["first_year"]), str(metadata["origin"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataSetError(f"incomplete metadata ({error!r}); write it with `write_published_layout`") from None
    return _Layout.of(raw | {"FIPS_ref": sites}).sequences(first_year, origin)


def _unpickled(path: Path) -> Mapping[str, Any]:
    try:
        content = load_numbers(path)
    except UnsafeFileError as error:
        raise DataSetError(str(error)) from None
    if not isinstance(content, dict):
        raise DataSetError(f"holds a {type(content).__name__}, not a dict of arrays")
    return content


def write_published_layout(path: str | Path, sequences: SiteSequences) -> None:
    """Write sequences as a `.safetensors` file in the published layout; the file appears complete or not at all.

    Inputs are normalised with the published scalers, Ra, Rh and grain with their own mean and standard deviation. NEE
    is not stored: it closes the balance. GrainC holds the year's grain on each of its days.

    Raises
    ------
    DataSetError
        If the file is not named `.safetensors`, a target is missing, or NEE does not close the balance.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise DataSetError(f"{path}: the file name must end in .safetensors")
    # The comparison is negated so that it also refuses NaN, a missing target.
    residual = np.abs(sequences.x_NYTF[..., GPP] + sequences.fluxes_NYT3.sum(-1))
    if not residual.max() < 1e-3:
        raise DataSetError(
            f"{path}: GPP + Ra + Rh + NEE is up to {residual.max():g} g C m-2 d-1; it must be 0, the layout has no NEE"
        )
    metadata = {
        "format": FORMAT,
        "columns": DAILY_COLUMNS,
        "first_year": int(sequences.years[0]),
        "sites": sequences.sites,
        "origin": sequences.origin,
    }
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(safetensors.torch.save(_tensors(sequences), {"agcarbon": json.dumps(metadata)}))
    partial.replace(path)


def _tensors(sequences: SiteSequences) -> dict[str, torch.Tensor]:
    grain = np.broadcast_to(sequences.yield_NY[..., None], sequences.fluxes_NYT3.shape[:3])
    outputs = [sequences.fluxes_NYT3[..., 0], sequences.fluxes_NYT3[..., 1], grain]
    columns = [*np.moveaxis(sequences.x_NYTF[..., : GPP + 1], -1, 0), *outputs]
    # A column that never varies has a standard deviation of 0; it is divided by 1.
    own = [(values.mean(dtype=np.float64), values.std(dtype=np.float64) or 1.0) for values in outputs]
    scalers = np.array([*PUBLISHED_FEATURE_SCALERS[: GPP + 1], *own])
    x = np.empty((len(sequences.years) * DAYS, len(sequences), len(DAILY_COLUMNS)), np.float32)
    for i, (values, (mean, std)) in enumerate(zip(columns, scalers, strict=True)):
        x[..., i] = ((values - mean) / std).reshape(len(sequences), -1).T
    soil_scalers = np.array(PUBLISHED_FEATURE_SCALERS[SOIL])
    soil = (sequences.x_NYTF[:, 0, 0, SOIL] - soil_scalers[:, 0]) / soil_scalers[:, 1]
    arrays = {"X": x, "X_scaler": scalers, "Xsp": soil.astype(np.float32), "Xsp_scaler": soil_scalers}
    codes = [int(name) if name.isdecimal() else 0 for name in sequences.sites]
    return {name: torch.from_numpy(array) for name, array in (arrays | {"FIPS_ref": np.array(codes)}).items()}
