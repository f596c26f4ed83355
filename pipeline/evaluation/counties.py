"""A checkpoint held against county yields: simulated ones year by year, those of NASS by level and spread alone.

Real yields are never paired with simulated GPP; but level, and spread over counties and years, can stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from model.checkpoint import Checkpoint
from model.data.counties import CountyDraw, county_means, simulate_counties
from model.data.records import CountySet
from model.evaluation.scores import CROP_NAMES, ScoreRow, predicted_carbon, score
from pipeline.sources.quickstats import CountyYields, read_quickstats
from pipeline.training.files import county_table, level_table, yield_levels

NAME = "counties"
POINTS = 4
NASS_FILES = "nass/*.csv"
PUBLISHED = "The published network reaches, on 210 real counties, R² 0.91 for corn and 0.88 for soybean."


@dataclass(frozen=True)
class CountyResult:
    """Yields of counties, predicted and observed.

    Attributes
    ----------
    table
        A row per county, year and crop that has both: fips, year, crop (1 corn, 5 soybean), observed_gc_m2 and
        predicted_gc_m2 [g C m-2 yr-1].
    rows
        Scores over all of them and by crop.
    levels
        A row per source and crop: `pipeline.training.files.YieldLevel`.
    notes
        What a reader must know.
    """

    table: pd.DataFrame
    rows: tuple[ScoreRow, ...]
    levels: pd.DataFrame
    notes: tuple[str, ...]


def simulated_counties(seed: int, *, counties: int, years: Sequence[int]) -> CountySet:
    """Return counties that no network was trained on, if the seed is of no recipe."""
    return simulate_counties(seed, draw=CountyDraw(counties, POINTS, np.array(years)))


def read_surveys(data: Path) -> CountyYields | None:
    """Return the yields in all QuickStats exports under the folder's `NASS_FILES`; None where there is none.

    Raises
    ------
    UserError
        If a file is no such export.
    """
    files = sorted(data.glob(NASS_FILES))
    return read_quickstats(files) if files else None


def evaluate_counties(checkpoint: Checkpoint, counties: CountySet, *, surveys: CountyYields | None) -> CountyResult:
    """Return the predicted yields of counties, means over their points, beside the observed ones.

    Parameters
    ----------
    checkpoint
        Of one network.
    counties
        With their points' inputs.
    surveys
        Real yields to compare level and spread with.
    """
    carbon = predicted_carbon(checkpoint.network(), counties.points.x_NYTF, scalers=checkpoint.scalers)
    predicted = replace(counties, observed_CYK=county_means(carbon.yield_NY, counties=counties).astype(np.float32))
    ours, theirs = county_table(predicted), county_table(counties)
    key = ["fips", "year", "crop"]
    both = theirs.merge(ours, on=key, suffixes=("_observed", "_predicted"), validate="one_to_one")
    table = both.rename(columns={f"yield_gc_m2_{name}": f"{name}_gc_m2" for name in ("observed", "predicted")})
    levels = [*yield_levels(theirs, source="simulated survey"), *yield_levels(ours, source="predicted")]
    if surveys is not None:
        levels += yield_levels(surveys.table, source="NASS")
    return CountyResult(table, _scores(table), level_table(tuple(levels)), _notes(counties, surveys))


def _scores(table: pd.DataFrame) -> tuple[ScoreRow, ...]:
    parts = {"all": table} | {CROP_NAMES[int(str(code))]: rows for code, rows in table.groupby("crop")}
    return tuple(
        ScoreRow(
            "yield",
            "annual",
            "pooled" if name == "all" else "crop",
            name,
            score(rows["predicted_gc_m2"].to_numpy(), rows["observed_gc_m2"].to_numpy()),
        )
        for name, rows in parts.items()
    )


def _notes(counties: CountySet, surveys: CountyYields | None) -> tuple[str, ...]:
    if surveys is None:
        real = f"No QuickStats export ({NASS_FILES}) in the folder of real files: levels of real counties are left out."
        return (f"{counties.origin}.", PUBLISHED, real)
    years = surveys.table["year"]
    real = f"NASS: {len(surveys.table):,} county yields of {years.min()}-{years.max()}, of other counties and years."
    return (f"{counties.origin}.", PUBLISHED, real, *surveys.notes)
