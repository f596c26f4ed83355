"""The work of a worker: read the inputs of a tile, compute, and write into a fork of the cube's session.

Arrays stay on the worker. It returns ledger rows and the fork, which the coordinator merges and commits. On a CUDA
device the tiles of a group are computed together; on CPUs, and where one is alone, a group is a single tile.

Shape legend: N modelled cells of a tile, or of the tiles of a group in order, T days, Y years; the axis of length 2 is
corn, soybean.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeVar

import icechunk
import numpy as np
import zarr

from model.arrays import DeviceError, MemberSums
from model.checkpoint import Checkpoint, CheckpointError
from pipeline.cube import layout, members, restarts
from pipeline.cube.entry import Row
from pipeline.cube.layout import StoredYear, TileMask
from pipeline.cube.ledger import check_state
from pipeline.errors import DamagedError, UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.gpp_errors import read_gpp_errors
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.progress import heartbeat
from pipeline.run.groups import MOST_TILES
from pipeline.run.plan import Block
from pipeline.run.stages import stages
from pipeline.run.tile_inputs import gather, tile_mask
from pipeline.run.year_step import open_predictor
from pipeline.simulate.crops import Floats
from pipeline.simulate.gpp_draws import NO_DRAWS, Draws
from pipeline.simulate.tile_year import CellState, TileResult, TileYear, simulate, spin_up
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, STORAGE_ERRORS, RetryPolicy, describe, is_fatal, retried
from regions import Region

if TYPE_CHECKING:
    from model.inference import Predictor

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
    draws
        Draws of GPP.
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
    draws: Draws = NO_DRAWS
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


def run_blocks(context: Context, tasks: Sequence[BlockTask]) -> tuple[BlockDone, ...]:
    """Compute the years of the blocks of a group, and write those that each stores into its own fork.

    Reads and writes are tried again after transient errors; writing a tile-year once more replaces the same chunks.

    Raises
    ------
    UserError
        If inputs of a tile stay unreadable, the checkpoint was changed or removed during the run, or a CUDA device
        fails. No block of the group is done then.
    """
    from model.device.predictor import DevicePredictor

    predictor = _predictor(
        context.checkpoint,
        context.checkpoint_sha256,
        year_step=context.year_step,
        device=context.device,
        batch_cells=context.batch_cells,
    )
    on_device = isinstance(predictor, DevicePredictor)
    # Of workers elsewhere, some may find no CUDA device.
    groups = [tasks] if on_device else [[task] for task in tasks]
    try:
        return tuple(done for group in groups for done in _run_group(context, group, predictor, overlapped=on_device))
    except DeviceError as error:
        raise UserError(
            f"{error} on {platform.node()}; if it comes again, lower execution.batch_cells or set execution.device to "
            "'cpu'"
        ) from error


def _run_group(
    context: Context, tasks: Sequence[BlockTask], predictor: Predictor, *, overlapped: bool
) -> list[BlockDone]:
    tiles = [_GroupTile.of(context, task) for task in tasks]
    computed = tiles[0].block.computed
    state = _state_before(context, tiles, predictor)
    writer = _Writer(context, tiles)
    # Where a device computes, the processor reads and writes at the same time: each fork has its years in order.
    with stages(overlapped=overlapped) as stage:
        coming = stage.ahead(partial(_read_year, context, tiles), computed)
        for year in computed:
            began = _Clocks.now()
            # One year at a time: the memory of a worker does not depend on the length of its block.
            tile_year = next(coming)
            result = simulate(predictor, tile_year, state)
            state = result.state
            # Years between stored ones are computed for their state alone.
            if any(year in tile.block.years for tile in tiles):
                stage.behind(partial(writer.write, year, tile_year, result, began=began))
            # Otherwise these arrays would be held while the next year reaches its peak; see `pipeline.run.memory`.
            del tile_year, result
            heartbeat()  # the executor restarts a worker without one for `execution.block_minutes`
    return [BlockDone(task.fork, tuple(tile.rows)) for task, tile in zip(tasks, tiles, strict=True)]


@dataclass
class _GroupTile:
    """A tile of a group: its block, the cube as its fork sees it, its mask, and the ledger rows of its years."""

    block: Block
    root: zarr.Group
    mask: TileMask
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, context: Context, task: BlockTask) -> _GroupTile:
        """Read the mask through the fork, as the state later: it sees the commit from which the wave began."""
        root = retried(lambda: repository.writable(task.fork), context.retry)
        return cls(task.block, root, retried(lambda: layout.read_mask(root, task.block.tile), context.retry))


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


@dataclass(frozen=True)
class _Part:
    """The results of one tile of a group in a year, and the GPP (T, N) [g C m-2 d-1] that they come from.

    `stored` and `members` are what is written of them.
    """

    tile: _GroupTile
    gpp_TN: Floats
    result: TileResult
    stored: StoredYear
    members: MemberSums | None

    def record(self, year: int, *, seconds: float, cpu_seconds: float) -> None:
        """Add the ledger row of the year."""
        block, residual = self.tile.block, self.result.balance_residual
        row = Row.of(
            self.stored,
            tile=block.tile.name,
            year=year,
            fingerprint=block.fingerprints[block.years.index(year)],
            balance_residual=_daily_residual(self.gpp_TN, self.result) if residual is None else residual,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            restart=year in block.restarts,
            state=restarts.state_digest(self.result.state) if year in block.restarts else "",
            members=members.digests(self.members),
            member_months=members.month_digests(self.members),
        )
        self.tile.rows.append(row)

    def write(self, year: int) -> None:
        """Write the year, and its state if the block keeps that."""
        root, block = self.tile.root, self.tile.block
        layout.write_tile_year(root, block.tile, year, self.stored)
        members.write(root, block.tile, year, self.members, mask=self.stored.mask)
        if year in block.restarts:
            restarts.write_restart(root, block.tile, year, self.result.state)


@dataclass
class _Writer:
    """Writes the years of a group, one after the other and tile by tile, and adds their ledger rows."""

    context: Context
    tiles: Sequence[_GroupTile]
    ended: _Clocks | None = None  # when the last year was written

    def write(self, year: int, tile_year: TileYear, result: TileResult, *, began: _Clocks) -> None:
        """Write a year of the blocks that store it, and record it."""
        parts = [part for part in self._parts(tile_year, result) if year in part.tile.block.years]
        for part in parts:
            retried(partial(part.write, year), self.context.retry)
            heartbeat()
        # Of years in overlap, the time since the last one counts: the sum is that of the clock.
        since, now = began.later(self.ended), _Clocks.now()
        cells = sum(part.tile.mask.cells for part in parts)
        for part in parts:
            # Tiles are computed together: each has its share of the time.
            share = part.tile.mask.cells / cells if len(parts) > 1 else 1.0
            part.record(year, seconds=share * (now.wall - since.wall), cpu_seconds=share * (now.cpu - since.cpu))
        self.ended = now

    def _parts(self, tile_year: TileYear, result: TileResult) -> Iterator[_Part]:
        first = 0
        for tile in self.tiles:
            part = slice(first, first + tile.mask.cells)
            of_tile = result.cells(part)
            stored = StoredYear.of(of_tile, tile.mask.mask), members.stored(of_tile.members)
            yield _Part(tile, tile_year.inputs.gpp_TN[:, part], of_tile, *stored)
            first = part.stop


def _state_before(context: Context, tiles: Sequence[_GroupTile], predictor: Predictor) -> CellState:
    """Return the state at the beginning of the blocks: spun up, or as earlier blocks have stored it."""
    block = tiles[0].block
    if not block.spin_up:
        reads = [partial(_read_state, tile, block.first - 1) for tile in tiles]
        return CellState.joined([retried(read, context.retry) for read in reads])
    # The first blocks of chains; their spin-up runs the region's two spin-up years, which are not stored.
    first, second = (_read_year(context, tiles, year) for year in context.region.spinup_years)
    return spin_up(predictor, (first, second))


def _read_state(each: _GroupTile, year: int) -> CellState:
    """Return the stored state at the end of a year; raises `DamagedError` if it is not the one that was recorded."""
    tile = each.block.tile
    try:
        state = restarts.read_restart(each.root, tile, year, cells=each.mask.cells)
        check_state(each.root, tile.name, year, state)
    except DamagedError as error:
        raise DamagedError(
            f"state at the end of {year}: {error}; compute the tile again with `agcarbon run --tile {tile.name}`"
        ) from error
    return state


def _read_year(context: Context, tiles: Sequence[_GroupTile], year: int) -> TileYear:
    """Return the inputs of a year of all tiles of a group."""
    parts = []
    for each in tiles:
        parts.append(_read_tile_year(context, each, year, tiles=len(tiles)))
        heartbeat()
    return TileYear.joined(parts)


def _read_tile_year(context: Context, each: _GroupTile, year: int, *, tiles: int) -> TileYear:
    tile, mask = each.block.tile, each.mask

    def read(view: InputsView) -> TileYear:
        found = gather(context.region, view, tile, year, mask)
        if not context.draws.count:
            return found
        errors = read_gpp_errors(view, tile, found.inputs.gpp_TN, year=year, mask=mask.mask, draws=context.draws)
        return replace(found, errors=errors)

    return _read_inputs(context, f"tile {tile.name}, {year}", read, tiles=tiles)


def _read_inputs(context: Context, subject: str, read: Callable[[InputsView], Read], *, tiles: int = 1) -> Read:
    """Return the result of `read` on the inputs store, tried again after transient errors.

    Raises
    ------
    UserError
        If the error stays, naming store and `subject`. Errors that would end every block, such as a full disk, are
        raised as they are.
    """
    # Two views at most, whatever the groups: each has read some of the store's structure.
    kept = MOST_TILES if tiles > 1 else 1
    try:
        return retried(lambda: read(open_inputs(context.inputs, context.snapshot, tiles=kept)), context.retry)
    except DamagedError as error:
        raise UserError(f"{subject}: {error}") from error
    except STORAGE_ERRORS as error:
        if is_fatal(error):
            raise
        raise UserError(
            f"{context.inputs}: the inputs of {subject} cannot be read: {describe(error)}; check the storage, then "
            "repeat the command"
        ) from error


def _daily_residual(gpp_TN: Floats, result: TileResult) -> float:
    """Mean absolute daily ra + rh - gpp - nee [g C m-2 d-1] over the cells with a result; NaN if there are none."""
    residual_TN = result.ra_TN + result.rh_TN - gpp_TN - result.nee_TN
    return float(np.nanmean(np.abs(residual_TN))) if np.isfinite(gpp_TN).all(axis=0).any() else float("nan")


# One entry: a worker serves one run, and an earlier network would only take memory.
@lru_cache(maxsize=1)
def _predictor(path: str, sha256: str, *, year_step: str, device: str, batch_cells: int) -> Predictor:
    """Return the network, loaded once in each worker process."""
    import torch

    torch.set_num_threads(1)  # workers are one for each core
    try:
        checkpoint = Checkpoint.load(path)
    except CheckpointError as error:
        raise UserError(f"{path}: the checkpoint became unreadable during the run: {error}") from error
    # All blocks of a run must come from the same weights, since the run's record in the ledger names one checkpoint.
    if checkpoint.sha256 != sha256:
        raise UserError(f"{path}: the checkpoint changed during the run; start the run again")
    return open_predictor(checkpoint, year_step=year_step, device=device, batch_cells=batch_cells)
