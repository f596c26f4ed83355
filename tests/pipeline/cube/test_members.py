"""Members of an ensemble in the cube: what is written is read, and another ensemble leaves nothing of the former."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from pipeline.cube import layout, ledger, members
from pipeline.cube.results import CheckedYear
from pipeline.errors import DamagedError
from pipeline.grid.sinusoidal import Tile
from pipeline.storage import repository
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import FIRST, LAST, fill_cube, write_results

M, V = 3, 4


@pytest.fixture
def root(tmp_path: Path) -> Iterator[zarr.Group]:
    with transaction(fill_cube(tmp_path).job.open_cube(), "members") as root:
        members.add(root, M, last=FIRST)
        yield root


def tiles(root: zarr.Group) -> list[Tile]:
    return [planned.tile for planned in layout.tiles(root) or ()]


def mask_of(root: zarr.Group, tile: Tile) -> np.ndarray:
    return layout.read_mask(root, tile).mask


def write(root: zarr.Group, tile: Tile, year: int = FIRST, *, seed: int = 1) -> np.ndarray:
    mask = mask_of(root, tile)
    values = np.random.default_rng(seed).normal(size=(M, V, mask.sum())).astype(np.float32)
    values[..., 0] = np.nan
    record(root, tile, year, values)
    return values


def record(root: zarr.Group, tile: Tile, year: int, values: np.ndarray | None) -> None:
    mask = mask_of(root, tile)
    members.write(root, tile, year, values, mask=mask)
    row = write_results(root, tile, year, mask=mask, rng=np.random.default_rng(0))
    ledger.record(root, [replace(row, members=members.digests(values))], run=0, failures={})


def read(root: zarr.Group, tile: Tile, year: int = FIRST) -> np.ndarray | None:
    return CheckedYear(root, year).of_members(tile, mask_of(root, tile))


def test_what_is_written_is_read_tile_by_tile(root: zarr.Group) -> None:
    first, other = tiles(root)[:2]
    values = write(root, first)
    np.testing.assert_array_equal(read(root, first), values)
    assert read(root, other) is None
    assert read(root, first, LAST) is None
    stored = repository.part(root, "members/ra", (0, slice(None), *layout.identity(root).grid.window(first)))
    assert np.isnan(stored[..., ~mask_of(root, first)]).all()


def test_a_single_network_leaves_no_members_of_its_year(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    members.add(root, M, last=LAST)
    write(root, tile)
    kept = write(root, tile, LAST, seed=2)
    record(root, tile, FIRST, None)
    assert read(root, tile) is None
    assert np.isnan(members.read(root, tile, FIRST, mask=mask_of(root, tile))).all()
    np.testing.assert_array_equal(read(root, tile, LAST), kept)
    members.write(root, tile, LAST + 1, None, mask=mask_of(root, tile))  # a year without room: nothing to remove


def test_an_ensemble_of_another_size_replaces_all(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    write(root, tile)
    members.add(root, M, last=LAST)
    assert read(root, tile) is not None
    members.add(root, M + 1, last=LAST)
    assert members.count(root) == M + 1
    assert read(root, tile) is None


def test_other_values_than_were_written_are_damage(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    write(root, tile)
    layer = repository.array(root, "members/yield")
    layer[...] = np.asarray(layer[...]) + np.float32(1)
    remedy = f"`agcarbon run --tile {tile.name}`"
    with pytest.raises(DamagedError, match=f"{tile.name}, year {FIRST}: yield of the members .* {remedy}"):
        read(root, tile)


def test_members_that_are_gone_are_damage(root: zarr.Group) -> None:
    """As behind a manifest that leads to no chunk; a digest among the members would be gone with them."""
    tile = tiles(root)[0]
    write(root, tile)
    repository.empty(root, "members/nee")
    with pytest.raises(DamagedError, match="nee of the members"):
        read(root, tile)


def test_other_members_make_aggregates_out_of_date(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    record(root, tile, FIRST, None)
    digests = [ledger.Ledger(root).year_digest(FIRST)]
    for seed in (1, 2):
        write(root, tile, seed=seed)
        digests.append(ledger.Ledger(root).year_digest(FIRST))
    assert len(set(digests)) == 3


def test_the_ledger_of_a_single_network_has_the_columns_that_it_had(tmp_path: Path) -> None:
    before = repository.read(fill_cube(tmp_path).job.open_cube())
    assert "members" not in repository.subgroup(before, "ledger")
    assert repository.attribute(repository.subgroup(before, "ledger"), "members") is None


def test_fluxes_of_members_follow_from_their_budgets_and_gpp() -> None:
    gpp = np.array([1000.0, 500.0], np.float32)
    own = np.array([[[400, 300], [300, 200], [-250, 10], [200, 250]]], np.float32)
    named = dict(zip((flux.name for flux in members.FLUXES), members.fluxes(own, gpp)[0], strict=True))
    assert named["gpp"].tolist() == [1000, 500]
    assert named["reco"].tolist() == [700, 500]
    assert named["residue"].tolist() == [400, 0]  # not below 0
    assert named["dsoc"].tolist() == [50, -260]
    assert named["dsoc_balance"].tolist() == [100, -250]
    assert named["balance_residual"].tolist() == [-50, -10]
