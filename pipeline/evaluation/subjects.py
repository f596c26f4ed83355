"""A checkpoint held against data: simulated sites, runs of *ecosys*, a flux tower or a file of sequences.

Shape legend: N sites, Y years, T 365 days, F 19 inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from model.checkpoint import Checkpoint
from model.data.published_layout import read_published_layout
from model.data.records import DAYS, Floats, Integers, SiteSequences, TowerSet
from model.data.sites import simulate_sites, site_sequences
from model.evaluation.checks import MONOTONE
from model.evaluation.responses import GRIDS, response_curves
from model.evaluation.scores import Carbon, Evaluation, Groups, balance, predicted_carbon, score_rows, yield_bounds
from model.features import CROP_TYPE, FEATURE_NAMES
from model.recipe.training import DataRecipe
from pipeline.errors import UserError
from pipeline.progress import Progress, silent
from pipeline.site.skill import Comparison, compare, seasonal_cycle
from pipeline.site.tower import TowerFiles
from pipeline.training.files import read_ecosys_run, read_tower_set

SITES, SEED = 24, 910_357
"""Simulated sites to test on; the seed is of no training recipe, so that no network has seen them."""
YEARS = range(2001, 2019)
CURVE_SITES, CURVE_YEARS, CURVE_STRIDE = 4, 4, 3
"""Sites and years in which inputs are moved, and every which published level: a minute's work on one core."""
JUDGED = tuple(FEATURE_NAMES.index(name) for name in dict.fromkeys(name for name, _ in MONOTONE))
"""Inputs moved to every published level: verdicts hang on their curves."""
ECOSYS_FILES = ("ecosys/ecosys_USNe3_daily.csv", "ecosys/ecosys_USNe3_soil_0_30cm.csv")
TOWER_FILES = ("fluxnet/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2001-2004.csv", "mead-weather", "mead-weather/mesoil")
TOWER_CROP, TOWER_YEARS = "corn", "2001-2004"


@dataclass(frozen=True)
class Subject:
    """Data to hold a network against.

    Attributes
    ----------
    name
        For headings and files.
    kind
        "synthetic", "training", "ecosys", "tower" or "file"; published figures are known by it.
    x_NYTF
        Physical inputs.
    observed
        Targets, in reporting signs.
    sites, years
        Names (N) and calendar years (Y).
    notes
        What a reader of the scores must know.
    """

    name: str
    kind: str
    x_NYTF: Floats
    observed: Carbon
    sites: tuple[str, ...]
    years: Integers
    notes: tuple[str, ...]

    @property
    def crop_NY(self) -> Integers:
        """(N, Y) crop code."""
        return np.rint(self.x_NYTF[:, :, 0, CROP_TYPE]).astype(np.int64)

    @property
    def groups(self) -> Groups:
        """Divisions by site, crop and year."""
        return Groups.of(self.sites, crop_NY=self.crop_NY, years=self.years)

    @property
    def dates(self) -> pd.DatetimeIndex:
        """The days (Y * 365); 31 December of leap years is not among them."""
        days = pd.date_range(f"{self.years[0]}-01-01", f"{self.years[-1]}-12-31")
        return days[days.day_of_year <= DAYS]


@dataclass(frozen=True)
class Result:
    """A network's predictions for a subject, and their scores.

    Attributes
    ----------
    nulls
        At a tower, the scores of models that need no network; empty elsewhere.
    """

    subject: Subject
    predicted: Carbon
    evaluation: Evaluation
    nulls: tuple[Comparison, ...] = ()


def of_sequences(sequences: SiteSequences, *, name: str, kind: str, notes: tuple[str, ...] = ()) -> Subject:
    """Return sequences as a subject; their origin is the first note."""
    observed = Carbon.of_sites(sequences)
    notes = (f"{sequences.origin}.", *notes)
    return Subject(name, kind, sequences.x_NYTF, observed, sequences.sites, sequences.years, notes)


def of_tower(tower: TowerSet, notes: tuple[str, ...] = ()) -> Subject:
    """Return a tower as a subject."""
    notes = (tower.origin, *notes)
    return Subject(tower.site, "tower", tower.x_YTF[None], Carbon.of_tower(tower), (tower.site,), tower.years, notes)


def read_subject(on: str, *, data: Path, sites: int = SITES) -> Subject:
    """Return what a user names: "synthetic", "ecosys", "tower", or a file of sequences in the published layout.

    Parameters
    ----------
    on
        The name.
    data
        Folder of real files, with `ECOSYS_FILES` and `TOWER_FILES` in it.
    sites
        Number of sites to simulate.

    Raises
    ------
    UserError
        Naming each file that is missing.
    """
    if on == "synthetic":
        sequences = simulate_sites(SEED, sites=sites, years=np.array(YEARS))
        note = f"{sites} sites of seed {SEED}, of which no network was trained."
        return of_sequences(sequences, name=on, kind=on, notes=(note,))
    if on == "ecosys":
        daily, soil = _existing(data, ECOSYS_FILES)
        note = "Both cycles have the same weather; the example is not calibrated, and its maize is too weak."
        return of_sequences(read_ecosys_run(daily, soil=soil), name=on, kind=on, notes=(note,))
    if on == "tower":
        tower, weather, soil = _existing(data, TOWER_FILES)
        found = read_tower_set(TowerFiles(weather, soil, tower), crop=TOWER_CROP, years=TOWER_YEARS)
        return of_tower(found, ("US-Ne1 is irrigated and its weather here holds rain only.",))
    path = Path(on)
    if not path.exists():
        raise UserError(f"{on!r} is no file, and none of synthetic, training, counties, ecosys, tower; name one")
    return of_sequences(read_published_layout(path), name=path.stem, kind="file")


def training_subject(checkpoint: Checkpoint) -> Subject:
    """Return the simulated sites that a checkpoint learned from and was tested on, by the recipe in its record.

    Raises
    ------
    UserError
        If the record has no recipe.
    """
    recipe = checkpoint.record.get("recipe")
    if recipe is None:
        raise UserError("the checkpoint's record holds no recipe, so that its training sites are not known")
    seed = recipe["seed"] if recipe.get("data_seed") is None else recipe["data_seed"]
    sequences = site_sequences(DataRecipe(**recipe["data"]), seed=seed)
    note = "The sites that the network was trained on, and those held out; the simulator may have changed since."
    return of_sequences(sequences, name="training", kind="training", notes=(note,))


def _existing(folder: Path, names: tuple[str, ...]) -> list[Path]:
    paths = [folder / name for name in names]
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise UserError(f"missing {', '.join(absent)}; name the folder that holds them with --data")
    return paths


def evaluate_subject(
    checkpoint: Checkpoint, subject: Subject, *, curves: bool = False, progress: Progress = silent
) -> Result:
    """Return predictions and scores of a checkpoint.

    Parameters
    ----------
    checkpoint
        Of one network.
    subject
        What to predict.
    curves
        Also draw response curves, over the first sites and years of the subject; they take most of the time.
    progress
        Called with what is done, how much of it and how much there is.
    """
    network, scalers = checkpoint.network(), checkpoint.scalers
    predicted = predicted_carbon(network, subject.x_NYTF, scalers=scalers)
    grids = [grid if grid.feature in JUDGED else grid.every(CURVE_STRIDE) for grid in GRIDS] if curves else []
    few_NYTF = subject.x_NYTF[:CURVE_SITES, :CURVE_YEARS]
    evaluation = Evaluation(
        score_rows(predicted, subject.observed, groups=subject.groups),
        balance(predicted),
        yield_bounds(predicted, observed=subject.observed),
        response_curves(network, few_NYTF, scalers=scalers, grids=grids, progress=progress),
    )
    nulls = tower_nulls(subject, predicted) if subject.kind == "tower" else ()
    return Result(subject, predicted, evaluation, nulls)


def tower_nulls(subject: Subject, predicted: Carbon) -> tuple[Comparison, ...]:
    """Return the network beside what anybody has without one: mean seasons of the tower's other years.

    The input GPP of a tower is Reco - NEE, so that a season of Reco less that GPP is nearly NEE.
    """
    observed, dates = subject.observed, subject.dates.to_numpy()
    crop = np.repeat(subject.crop_NY[0], DAYS)
    truth = {name: observed.daily(name)[0].ravel().astype(np.float64) for name in ("reco", "nee")}
    season = {name: seasonal_cycle(values, dates=dates, crop=crop) for name, values in truth.items()}
    given = season["reco"] - observed.gpp_NYT[0].ravel()
    nulls = {
        "reco": {"mean seasonal cycle": season["reco"]},
        "nee": {"mean seasonal Reco - GPP": given, "mean seasonal cycle": season["nee"]},
    }
    return tuple(
        comparison
        for name in ("reco", "nee")
        for comparison in compare(
            name,
            observed=truth[name],
            network=predicted.daily(name)[0].ravel().astype(np.float64),
            nulls=nulls[name],
            dates=dates,
        )
    )
