"""Validation of STAC objects against the core and all extensions that they declare, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource


def faults(stac: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Yield a sentence for each fault of a STAC object, or schema that is in neither pystac nor `folder` (*.json)."""
    schemas = get_local_schema_cache()
    files = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    schemas |= {schema["$id"].rstrip("#"): schema for schema in files}
    registry: Registry[Any] = Registry().with_resources(
        (address, Resource.from_contents(schema)) for address, schema in schemas.items()
    )
    kind = "item" if stac["type"] == "Feature" else stac["type"].lower()
    core = f"https://schemas.stacspec.org/v{stac['stac_version']}/{kind}-spec/json-schema/{kind}.json"
    for address in (core, *stac.get("stac_extensions", [])):
        if address not in schemas:
            yield f"{stac['id']}: no schema {address} in {folder}"
            continue
        for error in Draft7Validator(schemas[address], registry=registry).iter_errors(stac):
            yield f"{stac['id']}: {address}: {error.json_path}: {error.message[:200]}"
