"""Single cells of a cube, at the places of towers and soil samples, read with their checksums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.access.points import cell_at
from pipeline.analysis.cells import Floats
from pipeline.analysis.subject import Subject
from pipeline.cube.results import CheckedYear
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile


@dataclass(frozen=True, eq=False)
class Pixel:
    """A modelled cell: its tile, and its place among the tile's modelled cells."""

    subject: Subject
    tile: Tile
    place: int
    mask: NDArray[np.bool_]

    @classmethod
    def at(cls, subject: Subject, latitude: float, longitude: float) -> Pixel:
        """Return the cell at a place; raises `UserError` where none is modelled or has a result."""
        cell = cell_at(subject.cube, latitude, longitude)
        for tile in subject.tiles:
            rows, cols = subject.grid.window(tile)
            if rows.start <= cell.row < rows.stop and cols.start <= cell.col < cols.stop:
                mask = CheckedYear(subject.cube.root, subject.years[0]).mask(tile)
                number = np.cumsum(mask.ravel())[(cell.row - rows.start) * mask.shape[1] + cell.col - cols.start]
                return cls(subject, tile, int(number) - 1, mask)
        raise UserError(f"lat {latitude:g}, lon {longitude:g}: its tile has no result in the years")

    def annual(self, name: str) -> dict[int, float]:
        """Return an annual layer by year; NaN where there is no result."""
        return {year: float(self._year(year).layer(self.tile, name, self.mask)[self.place]) for year in self._years}

    def daily(self, name: str, year: int) -> Floats:
        """Return a daily flux of a year (T,)."""
        flux = self._year(year).flux(self.tile, name, self.mask, days=slice(None))[:, self.place]
        return flux.astype(np.float64)

    @property
    def _years(self) -> list[int]:
        ledger = self.subject.cube.ledger
        return [year for year in self.subject.years if ledger.recorded(self.tile.name, year)]

    def _year(self, year: int) -> CheckedYear:
        return CheckedYear(self.subject.cube.root, year)
