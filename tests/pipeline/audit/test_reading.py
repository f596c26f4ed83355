"""A tile-year is read as it was written, and values where none should be are counted."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from pipeline.audit.reading import error_line, read_days, read_tile_year, recorded_rows
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.variables import ENSEMBLE_STD
from tests.helpers.filled_cube import FIRST, fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return fill_cube(tmp_path_factory.mktemp("cube")).job


@pytest.fixture
def root(job: Job) -> zarr.Group:
    """The cube in a session of its own, which is never committed."""
    return repository.writable(job.open_cube().writable_session(repository.BRANCH))


def test_values_are_those_that_the_ledger_recorded(job: Job, root: zarr.Group) -> None:
    tile = job.domain.tiles[0]
    mask, row = layout.read_mask(root, tile).mask, recorded_rows(Ledger(root), tile.name)[FIRST]
    year = read_tile_year(root, tile, row, mask=mask)
    assert year.stored.checksum == row.checksum
    assert year.outside == 0
    last = read_days(root, tile, FIRST, days=slice(-31, None), mask=mask)
    np.testing.assert_array_equal(last["nee"], year.daily("nee")[-31:])


def test_values_outside_the_mask_are_counted(job: Job, root: zarr.Group) -> None:
    tile = job.domain.tiles[0]
    mask, row = layout.read_mask(root, tile).mask, recorded_rows(Ledger(root), tile.name)[FIRST]
    rows, cols = job.grid.window(tile)
    empty = np.argwhere(~mask)[:2] + np.array([rows.start, cols.start])
    for y, x in empty:
        repository.array(root, "annual/crop")[0, y, x] = 5
    y, x = empty[0]
    repository.array(root, f"daily/{FIRST}/ra")[7, y, x] = 1.0
    assert read_tile_year(root, tile, row, mask=mask).outside == 3


def test_empty_layers_of_an_ensemble_are_no_part_of_a_single_network(job: Job, root: zarr.Group) -> None:
    """The cube was extended by an ensemble later: the checksum of an earlier tile-year must still hold."""
    tile = job.domain.tiles[0]
    mask, row = layout.read_mask(root, tile).mask, recorded_rows(Ledger(root), tile.name)[FIRST]
    layout.add_years(root, last=FIRST, with_daily=(), spread=True)
    assert read_tile_year(root, tile, row, mask=mask).stored.checksum == row.checksum
    repository.array(root, f"annual/{ENSEMBLE_STD['nee'].name}")[0] = 1.0
    assert read_tile_year(root, tile, row, mask=mask).stored.checksum != row.checksum


def test_an_error_without_a_message_is_named_by_its_type() -> None:
    assert error_line(RuntimeError()) == "RuntimeError"
    assert error_line(ValueError("first\nsecond")) == "ValueError: first"
