"""Bands and shares: each tile in one band, each cell given away once on every target."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipeline.aggregate.frame import FINE_IN_COARSE, Frame
from pipeline.grid.domain import domain_of
from regions import load_region, zones


@pytest.fixture(scope="module", params=[48, 160])
def frame(request: pytest.FixtureRequest) -> Frame:
    """The demo region, whose borders cut through cells; tiles of 160 cells do not divide half a degree."""
    region = replace(load_region("demo"), tile_cells=request.param)
    return Frame.of(domain_of(region), zones(region))


def test_each_tile_lies_in_one_band_and_bands_share_no_row(frame: Frame) -> None:
    assert Counter(tile for band in frame.bands for tile in band.tiles) == Counter(frame.domain.tiles)
    for north, south in zip(frame.bands, frame.bands[1:], strict=False):
        assert north.fine.first_row + north.fine.rows <= south.fine.first_row
    for band in frame.bands:
        assert band.fine.first_row % FINE_IN_COARSE == 0
        assert band.fine.rows % FINE_IN_COARSE == 0


def test_the_shares_of_a_cell_add_up_to_its_share_in_the_region_on_every_target(frame: Frame) -> None:
    band = frame.bands[0]
    for tile in band.tiles:
        of = frame.shares(tile, band, np.ones((tile.cells, tile.cells), bool))
        assert of.region.min() >= 0
        assert of.region.max() <= 1 + 1e-12
        for shares in (of.zones, of.fine.shares, of.middle.shares, of.coarse.shares):
            np.testing.assert_allclose(shares.sum(axis=0), of.region, rtol=0, atol=1e-12)


def test_areas_in_targets_are_shares_times_the_area_of_the_cells(frame: Frame) -> None:
    tile, band = frame.bands[0].tiles[-1], frame.bands[0]
    of = frame.shares(tile, band, np.ones((tile.cells, tile.cells), bool))
    in_m2, values = of.in_m2(), np.random.default_rng(2).normal(size=of.region.size)
    total = (of.region * of.area_m2 * values).sum()
    for target in (in_m2.fine, in_m2.middle, in_m2.coarse):
        on_target = target.layer(values)
        assert on_target.shape == target.window.shape
        assert on_target.sum() == pytest.approx(total, rel=1e-9)
    assert (in_m2.zones @ values).sum() == pytest.approx(total, rel=1e-9)
