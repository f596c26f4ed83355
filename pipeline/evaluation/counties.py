"""Predicted and observed county yields: simulated counties year by year, NASS counties by level and spread only.

Real yields are never paired with simulated GPP; only their level and their spread over counties and years are compared.
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
from model.evaluation.scores import ScoreRow, predicted_carbon, score
from model.features import CROP_NAMES
from pipeline.sources.quickstats import CountyYields, read_quickstats
from pipeline.training.files import county_table, yield_levels

NAME = "counties"
POINTS = 4  # simulated points in each county, whose mean yield is the county's
NASS_FILES = "nass/*.csv"
PUBLISHED = "On 210 real counties the published network has an R² of 0.91 for corn and 0.88 for soybean."


@dataclass(frozen=True)
class CountyResult:
    """Predicted and observed yields of counties.

    Attributes
    ----------
    table
        One row per county, year and crop with both yields: fips, year, crop (1 corn, 5 soybean), observed_gc_m2 and
        predicted_gc_m2 [g C m-2 yr-1].
    rows
        Scores over all rows of the table and by crop.
    levels
        One row per source and crop, with the columns of `pipeline.training.files.yield_levels`.
    notes
        Caveats for readers of the scores.
    """

    table: pd.DataFrame
    rows: tuple[ScoreRow, ...]
    levels: pd.DataFrame
    notes: tuple[str, ...]


def simulated_counties(seed: int, *, counties: int, years: Sequence[int]) -> CountySet:
    """Return simulated counties; no network was trained on them if no recipe has the seed."""
    return simulate_counties(seed, draw=CountyDraw(counties, POINTS, np.array(years)))


def read_surveys(data: Path) -> CountyYields | None:
    """Return the yields of all QuickStats exports (`NASS_FILES`) in a folder; None if there is no export.

    Raises
    ------
    UserError
        If a file is not such an export.
    """
    files = sorted(data.glob(NASS_FILES))
    return read_quickstats(files) if files else None


def evaluate_counties(checkpoint: Checkpoint, counties: CountySet, *, surveys: CountyYields | None) -> CountyResult:
    """Return the predicted yields of counties, as means over their points, beside the observed yields.

    Parameters
    ----------
    checkpoint
        Checkpoint of a single network.
    counties
        Simulated counties with the inputs of their points.
    surveys
        Real yields, whose level and spread are shown for comparison; None if there are none.
    """
    carbon = predicted_carbon(checkpoint.network(), counties.points.x_NYTF, scalers=checkpoint.scalers)
    predicted = replace(counties, observed_CYK=county_means(carbon.yield_NY, counties=counties).astype(np.float32))
    ours, observed = county_table(predicted), county_table(counties)
    levels = [yield_levels(observed, source="simulated survey"), yield_levels(ours, source="predicted")]
    if surveys is not None:
        levels.append(yield_levels(surveys.table, source="NASS"))
    table = _side_by_side(observed, ours)
    return CountyResult(table, _scores(table), pd.concat(levels, ignore_index=True), _notes(counties, surveys))


def _side_by_side(observed: pd.DataFrame, predicted: pd.DataFrame) -> pd.DataFrame:
    """Return the county-years of both tables with the columns observed_gc_m2 and predicted_gc_m2."""
    key = ["fips", "year", "crop"]
    # An inner join: a survey does not report every county, year and crop.
    both = observed.merge(predicted, on=key, suffixes=("_observed", "_predicted"), validate="one_to_one")
    return both.rename(columns={f"yield_gc_m2_{name}": f"{name}_gc_m2" for name in ("observed", "predicted")})


def _scores(table: pd.DataFrame) -> tuple[ScoreRow, ...]:
    by_crop = [_score_row(rows, by="crop", group=CROP_NAMES[int(str(code))]) for code, rows in table.groupby("crop")]
    return (_score_row(table, by="pooled", group="all"), *by_crop)


def _score_row(rows: pd.DataFrame, *, by: str, group: str) -> ScoreRow:
    skill = score(rows["predicted_gc_m2"].to_numpy(), rows["observed_gc_m2"].to_numpy())
    return ScoreRow("yield", "annual", by, group, skill)


def _notes(counties: CountySet, surveys: CountyYields | None) -> tuple[str, ...]:
    if surveys is None:
        real = f"No QuickStats export ({NASS_FILES}) in the data folder, so yields of real counties are not shown."
        return (f"{counties.origin}.", PUBLISHED, real)
    years = surveys.table["year"]
    real = f"NASS: {len(surveys.table):,} county yields of {years.min()}-{years.max()}, not of the simulated counties."
    return (f"{counties.origin}.", PUBLISHED, real, *surveys.notes)
