"""Modelled cells of a tile, and the inputs of a tile-year at them.

Shape legend: N modelled cells of a tile, Y years; the axis of length 2 is corn, soybean.
"""

from __future__ import annotations

import numpy as np

from pipeline.cube.layout import TileMask
from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.view import InputsView
from pipeline.simulate.crops import Floats, crop_of_year, first_crop, has_crop, modelled
from pipeline.simulate.tile_year import TileYear
from regions import Region, zones


def tile_mask(region: Region, view: InputsView, grid: Grid) -> TileMask:
    """Decide which cells of the grid of one tile are modelled.

    A cell is modelled if the region covers some of it, its soil is known, and corn and soybean cover at least the
    region's threshold of it on average over the mask years.
    """
    (tile,) = grid.tiles()
    # Any coverage is enough: tables weight a cell at the region's border by its share in the region.
    in_region = coverage(outlines(zones(region)), grid).sum(axis=0).reshape(grid.shape) > 0
    fractions_Y2 = np.stack([view.crop_fractions(tile, year) for year in region.mask_years])
    mask = in_region & view.soil_defined(tile) & modelled(fractions_Y2, region.crop_threshold)
    return TileMask(mask, first_crop(fractions_Y2[..., mask], region.crop_threshold))


def gather(region: Region, view: InputsView, tile: Tile, year: int, mask: TileMask) -> TileYear:
    """Gather the inputs of one tile-year at its modelled cells."""
    history_Y2N = _crop_history(view, tile, range(region.first_year, year + 1), mask)
    crop = crop_of_year(history_Y2N, mask.first_crop_N, region.crop_threshold)
    return view.read_tile_year(tile, year, mask=mask.mask, crop=crop, fractions_2N=history_Y2N[-1])


def _crop_history(view: InputsView, tile: Tile, years: range, mask: TileMask) -> Floats:
    """Return the corn and soybean fractions (Y, 2, N) of the last years: as many as decide the crop of every cell.

    A year without corn or soybean takes the crop of the last one that has some.
    """
    history: list[Floats] = []
    undecided_N = np.ones(mask.cells, bool)
    for year in reversed(years):
        if not undecided_N.any():
            break
        history.insert(0, view.crop_fractions(tile, year)[:, mask.mask])
        undecided_N &= ~has_crop(history[0])
    return np.stack(history)
