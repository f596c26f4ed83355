"""Digests against `hashlib` itself."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from pipeline.digests import DIGEST_BYTES, content_digest, json_digest


def blake2b(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def test_the_digest_of_parts_is_that_of_their_bytes_one_after_the_other() -> None:
    days = np.arange(6, dtype="<f4").reshape(2, 3)
    assert content_digest(b"gpp", days) == blake2b(b"gpp" + days.tobytes())
    assert content_digest() == blake2b(b"")


def test_a_view_of_an_array_has_the_digest_of_its_copy() -> None:
    days = np.arange(24, dtype=np.int16).reshape(4, 6)
    for view in (days[:, ::2], days.T, days[1:3, 2:5]):
        assert content_digest(view) == content_digest(view.copy()) == blake2b(view.tobytes())


def test_one_changed_bit_changes_the_digest() -> None:
    days = np.zeros(100, np.float32)
    changed = days.copy()
    changed.view(np.uint32)[57] ^= 1
    assert content_digest(days) != content_digest(changed)


def test_the_digest_of_json_does_not_depend_on_the_order_of_keys_and_does_on_that_of_lists() -> None:
    assert json_digest({"a": 1, "b": [1, 2]}) == json_digest({"b": (1, 2), "a": 1})
    assert json_digest({"a": 1}) == blake2b(json.dumps({"a": 1}).encode())
    assert json_digest([1, 2]) != json_digest([2, 1])
