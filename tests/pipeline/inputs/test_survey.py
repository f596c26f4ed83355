"""Surveys of product-years: distributions, derived quantities, samples of tiles."""

from __future__ import annotations

import numpy as np
import pytest

from model.features import FEATURE_NAMES
from model.ranges import PUBLISHED_RANGES
from pipeline.grid.sinusoidal import Grid
from pipeline.inputs import survey as inputs_survey
from pipeline.inputs.layout import GPP_MISSING, LEADING
from pipeline.inputs.report import InputsReport, Wanted
from pipeline.inputs.survey import middle
from pipeline.job import Job
from pipeline.storage import cf
from pipeline.storage.repository import Array
from tests.helpers.input_reports import change, in_tiles, of, opened, printed, survey_stores


@pytest.mark.parametrize("group", ["gpp/2011", "gpp/2012", "soil", "crop/2011"])
def test_distributions_are_those_of_the_arrays_on_the_tiles(job: Job, report: InputsReport, group: str) -> None:
    data, survey = opened(job, group), of(report, group)
    leading = data[LEADING[survey.product].name]
    present = leading.notnull().any("time") if "time" in leading.dims else leading.notnull()
    stored = in_tiles(job, data["filled_days"].notnull()) > 0 if survey.product == "gpp" else slice(None)
    checked = [name for name in survey.found.distributions if name in data]
    assert len(checked) >= 3
    assert survey.found.cells == in_tiles(job, leading)[..., stored].shape[-1]
    for name in checked:
        values, distribution = in_tiles(job, data[name]), survey.found.distributions[name]
        if data[name].dtype.kind in "iu":  # counts and codes are of cells with data
            values = np.where(in_tiles(job, present), values, np.nan)
        values = values[..., stored]
        assert (distribution.count, distribution.missing) == (np.isfinite(values).sum(), np.isnan(values).sum())
        # xarray decodes integers in double precision.
        assert (distribution.minimum, distribution.maximum) == pytest.approx((np.nanmin(values), np.nanmax(values)))
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-6)
        width = distribution.bounds.width
        lower = np.nanpercentile(values, 99, method="inverted_cdf") - distribution.percentile(99)
        assert -1e-3 <= lower / width <= 1.001


def test_climate_is_that_of_all_cells_of_the_window(job: Job, report: InputsReport) -> None:
    data, survey = opened(job, "climate/2012"), of(report, "climate/2012")
    for name in ("tmax_air", "precn", "wind", "radn"):
        values, distribution = data[name].values.astype(np.float64), survey.found.distributions[name]
        assert (distribution.count, distribution.missing) == (15 * 366, 366)
        np.testing.assert_allclose([distribution.minimum, distribution.maximum], [np.nanmin(values), np.nanmax(values)])
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-6)
        low, high = PUBLISHED_RANGES.inputs[[feature.lower() for feature in FEATURE_NAMES].index(name)]
        assert distribution.untrained == ((values < low) | (values > high)).sum()
    assert (survey.found.cells, survey.found.present, survey.coverage) == (16, 15, 15 / 16)
    expected = data["tmax_air"].mean(("lat", "lon"), dtype=np.float64)
    np.testing.assert_allclose(survey.daily_mean, expected, rtol=1e-6)


def test_derived_quantities_are_made_of_the_stored_ones(job: Job, report: InputsReport) -> None:
    climate, soil, gpp = opened(job, "climate/2011"), opened(job, "soil"), opened(job, "gpp/2011")
    crop = opened(job, "crop/2011")
    of_crops = (crop["corn_fraction"] + crop["soybean_fraction"]) >= 0.5
    annual = gpp["gpp"].astype(np.float64).sum("time", skipna=False)
    expected = {
        ("climate/2011", "tmin_air"): (climate["tmax_air"] - climate["tdif_air"]).values,
        ("climate/2011", "hmin_air"): (climate["hmax_air"] - climate["hdif_air"]).values,
        ("soil", "sand_and_silt"): in_tiles(job, soil["tsand"] + soil["tsilt"]),
        ("soil", "available_water"): in_tiles(job, soil["tfc"] - soil["twp"]),
        ("gpp/2011", "annual_gpp"): in_tiles(job, annual),
        ("gpp/2011", "annual_crop_gpp"): in_tiles(job, annual.where(of_crops)),
        ("crop/2011", "corn_and_soybean"): in_tiles(job, crop["corn_fraction"] + crop["soybean_fraction"]),
    }
    for (group, name), values in expected.items():
        distribution = of(report, group).found.distributions[name]
        assert distribution.count == np.isfinite(values).sum() > 0
        np.testing.assert_allclose(distribution.minimum, np.nanmin(values), rtol=1e-5)
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-5)


def test_counts_of_cells_without_data_are_missing_not_zero(copied: Job) -> None:
    def lose_a_cell(array: Array) -> None:
        array[:, 3, 9] = GPP_MISSING

    before = of(survey_stores(copied, Wanted((2011,), ("gpp",))), "gpp/2011").found.distributions["filled_days"]
    change(copied, "gpp/2011/gpp", lose_a_cell)
    survey = of(survey_stores(copied, Wanted((2011,), ("gpp",))), "gpp/2011")
    after = survey.found.distributions["filled_days"]
    assert (after.count, after.missing) == (before.count - 1, before.missing + 1)
    assert survey.found.present == survey.found.cells - 1
    assert survey.found.distributions["annual_gpp"].missing == 1


def test_a_sample_reads_one_chunk_of_each_tile_and_is_reported(
    job: Job, report: InputsReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A store whose tiles are several chunks would be large: here the chunk is made out to be smaller than it is.
    monkeypatch.setattr(inputs_survey, "middle", lambda window, edge: middle(window, edge // 2))
    sampled = survey_stores(job, Wanted((2011,), ("gpp",)))
    assert of(sampled, "gpp/2011").share_read == 0.25
    assert "gpp: 25% of the cells were read, a square in each tile; --full reads all" in printed(sampled)
    full = of(survey_stores(job, Wanted((2011,), ("gpp",), everything=True)), "gpp/2011")
    assert full.share_read == 1
    np.testing.assert_array_equal(
        full.found.distributions["gpp"].bins, of(report, "gpp/2011").found.distributions["gpp"].bins
    )


@pytest.mark.parametrize("tile_cells", [240, 48, 80, 8, 4800])
def test_the_sampled_chunk_is_one_whole_chunk_near_the_middle(tile_cells: int) -> None:
    grid = Grid(0, 0, 2 * tile_cells, 2 * tile_cells, tile_cells)
    edge = cf.Layout.daily(grid, 2011).chunks[-1]
    for tile in grid.tiles():
        window = grid.window(tile)
        for side, whole in zip(middle(window, edge), window, strict=True):
            assert side.stop - side.start == edge
            assert (side.start - whole.start) % edge == 0
            assert whole.start <= side.start <= (whole.start + whole.stop) / 2 <= side.stop <= whole.stop
