"""Groups of tiles that a worker computes together, so that the batches of a CUDA device are full.

A device is expected to take about as long for the recurrent layers of a few cells as of some thousand. Compiled for a
processor they take time in proportion to the cells, and PyTorch there has small batches: on CPUs each tile is alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.run.plan import Block

MOST_BATCHES = 4  # of a group, unless its largest tile has more: then it takes hardly more memory than that tile
MOST_TILES = 16  # of a group: all are computed again if one fails, and soil and crop maps of all are kept

Group = tuple[Block, ...]


@dataclass(frozen=True)
class Packing:
    """How tiles are put together.

    Attributes
    ----------
    batch_cells
        Cells of a forward pass; 0 to leave each tile alone.
    batches
        Most batches of a group of several tiles.
    workers
        Workers that share a wave: no group takes more than a worker's share of its batches.
    """

    batch_cells: int = 0
    batches: int = MOST_BATCHES
    workers: int = 1

    def room(self, cells: int) -> int:
        """Return the most cells of a group whose largest tile has so many: whole batches, at least those of the tile.

        Examples
        --------
        >>> Packing(8192).room(13_000), Packing(8192).room(70_000), Packing(8192, batches=1).room(13_000)
        (32768, 73728, 16384)
        """
        return self.batch_cells * max(self.batches, -(-cells // self.batch_cells))

    def most_cells(self, cells: int, tiles: int) -> int:
        """Return the most cells of a group of at most `tiles` tiles with up to so many cells each."""
        return min(self.room(cells), tiles * cells) if self.batch_cells else cells


ALONE = Packing()


def grouped(wave: Sequence[Block], packing: Packing) -> list[Group]:
    """Return the blocks of a wave in groups that compute the same years, those that take longest first.

    First fit, decreasing: each block, the largest first, joins the first group that has room for it, or opens one.
    Small blocks, which come last, fill up the batches of the large ones.
    """
    if not packing.batch_cells:
        return [(block,) for block in wave]
    share = batches_of([wave], packing.batch_cells) // packing.workers
    packing = replace(packing, batches=min(packing.batches, max(share, 1)))
    alike: dict[tuple[range, bool], list[Block]] = {}
    for block in sorted(wave, key=lambda block: (-block.cells, block.tile.name)):
        alike.setdefault((block.computed, block.spin_up), []).append(block)
    groups = [group for blocks in alike.values() for group in _first_fit(blocks, packing)]
    return sorted(groups, key=lambda group: -sum(block.cell_years for block in group))


def _first_fit(blocks: Iterable[Block], packing: Packing) -> list[Group]:
    groups: list[list[Block]] = []
    left: list[int] = []  # cells for which each group has room
    for block in blocks:
        fitting = (
            index for index, group in enumerate(groups) if block.cells <= left[index] and len(group) < MOST_TILES
        )
        index = next(fitting, len(groups))
        if index == len(groups):
            groups.append([])
            left.append(packing.room(block.cells))
        groups[index].append(block)
        left[index] -= block.cells
    return [tuple(group) for group in groups]


def batches_of(groups: Iterable[Sequence[Block]], batch_cells: int) -> int:
    """Return the batches of a year, of which the last of each group may be in part empty."""
    return sum(-(-sum(block.cells for block in group) // batch_cells) for group in groups)
