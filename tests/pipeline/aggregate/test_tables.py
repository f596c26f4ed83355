"""The tables hold the years that are written, in order, and lose those that are removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from pipeline.aggregate import tables
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.tables import ROUTES
from regions import Zone

ZONES = tuple(Zone(fips, name, "IL", shapely.box(0, 0, 1, 1)) for fips, name in (("01001", "A"), ("17113", "B")))


def random(seed: int, targets: int) -> Sums:
    return Sums(np.random.default_rng(seed).lognormal(size=Sums.zero(targets).layers.shape))


def counties(seed: int) -> Sums:
    return random(seed, len(ZONES))


def write(exports: str, seeds: dict[int, int]) -> None:
    of_counties = {year: counties(seed) for year, seed in seeds.items()}
    routes = {year: random(seed + 100, len(ROUTES)) for year, seed in seeds.items()}
    tables.write(exports, counties=of_counties, routes=routes, zones=ZONES)


@pytest.fixture
def exports(tmp_path: Path) -> str:
    write(str(tmp_path), {2010: 1, 2011: 2})
    return str(tmp_path)


def years(exports: str) -> list[set[int]]:
    tables_read = (tables.read_table(exports, name) for name in tables.NAMES)
    return [set() if table.empty else set(table["year"]) for table in tables_read]


def test_tables_read_back_every_bit_year_by_year(exports: str) -> None:
    for _ in range(2):
        write(exports, {2011: 5, 2010: 1})
    expected = [tables.county_table(counties(seed), ZONES, year=year) for year, seed in ((2010, 1), (2011, 5))]
    found = tables.read_table(exports, "counties")
    pd.testing.assert_frame_equal(found, pd.concat(expected, ignore_index=True), check_exact=True)


def test_a_year_removed_is_in_neither_table(exports: str) -> None:
    assert years(exports) == [{2010, 2011}] * 2
    for _ in range(2):
        tables.remove_year(exports, 2011)
        assert years(exports) == [{2010}] * 2
    tables.remove_year(exports, 2010)
    assert years(exports) == [set(), set()]


def test_removing_from_no_table_makes_none(tmp_path: Path) -> None:
    tables.remove_year(str(tmp_path), 2010)
    assert not list(tmp_path.iterdir())
