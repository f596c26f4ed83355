"""The network on a coarse grid: two opposite rotations, weighted by the crops of each year.

Shape legend: K cells of the coarse grid in a band, Y years, V variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model.features import CORN
from model.inference import Predictor
from pipeline.aggregate.frame import Band, Frame
from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, Mask
from pipeline.analysis.coarse.inputs import CoarseBand, CoarseYear, crop_of
from pipeline.analysis.subject import Subject
from pipeline.cube import layout
from pipeline.grid.latlon import LatLonGrid
from pipeline.grid.sinusoidal import Tile
from pipeline.run.year_step import open_predictor
from pipeline.simulate.tile_year import CellState, TileResult, simulate, spin_up

VARIABLES = ("gpp", "ra", "rh", "reco", "nee", "yield", "dsoc")


@dataclass(frozen=True, eq=False)
class CoarseMap:
    """Results on a coarse grid, as means over the years.

    Attributes
    ----------
    grid
        Cells in longitude and latitude.
    means_VYX
        Means of `VARIABLES` [g C m-2 yr-1], NaN where no cell is averaged or no year has a result.
    area_m2_YX, stock_YX
        Area that is averaged [m2], and its stock of soil carbon to 200 cm [g C m-2].
    """

    grid: LatLonGrid
    means_VYX: Floats
    area_m2_YX: Floats
    stock_YX: Floats


def run_coarse(subject: Subject, frame: Frame, *, per_degree: int) -> CoarseMap:
    """Run the network of the cube on inputs averaged to cells of 1 / `per_degree` degree, band by band."""
    grid = frame.fine.coarsen(frame.fine.per_degree // per_degree)
    found = CoarseMap(grid, np.full((len(VARIABLES), *grid.shape), np.nan), *np.full((2, *grid.shape), np.nan))
    predictor = open_predictor(subject.job.checkpoint, year_step=subject.job.year_step, device="cpu", batch_cells=0)
    for band in frame.bands:
        coarse = CoarseBand.of(subject.inputs, frame, band, per_degree=per_degree, masks=_masks(subject, band))
        rows, cols = np.divmod(coarse.chosen_K, coarse.target.cols)
        window = grid.window(coarse.target)
        place = rows + window[0].start, cols + window[1].start
        if coarse.chosen_K.size:
            found.means_VYX[:, *place] = _mean_of_years(coarse, predictor, subject)
            found.area_m2_YX[place] = coarse.area_m2[coarse.chosen_K]
            found.stock_YX[place] = coarse.stock_K
    return found


def _masks(subject: Subject, band: Band) -> Iterator[tuple[Tile, Mask]]:
    """Yield the tiles of a band with the cells that are averaged: the modelled ones, or all with GPP and soil."""
    view, years = subject.inputs, chain(subject)
    for tile in band.tiles:
        if subject.options.every_cell:
            stored = [view.gpp_stored(tile, year) for year in years]
            mask = np.logical_and.reduce(stored) & view.soil_defined(tile)
        else:
            mask = layout.read_mask(subject.cube.root, tile).mask
        if mask.any():
            yield tile, mask


def chain(subject: Subject) -> range:
    """Return the years that are computed: from the region's first on, since states are carried."""
    return range(subject.region.first_year, subject.years[-1] + 1)


def _mean_of_years(coarse: CoarseBand, predictor: Predictor, subject: Subject) -> Floats:
    """Return the means of `VARIABLES` over the subject's years (V, K)."""
    years = run_band(coarse, predictor, spin_up_years=subject.region.spinup_years, years=chain(subject))
    sums = np.zeros((2, len(VARIABLES), coarse.chosen_K.size))
    for year, values_VK in years:
        if year in subject.years:
            present = np.isfinite(values_VK)
            sums += np.stack([present, np.where(present, values_VK, 0)])
    return means(sums[1], sums[0])


def run_band(
    coarse: CoarseBand, predictor: Predictor, *, spin_up_years: tuple[int, int], years: Sequence[int]
) -> Iterator[tuple[int, Floats]]:
    """Yield each year with the weighted results of both rotations (V, K)."""
    kept = {year: coarse.year(year) for year in spin_up_years}  # read once for spin-up and chain
    states = {even: _spun_up(predictor, kept, spin_up_years, even=even) for even in (True, False)}
    for year in years:
        inputs = kept.pop(year, None) or coarse.year(year)
        by_crop: dict[int, Floats] = {}
        for even, state in states.items():
            crop = crop_of(year, corn_in_even_years=even)
            result = simulate(predictor, inputs.under(crop), state)
            states[even] = result.state
            by_crop[crop] = _layers(result)
        corn_K = inputs.corn_weight_K
        (other,) = set(by_crop) - {CORN}
        yield year, corn_K * by_crop[CORN] + (1 - corn_K) * by_crop[other]


def _spun_up(predictor: Predictor, kept: dict[int, CoarseYear], years: tuple[int, int], *, even: bool) -> CellState:
    first, second = (kept[year].under(crop_of(year, corn_in_even_years=even)) for year in years)
    return spin_up(predictor, (first, second))


def _layers(result: TileResult) -> Floats:
    return np.stack([result.annual[name] for name in VARIABLES]).astype(np.float64)
