"""Digests of content and of settings: BLAKE2b of 128 bits, in hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16


def content_digest(*parts: bytes | NDArray[Any]) -> str:
    """Return the digest of bytes and array values in sequence; it does not depend on shapes.

    Arrays enter as bytes in C order: equal values of another type have another digest.

    Examples
    --------
    >>> content_digest(b"soil") == content_digest(b"so", b"il")
    True
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()


def json_digest(value: object) -> str:
    """Return the digest of a JSON value; it does not depend on the order of keys.

    Examples
    --------
    >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    True
    """
    return content_digest(json.dumps(value, sort_keys=True).encode())
