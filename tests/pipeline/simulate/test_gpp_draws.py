"""Errors of GPP: variance, correlation in space and time, and that nothing but place and time decides them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pipeline.grid.sinusoidal import CELL_M, Grid, Tile
from pipeline.inputs.gpp_errors import places
from pipeline.simulate.gpp_draws import Draws, GppErrors, Places, field, noise

DRAWS = Draws(4, seed=7, length_km=50.0, length_days=30.0)
FAR = 1000.0  # km or days: many lengths


def at(east_km: np.ndarray, north_km: np.ndarray | float = 0.0) -> Places:
    east = np.asarray(east_km, float)
    return Places(east, np.broadcast_to(np.asarray(north_km, float), east.shape).copy())


def values(where: Places, days: range, draw: int = 0, draws: Draws = DRAWS) -> np.ndarray:
    return np.stack(list(field(draws, draw, where, days)))


def test_noise_has_mean_0_and_variance_1_and_no_two_keys_share_it() -> None:
    x = np.arange(100_000)
    found = [noise((seed, 0, 0, x, 0)) for seed in (0, 1)] + [noise((0, 0, 0, 0, x)), noise((0, 0, 0, x, -1))]
    for each in found:
        assert abs(each.mean()) < 0.015
        assert abs(each.var() - 1) < 0.015
    assert np.abs(np.corrcoef(found) - np.eye(4)).max() < 0.015
    assert abs(np.corrcoef(found[0][1:], found[0][:-1])[0, 1]) < 0.015


def test_the_field_has_variance_1_at_every_place_of_the_lattice() -> None:
    """Over points far from each other, at offsets from the lattice in all three directions."""
    far = np.arange(40_000) * FAR
    for offset, day in product((0.0, 10.0, 21.0, 30.0), (0, 12)):
        found = values(at(far + offset, offset), range(day, day + 1))[0]
        assert abs(found.mean()) < 0.02
        assert abs(found.var() - 1) < 0.03


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.78), (1.0, 1 / np.e), (2.0, 0.02)])
@pytest.mark.parametrize("direction", ["east", "north", "days"])
def test_correlations_fall_to_1_over_e_at_the_stated_lengths(direction: str, share: float, expected: float) -> None:
    # Far apart but not in step with the lattice, so that all offsets from it are met.
    start = np.arange(40_000) * 1013.7
    shift = share * (DRAWS.length_days if direction == "days" else DRAWS.length_km)
    if direction == "days":
        one, other = (values(at(start), range(day, day + 1))[0] for day in (4, 4 + round(shift)))
    elif direction == "north":
        one, other = (values(at(np.zeros_like(start), start + moved), range(1))[0] for moved in (0, shift))
    else:
        one, other = (values(at(start + moved), range(1))[0] for moved in (0, shift))
    assert abs(np.corrcoef(one, other)[0, 1] - expected) < 0.05


def test_other_draws_and_seeds_are_independent() -> None:
    where = at(np.arange(20_000) * FAR)
    found = [values(where, range(1), draw)[0] for draw in (0, 1)]
    found.append(values(where, range(1), 0, Draws(4, 8, 50.0, 30.0))[0])
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.03


def test_a_cell_has_the_same_bits_in_every_tiling_batch_order_and_year() -> None:
    whole, days = Grid(23760, 53280, 48, 48, 48), range(14_600, 14_640)
    all_cells, short = np.ones((48, 48), bool), Draws(1, 7, 2.0, 3.0)  # tiles of 2.8 km are of other nodes
    expected = values(places(whole, all_cells), days, draws=short).reshape(len(days), 48, 48)
    for tile in Grid(23760, 53280, 48, 48, 12).tiles():
        part = Grid(23760, 53280, 48, 48, 12).of(tile)
        row, col = tile.first_row - 23760, tile.first_col - 53280
        mask = np.random.default_rng(row + col).random((12, 12)) < 0.4
        found = values(places(part, mask), days, draws=short)
        np.testing.assert_array_equal(found, expected[:, row : row + 12, col : col + 12][:, mask])
    order = np.random.default_rng(1).permutation(48 * 48)
    one = places(whole, all_cells)
    shuffled = Places(one.east_km_N[order], one.north_km_N[order])
    np.testing.assert_array_equal(values(shuffled, days, draws=short), expected.reshape(len(days), -1)[:, order])
    np.testing.assert_array_equal(values(one, days[20:], draws=short), expected.reshape(len(days), -1)[20:])


def test_the_field_is_that_of_its_definition() -> None:
    """Sums over all nodes with B-splines of SciPy, divided by the root of the sum of squared weights."""
    from scipy.interpolate import BSpline

    spline = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    east, north, day = 123.4, 4567.8, 14_611
    steps = np.array([day / DRAWS.length_days, east / DRAWS.length_km, north / DRAWS.length_km]) * 1.185
    nodes = [np.arange(np.floor(s) - 3, np.floor(s) + 5).astype(int) for s in steps]
    weights = [np.nan_to_num(spline(s - n)) for s, n in zip(steps, nodes, strict=True)]
    weight = np.einsum("i,j,k->ijk", *weights)
    values_of = np.array(
        [[[noise((7, 2, int(t), int(x), int(y)))[0] for y in nodes[2]] for x in nodes[1]] for t in nodes[0]]
    )
    expected = (weight * values_of).sum() / np.sqrt((weight**2).sum())
    found = values(at(np.array([east]), north), range(day, day + 1), draw=2)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-9)


def test_places_are_distances_on_the_sphere() -> None:
    grid = Grid.of(Grid(23760, 53280, 48, 48, 48), Tile.holding(23760, 53280, cells=48))
    where = places(grid, np.ones((48, 48), bool))
    longitude, latitude = (angle.ravel() for angle in grid.lonlat())
    np.testing.assert_allclose(where.north_km_N, 6371.007181 * np.radians(latitude), rtol=1e-9)
    east = 6371.007181 * np.radians(longitude + 96) * np.cos(np.radians(latitude))
    np.testing.assert_allclose(where.east_km_N, east, atol=1e-6)
    np.testing.assert_allclose(where.east_km_N[1] - where.east_km_N[0], CELL_M / 1000, rtol=1e-9)


def test_draws_are_not_negative_and_have_the_mean_and_the_spread_of_gpp() -> None:
    cells, gpp = 3000, np.array([0.0, 0.5, 10.0], np.float32)
    where, std = at(np.arange(cells) * FAR), np.array([1.0, 2.0, 1.5], np.float32)
    errors = GppErrors(DRAWS, where, 100, np.tile(std[:, None], cells), np.ones(cells, bool))
    found = np.concatenate([errors.drawn(np.tile(gpp[:, None], cells), draw) for draw in range(4)], axis=1)
    assert (found >= 0).all()
    assert (found[0] == 0).all()
    np.testing.assert_allclose(found.mean(axis=1), gpp, atol=0.05)
    np.testing.assert_allclose(found[2].std(), 1.5, rtol=0.03)
