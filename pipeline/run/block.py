"""What a worker does: read the inputs of a tile, compute, write into a fork of the cube's session.

The coordinator merges the forks and commits; arrays stay on the worker, which returns ledger rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeVar

import icechunk
import numpy as np
import torch
import zarr

from model.checkpoint import Checkpoint, CheckpointError
from model.inference import Predictor
from pipeline.cube import layout
from pipeline.cube.layout import StoredYear, TileMask
from pipeline.cube.ledger import Row
from pipeline.errors import UserError
from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.progress import heartbeat
from pipeline.run.plan import Block
from pipeline.simulate.crops import crop_of_year, first_crop, modelled
from pipeline.simulate.tile_year import CellState, TileResult, TileYear, simulate, spin_up
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, STORAGE_ERRORS, RetryPolicy, describe, is_fatal, retried
from regions import Region, zones

Read = TypeVar("Read")


@dataclass(frozen=True)
class Context:
    """What is the same for all blocks of a run; small, and sent with each."""

    region: Region
    grid: Grid
    inputs: str
    snapshot: str
    checkpoint: str
    checkpoint_sha256: str
    device: str
    batch_cells: int
    retry: RetryPolicy = BY_DEFAULT


@dataclass(frozen=True)
class BlockTask:
    """A block and where to write it."""

    block: Block
    fork: icechunk.ForkSession


@dataclass(frozen=True)
class BlockDone:
    """The fork with the block's data in it, to be merged, and its ledger rows."""

    fork: icechunk.ForkSession
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MaskTask:
    """A tile whose mask is to be made, and where to write it."""

    tile: Tile
    fork: icechunk.ForkSession


@dataclass(frozen=True)
class MaskDone:
    """The fork with the tile's mask in it, its cells and digest."""

    fork: icechunk.ForkSession
    cells: int
    digest: str


def tile_mask(region: Region, view: InputsView, grid: Grid) -> TileMask:
    """Decide which cells of the grid of one tile are modelled.

    A cell is modelled if the region covers some of it, its soil is known, and corn and soybean cover at least the
    region's threshold of it on average over the mask years.
    """
    (tile,) = grid.tiles()
    in_region = coverage(outlines(zones(region)), grid).sum(axis=0).reshape(grid.shape) > 0
    fractions_Y2 = np.stack([view.crop_fractions(tile, year) for year in region.mask_years])
    mask = in_region & view.soil_defined(tile) & modelled(fractions_Y2, region.crop_threshold)
    return TileMask(mask, first_crop(fractions_Y2[..., mask], region.crop_threshold))


def make_mask(context: Context, task: MaskTask) -> MaskDone:
    """Decide which cells of a tile are modelled, and write that."""
    read = partial(_decided, context, task.tile)
    decided = _read(context, f"tile {task.tile.name}", read)
    retried(lambda: layout.write_mask(repository.writable(task.fork), task.tile, decided), context.retry)
    return MaskDone(task.fork, decided.cells, decided.digest)


def _decided(context: Context, tile: Tile) -> TileMask:
    view = open_inputs(context.inputs, context.snapshot)
    return tile_mask(context.region, view, context.grid.of(tile))


def run_block(context: Context, task: BlockTask) -> BlockDone:
    """Compute the years of a block and write those that it stores.

    What storage refuses for a while is tried again. Writing a tile-year once more writes the same chunks.
    """
    block, again = task.block, context.retry
    root = retried(lambda: repository.writable(task.fork), again)
    predictor = _predictor(context.checkpoint, context.checkpoint_sha256, context.device, context.batch_cells)
    mask = retried(lambda: layout.read_mask(root, block.tile), again)
    state = _state_before(context, block, root=root, mask=mask, predictor=predictor)
    prints = dict(zip(block.years, block.fingerprints, strict=True))
    rows = []
    for year in block.computed:
        began = time.perf_counter()
        tile_year = _gathered(context, block.tile, year, mask)
        result = simulate(predictor, tile_year, state)
        state = result.state
        if year in prints:
            stored = StoredYear.of(result, mask.mask)
            retried(partial(_write, root, block, year, stored=stored, state=state), again)
            rows.append(
                Row.of(
                    stored,
                    tile=block.tile.name,
                    year=year,
                    fingerprint=prints[year],
                    balance_residual=_daily_residual(tile_year, result),
                    seconds=time.perf_counter() - began,
                    restart=year in block.restarts,
                )
            )
            del stored
        del tile_year, result  # else they would lie beside the next year's at its peak
        heartbeat()
    return BlockDone(task.fork, tuple(rows))


def _write(root: zarr.Group, block: Block, year: int, *, stored: StoredYear, state: CellState) -> None:
    layout.write_tile_year(root, block.tile, year, stored)
    if year in block.restarts:
        layout.write_restart(root, block.tile, year, state=state, mask=stored.mask)


def _state_before(
    context: Context, block: Block, *, root: zarr.Group, mask: TileMask, predictor: Predictor
) -> CellState:
    if not block.spin_up:
        return retried(lambda: layout.read_restart(root, block.tile, block.first - 1, mask=mask.mask), context.retry)
    first, second = (_gathered(context, block.tile, year, mask) for year in context.region.spinup_years)
    return spin_up(predictor, (first, second))


def _gathered(context: Context, tile: Tile, year: int, mask: TileMask) -> TileYear:
    """Gather a tile-year from the inputs store."""

    def read() -> TileYear:
        view = open_inputs(context.inputs, context.snapshot)
        return gather(context.region, view, tile, year, mask)

    return _read(context, f"tile {tile.name}, {year}", read)


def _read(context: Context, what: str, read: Callable[[], Read]) -> Read:
    """Return what is read from the inputs store, tried again where that may help.

    Raises
    ------
    UserError
        Naming the store, if the error stays.
    """
    try:
        return retried(read, context.retry)
    except STORAGE_ERRORS as error:
        if is_fatal(error):
            raise
        raise UserError(
            f"{context.inputs}: inputs of {what} cannot be read: {describe(error)}; mend the store or ingest again"
        ) from error


def gather(region: Region, view: InputsView, tile: Tile, year: int, mask: TileMask) -> TileYear:
    """Gather what one tile-year needs at its modelled cells."""
    history_Y2N = np.stack(list(_crop_history(region, view, tile, year, mask)))
    crop = crop_of_year(history_Y2N, mask.first_crop_N, region.crop_threshold)
    return view.read_tile_year(tile, year, mask=mask.mask, crop=crop, fractions_2N=history_Y2N[-1])


def _crop_history(
    region: Region, view: InputsView, tile: Tile, year: int, mask: TileMask
) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    for past in range(region.first_year, year + 1):
        yield view.crop_fractions(tile, past)[:, mask.mask]


def _daily_residual(year: TileYear, result: TileResult) -> float:
    """Mean absolute daily ra + rh - gpp - nee [g C m-2 d-1] over the cells with a result."""
    residual_TN = result.ra_TN + result.rh_TN - year.inputs.gpp_TN - result.nee_TN
    return float(np.nanmean(np.abs(residual_TN))) if year.complete_N.any() else float("nan")


@lru_cache(maxsize=1)
def _predictor(path: str, sha256: str, device: str, batch_cells: int) -> Predictor:
    """Load the network once per worker process."""
    torch.set_num_threads(1)
    try:
        checkpoint = Checkpoint.load(path)
    except CheckpointError as error:
        raise UserError(f"{path}: the checkpoint was spoilt while the run was going on: {error}") from error
    if checkpoint.sha256 != sha256:
        raise UserError(f"{path}: the checkpoint changed while the run was going on; start the run again")
    return Predictor(checkpoint, device=device, batch_cells=batch_cells)
