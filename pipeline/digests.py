"""Digests of content and of settings: BLAKE2b of 128 bits, in hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16


def content_digest(*parts: bytes | NDArray[Any]) -> str:
    """Return the digest of bytes and of the values of arrays, one after the other; shapes and types do not enter."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()


def json_digest(value: object) -> str:
    """Return the digest of a JSON value; the order of keys does not enter."""
    return content_digest(json.dumps(value, sort_keys=True).encode())
