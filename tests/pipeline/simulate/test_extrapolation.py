"""Cells outside the training data, judged by the checkpoint's own ranges; expected by counting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.arrays import YearInputs
from model.data.records import SiteSequences
from model.data.sites import simulate_sites
from model.data.training_ranges import training_ranges
from model.features import CLIMATE, CROP_TYPE, FEATURE_NAMES, GPP, SOIL, SOIL_NAMES, SOYBEAN
from model.ranges import PUBLISHED_RANGES, TrainingRanges
from pipeline.simulate.extrapolation import annual_gpp, extrapolation

DENSITY, SAND, SILT, CARBON = (SOIL_NAMES.index(name) for name in ("TBKDS", "TSAND", "TSILT", "TSOC"))


@pytest.fixture(scope="module")
def sites() -> SiteSequences:
    return simulate_sites(21, sites=60, years=np.arange(2004, 2007))


@pytest.fixture(scope="module")
def ranges(sites: SiteSequences) -> TrainingRanges:
    return training_ranges(sites)


def of_sites(sites: SiteSequences, year: int = 0) -> YearInputs:
    """One year of all sites as cells with a climate series each."""
    x_NTF = sites.x_NYTF[:, year]
    return YearInputs(
        int(sites.years[year]),
        np.moveaxis(x_NTF[..., CLIMATE], (2, 1), (0, 1)),
        np.arange(len(sites)),
        x_NTF[..., GPP].T,
        x_NTF[:, 0, CROP_TYPE].astype(np.uint8),
        x_NTF[:, 0, SOIL].T,
    )


def with_soil(inputs: YearInputs, **values: float) -> YearInputs:
    soil_9N = inputs.soil_9N.copy()
    for name, value in values.items():
        soil_9N[SOIL_NAMES.index(name)] = value
    return replace(inputs, soil_9N=soil_9N)


def with_gpp(inputs: YearInputs, total: float) -> YearInputs:
    return replace(inputs, gpp_TN=inputs.gpp_TN * np.float32(total) / annual_gpp(inputs).astype(np.float32))


def test_the_training_sites_themselves_are_inside(sites: SiteSequences, ranges: TrainingRanges) -> None:
    outside = np.stack([extrapolation(of_sites(sites, year), ranges).any_N for year in range(3)])
    assert outside.mean() < 0.01


def test_other_sites_of_the_same_simulator_are_mostly_inside(ranges: TrainingRanges) -> None:
    others = simulate_sites(22, sites=60, years=np.arange(2004, 2006))
    found = extrapolation(of_sites(others), ranges)
    # Of sixty soils, one is expected below the least and one above the largest of sixty others, in each of nine inputs.
    assert found.any_N.mean() < 0.35
    assert found.climate_N.mean() < 0.05


@pytest.mark.parametrize("gpp", [100.0, 700.0, 1244.0, 2600.0])
def test_annual_gpp_is_judged_by_what_the_checkpoint_saw_of_the_crop(
    sites: SiteSequences, ranges: TrainingRanges, gpp: float
) -> None:
    inputs = with_gpp(of_sites(sites), gpp)
    seen_NY = sites.x_NYTF[..., GPP].astype(float).sum(-1)
    for crop in (1, 5):
        seen = seen_NY[sites.crop_NY == crop]
        expected = not seen.min() <= gpp <= seen.max()
        found = extrapolation(inputs, ranges).gpp_N[inputs.crop_N == crop]
        assert (found == expected).all()
    assert not extrapolation(inputs, PUBLISHED_RANGES).gpp_N.any()


def test_soybean_gpp_that_only_corn_has_is_flagged(sites: SiteSequences) -> None:
    """The case of 1244 g C m-2 yr-1, at a checkpoint whose soybean reached 1186."""
    x_NYTF = sites.x_NYTF.copy()
    top = {1: 1696.0, 5: 1186.0}
    for crop, highest in top.items():
        of_crop_NY = sites.crop_NY == crop
        x_NYTF[of_crop_NY, :, GPP] *= highest / x_NYTF[of_crop_NY, :, GPP].sum(-1).max()
    seen = training_ranges(replace(sites, x_NYTF=x_NYTF))
    inputs = with_gpp(of_sites(sites), 1244.0)
    np.testing.assert_array_equal(extrapolation(inputs, seen).gpp_N, inputs.crop_N == SOYBEAN)


def test_bulk_density_is_judged_at_the_organic_carbon(sites: SiteSequences, ranges: TrainingRanges) -> None:
    inputs = with_soil(of_sites(sites), TBKDS=1.17, TSOC=19.0)
    density, carbon = sites.x_NYTF[:, 0, 0, SOIL][:, [DENSITY, CARBON]].astype(float).T
    assert density.min() < 1.17 < density.max()  # seen, at much more carbon
    residual = density - np.polyval(np.polyfit(carbon, density, 1), carbon)
    beyond = 1.17 - np.polyval(np.polyfit(carbon, density, 1), 19.0) < residual.min()
    found = extrapolation(inputs, ranges)
    assert (found.density_N == beyond).all()
    assert beyond
    assert not extrapolation(inputs, PUBLISHED_RANGES).density_N.any()


def test_sand_is_judged_by_what_the_checkpoint_saw(sites: SiteSequences, ranges: TrainingRanges) -> None:
    inputs = with_soil(of_sites(sites), TSAND=750.0, TSILT=180.0)
    silty = sites.at(sites.x_NYTF[:, 0, 0, FEATURE_NAMES.index("TSAND")] < 300)
    assert extrapolation(inputs, training_ranges(silty)).soil_N.all()
    highest = sites.x_NYTF[:, 0, 0, FEATURE_NAMES.index("TSAND")].max()
    assert (extrapolation(with_soil(inputs, TSAND=highest + 1), ranges).soil_N).all()
    assert not PUBLISHED_RANGES.inputs[FEATURE_NAMES.index("TSAND")].excludes(750.0)


def test_climate_is_flagged_where_more_than_a_twentieth_of_the_days_is_outside(
    sites: SiteSequences, ranges: TrainingRanges
) -> None:
    inputs = of_sites(sites)
    climate_7TC = np.repeat(np.array([np.mean(each) for each in ranges.inputs[CLIMATE]], np.float32)[:, None], 365, 1)
    climate_7TC = np.repeat(climate_7TC[..., None], 2, 2)
    climate_7TC[0, :10, :] = climate_7TC[6, 10:18, :] = 900.0
    climate_7TC[3, 18:19, 1] = 900.0  # 18 of 365 days are 4.9 %, 19 are 5.2 %
    shared = replace(inputs, climate_7TC=climate_7TC, climate_of_N=np.arange(60) % 2)
    np.testing.assert_array_equal(extrapolation(shared, ranges).climate_N, np.arange(60) % 2 == 1)


def test_missing_gpp_is_not_outside(sites: SiteSequences, ranges: TrainingRanges) -> None:
    inputs = of_sites(sites)
    gpp_TN = inputs.gpp_TN.copy()
    gpp_TN[:, 3] = np.nan
    gpp_TN[:, 4] = 40.0
    found = extrapolation(replace(inputs, gpp_TN=gpp_TN), ranges).gpp_N
    assert (found[3], found[4]) == (False, True)
