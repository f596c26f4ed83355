"""Fingerprints of one tile from inputs that are made up, for tests of plans."""

from __future__ import annotations

from pipeline.cube.entry import Fingerprint
from pipeline.cube.layout import PlannedTile
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import TileDigests
from pipeline.run.fingerprints import Science, fingerprints

TILE = PlannedTile(Tile(11, 4, 3, 7, 48), 100, "mask")
FIRST = 2000
SCIENCE = Science("region", "weights", "fp32")


def prints_of(years: range, changed: int | None = None) -> dict[int, Fingerprint]:
    """Fingerprints of a tile whose GPP of the year `changed` is another."""

    def digests(_tile: Tile, year: int) -> TileDigests:
        return TileDigests(f"climate {year}", f"gpp {year} {year == changed}", "soil", f"crop {year}")

    return fingerprints(TILE, years, science=SCIENCE, digests=digests, spin_up=(FIRST, FIRST + 1))
