"""The tables keep the rows of years that are not written, and lose those of years that are removed."""

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
    tables.write_years(exports, counties=of_counties, routes=routes, zones=ZONES)


@pytest.fixture
def exports(tmp_path: Path) -> str:
    write(str(tmp_path), {2010: 1, 2011: 2})
    return str(tmp_path)


def rows(exports: str, year: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = [tables.read_table(exports, name) for name in tables.NAMES]
    return tuple(table[table["year"] == year].reset_index(drop=True) for table in found)  # type: ignore[return-value]


def test_a_year_written_again_is_replaced_and_others_keep_every_bit(exports: str) -> None:
    before = rows(exports, 2010)
    for seed in (3, 4, 5):
        write(exports, {2011: seed})
    for kept, expected in zip(rows(exports, 2010), before, strict=True):
        pd.testing.assert_frame_equal(kept, expected, check_exact=True)
    written, _ = rows(exports, 2011)
    expected = tables.county_table(counties(5), ZONES, year=2011)
    pd.testing.assert_frame_equal(written, expected, check_exact=True)


def test_a_year_removed_is_in_neither_table(exports: str) -> None:
    assert tables.have_year(exports, 2011)
    tables.remove_years(exports, [2011, 2012])
    assert not tables.have_year(exports, 2011)
    assert tables.have_year(exports, 2010)
    tables.remove_years(exports, [2010])
    assert tables.read_table(exports, "counties").empty
    write(exports, {2012: 6})
    assert tables.have_year(exports, 2012)


def test_removing_from_no_table_makes_none(tmp_path: Path) -> None:
    tables.remove_years(str(tmp_path), [2010])
    assert not list(tmp_path.iterdir())


def test_a_year_in_one_table_alone_counts_as_absent(exports: str) -> None:
    Path(tables.tables_location(exports), "region.csv").unlink()
    assert not tables.have_year(exports, 2010)
