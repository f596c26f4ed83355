from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.unpickling import UnsafeFileError, load_numbers
from tests.helpers.authors_files import Reduced, save

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    np.array([1.5, np.nan], ">f4"),
    np.array(["17019", "US-Ne1"]),
    np.array(["17019", 19001, 0.5], dtype=object),
    np.array(7, np.uint8),
    np.array([True, False]),
]


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("values", ARRAYS, ids=lambda values: str(values.dtype))
def test_arrays_of_numpy_1_and_2_return_as_they_were(tmp_path: Path, values: Any, as_zip: bool) -> None:
    torch.save({"a": [values]}, tmp_path / "new", _use_new_zipfile_serialization=as_zip)
    for path in (tmp_path / "new", save({"a": [values]}, tmp_path / "old", as_zip=as_zip)):
        found = load_numbers(path)["a"][0]
        assert found.dtype == values.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("value", [np.float64(0.1), np.float32(2), np.int64(-3), np.bool_(True), np.str_("a")])
def test_scalars_of_numpy_return_as_they_were(tmp_path: Path, value: Any) -> None:
    found = load_numbers(save({"a": value}, tmp_path / "a"))["a"]
    assert found == value
    assert type(found) is type(value)


def test_tensors_and_containers_return_as_they_were(tmp_path: Path) -> None:
    content = {"a": torch.arange(3), "b": (1, [None, "x"]), "c": Counter("aab")}
    found = load_numbers(save(content, tmp_path / "a"))
    assert torch.equal(found.pop("a"), content.pop("a"))  # type: ignore[arg-type]
    assert found == content


HOSTILE = {
    "a function": (Reduced(print, ("code ran",)), "print"),
    "a function of NumPy": (Reduced(np.load, ("/etc/passwd",)), r"numpy\.load"),
    "a function in an array": (np.array([Reduced(print, ("code ran",))], dtype=object), "print"),
    "the class of an object": (Reduced(Path, ("a",)), r"pathlib[\w.]*\.Path"),
    "a type with fields": (
        Reduced(np.dtype, ("f8", False, True), (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 8, 0)),
        r"numpy\.dtype",
    ),
    "a structured type": (np.zeros(1, [("a", "O")]), r"numpy\.dtype"),
    "a number of objects": (Reduced(np._core.multiarray.scalar, (np.dtype("O"), b"12345678")), r"numpy\.scalar"),
    "too few values": (
        Reduced(
            np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (9,), np.dtype("f8"), False, b"12345678")
        ),
        r"numpy\.ndarray",
    ),
    "a negative shape": (
        Reduced(
            np._core.multiarray._reconstruct,
            (np.ndarray, (0,), b"b"),
            (1, (-1, -1), np.dtype("f8"), False, b"12345678"),
        ),
        r"numpy\.ndarray",
    ),
    "pointers as objects": (
        Reduced(
            np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), np.dtype("O"), False, b"12345678")
        ),
        r"numpy\.ndarray",
    ),
}


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(("content", "name"), HOSTILE.values(), ids=HOSTILE)
def test_anything_else_is_refused_by_its_name_and_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, name: str, as_zip: bool
) -> None:
    with pytest.raises(UnsafeFileError, match=f"refused: it holds {name};"):
        load_numbers(save({"a": content}, tmp_path / "a", as_zip=as_zip))
    assert "code ran" not in capsys.readouterr().out


def test_an_array_over_a_buffer_stays_empty(tmp_path: Path) -> None:
    """NumPy would take the bytes of the file for the addresses of objects."""
    content = Reduced(np.ndarray, ((1,), np.dtype("O"), bytearray(8)))
    assert load_numbers(save({"a": content}, tmp_path / "a"))["a"].size == 0


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_torch_did_not_write_is_refused_with_the_remedy(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.sav").write_bytes(pickle.dumps({"X_scaler": np.zeros((19, 2))}, protocol))
    with pytest.raises(UnsafeFileError, match=r"no file of torch.save .* written by torch\.save"):
        load_numbers(tmp_path / "a.sav")


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])
def test_a_file_that_is_cut_or_altered_is_refused_or_read_but_never_fails_otherwise(
    tmp_path: Path, as_zip: bool
) -> None:
    whole = save({"a": ARRAYS[0], "b": torch.zeros(2), "c": np.float64(1)}, tmp_path / "a", as_zip=as_zip).read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        content = bytearray(whole[: random.integers(len(whole))] if random.random() < 0.3 else whole)
        for position in random.integers(len(content), size=3) if content else ():
            content[position] = random.integers(256)
        (tmp_path / "b").write_bytes(content)
        try:
            load_numbers(tmp_path / "b")
        except UnsafeFileError:
            refused += 1
    assert refused > 50


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="no such file"):
        load_numbers(tmp_path / "absent")
