from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model.checkpoint import OUTPUTS, RANGES, Checkpoint, CheckpointError, Scalers, expected_shapes
from model.features import FEATURE_NAMES, PUBLISHED_FEATURE_SCALERS, SOYBEAN, Scaler
from model.network import KGMLNetwork, OutputScalers
from model.ranges import PUBLISHED_RANGES, DensityLine, JointRanges, Range, TrainingRanges


@pytest.fixture
def scalers() -> dict[str, Any]:
    return {"features": list(PUBLISHED_FEATURE_SCALERS), **dict.fromkeys(OUTPUTS, (0.5, 2.0))}


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    torch.manual_seed(0)
    unit = Scaler(0.0, 1.0)
    return KGMLNetwork(OutputScalers(unit, unit, unit, unit)).state_dict()


def test_the_expected_shapes_are_those_of_the_network() -> None:
    unit = Scaler(0.0, 1.0)
    network = KGMLNetwork(OutputScalers(unit, unit, unit, unit))
    assert expected_shapes() == {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_a_saved_checkpoint_loads_to_the_same(
    tmp_path: Path, state_dict: dict[str, Tensor], scalers: dict[str, Any]
) -> None:
    checkpoint = Checkpoint.from_published(state_dict, scalers, record={"origin": "synthetic test weights"})
    checkpoint.save(tmp_path / "a.safetensors")
    loaded = Checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.sha256 == checkpoint.sha256
    assert loaded.scalers == checkpoint.scalers
    assert loaded.record == {"origin": "synthetic test weights"}
    x_BTF = torch.randn(2, 365, 19)
    assert torch.equal(loaded.network()(x_BTF).fluxes_BT3, checkpoint.network()(x_BTF).fluxes_BT3)


def test_the_digest_covers_weights_and_scalers(state_dict: dict[str, Tensor], scalers: dict[str, Any]) -> None:
    one = Checkpoint.from_published(state_dict, scalers)
    other = Checkpoint.from_published(state_dict, scalers | {"nee": (0.5, 2.1)})
    state_dict["densor_Ra.bias"] = state_dict["densor_Ra.bias"] + 1e-6
    third = Checkpoint.from_published(state_dict, scalers)
    assert len({one.sha256, other.sha256, third.sha256}) == 3


def with_ranges(checkpoint: Checkpoint, top: float = 1186.0) -> Checkpoint:
    joint = JointRanges({SOYBEAN: Range(450.0, top)}, DensityLine(1.475, -0.006, Range(-0.17, 0.17)))
    ranges = TrainingRanges(PUBLISHED_RANGES.inputs, joint).as_json()
    return replace(checkpoint, record={**checkpoint.record, RANGES: ranges})


def test_training_ranges_are_part_of_the_digest_and_published_ones_stand_in(
    tmp_path: Path, state_dict: dict[str, Tensor], scalers: dict[str, Any]
) -> None:
    bare = Checkpoint.from_published(state_dict, scalers, record={"origin": "synthetic test weights"})
    assert (bare.has_ranges, bare.training_ranges) == (False, PUBLISHED_RANGES)
    assert replace(bare, record={"origin": "other words"}).sha256 == bare.sha256
    ranged = with_ranges(bare)
    assert len({bare.sha256, ranged.sha256, with_ranges(bare, 1450.0).sha256}) == 3
    ranged.save(tmp_path / "a.safetensors")
    loaded = Checkpoint.load(tmp_path / "a.safetensors")
    assert (loaded.sha256, loaded.has_ranges) == (ranged.sha256, True)
    assert loaded.training_ranges == ranged.training_ranges
    assert loaded.training_ranges.joint
    assert loaded.training_ranges.joint.annual_gpp[SOYBEAN].high == 1186.0


def test_altered_and_incomplete_ranges_are_refused(
    tmp_path: Path, state_dict: dict[str, Tensor], scalers: dict[str, Any]
) -> None:
    ranged = with_ranges(Checkpoint.from_published(state_dict, scalers))
    for text, message in (("1186.0", "altered: digest"), ('"bulk_density": {', "incomplete training_ranges")):
        ranged.save(tmp_path / "a.safetensors")
        raw = (tmp_path / "a.safetensors").read_bytes()
        key = text.replace('"', '\\"').encode()
        assert raw.count(key) == 1
        (tmp_path / "a.safetensors").write_bytes(
            raw.replace(key, key.replace(b"1186", b"1286").replace(b"bulk", b"hulk"))
        )
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.load(tmp_path / "a.safetensors")


def test_an_ensemble_has_the_ranges_that_its_members_share(scalers: dict[str, Any]) -> None:
    one, two = (single(seed, scalers) for seed in range(2))
    assert not Checkpoint.ensemble([one, two]).has_ranges
    assert Checkpoint.ensemble([with_ranges(one), with_ranges(two)]).training_ranges == with_ranges(one).training_ranges
    for other in (two, with_ranges(two, 1450.0)):
        with pytest.raises(CheckpointError, match="member 1 has other scalers, residue days or training ranges"):
            Checkpoint.ensemble([with_ranges(one), other])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("attn.4.weight"), "missing tensor attn.4.weight"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "unknown tensor extra"),
        (
            lambda tensors: tensors.update({"gru_Ra.weight_ih_l0": torch.zeros(192, 84)}),
            r"gru_Ra.weight_ih_l0 has shape",
        ),
        (
            lambda tensors: tensors["densor_Rh.bias"].fill_(float("nan")),
            "densor_Rh.bias has values that are not finite",
        ),
        (lambda tensors: tensors.update({"attn.0.bias": 3}), "attn.0.bias is a int"),
    ],
)
def test_other_weights_are_refused_by_the_name_of_the_tensor(
    state_dict: dict[str, Tensor], scalers: dict[str, Any], change: Any, message: str
) -> None:
    change(state_dict)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.from_published(state_dict, scalers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("residue"), r"missing \['residue'\]"),
        (lambda raw: raw.update(wood=(0, 1)), r"unknown \['wood'\]"),
        (lambda raw: raw.update(features=raw["features"][:-1]), "18 features, the network has 19"),
        (lambda raw: raw.update(ra=(0.0, 0.0)), "scaler of ra: mean 0.0, std 0.0"),
        (lambda raw: raw.update(nee=(0.0,)), "scaler of nee"),
    ],
)
def test_faulty_scalers_are_refused_by_name(scalers: dict[str, Any], change: Any, message: str) -> None:
    change(scalers)
    with pytest.raises(CheckpointError, match=message):
        Scalers.parse(scalers)


def test_named_features_in_another_order_are_refused(scalers: dict[str, Any]) -> None:
    names = list(FEATURE_NAMES)
    names[7], names[8] = names[8], names[7]
    with pytest.raises(CheckpointError, match="position 7 holds GPP, the network expects Crop_Type"):
        Scalers.parse(scalers | {"features": dict.fromkeys(names, (0.0, 1.0))})


def _rewritten(path: Path, change: Any) -> Path:
    """Change the JSON metadata of a safetensors file in place."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = json.loads(header["__metadata__"]["agcarbon"])
    change(metadata)
    header["__metadata__"]["agcarbon"] = json.dumps(metadata)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metadata: metadata["features"].reverse(), "position 0 holds TCEC, the network expects RADN"),
        (lambda metadata: metadata["scalers"].update(ra=[0, 3]), "altered"),
        (lambda metadata: metadata.pop("scalers"), "incomplete metadata"),
        (lambda metadata: metadata.update(format="other-2"), "format 'other-2'"),
    ],
)
def test_an_altered_file_is_refused(
    tmp_path: Path, state_dict: dict[str, Tensor], scalers: dict[str, Any], change: Any, message: str
) -> None:
    Checkpoint.from_published(state_dict, scalers).save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(_rewritten(tmp_path / "a.safetensors", change))


def test_a_truncated_or_absent_file_is_refused_by_its_path(
    tmp_path: Path, state_dict: dict[str, Tensor], scalers: dict[str, Any]
) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match=r"a\.safetensors: not a readable checkpoint"):
        Checkpoint.load(path)
    Checkpoint.from_published(state_dict, scalers).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"a\.safetensors: not a readable checkpoint"):
        Checkpoint.load(path)


def single(seed: int, scalers: dict[str, Any]) -> Checkpoint:
    torch.manual_seed(seed)
    unit = Scaler(0.0, 1.0)
    weights = KGMLNetwork(OutputScalers(unit, unit, unit, unit)).state_dict()
    return Checkpoint.from_published(weights, scalers, record={"seed": seed})


def test_an_ensemble_returns_from_its_file_with_each_members_network(tmp_path: Path, scalers: dict[str, Any]) -> None:
    members = [single(seed, scalers) for seed in range(3)]
    ensemble = Checkpoint.ensemble(members, record={"origin": "synthetic test weights"})
    ensemble.save(tmp_path / "a.safetensors")
    loaded = Checkpoint.load(tmp_path / "a.safetensors")
    assert len(loaded) == 3
    assert loaded.sha256 == ensemble.sha256
    assert loaded.parameters == 3 * 161_413
    assert [each["record"]["seed"] for each in loaded.record["members"]] == [0, 1, 2]
    assert [each["sha256"] for each in loaded.record["members"]] == [member.sha256 for member in members]
    x_BTF = torch.randn(2, 365, 19)
    for network, member in zip(loaded.networks(), members, strict=True):
        assert not network.training
        assert torch.equal(network(x_BTF).fluxes_BT3, member.network()(x_BTF).fluxes_BT3)
    with pytest.raises(CheckpointError, match="ensemble of 3 networks and not a single one"):
        loaded.network()


def test_the_digest_of_an_ensemble_covers_each_member_and_their_order(scalers: dict[str, Any]) -> None:
    one, two, three = (single(seed, scalers) for seed in range(3))
    digests = {Checkpoint.ensemble(list(members)).sha256 for members in ((one, two), (two, one), (one, three))}
    assert len(digests | {one.sha256}) == 4


def test_tensors_of_a_single_network_have_no_prefix(scalers: dict[str, Any]) -> None:
    checkpoint = single(0, scalers)
    assert len(checkpoint) == 1
    assert len(checkpoint.networks()) == 1
    assert not any(name.startswith("member") for name in checkpoint.tensors)


def test_an_ensemble_needs_single_checkpoints_with_equal_scalers(scalers: dict[str, Any]) -> None:
    one, two = single(0, scalers), single(1, scalers | {"ra": (0.5, 2.1)})
    with pytest.raises(CheckpointError, match="member 1 has other scalers"):
        Checkpoint.ensemble([one, two])
    with pytest.raises(CheckpointError, match="2 or more checkpoints of single networks, and not 1"):
        Checkpoint.ensemble([one])
    with pytest.raises(CheckpointError, match="2 or more checkpoints of single networks"):
        Checkpoint.ensemble([one, Checkpoint.ensemble([one, single(2, scalers)])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name: name.replace("member1.", "member2."), "not an ensemble: tensor member2"),
        (lambda name: name.replace("member1.", ""), "not an ensemble: tensor"),
        (lambda name: name.replace("member1.attn.0.bias", "member1.attn.1.bias"), "missing tensor attn.0.bias"),
    ],
)
def test_an_ensemble_with_an_incomplete_member_is_refused(
    tmp_path: Path, scalers: dict[str, Any], change: Callable[[str], str], message: str
) -> None:
    ensemble = Checkpoint.ensemble([single(0, scalers), single(1, scalers)])
    renamed = {change(name): tensor for name, tensor in ensemble.tensors.items()}
    metadata = {"agcarbon": json.dumps(ensemble.metadata())}
    save_file(renamed, tmp_path / "a.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.load(tmp_path / "a.safetensors")
