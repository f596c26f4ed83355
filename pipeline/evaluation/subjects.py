"""Data sets that a checkpoint is evaluated on: simulated sites, an *ecosys* run, a flux tower or a file of sequences.

Shape legend: N sites, Y years, T 365 days, F 19 inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.data.published_layout import read_published_layout
from model.data.records import DAYS, Floats, Integers, SiteSequences, TowerSet
from model.data.sites import simulate_sites, site_sequences
from model.evaluation.checks import MONOTONE
from model.evaluation.responses import GRIDS, response_curves
from model.evaluation.scores import Carbon, Evaluation, balance, groups_of, predicted_carbon, score_rows, yield_bounds
from model.features import CROP_TYPE, FEATURE_NAMES
from model.recipe.training import DataRecipe, TowerRecipe
from pipeline.errors import UserError
from pipeline.progress import Progress, silent
from pipeline.site.skill import Comparison, compare, seasonal_nulls
from pipeline.training.files import read_ecosys_run, read_tower_set

SITES, SEED = 24, 910_357
"""Number and seed of the simulated test sites; no training recipe has the seed, so no network was trained on them."""
YEARS = range(2001, 2019)
CURVE_SITES, CURVE_YEARS, CURVE_STRIDE = 4, 4, 3
"""Sites and years of the response curves, and the step between published levels: a minute on one core."""
CHECKED_INPUTS = tuple(FEATURE_NAMES.index(name) for name in dict.fromkeys(name for name, _ in MONOTONE))
"""Inputs whose curves are checked, and therefore run over every published level."""
ECOSYS_FILES = ("ecosys/ecosys_USNe3_daily.csv", "ecosys/ecosys_USNe3_soil_0_30cm.csv")
TOWER = TowerRecipe(
    soil="mead-weather/mesoil",
    tower=(
        "fluxnet/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2001-2004.csv",
        "towers/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2005-2009.csv",
    ),
    crop="corn",
    years="2002-2009",
    test_years=(2008, 2009),
)
"""US-Ne1, irrigated maize at Mead, Nebraska, with its own weather; the record begins in May 2001."""


@dataclass(frozen=True)
class Subject:
    """A data set: inputs and observed (or simulated) carbon.

    Attributes
    ----------
    name
        Name in headings, tables and file names.
    kind
        "synthetic", "training", "ecosys", "tower" or "file"; selects the published figures shown beside it.
    x_NYTF
        (N, Y, 365, 19) physical inputs.
    observed
        Target carbon, respiration positive, NEE positive to the atmosphere.
    sites, years
        Names (N) and calendar years (Y).
    notes
        Caveats for readers of the scores.
    """

    name: str
    kind: str
    x_NYTF: Floats
    observed: Carbon
    sites: tuple[str, ...]
    years: Integers
    notes: tuple[str, ...]

    @classmethod
    def of_sites(cls, sequences: SiteSequences, *, name: str, kind: str, notes: tuple[str, ...] = ()) -> Subject:
        """Return sequences as a subject; the first note is their origin."""
        notes = (f"{sequences.origin}.", *notes)
        observed = Carbon.of_sites(sequences)
        return cls(name, kind, sequences.x_NYTF, observed, sequences.sites, sequences.years, notes)

    @classmethod
    def of_tower(cls, tower: TowerSet, *, notes: tuple[str, ...] = ()) -> Subject:
        """Return a tower as a subject of one site; the first note is its origin."""
        notes, observed = (tower.origin, *notes), Carbon.of_tower(tower)
        return cls(tower.site, "tower", tower.x_YTF[None], observed, (tower.site,), tower.years, notes)

    @property
    def record(self) -> str:
        """Name of its carbon in figures: only a tower's was observed."""
        return {"tower": "observed", "file": "given"}.get(self.kind, "simulated")

    @property
    def crop_NY(self) -> Integers:
        """(N, Y) crop code."""
        return np.rint(self.x_NYTF[:, :, 0, CROP_TYPE]).astype(np.int64)


@dataclass(frozen=True)
class Result:
    """Predictions of a network for a subject, and their scores.

    Attributes
    ----------
    subject, predicted
        Data set, and predicted carbon of its site-years.
    evaluation
        Scores, mass balance, yield bounds and response curves.
    nulls
        At a tower, scores beside those of null models, which need no network; otherwise empty.
    """

    subject: Subject
    predicted: Carbon
    evaluation: Evaluation
    nulls: tuple[Comparison, ...] = ()


def days_of(years: Integers) -> NDArray[np.datetime64]:
    """Return the days (Y * 365) of consecutive years, without 31 December of leap years.

    Examples
    --------
    >>> days = days_of(np.array([2003, 2004]))
    >>> len(days), str(days[-1])[:10]
    (730, '2004-12-30')
    """
    # As in the published training data, every year has 365 days.
    days = pd.date_range(f"{years[0]}-01-01", f"{years[-1]}-12-31")
    return days[days.day_of_year <= DAYS].to_numpy()


def read_subject(on: str, *, data: Path, sites: int = SITES) -> Subject:
    """Return the data set that a user names.

    Parameters
    ----------
    on
        "synthetic", "ecosys", "tower", or a file of sequences in the published layout.
    data
        Folder of real files that contains `ECOSYS_FILES` and those of `TOWER`.
    sites
        Number of sites to simulate.

    Raises
    ------
    UserError
        If files are missing; the message names each.
    """
    if on == "synthetic":
        sequences = simulate_sites(SEED, sites=sites, years=np.array(YEARS))
        note = f"{sites} sites simulated with seed {SEED}, on which no network was trained."
        return Subject.of_sites(sequences, name="synthetic", kind="synthetic", notes=(note,))
    if on == "ecosys":
        daily, soil = _existing(data, ECOSYS_FILES)
        note = "Both cycles have the same weather; the example run is not calibrated and its maize grows too little."
        return Subject.of_sites(read_ecosys_run(daily, soil=soil), name="ecosys", kind="ecosys", notes=(note,))
    if on == "tower":
        return Subject.of_tower(read_tower_set(TOWER, data))
    path = Path(on)
    if not path.exists():
        raise UserError(
            f"{on!r} is neither a file nor one of synthetic, training, counties, ecosys, tower; give one of these"
        )
    return Subject.of_sites(read_published_layout(path), name=path.stem, kind="file")


def training_subject(checkpoint: Checkpoint) -> Subject:
    """Return a checkpoint's training and held-out sites, simulated again by the recipe in its record.

    Raises
    ------
    UserError
        If the record has no recipe.
    """
    recipe = checkpoint.record.get("recipe")
    if recipe is None:
        raise UserError("the checkpoint's record has no recipe, so its training sites are unknown; choose other data")
    # Members of an ensemble have a seed each, and one data_seed from which their common sites were drawn.
    seed = recipe["seed"] if recipe.get("data_seed") is None else recipe["data_seed"]
    sequences = site_sequences(DataRecipe(**recipe["data"]), seed=seed)
    note = "Training and held-out sites of the network, simulated again; the simulator may have changed since training."
    return Subject.of_sites(sequences, name="training", kind="training", notes=(note,))


def _existing(folder: Path, names: tuple[str, ...]) -> list[Path]:
    paths = [folder / name for name in names]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise UserError(f"missing {', '.join(missing)}; give the folder that contains them with --data")
    return paths


def evaluate_subject(
    checkpoint: Checkpoint, subject: Subject, *, curves: bool = False, progress: Progress = silent
) -> Result:
    """Return predictions and scores of a checkpoint.

    Parameters
    ----------
    checkpoint
        Checkpoint of a single network.
    subject
        Data set to predict.
    curves
        Whether to compute response curves, over the first sites and years; they take most of the time.
    progress
        Called with the task, the number of steps done and the number of steps.
    """
    network, scalers = checkpoint.network(), checkpoint.scalers
    predicted = predicted_carbon(network, subject.x_NYTF, scalers=scalers)
    # A coarser grid could step over the levels between which a response falls.
    grids = [grid if grid.feature in CHECKED_INPUTS else grid.every(CURVE_STRIDE) for grid in GRIDS] if curves else []
    few_NYTF = subject.x_NYTF[:CURVE_SITES, :CURVE_YEARS]
    groups = groups_of(subject.sites, crop_NY=subject.crop_NY, years=subject.years)
    evaluation = Evaluation(
        score_rows(predicted, subject.observed, groups=groups),
        balance(predicted),
        yield_bounds(predicted, observed=subject.observed),
        response_curves(network, few_NYTF, scalers=scalers, grids=grids, progress=progress),
    )
    nulls = tower_nulls(subject, predicted) if subject.kind == "tower" else ()
    return Result(subject, predicted, evaluation, nulls)


def tower_nulls(subject: Subject, predicted: Carbon) -> tuple[Comparison, ...]:
    """Return the scores of Reco and NEE at a tower beside null models (`pipeline.site.skill.seasonal_nulls`)."""
    observed, dates = subject.observed, days_of(subject.years)
    reco, nee = _series(observed, "reco"), _series(observed, "nee")
    crop = np.repeat(subject.crop_NY[0], DAYS)
    nulls = seasonal_nulls(reco, nee, gpp=observed.gpp_NYT[0].ravel(), dates=dates, crop=crop)
    return (
        *compare("reco", observed=reco, network=_series(predicted, "reco"), nulls=nulls.reco, dates=dates),
        *compare("nee", observed=nee, network=_series(predicted, "nee"), nulls=nulls.nee, dates=dates),
    )


def _series(carbon: Carbon, output: str) -> NDArray[np.float64]:
    """Return the daily values (Y * 365) of the first site."""
    series: NDArray[np.float64] = carbon.daily(output)[0].ravel().astype(np.float64)
    return series
