"""Rolling the cube back to an earlier state, or forward again to the state before a rollback.

One compare-and-swap moves the branch to a new state that equals the target and records the state before. That state
stays in the store and can be restored until it is collected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import icechunk
import zarr

from pipeline.cube.history import RELEASE, ROLLBACK, commit_attributes, released_state, resolve, short
from pipeline.cube.ledger import Ledger
from pipeline.errors import DamagedError, UserError
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer


@dataclass(frozen=True)
class Rollback:
    """A move of the cube from one state to another.

    Attributes
    ----------
    left, target
        Snapshots of the two states.
    state
        Snapshot by which people know the target: of a release, the state that was released.
    drops
        Number of tile-years, by year, whose present results differ from those of the target or are not in it.
    restores
        Number of tile-years, by year, whose results in the target differ from the present ones or are not there now.
    """

    left: str
    target: str
    state: str
    drops: Mapping[int, int]
    restores: Mapping[int, int]


def plan_rollback(repository: icechunk.Repository, name: str) -> Rollback:
    """Return what a rollback to a release or snapshot would change, without changing anything.

    Raises
    ------
    UserError
        If there is no such state, or the cube is in it already.
    """
    left, target = store.tip(repository), resolve(repository, name)
    if target == left:
        raise UserError(f"{name}: the cube is in that state already; `agcarbon history` lists earlier ones")
    now, then = (store.read(repository, snapshot=snapshot) for snapshot in (left, target))
    results_now, results_then = _results_if_intact(now), _results(then)
    return Rollback(
        left,
        target,
        released_state(repository, target),
        drops=_only(results_now, results_then),
        restores=_only(results_then, results_now),
    )


def roll_back(committer: Committer, planned: Rollback) -> str:
    """Move the cube, and return the snapshot that it is at then.

    Raises
    ------
    UserError
        If the cube has changed since the rollback was planned.
    """
    if committer.base != planned.left:
        raise UserError(
            f"{committer.place}: the cube has changed since the rollback was planned, when it was at "
            f"{short(planned.left)}; plan the rollback again"
        )
    message = f"roll back to {short(planned.state)} from {short(planned.left)}"
    made = commit_attributes(committer, planned.target, message, {ROLLBACK: planned.left, RELEASE: None})
    committer.move_branch(made)
    return made


def _results_if_intact(root: zarr.Group) -> dict[tuple[str, int], bytes]:
    """Return the results of the state that is left; none if its ledger is damaged, a reason to leave it."""
    try:
        return _results(root)
    except DamagedError:
        return {}


def _results(root: zarr.Group) -> dict[tuple[str, int], bytes]:
    """Return checksum and fingerprint of each tile-year that has a result, by tile and year."""
    if "ledger" not in root:
        return {}
    ledger = Ledger(root)
    checksums, prints = ledger.column("checksum"), ledger.column("fingerprint")
    return {
        (tile, year): checksums[i, j].tobytes() + prints[i, j].tobytes()
        for i, year in enumerate(ledger.years)
        for j, tile in enumerate(ledger.tiles)
        if prints[i, j].any()
    }


def _only(these: Mapping[tuple[str, int], bytes], others: Mapping[tuple[str, int], bytes]) -> dict[int, int]:
    """Count by year the results that are only in the first, or differ in the second."""
    return dict(sorted(Counter(key[1] for key, result in these.items() if others.get(key) != result).items()))
