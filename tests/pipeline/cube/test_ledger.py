"""The ledger alone: entries from values, states of tile-years, and rows that are written and read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr

from pipeline.cube import ledger
from pipeline.cube.entry import COMPONENTS, RANGES, Fingerprint, Row, Status
from pipeline.cube.layout import StoredYear
from pipeline.cube.ledger import Ledger
from pipeline.variables import ANNUAL, DAILY, FLUXES, Quality

TILES = ("h11v04-r0c0", "h11v04-r0c1")


def fingerprint(digit: str, **changed: str) -> Fingerprint:
    return Fingerprint(tuple(changed.get(name, digit * 32) for name in COMPONENTS))


@pytest.fixture
def stored() -> StoredYear:
    """Four modelled cells; the last one has no result."""
    rng = np.random.default_rng(4)
    daily = {variable.name: rng.normal(size=(365, 4)).astype(np.float32) for variable in DAILY}
    annual = {variable.name: rng.normal(size=4).astype(variable.dtype) for variable in ANNUAL}
    annual["quality"] = np.array([0, Quality.OUTSIDE_TRAINING, Quality.GPP_FILLED, Quality.MISSING], np.uint16)
    for layers in (*daily.values(), *(annual[flux.name] for flux in FLUXES)):
        layers[..., 3] = np.nan
    return StoredYear(np.ones((2, 2), bool), daily, annual)


@pytest.fixture
def row(stored: StoredYear) -> Row:
    return Row.of(
        stored,
        tile=TILES[0],
        year=2012,
        fingerprint=fingerprint("1"),
        balance_residual=0.25,
        seconds=1.5,
        cpu_seconds=1.2,
        restart=True,
    )


@pytest.fixture
def root() -> zarr.Group:
    """A ledger of two tiles and the years 2011 and 2012."""
    root = zarr.open_group(zarr.storage.MemoryStore(), mode="w")
    ledger.create(root, TILES)
    ledger.add_years(root, [2011, 2012])
    return root


def test_an_entry_counts_cells_and_holds_the_extremes_of_every_layer(stored: StoredYear, row: Row) -> None:
    assert (row.cells, row.missing_cells, row.outside_share) == (4, 1, 0.25)
    layers = [stored.daily[variable.name] for variable in DAILY] + [stored.annual[flux.name] for flux in FLUXES]
    assert len(row.minimum) == len(RANGES) == len(layers)
    assert row.minimum == tuple(float(np.nanmin(layer)) for layer in layers)
    assert row.maximum == tuple(float(np.nanmax(layer)) for layer in layers)


def test_a_recorded_row_is_read_back_and_no_other_tile_year_has_one(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [row], run=0, failures={})
    read = Ledger(root)
    assert read.recorded(TILES[0], 2012) == row.fingerprint
    assert read.recorded(TILES[1], 2012) is None
    assert read.recorded(TILES[0], 2011) is None
    assert read.recorded(TILES[0], 2050) is None
    assert read.column("checksum")[1, 0].tobytes().hex() == row.checksum
    assert read.column("maximum")[1, 0].tolist() == list(row.maximum)
    assert read.has_restart(TILES[0], 2012)
    assert not read.has_restart(TILES[1], 2012)


def test_the_state_of_a_tile_year_follows_from_its_fingerprints_and_failures(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [row], run=0, failures={(TILES[1], 2012): "gpp cannot be read"})
    read = Ledger(root)
    assert read.state(TILES[0], 2012, fingerprint("1")).status is Status.DONE
    stale = read.state(TILES[0], 2012, fingerprint("1", soil="2" * 32))
    assert (stale.status, stale.reason) == (Status.STALE, "changed: soil")
    assert read.state(TILES[0], 2012, None).status is Status.UNCHECKED
    failed = read.state(TILES[1], 2012, fingerprint("1"))
    assert (failed.status, failed.reason) == (Status.FAILED, "gpp cannot be read")
    assert read.state(TILES[0], 2011, fingerprint("1")).status is Status.MISSING


def test_a_result_ends_the_failure_of_its_tile_year_and_of_no_other(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [], run=0, failures={(TILES[0], 2012): "no space", (TILES[1], 2012): "no space"})
    ledger.record(root, [row], run=1, failures={})
    assert Ledger(root).failures == {f"{TILES[1]}/2012": "no space"}


def test_any_new_result_of_a_year_changes_its_digest_and_that_of_no_other_year(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [row], run=0, failures={})
    before = Ledger(root)
    ledger.record(root, [replace(row, tile=TILES[1], checksum="ab" * 16)], run=0, failures={})
    after = Ledger(root)
    assert before.year_digest(2012) != after.year_digest(2012)
    assert before.year_digest(2011) == after.year_digest(2011)


def test_states_that_are_no_longer_kept_are_forgotten_year_by_year(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [row, replace(row, year=2011)], run=0, failures={})
    ledger.forget_restarts(root, 2011)
    read = Ledger(root)
    assert not read.has_restart(TILES[0], 2011)
    assert read.has_restart(TILES[0], 2012)


def test_more_years_keep_the_rows_of_the_present_ones(root: zarr.Group, row: Row) -> None:
    ledger.record(root, [row], run=0, failures={})
    ledger.add_years(root, [2011, 2012, 2013])
    read = Ledger(root)
    assert read.years == [2011, 2012, 2013]
    assert read.recorded(TILES[0], 2012) == row.fingerprint
    assert read.recorded(TILES[0], 2013) is None
