"""One entry of the ledger: what a tile-year was computed from, what came of it, and whether that still holds.

A tile-year is *done* if the fingerprint recorded with it equals the one of the present inputs, weights and code; it is
*stale* if they differ, *failed* if its last attempt ended in an error, else *missing*. Stale never counts as done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NotRequired, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from pipeline.cube.layout import StoredYear
from pipeline.cube.parts import PART_BYTES, PARTS
from pipeline.variables import DAILY, FLUXES, Quality

# Incremented when the same inputs and weights would give other numbers; a golden test verifies it.
SCIENCE_VERSION = 2

COMPONENTS = ("region", "mask", "science", "checkpoint", "climate", "gpp", "soil", "crop")
RANGES = tuple(f"daily_{variable.name}" for variable in DAILY) + tuple(variable.name for variable in FLUXES)


@dataclass(frozen=True)
class Fingerprint:
    """Digests of everything that decides a tile-year, one for each of `COMPONENTS`, in hex."""

    parts: tuple[str, ...]

    def differs_in(self, other: Fingerprint) -> tuple[str, ...]:
        """Names of the components that differ."""
        pairs = zip(COMPONENTS, self.parts, other.parts, strict=True)
        return tuple(name for name, mine, theirs in pairs if mine != theirs)


class Status(Enum):
    """Status of a tile-year."""

    DONE = "done"
    STALE = "stale"
    FAILED = "failed"
    MISSING = "missing"
    UNCHECKED = "unchecked"  # computed, but there is nothing to compare it with: never counts as done either


@dataclass(frozen=True)
class TileYearState:
    """Status of a tile-year and why it is not done."""

    status: Status
    reason: str = ""


class RunFacts(TypedDict):
    """Fields of a ledger entry that do not follow from the stored values."""

    tile: str
    year: int
    fingerprint: Fingerprint
    balance_residual: float
    seconds: float
    cpu_seconds: float
    restart: bool
    state: NotRequired[str]
    members: NotRequired[tuple[str, ...]]
    member_months: NotRequired[tuple[str, ...]]


@dataclass(frozen=True)
class Row:
    """Ledger entry of one tile-year."""

    tile: str
    year: int
    fingerprint: Fingerprint
    checksum: str
    cells: int
    missing_cells: int
    outside_share: float  # of cells with inputs beyond the training range
    balance_residual: float  # mean absolute daily |ra + rh - gpp - nee| [g C m-2 d-1]
    minimum: tuple[float, ...]  # of RANGES
    maximum: tuple[float, ...]
    seconds: float  # by the clock
    cpu_seconds: float  # of the processor, which other work on the machine does not stretch
    restart: bool
    parts: tuple[str, ...] = ()  # digests of PARTS, in hex; zeros for those that are not stored
    state: str = ""  # digest of the state at the end of the year, in hex, if it is kept
    members: tuple[str, ...] = ()  # digests of `MEMBER_FLUXES` of an ensemble's members, in hex
    member_months: tuple[str, ...] = ()  # digests of `parts.MONTH_PARTS` of the same

    @classmethod
    def of(cls, stored: StoredYear, **facts: Unpack[RunFacts]) -> Row:
        """Return the entry of a stored tile-year: what follows from its values, and `facts`."""
        flags = stored.annual["quality"].astype(np.uint16)
        layers = [stored.daily[variable.name] for variable in DAILY]
        layers += [stored.annual[variable.name] for variable in FLUXES]  # type: ignore[misc]
        return cls(
            checksum=stored.checksum,
            cells=flags.size,
            missing_cells=int(np.count_nonzero(flags & Quality.MISSING)),
            outside_share=float(np.mean(flags & Quality.OUTSIDE_TRAINING > 0)),
            minimum=tuple(_extreme(np.fmin, layer) for layer in layers),
            maximum=tuple(_extreme(np.fmax, layer) for layer in layers),
            parts=tuple(stored.parts.get(name, "00" * PART_BYTES) for name in PARTS),
            **facts,
        )


def _extreme(function: np.ufunc, layer: NDArray[Any]) -> float:
    return float(function.reduce(layer, axis=None)) if layer.size else float("nan")
