"""Members of an ensemble in the cube: what is written is read, and another ensemble leaves nothing of the former."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from model.arrays import MemberSums
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
    """Write random sums, and return the annual ones."""
    rng, cells = np.random.default_rng(seed), int(mask_of(root, tile).sum())
    values, months = (rng.normal(size=(M, *dims, cells)).astype(np.float32) for dims in ((V,), (3, 12)))
    values[..., 0] = months[..., 0] = np.nan
    record(root, tile, year, members.stored(MemberSums(values, months)))
    return values


def record(root: zarr.Group, tile: Tile, year: int, sums: MemberSums | None) -> None:
    mask = mask_of(root, tile)
    members.write(root, tile, year, sums, mask=mask)
    row = write_results(root, tile, year, mask=mask, rng=np.random.default_rng(0))
    digests = {"members": members.digests(sums), "member_months": members.month_digests(sums)}
    ledger.record(root, [replace(row, **digests)], run=0, failures={})


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


def test_months_are_read_as_they_were_written_to_the_rounding_of_days(root: zarr.Group) -> None:
    tile, other = tiles(root)[:2]
    months = np.random.default_rng(5).normal(size=(M, 3, 12, int(mask_of(root, tile).sum()))).astype(np.float32)
    record(root, tile, FIRST, members.stored(MemberSums(months[:, :, 0].repeat(2, axis=1)[:, :V], months)))
    year = CheckedYear(root, FIRST)
    for month in (0, 6, 11):
        found = year.month_of_members(tile, mask_of(root, tile), month)
        assert found is not None
        np.testing.assert_allclose(found, months[:, :, month], rtol=2**-11)
        np.testing.assert_array_equal(year.member_month(tile, ("nee", month), mask_of(root, tile)), found[:, 2])
    assert year.month_of_members(other, mask_of(root, other), 0) is None


def test_a_month_with_other_values_than_were_written_is_damage(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    write(root, tile)
    layer, (rows, cols) = repository.array(root, "members/monthly/rh"), np.nonzero(mask_of(root, tile))
    window = layout.identity(root).grid.window(tile)
    place = (0, 1, 7, window[0].start + int(rows[-1]), window[1].start + int(cols[-1]))
    layer[place] = np.float32(layer[place]) * 2
    year, mask = CheckedYear(root, FIRST), mask_of(root, tile)
    assert year.member_month(tile, ("rh", 6), mask) is not None
    with pytest.raises(DamagedError, match=f"{tile.name}, year {FIRST}: rh of {FIRST}-08 of the members .* `agcarbon"):
        year.member_month(tile, ("rh", 7), mask)


def test_members_of_an_earlier_version_stay_and_have_no_months(root: zarr.Group) -> None:
    """Without the group of months and without their column in the ledger."""
    tile = tiles(root)[0]
    values = write(root, tile)
    group = repository.subgroup(root, "ledger")
    years = [(year, ledger.read_year(root, year)) for year in ledger.Ledger(root).years]
    del root["members/monthly"], group["member_months"], group.attrs["member_months"]
    for index, (year, columns) in enumerate(years):
        ledger._write_year(group, year, index, {n: column for n, column in columns.items() if n != "member_months"})
    np.testing.assert_array_equal(read(root, tile), values)
    before = ledger.Ledger(root).year_digest(FIRST)
    members.add(root, M, last=FIRST)
    assert ledger.Ledger(root).year_digest(FIRST) != before  # aggregates are made again, with the layers of months
    np.testing.assert_array_equal(read(root, tile), values)
    assert CheckedYear(root, FIRST).month_of_members(tile, mask_of(root, tile), 0) is None
    said = members.without_months(root, [FIRST])
    assert said is not None
    assert said.startswith(f"{tile.name}, {FIRST}")
    write(root, tile, seed=2)
    assert CheckedYear(root, FIRST).month_of_members(tile, mask_of(root, tile), 0) is not None


def test_a_single_network_leaves_no_members_of_its_year(root: zarr.Group) -> None:
    tile = tiles(root)[0]
    members.add(root, M, last=LAST)
    write(root, tile)
    kept = write(root, tile, LAST, seed=2)
    record(root, tile, FIRST, None)
    assert read(root, tile) is None
    assert np.isnan(members.read(root, tile, FIRST, mask=mask_of(root, tile))).all()
    assert CheckedYear(root, FIRST).month_of_members(tile, mask_of(root, tile), 0) is None
    window = layout.identity(root).grid.window(tile)
    assert np.isnan(repository.part(root, "members/monthly/nee", (0, slice(None), slice(None), *window))).all()
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
    for column in ("members", "member_months"):
        assert column not in repository.subgroup(before, "ledger")
        assert repository.attribute(repository.subgroup(before, "ledger"), column) is None


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
