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
from pipeline.variables import DAILY
from regions import Zone

ZONES = tuple(
    Zone(fips, name, state, shapely.box(0, 0, 1, 1))
    for fips, name, state in (("17113", "B", "IL"), ("01001", "A", "AL"), ("17115", "C", "IL"))
)


def random(seed: int, targets: int) -> Sums:
    return Sums(np.random.default_rng(seed).lognormal(size=Sums.zero(targets).layers.shape))


def counties(seed: int) -> Sums:
    return random(seed, len(ZONES))


def monthly(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(1 + len(DAILY), 12, len(ZONES)))


def write(exports: str, seeds: dict[int, int]) -> None:
    sums = {
        year: tables.YearSums(counties(seed), random(seed + 100, len(ROUTES)), monthly(seed))
        for year, seed in seeds.items()
    }
    tables.write(exports, sums, zones=ZONES)


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


def test_a_state_has_the_sums_of_its_counties_by_year_and_month(exports: str) -> None:
    for name, keys in (("", ["state", "year", "cover"]), ("_monthly", ["state", "year", "month"])):
        of_counties, of_states = (tables.read_table(exports, f"{each}{name}") for each in ("counties", "states"))
        columns = [column for column in of_states if column == "area_m2" or column.endswith("_g")]
        expected = of_counties.groupby(keys)[columns].sum()
        pd.testing.assert_frame_equal(of_states.set_index(keys).sort_index()[columns], expected, rtol=1e-12)
        means = of_states["nee_g"] / of_states["area_m2"]
        np.testing.assert_allclose(of_states["nee_g_m2"], means, rtol=1e-12)
    assert len(of_states) == 2 * 12 * 2


def test_a_year_removed_is_in_no_table(exports: str) -> None:
    count = len(tables.NAMES)
    assert years(exports) == [{2010, 2011}] * count
    for _ in range(2):
        tables.remove_year(exports, 2011)
        assert years(exports) == [{2010}] * count
    tables.remove_year(exports, 2010)
    assert years(exports) == [set()] * count


def test_removing_from_no_table_makes_none(tmp_path: Path) -> None:
    tables.remove_year(str(tmp_path), 2010)
    assert not list(tmp_path.iterdir())
