"""Areas of a table by area: the region, its states, and parts of states that the paper names.

The paper names southern Minnesota, northern Iowa, north-eastern Illinois and the south without drawing them; the limits
of latitude and longitude here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.cells import Floats, TileCells
from regions import Zone

REGION = "region"


@dataclass(frozen=True)
class NamedArea:
    """A part of some states: cells whose centres lie between limits of latitude and longitude [degree].

    Attributes
    ----------
    name
        Name in tables.
    states
        Postal abbreviations; none for all states.
    south, north, west
        Limits.
    published
        What the paper finds for it.
    """

    name: str
    states: tuple[str, ...]
    published: str
    south: float = -90.0
    north: float = 90.0
    west: float = -180.0


NAMED = (
    NamedArea("southern Minnesota", ("MN",), "loss", north=45.0),
    NamedArea("northern Iowa", ("IA",), "loss", south=42.5),
    NamedArea("north-eastern Illinois", ("IL",), "loss", south=40.5, west=-89.0),
    NamedArea("the south, below 38 N", (), "gain", north=38.0),
)


@dataclass(frozen=True)
class Areas:
    """The areas of a table: the region, the states of its counties, and those of `NAMED`, A in all."""

    zones: Sequence[Zone]

    @property
    def states(self) -> list[str]:
        """Postal abbreviations of the states, in order."""
        return sorted({zone.state for zone in self.zones})

    @property
    def names(self) -> list[str]:
        """Names of the areas."""
        return [REGION, *self.states, *(area.name for area in NAMED)]

    @property
    def published(self) -> list[str]:
        """What the paper finds for each area, in a word; empty for those that it does not name."""
        return ["" for _ in (REGION, *self.states)] + [area.published for area in NAMED]

    def area_m2(self, cells: TileCells) -> Floats:
        """Return the part of each cell in each area (A, N) [m2]."""
        whole_m2 = np.repeat(cells.grid.cell_area_m2(), cells.grid.cols)[cells.mask.ravel()]
        states = np.array([zone.state for zone in self.zones])
        of_state = {name: whole_m2 * cells.counties_ZN[states == name].sum(axis=0) for name in self.states}
        named = [self._named(area, cells, of_state) for area in NAMED]
        return np.stack([cells.area_m2_N, *of_state.values(), *named])

    def _named(self, area: NamedArea, cells: TileCells, of_state: dict[str, Floats]) -> Floats:
        longitude_N, latitude_N = cells.places
        inside: NDArray[np.bool_] = (latitude_N >= area.south) & (latitude_N < area.north) & (longitude_N >= area.west)
        parts = [of_state[name] for name in area.states or self.states if name in of_state]
        return np.where(inside, np.sum(parts, axis=0), 0.0) if parts else np.zeros(latitude_N.size)
