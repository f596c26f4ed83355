"""A trained network as a file: weights, scalers, feature order and training record, as data that can run no code."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from model.arrays import HIDDEN, RESIDUE_DAYS, Floats
from model.features import FEATURE_NAMES, Scaler
from model.ranges import PUBLISHED_RANGES, TrainingRanges
from model.shipped import SHIPPED

# PyTorch is loaded where a network or its tensors are asked for: commands that only compare digests do without.
if TYPE_CHECKING:
    from torch import Tensor

    from model.network import KGMLNetwork, OutputScalers

FORMAT = "agcarbon-checkpoint-1"
MEMBER = "member"  # the tensors of an ensemble are called member0.NAME, member1.NAME, ...
OUTPUTS = ("gpp", "ra", "rh", "nee", "yield", "residue")
RANGES = "training_ranges"
"""Key of a record under which training writes the ranges of its data."""


class CheckpointError(ValueError):
    """A file or tensors that are no checkpoint of KGML-ag-Carbon; the message names the difference."""


@dataclass(frozen=True)
class Scalers:
    """Scalers of every quantity: 19 features, and outputs in the network's signs [g C m-2 d-1, g C m-2 yr-1]."""

    features: tuple[Scaler, ...]
    outputs: Mapping[str, Scaler]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Scalers:
        """Return the scalers of a mapping: "features" has 19 pairs (mean, std), each of `OUTPUTS` one.

        "features" may also map feature names to pairs; their order is then checked.

        Raises
        ------
        CheckpointError
            For a missing or unknown key, another number or order of features, or a std that is not positive.
        """
        expected = {"features", *OUTPUTS}
        if set(raw) != expected:
            raise CheckpointError(
                f"scalers: missing {sorted(expected - set(raw))}, unknown {sorted(set(raw) - expected)}; "
                f"a checkpoint can only be used with the scalers with which it was trained"
            )
        features = raw["features"]
        if isinstance(features, Mapping):
            check_feature_order(list(features))
            features = list(features.values())
        if len(features) != len(FEATURE_NAMES):
            raise CheckpointError(f"scalers: {len(features)} features, the network has {len(FEATURE_NAMES)}")
        return cls(
            tuple(_scaler(pair, name) for pair, name in zip(features, FEATURE_NAMES, strict=True)),
            {name: _scaler(raw[name], name) for name in OUTPUTS},
        )

    @property
    def of_network(self) -> OutputScalers:
        """The scalers that the network itself needs, for its residue."""
        from model.network import OutputScalers

        return OutputScalers(*(self.outputs[name] for name in ("gpp", "ra", "yield", "residue")))

    def as_json(self) -> dict[str, Any]:
        """Return the JSON values that `parse` reads."""
        return {
            "features": [list(scaler) for scaler in self.features],
            **{name: list(self.outputs[name]) for name in OUTPUTS},
        }


def _scaler(pair: Sequence[float], name: str) -> Scaler:
    try:
        mean, std = (float(value) for value in pair)
    except (TypeError, ValueError):
        raise CheckpointError(f"scaler of {name}: {pair!r} is not a pair (mean, std)") from None
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise CheckpointError(f"scaler of {name}: mean {mean}, std {std}; both must be finite and std above 0")
    return Scaler(mean, std)


def check_feature_order(names: Sequence[str]) -> None:
    """Raise `CheckpointError` for the first feature that is not at the position that the network expects."""
    for position, (found, expected) in enumerate(zip(names, FEATURE_NAMES, strict=False)):
        if found != expected:
            raise CheckpointError(f"feature order: position {position} holds {found}, the network expects {expected}")
    if len(names) != len(FEATURE_NAMES):
        raise CheckpointError(f"feature order: {len(names)} features, the network has {len(FEATURE_NAMES)}")


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the 46 tensors by their published names, in the order of `KGMLNetwork.state_dict`."""
    inputs = len(FEATURE_NAMES)
    grus = {"basic": (inputs, 2), "Ra": (HIDDEN + inputs, 1), "Rh": (1 + HIDDEN + inputs, 2), "NEE": (2 + inputs, 1)}
    shapes: dict[str, tuple[int, ...]] = {}
    for gru, (width, layers) in grus.items():
        for layer in range(layers):
            kinds = (("ih", HIDDEN if layer else width), ("hh", HIDDEN))
            shapes |= {f"gru_{gru}.weight_{kind}_l{layer}": (3 * HIDDEN, columns) for kind, columns in kinds}
            shapes |= {f"gru_{gru}.bias_{kind}_l{layer}": (3 * HIDDEN,) for kind, _ in kinds}
    dense = {f"densor_{name}": (1, HIDDEN) for name in ("Ra", "Rh", "NEE")}
    for head in ("attn", "densor_yield"):
        dense |= {f"{head}.{2 * i}": shape for i, shape in enumerate(((64, HIDDEN), (64, 64), (32, 64), (1, 32)))}
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _members(tensors: Mapping[str, Floats]) -> tuple[dict[str, Floats], ...]:
    """Return the weights of each member under their published names; a single network has no prefix."""
    # Counted from the names, so that a missing or foreign member is found.
    count = len({name.split(".")[0] for name in tensors if name.startswith(MEMBER)})
    if not count:
        return (dict(tensors),)
    prefixes = [f"{MEMBER}{member}." for member in range(count)]
    foreign = [name for name in tensors if not name.startswith(tuple(prefixes))]
    if foreign or count == 1:
        raise CheckpointError(
            f"not an ensemble: tensor {(foreign or list(tensors))[0]}; tensors of 2 or more members are named "
            f"{MEMBER}0.NAME, {MEMBER}1.NAME and so on, those of a single network have no prefix"
        )
    return tuple(
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in prefixes
    )


def _array(tensor: Any) -> Any:
    """Return a tensor of PyTorch as a contiguous array of single precision; anything else as it is."""
    if not hasattr(tensor, "detach"):
        return tensor
    found: Floats = tensor.detach().to("cpu").float().contiguous().numpy()
    return found


def _check_weights(tensors: Mapping[str, Any]) -> None:
    shapes = expected_shapes()
    faults = [f"missing tensor {name}" for name in shapes if name not in tensors]
    faults += [f"unknown tensor {name}" for name in tensors if name not in shapes]
    for name, tensor in tensors.items():
        if name not in shapes:
            continue
        if not isinstance(tensor, np.ndarray):
            faults.append(f"{name} is a {type(tensor).__name__}, not a tensor")
        elif tuple(tensor.shape) != shapes[name]:
            faults.append(f"{name} has shape {tuple(tensor.shape)}, KGML-ag-Carbon has {shapes[name]}")
        elif not np.isfinite(tensor).all():
            faults.append(f"{name} has values that are not finite")
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise CheckpointError(f"not the weights of KGML-ag-Carbon: {shown}")


@dataclass(frozen=True)
class Checkpoint:
    """Weights with their scalers and provenance: of one network, or of an ensemble.

    Attributes
    ----------
    weights
        The 46 published tensors by name, float32; those of an ensemble with the prefixes `member0.`, `member1.`, ...
    scalers
        Normalisation of inputs and outputs.
    record
        Provenance of the weights: origin, data, seeds, scores, ranges of the training data. JSON values only.
    residue_days
        0-based days of the residue pulse.
    """

    weights: Mapping[str, Floats]
    scalers: Scalers
    record: Mapping[str, Any] = field(default_factory=dict)
    residue_days: tuple[int, ...] = RESIDUE_DAYS

    @classmethod
    def from_published(
        cls, state_dict: Mapping[str, Tensor], scalers: Mapping[str, Any], *, record: Mapping[str, Any] | None = None
    ) -> Checkpoint:
        """Return a checkpoint of the published layout.

        Parameters
        ----------
        state_dict
            The 46 tensors under their published names.
        scalers
            "features": 19 x (mean, std); "gpp", "ra", "rh", "nee", "yield", "residue": (mean, std).
        record
            Provenance of the weights, kept unchanged.

        Raises
        ------
        CheckpointError
            If a tensor is missing, unknown or of another shape, or a scaler is invalid; the message names them.
        """
        # Sorted: the order of a mapping must not decide the order in the file.
        weights = {name: _array(state_dict[name]) for name in sorted(state_dict)}
        _check_weights(weights)
        return cls(weights, Scalers.parse(scalers), record=dict(record or {}))

    @classmethod
    def ensemble(cls, members: Sequence[Checkpoint], *, record: Mapping[str, Any] | None = None) -> Checkpoint:
        """Return an ensemble of checkpoints, whose predictions are the means of its members'.

        Parameters
        ----------
        members
            Two or more checkpoints of one network each, trained with the same scalers.
        record
            Provenance of the ensemble; records and digests of the members are kept under "members".

        Raises
        ------
        CheckpointError
            If there are fewer than two members, one is an ensemble itself, or scalers or residue days differ.
        """
        if len(members) < 2 or any(len(member) > 1 for member in members):
            raise CheckpointError(f"an ensemble needs 2 or more checkpoints of single networks, and not {len(members)}")
        first = members[0]
        for number, member in enumerate(members):
            if member._settings != first._settings:
                raise CheckpointError(
                    f"{MEMBER} {number} has other scalers, residue days or training ranges than {MEMBER} 0; train all "
                    f"members on the same data"
                )
        weights = {
            f"{MEMBER}{i}.{name}": array for i, member in enumerate(members) for name, array in member.weights.items()
        }
        records = [{"sha256": member.sha256, "record": dict(member.record)} for member in members]
        ranges = {RANGES: first.record[RANGES]} if first.has_ranges else {}
        return cls(weights, first.scalers, {**(record or {}), **ranges, "members": records}, first.residue_days)

    def __len__(self) -> int:
        """Return the number of members, 1 for a single network."""
        return len(_members(self.weights))

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights as tensors of PyTorch."""
        import torch

        return {name: torch.tensor(array) for name, array in self.weights.items()}

    @property
    def sha256(self) -> str:
        """Digest of everything that decides a prediction or its quality flag: tensors and `_settings`."""
        # The rest of the record does not enter: two checkpoints with other notes and equal results are the same.
        digest = hashlib.sha256(json.dumps(self._settings).encode())
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(self.weights[name].tobytes())
        return digest.hexdigest()

    @property
    def _settings(self) -> list[Any]:
        """Scalers, residue days and, if they are recorded, training ranges, as JSON values."""
        ranges = [self.training_ranges.as_json()] if self.has_ranges else []
        return [self.scalers.as_json(), self.residue_days, *ranges]

    @property
    def has_ranges(self) -> bool:
        """Whether the record holds the ranges of the training data; imported and older checkpoints have none."""
        return RANGES in self.record

    @property
    def training_ranges(self) -> TrainingRanges:
        """Ranges of the training data; the published ones if the record holds none.

        Raises
        ------
        CheckpointError
            If the recorded ranges are incomplete.
        """
        if not self.has_ranges:
            return PUBLISHED_RANGES
        try:
            return TrainingRanges.parse(self.record[RANGES])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"record: incomplete {RANGES} ({error!r}); train the checkpoint again") from None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.weights.values())

    def network(self) -> KGMLNetwork:
        """Return the reference network in eval mode, float32, on the CPU.

        Raises
        ------
        CheckpointError
            If this is an ensemble; `networks` returns its members.
        """
        networks = self.networks()
        if len(networks) > 1:
            raise CheckpointError(
                f"this is an ensemble of {len(networks)} networks and not a single one; use its members one by one"
            )
        return networks[0]

    def networks(self) -> tuple[KGMLNetwork, ...]:
        """Return the network of each member, in eval mode, float32, on the CPU."""
        import torch

        from model.network import KGMLNetwork

        networks = []
        for weights in _members(self.weights):
            network = KGMLNetwork(self.scalers.of_network, self.residue_days)
            network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
            networks.append(network.eval())
        return tuple(networks)

    def metadata(self) -> dict[str, Any]:
        """Return everything but the weights, as JSON values."""
        return {
            "format": FORMAT,
            "features": list(FEATURE_NAMES),
            "scalers": self.scalers.as_json(),
            "residue_days": list(self.residue_days),
            "record": dict(self.record),
            "sha256": self.sha256,
        }

    def save(self, path: str | Path) -> None:
        """Write the checkpoint; the file appears complete or not at all."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        # Not `save_file`: files that it writes can be read by their owner only.
        partial.write_bytes(safetensors.numpy.save(dict(self.weights), {"agcarbon": json.dumps(self.metadata())}))
        partial.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a checkpoint that `save` wrote.

        Raises
        ------
        CheckpointError
            If the file is absent, truncated, of another format, altered, or of another network.
        """
        path = Path(path)
        try:
            with safetensors.safe_open(path, framework="np") as file:
                raw = (file.metadata() or {}).get("agcarbon")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        except FileNotFoundError:
            raise CheckpointError(
                f"{path}: not a readable checkpoint (no such file); give another path, or one of {', '.join(SHIPPED)}"
            ) from None
        except (OSError, TypeError, safetensors.SafetensorError) as error:  # TypeError: a type that NumPy does not have
            raise CheckpointError(f"{path}: not a readable checkpoint ({error})") from error
        try:
            return cls._from_metadata(weights, raw)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None

    @classmethod
    def _from_metadata(cls, weights: Mapping[str, Floats], raw: str | None) -> Checkpoint:
        if raw is None:
            raise CheckpointError("no scalers: import weights with `agcarbon checkpoint import FILE --scalers FILE`")
        try:
            metadata = json.loads(raw)
            kind, features = metadata["format"], metadata["features"]
            scalers, days = metadata["scalers"], tuple(int(day) for day in metadata["residue_days"])
            record, sha256 = metadata["record"], metadata["sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"incomplete metadata ({error!r}); write it with `Checkpoint.save`") from None
        if kind != FORMAT:
            raise CheckpointError(f"format {kind!r}, this version reads {FORMAT!r}")
        check_feature_order(features)
        for member in _members(weights):
            _check_weights(member)
        checkpoint = cls(dict(weights), Scalers.parse(scalers), record, days)
        # Found after the checks above, whose messages are more precise.
        if checkpoint.sha256 != sha256:
            raise CheckpointError(f"altered: digest {checkpoint.sha256[:12]}, recorded {sha256[:12]}")
        return checkpoint
