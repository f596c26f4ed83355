"""Sentences on inputs of a site that lie outside the training data of the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from model.checkpoint import Checkpoint
from model.features import CROP_NAMES, FEATURE_NAMES, FEATURES
from model.ranges import JointRanges, TrainingRanges
from pipeline.simulate.extrapolation import NO_RANGES, annual_gpp, extrapolation
from pipeline.site.point import SiteInputs, unit_in_text
from pipeline.years import spans

NOTED_SHARE = 0.01  # of all days: of the training data themselves, 0.2 % are outside the range of a daily input


def training_notes(site: SiteInputs, checkpoint: Checkpoint) -> list[str]:
    """Return a sentence on each input outside the training ranges, and one on the years that a map would flag."""
    ranges = checkpoint.training_ranges
    whose = "checkpoint's" if checkpoint.has_ranges else "published"
    notes = [] if checkpoint.has_ranges else [f"{NO_RANGES[0].upper()}{NO_RANGES[1:]}."]
    notes += _single(site, ranges, whose)
    if ranges.joint:
        notes += _density(site, ranges.joint)
        notes += _gpp(site, ranges.joint)
    flagged = [year for year in site.years if extrapolation(site.year(year), ranges).any_N.any()]
    if flagged:
        notes.append(f"On a map, `outside_training` would be set in `quality` of {spans(flagged)}.")
    return notes


def _single(site: SiteInputs, ranges: TrainingRanges, whose: str) -> Iterator[str]:
    for index, (feature, allowed) in enumerate(zip(FEATURES, ranges.inputs, strict=True)):
        outside_T = allowed.excludes(site.features[:, index].astype(np.float32))
        if outside_T.mean() > NOTED_SHARE:
            unit = "" if feature.unit == "1" else f" {unit_in_text(feature)}"
            limits = f"{allowed.low:.4g} to {allowed.high:.4g}{unit}"
            share = f"{np.count_nonzero(outside_T):,} of {outside_T.size:,} days"
            yield f"{feature.name} is outside the {whose} training range of {limits} on {share}."


def _density(site: SiteInputs, joint: JointRanges) -> Iterator[str]:
    soil_F = site.features[0].astype(np.float32)  # as on a map
    density, carbon = (float(soil_F[FEATURE_NAMES.index(name)]) for name in ("TBKDS", "TSOC"))
    allowed = joint.bulk_density.at(carbon)
    if joint.bulk_density.excludes(density, carbon=carbon).any():
        yield (
            f"TBKDS of {density:.3g} Mg m-3 is outside the {allowed.low:.3g} to {allowed.high:.3g} Mg m-3 of the "
            f"checkpoint's training soils with {carbon:.3g} g kg-1 of organic carbon."
        )


def _gpp(site: SiteInputs, joint: JointRanges) -> Iterator[str]:
    for crop, name in CROP_NAMES.items():
        years = {each.year: each for each in map(site.year, site.years) if each.crop_N[0] == crop}
        sums = {year: annual_gpp(inputs) for year, inputs in years.items()}
        outside = {
            y: float(gpp_N[0]) for y, gpp_N in sums.items() if joint.gpp_outside(gpp_N, crop_N=years[y].crop_N)[0]
        }
        if outside and crop in joint.annual_gpp:
            low, high = joint.annual_gpp[crop]
            listed = ", ".join(f"{year} ({gpp:,.0f})" for year, gpp in outside.items())
            limits = f"{low:,.0f} to {high:,.0f} g C m-2 yr-1"
            yield f"Annual GPP of {name} is outside the checkpoint's training range of {limits} in {listed}."
        elif outside:
            yield f"The checkpoint was not trained on {name}, the crop of {spans(outside)}."
