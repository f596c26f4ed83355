"""TOML files as frozen records: unknown and missing keys are refused by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

Record = TypeVar("Record")


class RecipeError(ValueError):
    """A recipe that cannot be trained; the message names the key."""


def read_toml(path: Path, parse: Callable[[Mapping[str, Any]], Record]) -> Record:
    """Return what `parse` makes of a TOML file.

    Raises
    ------
    RecipeError
        If the file is absent or not TOML, and what `parse` raises, each behind the file's name.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    try:
        return parse(raw)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def record(kind: type[Record], raw: Mapping[str, Any]) -> Record:
    """Return a record of a table.

    Raises
    ------
    RecipeError
        If a key is unknown or missing.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = set(raw) - known
    if unknown:
        raise RecipeError(f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**raw)
    except TypeError as error:
        raise RecipeError(f"{kind.__name__}: {error}") from None
