"""The rows of an experiment's tables, scores and mean courses of the year, and their CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from model.recipe.toml import RecipeError


@dataclass(frozen=True)
class Row:
    """Scores of one training run, on all test sites or on site-years that were held out.

    Attributes
    ----------
    recipe
        First 12 digits of the recipe's digest.
    variant, samples, repeat
        Name of the network variant, number of sites it was trained on, and number of the draw or of the fold.
    tested_on
        "test sites", "extreme years", "ordinary years", or the name of a fold.
    yield_r2, reco_r2, nee_r2
        R2 of annual yield, daily Reco and daily NEE against the truth without errors of observation; NaN where the
        truth does not vary.
    yield_rmse, nee_annual_rmse
        Root mean square errors [g C m-2 yr-1].
    reco_rmse, nee_rmse
        Root mean square errors [g C m-2 d-1].
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


@dataclass(frozen=True)
class CourseDay:
    """Mean of one day of the year over the test site-years of one training run.

    Attributes
    ----------
    recipe, variant, samples, repeat
        As in `Row`.
    output
        "reco" or "nee".
    day
        Day of the year, 1 to 365.
    predicted, truth
        Mean predicted and true flux [g C m-2 d-1], NEE positive to the atmosphere.
    """

    recipe: str
    variant: str
    samples: int
    repeat: int
    output: str
    day: int
    predicted: float
    truth: float


Record = TypeVar("Record", Row, CourseDay)


def read_rows(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Yield the rows of a table.

    Raises
    ------
    RecipeError
        If the table has other columns, such as those of an earlier version.
    """
    # Types of fields are strings here, because annotations are not evaluated.
    kinds = {"int": int, "float": float, "str": str}
    names = [field.name for field in fields(kind)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise RecipeError(
                f"{path} does not have the columns {', '.join(names)}; delete it, or choose another folder"
            )
        for raw in reader:
            yield kind(**{field.name: kinds[str(field.type)](raw[field.name]) for field in fields(kind)})


def write_rows(path: Path, rows: Sequence[Row] | Sequence[CourseDay]) -> None:
    """Write a table, not empty, as CSV; a killed process leaves the old table or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    partial.replace(path)
