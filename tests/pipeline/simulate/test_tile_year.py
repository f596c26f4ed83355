"""The block function: balances, signs, flags, and the numbers that the science version stands for."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from model.arrays import YearInputs
from model.checkpoint import Checkpoint, expected_shapes
from model.features import CORN, PUBLISHED_FEATURE_SCALERS, SOYBEAN, YEAR
from model.inference import Predictor
from model.ranges import PUBLISHED_RANGES, DensityLine, JointRanges, Range, TrainingRanges
from model.year_step import usable
from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline.cube.entry import SCIENCE_VERSION
from pipeline.errors import UserError
from pipeline.simulate.tile_year import CellState, TileYear, simulate, spin_up
from pipeline.variables import FLUXES, Quality
from tests.helpers.device_on_cpu import WholeBatches
from tests.helpers.random_inputs import random_checkpoint

CELLS = 3

# Mean over the cells of the second year's annual layers [g C m-2 yr-1], by science version. Where these numbers change,
# the code no longer gives the results computed before: raise SCIENCE_VERSION and add a line.
GOLDEN = {
    1: {"gpp": 1742.74, "ra": 747.64, "rh": 309.22, "nee": -115.6, "yield": 216.96, "residue": 778.13, "dsoc": -101.36},
    2: {"gpp": 1742.74, "ra": 747.64, "rh": 309.22, "nee": -115.6, "yield": 216.96, "residue": 778.13, "dsoc": -101.36},
}


def year(number: int, *, seed: int = 0) -> TileYear:
    """A year of inputs about the published means."""
    rng = np.random.default_rng((seed, number))
    days = 366 if number % 4 == 0 else 365
    means, stds = np.array(PUBLISHED_FEATURE_SCALERS).T
    season = np.clip(np.sin(2 * np.pi * (np.arange(days) - 105) / 365), 0, None)
    climate = means[:7, None, None] + 0.3 * stds[:7, None, None] * rng.normal(size=(7, days, 2))
    climate = np.clip(climate, np.array([1, -30, 1, 0.2, 0, 90, 0])[:, None, None], None)
    soil = means[10:, None] + 0.3 * stds[10:, None] * np.random.default_rng(seed).normal(size=(9, CELLS))
    inputs = YearInputs(
        year=number,
        climate_7TC=climate.astype(np.float32),
        climate_of_N=np.array([0, 1, 1]),
        gpp_TN=(season[:, None] * np.array([14.0, 15.0, 16.0])).astype(np.float32),
        crop_N=np.array([1, 5, 1], np.uint8),
        soil_9N=soil.astype(np.float32),
    )
    share = np.full(CELLS, 0.5, np.float32)
    return TileYear(inputs, np.ones(CELLS, bool), np.zeros(CELLS, bool), np.zeros(CELLS, bool), share, share)


@pytest.fixture(scope="module", params=[PYTORCH, NUMBA])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """Weights that NumPy draws: the same in every version of PyTorch."""
    if request.param == NUMBA and compiled().obstacle:
        pytest.skip(str(compiled().obstacle))
    rng = np.random.default_rng(42)
    tensors = {
        name: torch.tensor(rng.normal(0, 0.1, shape), dtype=torch.float32) for name, shape in expected_shapes().items()
    }
    scalers = {
        "features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[8], "ra": (-1.4, 2.6),
        "rh": (-1.0, 0.9), "nee": (-0.5, 3.0), "yield": (221.0, 104.0), "residue": (326.0, 150.0),
    }  # fmt: skip
    checkpoint = Checkpoint.from_published(tensors, scalers)
    return usable.predictor(checkpoint, year_step=request.param, device="cpu", batch_cells=2)


def test_the_numbers_are_those_of_the_science_version(predictor: Predictor) -> None:
    state = spin_up(predictor, (year(2011), year(2012)))
    state = simulate(predictor, year(2011), state).state
    annual = simulate(predictor, year(2012), state).annual
    found = {name: float(np.mean(annual[name])) for name in GOLDEN[SCIENCE_VERSION]}
    assert found == pytest.approx(GOLDEN[SCIENCE_VERSION], abs=0.1)


def test_annual_layers_are_sums_of_the_days_and_close_the_balances(predictor: Predictor) -> None:
    given = year(2012)
    result = simulate(predictor, given, spin_up(predictor, (year(2011), given)))
    annual = {name: result.annual[name].astype(np.float64) for name in (flux.name for flux in FLUXES)}
    for name, daily in {
        "ra": result.ra_TN,
        "rh": result.rh_TN,
        "nee": result.nee_TN,
        "gpp": given.inputs.gpp_TN,
    }.items():
        np.testing.assert_allclose(annual[name], daily.sum(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(annual["dsoc"], -annual["nee"] - annual["yield"], atol=1e-3)
    np.testing.assert_allclose(annual["dsoc"] - annual["dsoc_balance"], annual["balance_residual"], atol=1e-3)
    np.testing.assert_allclose(
        annual["residue"], np.maximum(annual["gpp"] - annual["ra"] - annual["yield"], 0), atol=1e-3
    )


def test_cells_do_not_influence_each_other(predictor: Predictor) -> None:
    years = (year(2011), year(2012))
    result = simulate(predictor, years[0], spin_up(predictor, years))
    for cell in range(CELLS):
        alone = np.arange(CELLS) == cell
        parts = tuple(
            replace(
                each,
                inputs=each.inputs.cells(alone),
                **{
                    name: getattr(each, name)[alone]
                    for name in ("grown_N", "gpp_filled_N", "partial_soil_N", "corn_fraction_N", "soybean_fraction_N")
                },
            )
            for each in years
        )
        one = simulate(predictor, parts[0], spin_up(predictor, (parts[0], parts[1])))
        np.testing.assert_allclose(one.nee_TN[:, 0], result.nee_TN[:, cell], atol=1e-5)


def some_cells(given: TileYear, cells: int) -> TileYear:
    facts = {
        each.name: getattr(given, each.name)[:cells]
        for each in fields(TileYear)
        if each.name not in ("inputs", "errors")
    }
    return TileYear(given.inputs.cells(np.arange(CELLS) < cells), **facts)


def without_gpp(given: TileYear) -> TileYear:
    return replace(given, inputs=replace(given.inputs, gpp_TN=np.full_like(given.inputs.gpp_TN, np.nan)))


def test_tiles_together_have_the_bits_of_each_alone_also_those_of_one_cell_and_of_none() -> None:
    checkpoint = Checkpoint.ensemble([random_checkpoint(1), random_checkpoint(2)])
    predictor = WholeBatches(checkpoint, device="cpu", batch_cells=4, keep_bits=10)
    sizes = (3, 0, 1, 2)
    years = [
        [some_cells(year(number, seed=seed), cells) for seed, cells in enumerate(sizes)] for number in (2011, 2012)
    ]
    years[1][3] = without_gpp(years[1][3])
    spun_up = spin_up(predictor, (TileYear.joined(years[0]), TileYear.joined(years[1])))
    together = simulate(predictor, TileYear.joined(years[1]), spun_up)
    first = 0
    for cells, *of_tile in zip(sizes, *years, strict=True):
        part, first = slice(first, first + cells), first + cells
        state = spin_up(predictor, (of_tile[0], of_tile[1]))
        np.testing.assert_array_equal(spun_up.cells(part).state_SNH, state.state_SNH)
        alone, found = simulate(predictor, of_tile[1], state), together.cells(part)
        for name in ("ra_TN", "rh_TN", "nee_TN"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
        assert found.annual.keys() == alone.annual.keys()
        for name, layer_N in alone.annual.items():
            np.testing.assert_array_equal(found.annual[name], layer_N, err_msg=name)
        assert found.members
        assert alone.members
        np.testing.assert_array_equal(found.members.annual_MVN, alone.members.annual_MVN)
        np.testing.assert_array_equal(found.members.months_M3KN, alone.members.months_M3KN)
        np.testing.assert_array_equal(found.state.state_SNH, alone.state.state_SNH)
        np.testing.assert_array_equal(found.state.fresh_N, alone.state.fresh_N)
        expected = np.nan if alone.balance_residual is None else alone.balance_residual
        np.testing.assert_array_equal(found.balance_residual, expected)
    assert first == len(spun_up.fresh_N)
    joined = CellState.joined([spun_up.cells(slice(0, 3)), spun_up.cells(slice(3, 6))])
    np.testing.assert_array_equal(joined.state_SNH, spun_up.state_SNH)


@pytest.mark.parametrize(
    ("bit", "change"),
    [
        (Quality.NOT_GROWN, {"grown_N": np.array([False, True, True])}),
        (Quality.GPP_FILLED, {"gpp_filled_N": np.array([True, False, False])}),
        (Quality.PARTIAL_SOIL, {"partial_soil_N": np.array([True, False, False])}),
    ],
)
def test_each_flag_marks_its_cells_alone(predictor: Predictor, bit: Quality, change: dict[str, np.ndarray]) -> None:
    given = year(2012)
    state = spin_up(predictor, (given, given))
    before = simulate(predictor, given, state).annual["quality"]
    after = simulate(predictor, replace(given, **change), state).annual["quality"]
    np.testing.assert_array_equal(after ^ before, np.array([bit, 0, 0], np.uint16))


def test_inputs_and_years_beyond_the_training_are_flagged(predictor: Predictor) -> None:
    given = year(2019)
    soil = given.inputs.soil_9N.copy()
    soil[6, 1] = 300.0  # peat
    given = replace(given, inputs=replace(given.inputs, soil_9N=soil))
    quality = simulate(predictor, given, CellState.none(CELLS)).annual["quality"]
    assert (quality & Quality.BEYOND_TRAINING_YEARS > 0).all()
    np.testing.assert_array_equal(quality & Quality.OUTSIDE_TRAINING > 0, [False, True, False])


def test_the_flags_are_those_of_the_ranges_in_the_checkpoint(predictor: Predictor) -> None:
    given = year(2012)
    inputs = list(PUBLISHED_RANGES.inputs)
    inputs[YEAR] = Range(2013.0, 2020.0)
    # The cells have 14, 15 and 16 times the same season: 1630, 1746 and 1862 g C m-2 yr-1, as corn, soybean and corn.
    gpp = {CORN: Range(0.0, 1700.0), SOYBEAN: Range(0.0, 1800.0)}
    joint = JointRanges(gpp, DensityLine(0.0, 0.0, Range(0.0, 9.0)))
    recorded = {"training_ranges": TrainingRanges(tuple(inputs), joint).as_json()}
    other = Predictor(replace(predictor.checkpoint, record=recorded))
    before, after = (simulate(each, given, CellState.none(CELLS)).annual["quality"] for each in (predictor, other))
    beyond = Quality.BEYOND_TRAINING_YEARS
    np.testing.assert_array_equal(after ^ before, [beyond, beyond, beyond | Quality.OUTSIDE_TRAINING])


def test_a_year_without_any_complete_cell_passes_all_states_on(predictor: Predictor) -> None:
    given = year(2012)
    state = spin_up(predictor, (given, given))
    empty = replace(given, inputs=replace(given.inputs, gpp_TN=np.full_like(given.inputs.gpp_TN, np.nan)))
    result = simulate(predictor, empty, state)
    assert np.isnan(result.nee_TN).all()
    np.testing.assert_array_equal(result.state.state_SNH, state.state_SNH)
    assert not result.state.fresh_N.any()


def test_a_state_that_is_partly_nan_is_refused_and_one_not_begun_starts_from_zeros(predictor: Predictor) -> None:
    nothing = CellState.none(CELLS)
    begun = simulate(predictor, year(2012), nothing)
    zeros = CellState(np.zeros_like(nothing.state_SNH), nothing.fresh_N)
    first, second = (predictor.year(year(2012).inputs, state).state_SNH for state in (zeros.state_SNH, None))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(begun.state.state_SNH).all()
    for number in (np.nan, np.inf):
        damaged = begun.state.state_SNH.copy()
        damaged[2, 1, 7] = number
        with pytest.raises(UserError, match="carried state of 1 cells is partly NaN or infinite"):
            CellState(damaged, begun.state.fresh_N)


def test_a_network_that_gives_nan_is_refused_and_not_taken_for_a_cell_not_begun(predictor: Predictor) -> None:
    given = year(2012)
    given.inputs.climate_7TC[3, 100, 0] = np.nan
    with pytest.raises(UserError, match="the network gave 1 cells a state that is not finite"):
        simulate(predictor, given, spin_up(predictor, (year(2011), year(2011))))
