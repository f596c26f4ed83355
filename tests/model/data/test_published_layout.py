from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from model.data.published_layout import DAILY_COLUMNS, GRAIN_DAY, read_published_layout, write_published_layout
from model.data.records import DataSetError, SiteSequences
from model.features import GPP, SOIL, YEAR

SITES, YEARS = 3, 2


def published(sequences: SiteSequences) -> dict[str, Any]:
    """The arrays of a published file, made straight from their description: day by day, then site by site."""
    days = YEARS * 365
    grain = np.zeros((SITES, YEARS, 365), np.float32)  # as in ecosys: it is there around harvest and on day 363
    grain[..., GRAIN_DAY] = sequences.yield_NY
    columns = np.concatenate([sequences.x_NYTF[..., :9], sequences.fluxes_NYT3[..., :2], grain[..., None]], -1)
    scaler = np.stack([columns.mean((0, 1, 2)), columns.std((0, 1, 2))], -1).astype(np.float64)
    soil = sequences.x_NYTF[:, 0, 0, SOIL]
    soil_scaler = np.stack([soil.mean(0), soil.std(0)], -1).astype(np.float64)
    z = (columns - scaler[:, 0]) / scaler[:, 1]
    x = torch.tensor(
        np.array([[z[n, t // 365, t % 365] for n in range(SITES)] for t in range(days)]), dtype=torch.float
    )
    return {
        "X": x,
        "X_scaler": scaler,
        "Xsp": torch.tensor((soil - soil_scaler[:, 0]) / soil_scaler[:, 1], dtype=torch.float),
        "Xsp_scaler": soil_scaler,
        "FIPS_ref": np.array([17019, 17019, 19001]),
    }


def assert_same(found: SiteSequences, expected: SiteSequences) -> None:
    np.testing.assert_allclose(found.x_NYTF, expected.x_NYTF, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.fluxes_NYT3, expected.fluxes_NYT3, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.yield_NY, expected.yield_NY, rtol=1e-5)
    np.testing.assert_array_equal(found.crop_NY, expected.crop_NY)
    np.testing.assert_array_equal(found.years, expected.years)
    assert found.sites == expected.sites


def test_sequences_return_from_our_file_as_they_were(tmp_path: Path, sequences: SiteSequences) -> None:
    write_published_layout(tmp_path / "a.safetensors", sequences)
    found = read_published_layout(tmp_path / "a.safetensors")
    assert_same(found, sequences)
    assert found.origin == sequences.origin
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_sites_keep_names_that_are_no_county_codes(tmp_path: Path, sequences: SiteSequences) -> None:
    named = replace(sequences, sites=("US-Ne1", "a, b", "00007"))
    write_published_layout(tmp_path / "a.safetensors", named)
    assert read_published_layout(tmp_path / "a.safetensors").sites == named.sites


@pytest.mark.parametrize("name", ["a.sav", "a.pt"])
def test_published_pickles_of_tensors_and_arrays_are_read(tmp_path: Path, sequences: SiteSequences, name: str) -> None:
    torch.save(published(sequences), tmp_path / name, _use_new_zipfile_serialization=name == "a.pt")
    found = read_published_layout(tmp_path / name, first_year=2004)
    assert_same(found, sequences)
    assert found.origin == f"simulations of {name}"


def test_the_balance_of_a_published_file_closes_by_nee(tmp_path: Path, sequences: SiteSequences) -> None:
    torch.save(published(sequences), tmp_path / "a.pt")
    found = read_published_layout(tmp_path / "a.pt")
    np.testing.assert_allclose(found.x_NYTF[..., GPP] + found.fluxes_NYT3.sum(-1), 0, atol=1e-5)
    assert found.years.tolist() == [2001, 2002]
    assert np.all(found.x_NYTF[:, 1, :, YEAR] == 2002)


class Opener:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_pickle_that_runs_code_is_refused_before_it_does(
    tmp_path: Path, sequences: SiteSequences, save: Callable[[Any, Path], None]
) -> None:
    proof = tmp_path / "proof"
    save(published(sequences) | {"Y": np.array([Opener(proof)], dtype=object)}, tmp_path / "bad.sav")
    with pytest.raises(DataSetError, match=r"bad\.sav: refused"):
        read_published_layout(tmp_path / "bad.sav")
    assert not proof.exists()


def cut(raw: dict[str, Any], name: str, index: Any) -> dict[str, Any]:
    return raw | {name: raw[name][index]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: {"X": raw["X"]}, "no X_scaler, Xsp, Xsp_scaler, FIPS_ref"),
        (lambda raw: cut(raw, "X", slice(364)), r"X has shape \(364, 3, 12\)"),
        (lambda raw: cut(raw, "X", (..., slice(11))), r"X has shape \(730, 3, 11\)"),
        (lambda raw: cut(raw, "Xsp", slice(2)), r"Xsp has shape \(2, 9\), not \(3, 9\)"),
        (lambda raw: cut(raw, "FIPS_ref", slice(2)), r"FIPS_ref has shape \(2,\)"),
        (lambda raw: cut(raw, "X_scaler", slice(9)), r"X_scaler has shape \(9, 2\), not \(12, 2\)"),
        (lambda raw: raw | {"X_scaler": raw["X_scaler"] * [1, 0]}, "deviation not above 0"),
        (lambda raw: raw | {"X": "many"}, "X is a str without numbers"),
        (lambda raw: raw | {"X_scaler": raw["X_scaler"] + 1}, "Crop_Type holds"),
        (lambda raw: raw | {"Xsp": raw["Xsp"] * float("nan")}, "inputs .*TBKDS.* not finite"),
        (lambda raw: raw | {"FIPS_ref": [None] * 3}, "FIPS_ref must be a list of county codes"),
        (
            lambda raw: raw | {"X": torch.where(torch.arange(12) == 10, torch.nan, raw["X"])},
            "X holds values of Rh",
        ),
        (
            lambda raw: raw | {"X_scaler": np.where(np.eye(12, 2, -9), 3.0, raw["X_scaler"])},
            "Ra is positive on average",
        ),
        (lambda raw: list(raw.values()), "holds a list"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_difference(
    tmp_path: Path, sequences: SiteSequences, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    torch.save(change(published(sequences)), tmp_path / "a.sav")
    with pytest.raises(DataSetError, match=f"a.sav: .*{message}"):
        read_published_layout(tmp_path / "a.sav")


def test_absent_truncated_and_foreign_files_are_refused(tmp_path: Path, sequences: SiteSequences) -> None:
    with pytest.raises(DataSetError, match="no such file"):
        read_published_layout(tmp_path / "absent.sav")
    write_published_layout(tmp_path / "a.safetensors", sequences)
    whole = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[:-100])
    with pytest.raises(DataSetError, match="not readable"):
        read_published_layout(tmp_path / "a.safetensors")
    torch.save(published(sequences), tmp_path / "a.sav")
    (tmp_path / "a.sav").write_bytes((tmp_path / "a.sav").read_bytes()[:5000])
    with pytest.raises(DataSetError, match="refused"):
        read_published_layout(tmp_path / "a.sav")


@pytest.mark.parametrize(("key", "message"), [("first_year", "incomplete metadata"), ("format", "not of format")])
def test_a_file_of_ours_without_all_of_its_metadata_is_refused(
    tmp_path: Path, sequences: SiteSequences, key: str, message: str
) -> None:
    path = tmp_path / "a.safetensors"
    write_published_layout(path, sequences)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["agcarbon"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    del metadata[key]
    save_file(tensors, path, {"agcarbon": json.dumps(metadata)})
    with pytest.raises(DataSetError, match=message):
        read_published_layout(path)


def test_sequences_whose_balance_does_not_close_are_not_written(tmp_path: Path, sequences: SiteSequences) -> None:
    open_balance = replace(sequences, fluxes_NYT3=sequences.fluxes_NYT3 + np.float32(0.01))
    with pytest.raises(DataSetError, match="must be 0"):
        write_published_layout(tmp_path / "a.safetensors", open_balance)
    with pytest.raises(DataSetError, match="must be 0"):
        write_published_layout(
            tmp_path / "a.safetensors", replace(sequences, fluxes_NYT3=sequences.fluxes_NYT3 * np.nan)
        )


def test_the_columns_are_the_published_ones() -> None:
    names = "RADN TMAX_AIR TDIF_AIR HMAX_AIR HDIF_AIR WIND PRECN Crop_Type GPP Ra Rh GrainC"
    assert names.split() == list(DAILY_COLUMNS)
