"""TOML files as typed, frozen records: unknown keys are refused, and all faults are named at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

Record = TypeVar("Record")
NO_OTHER_KEYS = ConfigDict(extra="forbid")


class RecipeError(ValueError):
    """A recipe that cannot be trained; the message names place, value and limit of every fault."""


def _number(value: Any) -> float:
    # An integer stays one. Pydantic would make 1 a 1.0, which changes the digest of a recipe that says 1, and with it
    # the key under which an interrupted training resumes.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    return value


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrZero = Annotated[int, Field(strict=True, ge=0)]
Year = Annotated[int, Field(strict=True)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, PlainValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1)]
PositiveShare = Annotated[Number, Field(gt=0, le=1)]


def read_toml(path: Path, kind: type[Record]) -> Record:
    """Return the record that a TOML file holds.

    Raises
    ------
    RecipeError
        If the file is absent, not TOML, or holds missing, unknown or impossible values; all of them are named.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    try:
        return parse(raw, kind)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def parse(raw: Mapping[str, Any], kind: type[Record]) -> Record:
    """Return the record that a mapping holds.

    Raises
    ------
    RecipeError
        For missing, unknown or impossible values; all of them are named.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(raw))
    except ValidationError as error:
        raise RecipeError("; ".join(_fault(detail, kind) for detail in error.errors())) from None


def _fault(detail: Any, kind: type) -> str:
    """Return a fault as a sentence; in places such as `stages.2.epochs`, entries are counted from 1."""
    *table, key = detail["loc"] or ("",)
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in detail["loc"])
    match detail["type"]:
        case "missing":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            inside = f" in {place.rpartition('.')[0]}" if table else ""
            return f"unknown key {key!r}{inside}; known are {', '.join(_known(kind, table))}"
        case "value_error":
            return f"{place}: {detail['ctx']['error']}" if place else str(detail["ctx"]["error"])
        case "dataclass_type":
            return f"{place} = {detail['input']!r} must be a table"
    return f"{place} = {detail['input']!r} {detail['msg'].replace('Input should', 'must')}"


def _known(kind: Any, table: list[int | str]) -> list[str]:
    """Return the keys of a table below a record."""
    for name in (part for part in table if isinstance(part, str)):
        annotation = kind.__pydantic_fields__[name].annotation  # `TowerRecipe`, `TowerRecipe | None` or a tuple of them
        kind = next(each for each in (annotation, *get_args(annotation)) if is_dataclass(each))
    return sorted(field.name for field in fields(kind))
