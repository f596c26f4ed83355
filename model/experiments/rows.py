"""The rows of an experiment's table, and their CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from model.recipe.toml import RecipeError


@dataclass(frozen=True)
class Row:
    """Scores of a cell, on all test sites or on site-years that were held out.

    Attributes
    ----------
    recipe
        First digits of the recipe's digest.
    variant, samples, repeat
        Of the cell.
    tested_on
        "test sites", "extreme years", "ordinary years", or what a fold holds out.
    yield_r2, reco_r2, nee_r2
        Annual yield, daily Reco and NEE, against the world without errors of observation; NaN if they do not vary.
    yield_rmse, nee_annual_rmse
        g C m-2 yr-1.
    reco_rmse, nee_rmse
        g C m-2 d-1.
    imbalance, imbalance_share
        Mean absolute daily residual of the balance [g C m-2 d-1], and relative to mean GPP.
    imbalance_annual, imbalance_annual_bias
        Mean absolute and mean annual residual [g C m-2 yr-1].
    """

    recipe: str
    variant: str
    samples: int
    repeat: int
    tested_on: str
    yield_r2: float
    reco_r2: float
    nee_r2: float
    yield_rmse: float
    reco_rmse: float
    nee_rmse: float
    nee_annual_rmse: float
    imbalance: float
    imbalance_share: float
    imbalance_annual: float
    imbalance_annual_bias: float


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table.

    Raises
    ------
    RecipeError
        If the table has other columns, as one of an earlier version.
    """
    kinds = {"int": int, "float": float, "str": str}
    names = [field.name for field in fields(Row)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise RecipeError(f"{path} has not the columns {', '.join(names)}; delete it, or name another folder")
        for raw in reader:
            yield Row(**{field.name: kinds[str(field.type)](raw[field.name]) for field in fields(Row)})


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table as CSV, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    partial.replace(path)
