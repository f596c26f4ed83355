"""Which errors pass, which end a run, and how long is waited: with the very errors that Icechunk raises."""

from __future__ import annotations

import errno
import random
import re
from pathlib import Path

import icechunk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.storage import repository as store
from pipeline.storage.retry import (
    RetryPolicy,
    describe,
    is_absent,
    is_conflict,
    is_fatal,
    is_transient,
    names_deleted_tag,
    number_of,
    retried,
)
from pipeline.storage.s3 import UnavailableError
from tests.helpers.commits import transaction


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
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(calls.waits, (1, 2, 3, 3), strict=True))
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
    bounds = [min(longest, first * 2**number) for number in range(retries)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def _array(folder: Path) -> icechunk.Repository:
    repository = store.create(str(folder / "store"))
    with transaction(repository, "array") as root:
        array = root.create_array("a", shape=(4, 5000), chunks=(1, 5000), dtype="f8", compressors=None)
        array[...] = np.ones((4, 5000))
    return repository


def _error_of_reading(repository: icechunk.Repository) -> Exception:
    with pytest.raises(icechunk.IcechunkError) as caught:
        store.array(store.read(repository), "a")[0]
    return caught.value


def test_a_vanished_chunk_is_named_and_does_not_pass(tmp_path: Path) -> None:
    repository = _array(tmp_path)
    chunks = list((tmp_path / "store/chunks").iterdir())
    for chunk in chunks:
        chunk.unlink()
    error = _error_of_reading(repository)
    assert number_of(error) == errno.ENOENT or is_absent(error)  # the former with Icechunk 1
    assert not is_transient(error)
    assert not is_fatal(error)
    assert re.search("No such file|object not found", describe(error))  # Icechunk 1; Icechunk 2
    assert any(f"chunks/{chunk.name}" in describe(error) for chunk in chunks)
    assert "\n" not in describe(error)


def test_a_truncated_chunk_is_named_by_its_key(tmp_path: Path) -> None:
    repository = _array(tmp_path)
    for chunk in (tmp_path / "store/chunks").iterdir():
        chunk.write_bytes(chunk.read_bytes()[:100])
    error = _error_of_reading(repository)
    assert not is_transient(error)
    assert "range" in describe(error)
    assert "a/c/0/0" in describe(error)


# Texts of Icechunk 1, as it raises them: a commit ends in its first line alone, all else names the chain of causes.
COMMIT = (
    "  x session error: error writing object to object store {}\n  |\n  | context:\n  |    0: icechunk::s3::put_503\n"
)
CHAIN = "  x error getting object from object store service error\n  |\n  | context:\n  |-> service error\n  `-> {}\n"


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        (COMMIT.format("service error"), True),
        (COMMIT.format("dispatch failure"), True),
        (COMMIT.format("request has timed out"), True),
        (COMMIT.format("response error"), True),
        (CHAIN.format("unhandled error (SlowDown)"), True),
        (CHAIN.format("dispatch failure"), True),
        (CHAIN.format("operation timed out"), True),
        (CHAIN.format("unhandled error (AccessDenied)"), False),
        (CHAIN.format("NoSuchKey"), False),
        ("  x session error: Unable to copy data to file: I/O error (os error 5)\n", True),
        ("  x session error: Unable to copy data to file: No space left on device (os error 28)\n", False),
        ("  x session error: cannot commit, no changes made to the session\n", False),
    ],
)
def test_errors_without_a_kind_are_classified_by_their_text(text: str, *, transient: bool) -> None:
    assert is_transient(icechunk.IcechunkError(text)) is transient


def of_kind(kind: str, text: str) -> icechunk.IcechunkError:
    """An error as Icechunk 2 raises it: with a kind, and its causes in one line."""
    made = type("KindError", (icechunk.IcechunkError,), {"kind": kind})
    error = made(f"{text}\n\ncontext:\n   0: icechunk::asset_manager::timeout\n")
    assert isinstance(error, icechunk.IcechunkError)
    return error


SERVER = 'session error: object store error service error: unhandled error ({0}): Error {{ code: "{0}" }}'


@pytest.mark.parametrize(
    ("kind", "text", "transient"),
    [
        ("throttled", "storage throttled the request", True),
        ("throttled", "as may be worded otherwise one day", True),
        ("object-store", SERVER.format("SlowDown"), True),
        ("object-store", SERVER.format("AccessDenied"), False),
        ("object-store", "object store error dispatch failure", True),
        ("io", "Unable to copy data to file: No space left on device (os error 28)", False),
        ("io", "Unable to copy data to file: I/O error (os error 5)", True),
        # The kind decides where it can, whatever else the text holds, such as the name of a key.
        ("node-not-found", "node not found: /throttled/timeout", False),
        ("bad-metadata", "service unavailable", False),
    ],
)
def test_errors_with_a_kind_are_classified_by_it_before_their_text(kind: str, text: str, *, transient: bool) -> None:
    assert is_transient(of_kind(kind, text)) is transient


def test_conflicts_tags_and_absence_are_classified_by_type_kind_or_text() -> None:
    assert is_conflict(icechunk.ConflictError("expected", "found"))
    assert is_conflict(icechunk.IcechunkError("  x branch update conflict: `(Some(A)) != (Some(B))`\n"))
    assert is_conflict(of_kind("branch-update-conflict", ""))
    assert names_deleted_tag(icechunk.IcechunkError("  x tag already exists, tags are immutable: `v1`\n"))
    assert names_deleted_tag(of_kind("tag-previously-deleted", "icechunk does not allow tag reuse"))
    assert is_absent(icechunk.IcechunkError("  x object not found\n  `-> NoSuchKey\n"))
    assert is_absent(of_kind("snapshot-not-found", ""))
    for judge in (is_conflict, names_deleted_tag, is_absent):
        assert not judge(icechunk.IcechunkError("  x error getting object from object store service error\n"))
        assert not judge(of_kind("object-store", "branch update conflict: tags are immutable, not found"))
        assert not judge(ValueError("branch update conflict: tags are immutable, not found"))


def test_a_server_that_is_unavailable_may_be_asked_again_and_says_so_in_its_own_words() -> None:
    error = UnavailableError("s3://maps/x: the server answered SlowDown")
    assert is_transient(error)
    assert describe(error) == "s3://maps/x: the server answered SlowDown"
    assert Calls(error).go(RetryPolicy(retries=1)) == "done"


@given(st.integers(0, 2**32))
def test_the_default_waits_outlast_a_minute_and_end(seed: int) -> None:
    assert 60 < sum(RetryPolicy().waits(random.Random(seed))) < 125


def test_line_numbers_of_the_source_are_not_taken_for_causes() -> None:
    text = "  x object not found\n  |  0: icechunk::timeout\n  |     at src/connection_reset.rs:503\n  `-> NoSuchKey\n"
    assert not is_transient(icechunk.IcechunkError(text))
