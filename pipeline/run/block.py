"""The work of a worker: read the inputs of a tile, compute, and write into a fork of the cube's session.

Arrays stay on the worker. It returns ledger rows and the fork, which the coordinator merges and commits.

Shape legend: N modelled cells of a tile, T days, Y years; the axis of length 2 is corn, soybean.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TypeVar

import icechunk
import numpy as np
import torch
import zarr

from model.checkpoint import Checkpoint, CheckpointError
from model.device.predictor import DevicePredictor
from model.inference import DeviceError, Predictor
from pipeline.cube import layout, members
from pipeline.cube.layout import StoredYear, TileMask
from pipeline.cube.ledger import Row, check_state
from pipeline.errors import DamagedError, UserError
from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.progress import heartbeat
from pipeline.run.plan import Block
from pipeline.run.stages import stages
from pipeline.run.year_step import open_predictor
from pipeline.simulate.crops import Floats, crop_of_year, first_crop, has_crop, modelled
from pipeline.simulate.tile_year import CellState, TileResult, TileYear, simulate, spin_up
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, STORAGE_ERRORS, RetryPolicy, describe, is_fatal, retried
from regions import Region, zones

Read = TypeVar("Read")


@dataclass(frozen=True)
class Context:
    """Everything that is the same for all blocks of a run; small, since it is sent with each.

    Attributes
    ----------
    region, grid
        The region and its rectangle of tiles.
    inputs, snapshot
        Location of the inputs store, and the one state of it that the whole run reads.
    checkpoint, checkpoint_sha256
        File of the network, and the digest that it must still have when a worker loads it.
    year_step
        Code of the network: "numba" or "pytorch".
    device, batch_cells
        PyTorch device and cells of one forward pass; a worker resolves "auto" and 0 for itself.
    retry
        How often reads and writes are tried again.
    """

    region: Region
    grid: Grid
    inputs: str
    snapshot: str
    checkpoint: str
    checkpoint_sha256: str
    year_step: str
    device: str
    batch_cells: int
    retry: RetryPolicy = BY_DEFAULT


@dataclass(frozen=True)
class BlockTask:
    """A block to compute, and the fork of the cube's session to write it into."""

    block: Block
    fork: icechunk.ForkSession


@dataclass(frozen=True)
class BlockDone:
    """The fork that holds the block's writes, to be merged, and the ledger rows of its tile-years."""

    fork: icechunk.ForkSession
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MaskTask:
    """A tile whose mask is to be made, and the fork to write it into."""

    tile: Tile
    fork: icechunk.ForkSession


@dataclass(frozen=True)
class MaskDone:
    """The fork that holds a tile's mask, the number of its modelled cells and its digest."""

    fork: icechunk.ForkSession
    cells: int
    digest: str


def make_mask(context: Context, task: MaskTask) -> MaskDone:
    """Decide which cells of a tile are modelled, and write the mask."""
    mask = _read_inputs(
        context,
        f"tile {task.tile.name}",
        lambda view: tile_mask(context.region, view, context.grid.of(task.tile)),
    )
    retried(lambda: layout.write_mask(repository.writable(task.fork), task.tile, mask), context.retry)
    return MaskDone(task.fork, mask.cells, mask.digest)


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


def run_block(context: Context, task: BlockTask) -> BlockDone:
    """Compute the years of a block, and write those that it stores.

    Reads and writes are tried again after transient errors; writing a tile-year once more replaces the same chunks.

    Raises
    ------
    UserError
        If inputs stay unreadable, the checkpoint was changed or removed during the run, or a CUDA device fails.
    """
    try:
        return _run_block(context, task)
    except DeviceError as error:
        raise UserError(
            f"{error} on {platform.node()}; if it comes again, lower execution.batch_cells or set execution.device to "
            "'cpu'"
        ) from error


def _run_block(context: Context, task: BlockTask) -> BlockDone:
    block = task.block
    # Mask and state are read through the fork, too: it sees the commit from which the wave began.
    root = retried(lambda: repository.writable(task.fork), context.retry)
    predictor = _predictor(
        context.checkpoint,
        context.checkpoint_sha256,
        year_step=context.year_step,
        device=context.device,
        batch_cells=context.batch_cells,
    )
    mask = retried(lambda: layout.read_mask(root, block.tile), context.retry)
    state = _state_before(context, block, root=root, mask=mask, predictor=predictor)
    writer = _Writer(context, block, root, mask)
    # Where a device computes, the processor reads and writes at the same time: one fork, and years in order, as before.
    with stages(overlapped=isinstance(predictor, DevicePredictor)) as stage:
        coming = stage.ahead(partial(_read_tile_year, context, block.tile, mask=mask), block.computed)
        for year in block.computed:
            began = _Clocks.now()
            # One year at a time: the memory of a worker does not depend on the length of its block.
            tile_year = next(coming)
            result = simulate(predictor, tile_year, state)
            state = result.state
            if year in block.years:  # years between stored ones are computed for their state alone
                stage.behind(partial(writer.write, year, tile_year, result, began=began))
            # Otherwise these arrays would be held while the next year reaches its peak; see `pipeline.run.memory`.
            del tile_year, result
            heartbeat()  # the executor restarts a worker without one for `execution.block_minutes`
    return BlockDone(task.fork, tuple(writer.rows))


@dataclass(frozen=True)
class _Clocks:
    """Wall time and processor time of this process [s]."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> _Clocks:
        return cls(time.perf_counter(), time.process_time())

    def later(self, other: _Clocks | None) -> _Clocks:
        return self if other is None else _Clocks(max(self.wall, other.wall), max(self.cpu, other.cpu))


@dataclass
class _Writer:
    """Writes the years of a block, one after the other, and collects their ledger rows."""

    context: Context
    block: Block
    root: zarr.Group
    mask: TileMask
    rows: list[Row] = field(default_factory=list)
    ended: _Clocks | None = None  # when the last year was written

    def write(self, year: int, tile_year: TileYear, result: TileResult, *, began: _Clocks) -> None:
        """Write a year, and record it."""
        block = self.block
        stored = StoredYear.of(result, self.mask.mask)
        retried(partial(_write, self.root, block, year, stored=stored, result=result), self.context.retry)
        residual = result.balance_residual
        # Of years in overlap, the time since the last one counts: the sum is that of the clock.
        since, now = began.later(self.ended), _Clocks.now()
        row = Row.of(
            stored,
            tile=block.tile.name,
            year=year,
            fingerprint=block.fingerprints[block.years.index(year)],
            balance_residual=_daily_residual(tile_year, result) if residual is None else residual,
            seconds=now.wall - since.wall,
            cpu_seconds=now.cpu - since.cpu,
            restart=year in block.restarts,
            state=layout.state_digest(result.state) if year in block.restarts else "",
        )
        self.rows.append(row)
        self.ended = now


def _write(root: zarr.Group, block: Block, year: int, *, stored: StoredYear, result: TileResult) -> None:
    layout.write_tile_year(root, block.tile, year, stored)
    members.write(root, block.tile, year, result.members_MVN, mask=stored.mask)
    if year in block.restarts:
        layout.write_restart(root, block.tile, year, result.state)


def _state_before(
    context: Context, block: Block, *, root: zarr.Group, mask: TileMask, predictor: Predictor
) -> CellState:
    """Return the state at the beginning of the block: spun up, or as an earlier block has stored it."""
    if not block.spin_up:
        return retried(lambda: _read_state(root, block.tile, block.first - 1, cells=mask.cells), context.retry)
    # The first block of a chain; its spin-up runs the region's two spin-up years, which are not stored.
    first, second = (_read_tile_year(context, block.tile, year, mask=mask) for year in context.region.spinup_years)
    return spin_up(predictor, (first, second))


def _read_state(root: zarr.Group, tile: Tile, year: int, *, cells: int) -> CellState:
    """Return the stored state at the end of a year; raises `DamagedError` if it is not the one that was recorded."""
    try:
        state = layout.read_restart(root, tile, year, cells=cells)
        check_state(root, tile.name, year, state)
    except DamagedError as error:
        raise DamagedError(
            f"state at the end of {year}: {error}; compute the tile again with `agcarbon run --tile {tile.name}`"
        ) from error
    return state


def _read_tile_year(context: Context, tile: Tile, year: int, *, mask: TileMask) -> TileYear:
    return _read_inputs(
        context, f"tile {tile.name}, {year}", lambda view: gather(context.region, view, tile, year, mask)
    )


def _read_inputs(context: Context, subject: str, read: Callable[[InputsView], Read]) -> Read:
    """Return the result of `read` on the inputs store, tried again after transient errors.

    Raises
    ------
    UserError
        If the error stays, naming store and `subject`. Errors that would end every block, such as a full disk, are
        raised as they are.
    """
    try:
        return retried(lambda: read(open_inputs(context.inputs, context.snapshot)), context.retry)
    except DamagedError as error:
        raise UserError(f"{subject}: {error}") from error
    except STORAGE_ERRORS as error:
        if is_fatal(error):
            raise
        raise UserError(
            f"{context.inputs}: the inputs of {subject} cannot be read: {describe(error)}; check the storage, then "
            "repeat the command"
        ) from error


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


def _daily_residual(year: TileYear, result: TileResult) -> float:
    """Mean absolute daily ra + rh - gpp - nee [g C m-2 d-1] over the cells with a result; NaN if there are none."""
    residual_TN = result.ra_TN + result.rh_TN - year.inputs.gpp_TN - result.nee_TN
    return float(np.nanmean(np.abs(residual_TN))) if year.complete_N.any() else float("nan")


# One entry: a worker serves one run, and an earlier network would only take memory.
@lru_cache(maxsize=1)
def _predictor(path: str, sha256: str, *, year_step: str, device: str, batch_cells: int) -> Predictor:
    """Return the network, loaded once in each worker process."""
    torch.set_num_threads(1)  # workers are one for each core
    try:
        checkpoint = Checkpoint.load(path)
    except CheckpointError as error:
        raise UserError(f"{path}: the checkpoint became unreadable during the run: {error}") from error
    # All blocks of a run must come from the same weights, since the run's record in the ledger names one checkpoint.
    if checkpoint.sha256 != sha256:
        raise UserError(f"{path}: the checkpoint changed during the run; start the run again")
    return open_predictor(checkpoint, year_step=year_step, device=device, batch_cells=batch_cells)
