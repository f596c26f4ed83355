"""Which errors pass, which end a run, and how long is waited: with the very errors that Icechunk raises."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import icechunk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.storage import repository as store
from pipeline.storage.retry import RetryPolicy, describe, is_fatal, is_transient, number_of, retried


class Calls:
    """A call that raises the errors it was given, one after the other, and then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.count = list(errors), 0
        self.waits: list[float] = []

    def __call__(self) -> str:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def go(self, policy: RetryPolicy) -> str:
        return retried(self, policy, rng=random.Random(1), sleep=self.waits.append)


def test_an_error_that_passes_is_tried_again_after_growing_waits() -> None:
    calls = Calls(
        OSError(errno.EIO, "flaky"), ConnectionResetError(), TimeoutError(), BlockingIOError(errno.EAGAIN, "")
    )
    assert calls.go(RetryPolicy(retries=4, first_seconds=1, longest_seconds=3)) == "done"
    assert calls.count == 5
    assert all(0 <= wait <= bound for wait, bound in zip(calls.waits, (1, 2, 3, 3), strict=True))
    assert len(set(calls.waits)) == 4


def test_an_error_that_stays_is_raised_when_the_retries_are_spent() -> None:
    calls = Calls(*(OSError(errno.ETIMEDOUT, str(number)) for number in range(9)))
    with pytest.raises(OSError, match="3"):
        calls.go(RetryPolicy(retries=3))
    assert calls.count == 4


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOENT, errno.EPERM])
def test_an_error_that_cannot_pass_is_raised_at_once(number: int) -> None:
    calls = Calls(OSError(number, "no"))
    with pytest.raises(OSError, match="no"):
        calls.go(RetryPolicy())
    assert (calls.count, calls.waits) == (1, [])


def test_only_errors_of_storage_are_looked_at() -> None:
    for error in (ValueError("timed out"), UserError("connection reset"), KeyError("dispatch failure")):
        assert not is_transient(error)
        assert not is_fatal(error)
        with pytest.raises(type(error)):
            Calls(error).go(RetryPolicy())


@given(st.integers(0, 40), st.floats(0.01, 10), st.floats(0.01, 100), st.integers(0, 100))
def test_no_wait_exceeds_the_cap(retries: int, first: float, longest: float, seed: int) -> None:
    waits = list(RetryPolicy(retries, first, longest).waits(random.Random(seed)))
    assert len(waits) == retries
    assert all(0 <= wait <= min(longest, first * 2**number) for number, wait in enumerate(waits))


def _array(folder: Path) -> icechunk.Repository:
    repository = store.create(str(folder / "store"))
    with store.transaction(repository, "array") as root:
        array = root.create_array("a", shape=(4, 5000), chunks=(1, 5000), dtype="f8", compressors=None)
        array[...] = np.ones((4, 5000))
    return repository


def _error_of_reading(repository: icechunk.Repository) -> Exception:
    with pytest.raises(icechunk.IcechunkError) as caught:
        store.array(store.read(repository), "a")[0]
    return caught.value


def test_a_vanished_chunk_is_named_and_does_not_pass(tmp_path: Path) -> None:
    repository = _array(tmp_path)
    for chunk in (tmp_path / "store/chunks").iterdir():
        chunk.unlink()
    error = _error_of_reading(repository)
    assert number_of(error) == errno.ENOENT
    assert not is_transient(error)
    assert not is_fatal(error)
    assert "No such file" in describe(error)
    assert str(tmp_path / "store/chunks") in describe(error)
    assert "\n" not in describe(error)


def test_a_truncated_chunk_is_named_by_its_key(tmp_path: Path) -> None:
    repository = _array(tmp_path)
    for chunk in (tmp_path / "store/chunks").iterdir():
        chunk.write_bytes(chunk.read_bytes()[:100])
    error = _error_of_reading(repository)
    assert not is_transient(error)
    assert "range" in describe(error)
    assert "a/c/0/0" in describe(error)


@pytest.mark.parametrize("cause", ["dispatch failure", "operation timed out", "unhandled error (SlowDown)"])
def test_errors_of_a_server_are_known_by_their_text(cause: str) -> None:
    text = f"  x error getting object from object store\n  | \n  | context:\n  |-> service error\n  `-> {cause}\n"
    assert is_transient(icechunk.IcechunkError(text))
    assert not is_transient(icechunk.IcechunkError("  x error\n  |-> service error\n  `-> AccessDenied\n"))


def test_line_numbers_of_the_source_are_not_taken_for_causes() -> None:
    text = "  x object not found\n  |  0: icechunk::timeout\n  |     at src/connection_reset.rs:503\n  `-> NoSuchKey\n"
    assert not is_transient(icechunk.IcechunkError(text))
