from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from pipeline.aggregate.sums import AREA_TYPES, Layers, Sums, cell_sums
from pipeline.errors import UserError
from pipeline.variables import FLUXES, Quality

AREA = np.array([2.0, 2.0, 2.0, 3.0, 3.0, 3.0])
CELLS, CORN, SOYBEAN = range(3)


def annual(**changed: list[list[float]]) -> Layers:
    """Two rows of three cells: corn, soybean; corn, without results; the fluxes are 1, 2, 3 ... in every cell."""
    outside = np.array([[0, 0, 1], [0, 0, 1]], dtype=bool)
    layers = {flux.name: np.where(outside, np.nan, n + 1.0) for n, flux in enumerate(FLUXES)}
    layers["crop"] = np.array([[1, 5, 0], [1, 5, 0]], dtype=np.uint8)
    layers["quality"] = np.zeros((2, 3), dtype=np.uint16)
    layers["corn_fraction"] = np.array([[0.75, 0.25, np.nan], [0.5, 0.0, np.nan]])
    layers["soybean_fraction"] = np.array([[0.0, 0.5, np.nan], [0.25, 1.0, np.nan]])
    layers |= {name: np.array(values).astype(layers[name].dtype) for name, values in changed.items()}
    return {name: values.ravel() for name, values in layers.items()}


def region(layers: Layers) -> Sums:
    return cell_sums(layers, AREA, place="here").whole()


def test_area_types_weigh_cells_in_full_or_by_the_fraction_of_the_crop_modelled() -> None:
    assert AREA_TYPES == ("cells", "corn", "soybean")
    area = region(annual()).area_m2
    np.testing.assert_allclose(area, [2 * 2 + 2 * 3, 0.75 * 2 + 0.5 * 3, 0.5 * 2 + 1.0 * 3])


def test_totals_are_area_times_value_and_means_give_the_value_back() -> None:
    sums = region(annual())
    values = np.arange(1, len(FLUXES) + 1)
    np.testing.assert_allclose(sums.totals_g[CELLS], 10 * values)
    np.testing.assert_allclose(sums.means(), np.tile(values, (3, 1)))


def test_a_crop_not_grown_counts_for_its_cell_and_for_no_crop() -> None:
    quality = [[Quality.NOT_GROWN, 0, 0], [0, Quality.NOT_GROWN | Quality.GPP_FILLED, 0]]
    np.testing.assert_allclose(region(annual(quality=quality)).area_m2, [10, 0.5 * 3, 0.5 * 2])


def test_a_missing_cell_enters_no_mean_and_its_area_is_counted() -> None:
    without = {flux.name: [[np.nan, 7, np.nan], [7, 7, np.nan]] for flux in FLUXES}
    sums = region(annual(**without, quality=[[Quality.MISSING, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(sums.area_m2, [8, 1.5, 4])
    np.testing.assert_allclose(sums.missing_m2, [2, 1.5, 0])
    np.testing.assert_allclose(sums.means(), 7)


def test_a_cell_with_some_fluxes_but_not_all_is_refused() -> None:
    with pytest.raises(UserError, match=r"h11v04-r0c0, year 2012: 1 cells"):
        cell_sums(annual(gpp=[[np.nan, 1, np.nan], [1, 1, np.nan]]), AREA, place="h11v04-r0c0, year 2012")


def test_means_are_nan_where_there_is_no_area() -> None:
    assert np.isnan(Sums.zero(4).means()).all()


def test_sums_are_a_monoid() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (Sums(rng.integers(0, 99, (3, 2 + len(FLUXES), 5)).astype(float)) for _ in range(3))
    np.testing.assert_array_equal((a + Sums.zero(5)).layers, a.layers)
    np.testing.assert_array_equal(((a + b) + c).layers, (a + (b + c)).layers)
    np.testing.assert_array_equal((a + b).layers, (b + a).layers)


def test_sums_go_onto_targets_by_shares() -> None:
    sums = cell_sums(annual(), AREA, place="here")
    shares = csr_array([[1, 0.5, 0, 0, 0, 0], [0, 0.5, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    onto = sums.onto(shares)
    np.testing.assert_allclose(onto.area_m2[CELLS], [3, 7, 0])
    np.testing.assert_allclose(onto.whole().layers, sums.whole().layers)


def test_blocks_add_up_neighbours() -> None:
    layers = np.zeros((3, 2 + len(FLUXES), 4, 6))
    layers[0, 0] = np.arange(24).reshape(4, 6)
    np.testing.assert_allclose(Sums(layers).blocks(2).area_m2[CELLS], [[14, 22, 30], [62, 70, 78]])
