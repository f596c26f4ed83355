"""Notes on inputs outside the training data, and the same flags as on a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from model.checkpoint import RANGES, Checkpoint
from model.features import CORN, FEATURE_NAMES, SOYBEAN
from model.inference import Predictor
from model.ranges import PUBLISHED_RANGES, DensityLine, JointRanges, Range, TrainingRanges
from pipeline.simulate.tile_year import CellState, TileYear, simulate
from pipeline.site.point import SiteInputs
from pipeline.site.table import site_inputs
from pipeline.site.training_notes import training_notes
from pipeline.variables import Quality

LINE = DensityLine(1.475, -0.006, Range(-0.17, 0.17))


def trained(checkpoint: Checkpoint, *, gpp: dict[int, Range], **inputs: Range) -> Checkpoint:
    """The checkpoint with the published ranges, some of them replaced, and joint ranges."""
    ranges = tuple(inputs.get(name, known) for name, known in zip(FEATURE_NAMES, PUBLISHED_RANGES.inputs, strict=True))
    recorded = TrainingRanges(ranges, JointRanges(gpp, LINE)).as_json()
    return replace(checkpoint, record={**checkpoint.record, RANGES: recorded})


def flagged_on_a_map(checkpoint: Checkpoint, site: SiteInputs) -> list[int]:
    share, no = np.ones(1, np.float32), np.zeros(1, bool)
    predictor = Predictor(checkpoint)
    years = {year: TileYear(site.year(year), ~no, no, no, share, share) for year in site.years}
    flags = {year: simulate(predictor, each, CellState.none(1)).annual["quality"] for year, each in years.items()}
    return [year for year, of_year in flags.items() if of_year[0] & Quality.OUTSIDE_TRAINING]


def test_without_ranges_the_published_ones_count_and_the_notes_say_so(
    site_days: pd.DataFrame, untrained: Checkpoint
) -> None:
    cold = site_inputs(site_days.assign(TMAX_AIR=np.where(site_days.index < 17, -40.0, 10.0)), name="here")
    first, note = training_notes(cold, untrained)
    assert first.startswith("The checkpoint's record holds no ranges of its training data: inputs are compared with")
    assert note.startswith("TMAX_AIR is outside the published training range of -25.56 to 47.73 degC")
    assert note.endswith("on 17 of 1,096 days.")
    many = site_inputs(site_days.assign(GPP=40.0), name="here")
    assert "GPP is outside the published training range of -0.001265 to 31.68 g C m-2 d-1 on 1,096 of 1,096 days." in (
        training_notes(many, untrained)
    )


def test_days_as_rare_as_in_the_training_data_are_not_noted(site_days: pd.DataFrame, untrained: Checkpoint) -> None:
    site = site_inputs(site_days.assign(TMAX_AIR=np.where(site_days.index < 10, -40.0, 10.0)), name="here")
    assert len(training_notes(site, untrained)) == 1


def test_inputs_are_judged_by_what_the_checkpoint_saw(site_days: pd.DataFrame, untrained: Checkpoint) -> None:
    soybean = site_days["crop"] == "soybean"
    gpp = site_days["GPP"] * np.where(soybean, 1244 / site_days.loc[soybean, "GPP"].sum(), 0.8)
    soil = {"TBKDS": 1.17, "TSOC": 19.0, "TSAND": 750.0, "TSILT": 150.0}
    site = site_inputs(site_days.assign(GPP=gpp, **soil), name="here")
    assert len(training_notes(site, untrained)) == 1  # by the published ranges, all of this passes
    saw = {CORN: Range(800.0, 1696.0), SOYBEAN: Range(450.0, 1186.0)}
    checkpoint = trained(untrained, gpp=saw, TSAND=Range(30.0, 700.0))
    assert training_notes(site, checkpoint) == [
        "TSAND is outside the checkpoint's training range of 30 to 700 g kg-1 on 1,096 of 1,096 days.",
        "TBKDS of 1.17 Mg m-3 is outside the 1.19 to 1.53 Mg m-3 of the checkpoint's training soils with 19 g kg-1 of "
        "organic carbon.",
        "Annual GPP of soybean is outside the checkpoint's training range of 450 to 1,186 g C m-2 yr-1 in 2004 "
        "(1,244).",
        "On a map, `outside_training` would be set in `quality` of 2003-2005.",
    ]
    wider = trained(untrained, gpp={**saw, SOYBEAN: Range(450.0, 1450.0)})
    assert len(training_notes(replace_soil(site, TBKDS=1.3), wider)) == 0


def replace_soil(site: SiteInputs, **values: float) -> SiteInputs:
    features = site.features.copy()
    for name, value in values.items():
        features[:, FEATURE_NAMES.index(name)] = value
    return replace(site, features=features)


def test_the_years_named_are_those_that_a_map_flags(site_days: pd.DataFrame, untrained: Checkpoint) -> None:
    site = site_inputs(site_days, name="here")
    only_corn = trained(untrained, gpp={CORN: Range(500.0, 2100.0)})
    notes = training_notes(site, only_corn)
    assert "The checkpoint was not trained on soybean, the crop of 2004." in notes
    assert notes[-1].endswith(f"of {flagged_on_a_map(only_corn, site)[0]}.")
    assert flagged_on_a_map(only_corn, site) == [2004]
    dry = trained(untrained, gpp={CORN: Range(0.0, 9e3), SOYBEAN: Range(0.0, 9e3)}, PRECN=Range(0.0, 5.0))
    precipitation = site.features[:, FEATURE_NAMES.index("PRECN")]
    shares = {year: np.mean(precipitation[site.day_years == year] > 5.0) for year in site.years}
    assert flagged_on_a_map(dry, site) == [year for year, share in shares.items() if share > 0.05] != []
    assert training_notes(site, dry)[-1] == "On a map, `outside_training` would be set in `quality` of 2003-2005."
