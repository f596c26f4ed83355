from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.authors_files import is_scaler_file, read_scalers, read_weights
from model.checkpoint import Checkpoint, CheckpointError, Scalers
from model.features import PUBLISHED_FEATURE_SCALERS, Scaler
from model.network import KGMLNetwork, OutputScalers
from tests.helpers import authors_files
from tests.helpers.authors_files import Reduced, best_epoch, last_epoch, save


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    torch.manual_seed(0)
    unit = Scaler(0.0, 1.0)
    return KGMLNetwork(OutputScalers(unit, unit, unit, unit)).state_dict()


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("layout", "key"),
    [
        (best_epoch, "model_state_dict"),
        (last_epoch, "model_state_dict_fs"),
        (lambda tensors: {"state_dict": tensors}, "state_dict"),
        (lambda tensors: tensors, ""),
    ],
    ids=["best epoch", "last epoch", "state_dict", "tensors alone"],
)
def test_weights_are_read_from_every_layout(
    tmp_path: Path, state_dict: dict[str, Tensor], layout: Callable[..., Any], key: str, as_zip: bool
) -> None:
    found = read_weights(save(layout(state_dict), tmp_path / "recotest_v11_exp4.sav_step5", as_zip=as_zip))
    assert found.key == key
    assert found.tensors.keys() == state_dict.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state_dict.items())


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_each_row_of_the_scalers_becomes_the_scaler_of_its_quantity(
    tmp_path: Path, kind: Callable[..., Any], as_zip: bool
) -> None:
    content = {name: kind(values) for name, values in authors_files.scalers().items()}
    found = read_scalers(save(content, tmp_path / "scalers.sav", as_zip=as_zip))
    assert found.features == PUBLISHED_FEATURE_SCALERS
    assert found.outputs == {
        "gpp": (2.8892129010294383, 5.757924175519595),
        "ra": (-1.3584, 2.5833),
        "rh": (-0.9747, 0.8567),
        "nee": (-0.5235, 2.9943),
        "yield": (220.95, 103.95),
        "residue": (325.9, 120.0),
    }


def test_the_network_of_imported_files_computes_in_the_signs_of_its_scalers(
    tmp_path: Path, state_dict: dict[str, Tensor]
) -> None:
    """With all weights 0 each output is its mean: negative Ra and Rh, and a balance that closes."""
    nothing = {name: torch.zeros_like(tensor) for name, tensor in state_dict.items()}
    weights = read_weights(save(best_epoch(nothing), tmp_path / "weights"))
    scalers = read_scalers(save(authors_files.scalers(), tmp_path / "scalers"))
    checkpoint = Checkpoint.from_published(weights.tensors, scalers.as_json())
    normalised = checkpoint.network()(torch.zeros(1, 365, 19)).fluxes_BT3
    mean, std = np.array([checkpoint.scalers.outputs[name] for name in ("ra", "rh", "nee")]).T
    ra, rh, nee = normalised.detach().numpy()[0, 100] * std + mean
    assert (ra, rh) == (-1.3584, -0.9747)
    assert nee == pytest.approx(-(2.889 + ra + rh), abs=0.04)


def test_a_file_of_scalers_is_distinguished_from_json(tmp_path: Path) -> None:
    assert is_scaler_file(save(authors_files.scalers(), tmp_path / "zip"))
    assert is_scaler_file(save(authors_files.scalers(), tmp_path / "legacy", as_zip=False))
    (tmp_path / "json").write_text(json.dumps({"features": []}))
    assert not is_scaler_file(tmp_path / "json")
    (tmp_path / "empty").touch()
    assert not is_scaler_file(tmp_path / "empty")


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content | {name: change(content[name])}


def swapped(name: str, one: int, other: int) -> Callable[[dict[str, Any]], Any]:
    def swap(values: Any) -> Any:
        values = values.copy()
        values[[one, other]] = values[[other, one]]
        return values

    return changed(name, swap)


FAULTY: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no mapping": (lambda content: list(content.values()), "holds a list, not a mapping"),
    "a file of data": (
        lambda _: {"X": torch.zeros(1), "X_scaler": np.ones((12, 2)), "FIPS_ref": [1]},
        r"X_scaler has shape \(12, 2\) of float64, not \(19, 2\) .*use recotest_data_scaled_v4_scalers.sav",
    ),
    "an absent array": (
        lambda content: {name: content[name] for name in content if name != "Res_scaler"},
        "no Res_scaler, it holds GPP_Res_fmean, X_scaler, .*recotest_data_scaled_v4_scalers.sav",
    ),
    "columns as rows": (changed("Y1_scaler", np.transpose), r"Y1_scaler has shape \(2, 3\) .* of Ra, Rh, NEE"),
    "one row too few": (changed("Y2_scaler", lambda rows: rows[0]), r"Y2_scaler has shape \(2,\) .* of yield"),
    "text": (changed("Res_scaler", lambda _: "many"), r"Res_scaler has shape \(\) of <U4"),
    "a std of 0": (changed("X_scaler", lambda rows: rows * [1, 0]), r"scaler of RADN: mean 15\.05[0-9]*, std 0.0"),
    "a NaN": (changed("Res_scaler", lambda rows: rows * np.nan), "scaler of residue: mean nan"),
    "inputs in another order": (swapped("X_scaler", 8, 9), r"row 8 of X_scaler, GPP, has the mean 2009\.5 g m-2 d-1"),
    "positive respiration": (
        changed("Y1_scaler", lambda rows: rows * [[-1, 1], [-1, 1], [1, 1]]),
        r"add up to 4\.7 g C m-2 d-1 and not to 0; .*negative",
    ),
    "NEE as uptake": (
        changed("Y1_scaler", lambda rows: rows * [[1, 1], [1, 1], [-1, 1]]),
        r"add up to 1\.08 g C m-2 d-1 .*NEE \(positive to the atmosphere\)",
    ),
    "Rh before Ra": (swapped("Y1_scaler", 0, 1), r"Res_scaler is 325\.9 .* GPP \+ Ra - yield is 477\.8"),
    "residue by day": (changed("Res_scaler", lambda rows: rows / 365), "sums of a year"),
    "a function": (changed("X_scaler", lambda _: Reduced(print, ("code ran",))), "refused: it holds print"),
}


@pytest.mark.parametrize(("change", "message"), FAULTY.values(), ids=FAULTY)
def test_other_scalers_are_refused_with_value_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    path = save(change(authors_files.scalers()), tmp_path / "scalers.sav")
    with pytest.raises(CheckpointError, match=rf"scalers\.sav: .*{message}"):
        read_scalers(path)
    assert "code ran" not in capsys.readouterr().out


def test_files_of_weights_and_scalers_in_each_other_s_place_are_refused(
    tmp_path: Path, state_dict: dict[str, Tensor]
) -> None:
    weights = save(best_epoch(state_dict), tmp_path / "weights")
    with pytest.raises(CheckpointError, match=r"no X_scaler, it holds R2, .*model_state_dict"):
        read_scalers(weights)
    scalers = save(authors_files.scalers(), tmp_path / "scalers")
    raw = Scalers(PUBLISHED_FEATURE_SCALERS, read_scalers(scalers).outputs).as_json()
    with pytest.raises(CheckpointError, match="missing tensor"):
        Checkpoint.from_published(read_weights(scalers).tensors, raw)


def test_weights_in_a_file_that_is_damaged_absent_or_no_mapping_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.sav").write_text("<!DOCTYPE html>")
    with pytest.raises(CheckpointError, match=r"page\.sav: refused"):
        read_weights(tmp_path / "page.sav")
    with pytest.raises(CheckpointError, match=r"absent\.sav: no such file"):
        read_weights(tmp_path / "absent.sav")
    with pytest.raises(CheckpointError, match=r"list\.sav: holds a list"):
        read_weights(save([1], tmp_path / "list.sav"))
