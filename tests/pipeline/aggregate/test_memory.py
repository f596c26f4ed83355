"""The memory of an aggregation: what its arrays take lies below the projection, which grows with the members."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

from model.features import CORN
from pipeline.aggregate import memory
from pipeline.aggregate.frame import Band, Frame
from pipeline.aggregate.layout import band_parts
from pipeline.aggregate.sums import MEMBERS
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Tile
from pipeline.variables import FLUXES
from regions import load_region, zones

REGION = """
title = "Three tiles in Iowa"
bbox = [-94.0, 41.6, -93.4, 41.9]
first_year = 2010
last_year = 2011
mask_years = [2010]
tile_cells = 120
"""


@dataclass(frozen=True)
class Year:
    """Results without days, so that sums of years and months are what takes memory."""

    members: int
    year: int = 2010
    days: int = 0

    def mask(self, tile: Tile) -> np.ndarray:
        return np.ones((tile.cells, tile.cells), bool)

    def annual(self, _: Tile, mask: np.ndarray) -> dict[str, np.ndarray]:
        cells = int(mask.sum())
        layers = {flux.name: np.ones(cells, np.float32) for flux in FLUXES}
        layers |= {"crop": np.full(cells, CORN, np.uint8), "quality": np.zeros(cells, np.uint16)}
        layers |= dict.fromkeys(("corn_fraction", "soybean_fraction"), np.ones(cells, np.float32))
        return layers | ({MEMBERS: np.ones((self.members, len(FLUXES), cells))} if self.members else {})

    def daily(self, _tile: Tile, mask: np.ndarray, _days: slice) -> dict[str, np.ndarray]:
        return dict.fromkeys(("ra", "rh", "nee"), np.empty((0, mask.sum()), np.float32))

    def month_of_members(self, _tile: Tile, mask: np.ndarray, _month: int) -> np.ndarray:
        return np.ones((self.members, 3, mask.sum()), np.float32)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    file = tmp_path_factory.mktemp("region") / "three.toml"
    file.write_text(REGION)
    region = load_region(str(file))
    return Frame.of(domain_of(region), zones(region))


def peak(frame: Frame, members: int) -> int:
    band: Band = max(frame.bands, key=lambda band: len(band.tiles))
    tracemalloc.start()
    for _ in band_parts(Year(members), frame, band, first_year=2010):
        pass
    _, found = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("members", [0, 4, 12])
def test_the_arrays_of_an_aggregation_take_less_than_is_projected(frame: Frame, members: int) -> None:
    peak(frame, 0)  # caches of outlines and overlaps
    projected = memory.worker_bytes(120, 120**2, members=members) - memory._PROCESS
    assert 0.5 * projected < peak(frame, members) < projected


def test_a_worker_that_is_too_small_is_refused_with_a_limit_that_would_do() -> None:
    needed = memory.worker_bytes(240, 50_000, members=32)
    memory.check(240, 50_000, members=32, limit=int(needed / 0.95) + 1)
    memory.check(240, 50_000, members=32, limit=None)
    with pytest.raises(UserError, match=r"aggregating 32 members .* set execution.memory_limit to '\d+MiB'"):
        memory.check(240, 50_000, members=32, limit=needed // 2)
