"""A store of another kind, of format 1 or of a later format is refused with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import zarr
from zarr.storage import MemoryStore

from pipeline.errors import UserError
from pipeline.storage import formats


def store_with(attributes: dict[str, Any]) -> zarr.Group:
    root = zarr.open_group(MemoryStore(), mode="w")
    root.attrs.update(attributes)
    return root


def test_a_new_store_has_its_kind_and_the_number_of_its_format() -> None:
    root = store_with({})
    formats.describe(root, "cube", title="any")
    assert root.attrs["format"] == 2
    formats.check(root, "cube")


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"format": "agcarbon-cube-1"}, r"stores\.cube was made before format 2.*run `agcarbon ingest` and"),
        ({}, r"was made before format 2"),
        ({"kind": "agcarbon inputs", "format": 2}, r"holds 'agcarbon inputs', not 'agcarbon cube'; give it another"),
        ({"kind": "agcarbon cube", "format": 3}, r"has format 3, and this release of agcarbon reads format 2; install"),
    ],
)  # fmt: skip
def test_other_stores_are_refused_by_name_with_the_remedy(attributes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        formats.check(store_with(attributes), "cube")
