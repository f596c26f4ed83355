"""Peculiarities of the files of each TRENDY-v9 model: a typed table, read from `models.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.errors import UserError

SHIPPED = Path(__file__).with_name("models.toml")

Variable = Literal["gpp", "npp", "ra", "rh", "nbp"]
Year = Annotated[int, Field(ge=1500, le=2100)]
Terms = Annotated[tuple[Variable, ...], Field(min_length=2)]


class ModelQuirks(BaseModel, frozen=True, extra="forbid"):
    """Names and layout of the files of one model; `models.toml` explains each entry."""

    names: tuple[str, ...] = Field(min_length=1)
    file: str
    variables: dict[Variable, str]
    time: str
    lat: tuple[str, ...] = Field(min_length=1)
    lon: tuple[str, ...] = Field(min_length=1)
    months: Literal["decoded", "counted"]
    first_years: tuple[Year, ...]
    last_year: Year
    stamp: Literal["within", "end"]
    calendar: Literal["", "standard", "noleap", "360_day"]
    fill: tuple[float, ...]
    rows_beyond_pole: bool
    derived: dict[Variable, Terms]
    withheld: dict[Variable, str]
    remarks: dict[Variable, str]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Check entries that are valid alone but not together."""
        if absent := [part for part in ("{name}", "{variable}") if part not in self.file]:
            raise ValueError(f"file must contain {' and '.join(absent)}")
        if (self.months == "counted") != bool(self.first_years):
            raise ValueError('first_years must be given for months = "counted", and only then')
        return self

    def stored(self, variable: Variable) -> str:
        """Return the name of a variable in the files and in their names."""
        return self.variables.get(variable, variable)

    def terms(self, variable: Variable) -> tuple[Variable, ...]:
        """Return the variables with files whose difference, the first minus the others, is `variable`."""
        return self.derived.get(variable, (variable,))


class ModelTable(BaseModel, frozen=True, extra="forbid"):
    """The models by name."""

    models: dict[str, ModelQuirks]

    def of(self, model: str) -> ModelQuirks:
        """Return the entry of a model; raises `UserError` for one that is not in the table."""
        if model not in self.models:
            raise UserError(f"TRENDY-v9 has no model {model!r}; choose one of {', '.join(self.models)}")
        return self.models[model]


@cache
def load_models(path: Path = SHIPPED) -> ModelTable:
    """Return the shipped table, or a changed copy of it.

    Raises
    ------
    UserError
        If the file is not readable TOML, or naming every unknown key and wrong entry.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        defaults, models = raw.pop("defaults", {}), raw.pop("models", {})
        entries = {name: _entry(name, entry, defaults=defaults) for name, entry in models.items()}
        return ModelTable.model_validate({"models": entries, **raw})
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(_fault(detail) for detail in error.errors())}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not a readable TOML file ({error}); start from a copy of the shipped one") from None


def _entry(name: str, entry: Any, *, defaults: dict[str, Any]) -> Any:
    return {"names": [name]} | defaults | entry if isinstance(entry, dict) else entry


def _fault(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place}: {detail['msg']}"
