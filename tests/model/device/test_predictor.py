"""The predictor for CUDA devices, on the CPU: the bits of the serial one, whenever the device does its work."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from numcodecs import BitRound

from benchmarks.inference import random_inputs
from model.arrays import DeviceError, YearFluxes, YearInputs, sum_of_days
from model.checkpoint import Checkpoint
from model.device.overlap import AtOnce, Queues
from model.device.predictor import DevicePredictor, round_mantissa, sums_of_days
from model.inference import Predictor
from tests.helpers.late_queues import LateQueue, late_queues
from tests.helpers.random_inputs import random_checkpoint

CELLS, BATCH = 11, 4
YEARS = tuple(random_inputs(CELLS, year=year, days=days) for year, days in ((2010, 365), (2012, 366), (2013, 365)))


@pytest.fixture(scope="module")
def untrained() -> Checkpoint:
    return random_checkpoint()


@pytest.fixture(scope="module")
def ensemble() -> Checkpoint:
    return Checkpoint.ensemble([random_checkpoint(seed) for seed in (1, 2, 3)])


def years(predictor: Predictor, inputs: tuple[YearInputs, ...] = YEARS) -> list[YearFluxes]:
    """Results of successive years, each from the state before it."""
    results: list[YearFluxes] = []
    for each in inputs:
        results.append(predictor.year(each, results[-1].state_SNH if results else None))
    return results


def assert_same_bits(found: list[YearFluxes], expected: list[YearFluxes]) -> None:
    for one, other in zip(found, expected, strict=True):
        for each in fields(YearFluxes):
            if each.name not in ("sums_4N", "members"):
                np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name), each.name)
        assert (one.members is None) == (other.members is None)
        if one.members and other.members:
            np.testing.assert_array_equal(one.members.annual_MVN, other.members.annual_MVN)
            np.testing.assert_array_equal(one.members.months_M3KN, other.members.months_M3KN)


@pytest.mark.parametrize(("members", "queues"), [(1, None), (1, 0), (1, 1), (1, "late"), (3, None), (3, "late")])
def test_the_bits_are_those_of_the_serial_predictor_whenever_the_device_works(
    untrained: Checkpoint, ensemble: Checkpoint, members: int, queues: int | str | None
) -> None:
    checkpoint = untrained if members == 1 else ensemble
    chosen: Queues[Any] = Queues(AtOnce(), AtOnce())
    if queues is not None:
        chosen = late_queues(queues if isinstance(queues, int) else None)
    device = DevicePredictor(checkpoint, device="cpu", batch_cells=BATCH, queues=chosen)
    given = YEARS if members == 1 else YEARS[1:]
    assert_same_bits(years(device, given), years(Predictor(checkpoint, batch_cells=BATCH), given))


@pytest.mark.parametrize("cells", [0, 1, 4, 5])
def test_years_of_few_cells_and_of_none_have_the_same_bits(untrained: Checkpoint, cells: int) -> None:
    few = tuple(each.cells(np.arange(CELLS) < cells) for each in YEARS[:2])
    device = DevicePredictor(untrained, device="cpu", batch_cells=BATCH, queues=late_queues())
    assert_same_bits(years(device, few), years(Predictor(untrained, batch_cells=BATCH), few))


def test_rounded_years_have_the_sums_of_unrounded_ones(untrained: Checkpoint) -> None:
    (exact,) = years(Predictor(untrained, batch_cells=BATCH), YEARS[:1])
    (found,) = years(DevicePredictor(untrained, device="cpu", batch_cells=BATCH, keep_bits=10), YEARS[:1])
    daily = [exact.ra_TN, exact.rh_TN, exact.nee_TN]
    for one, other in zip((found.ra_TN, found.rh_TN, found.nee_TN), daily, strict=True):
        np.testing.assert_array_equal(one, BitRound(10).encode(other).view(np.float32).reshape(other.shape))
    imbalance = np.abs(exact.ra_TN + exact.rh_TN - YEARS[0].gpp_TN - exact.nee_TN)
    np.testing.assert_array_equal(found.sums_4N, [sum_of_days(each) for each in (*daily, imbalance)])


@pytest.mark.parametrize("keep_bits", [None, 10])
def test_a_single_network_has_sums_of_its_own_where_asked(untrained: Checkpoint, keep_bits: int | None) -> None:
    """As the draws of GPP need them: of fluxes before they are rounded."""
    exact = Predictor(untrained, batch_cells=BATCH).year(YEARS[0], summed=True)
    device = DevicePredictor(untrained, device="cpu", batch_cells=BATCH, keep_bits=keep_bits)
    found = device.year(YEARS[0], summed=True)
    assert exact.members
    assert found.members
    np.testing.assert_array_equal(found.members.annual_MVN, exact.members.annual_MVN)
    np.testing.assert_array_equal(found.members.months_M3KN, exact.members.months_M3KN)
    np.testing.assert_allclose(exact.members.months_M3KN[0].sum(axis=1), exact.members.annual_MVN[0, :3], rtol=1e-5)
    assert device.year(YEARS[0]).members is None


def test_an_error_in_a_batch_leaves_nothing_in_the_queues(untrained: Checkpoint) -> None:
    expected = years(Predictor(untrained, batch_cells=BATCH), YEARS[:1])
    queues = late_queues()
    device = DevicePredictor(untrained, device="cpu", batch_cells=BATCH, queues=queues)
    broken = replace(YEARS[0], climate_of_N=np.where(np.arange(CELLS) > 5, 99, YEARS[0].climate_of_N))
    with pytest.raises(IndexError):
        device.year(broken)
    for queue in (queues.compute, queues.copy):
        assert isinstance(queue, LateQueue)
        assert queue.done == len(queue.work) > 0
    assert_same_bits(years(device, YEARS[:1]), expected)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceError),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_errors_of_the_device_have_the_types_of_the_serial_predictor(
    untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, kind: type[Exception]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(DevicePredictor, "predict", fails)
    device = DevicePredictor(untrained, device="cpu", batch_cells=BATCH, queues=late_queues())
    with pytest.raises(kind) as raised:
        device.year(YEARS[0])
    assert raised.type is kind


def test_rounding_is_that_of_the_store_for_every_kind_of_number() -> None:
    rng = np.random.default_rng(0)
    ties = np.arange(2000, dtype=np.int32) * (1 << 12) + np.float32(1).view(np.int32)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 3.4e38, -3.4e38]
    values = np.concatenate([rng.normal(size=5000) * 10.0 ** rng.integers(-30, 30, 5000), special]).astype(np.float32)
    values = np.concatenate([values, ties.view(np.float32), -ties.view(np.float32)])
    rounded = torch.from_numpy(values.copy())
    round_mantissa(rounded, keep_bits=10)
    expected = BitRound(10).encode(values).view(np.int32)
    np.testing.assert_array_equal(rounded.numpy().view(np.int32), expected)
    assert len(np.unique(rounded.numpy()[-4000:])) < 2100  # the last numbers: half of them lie between two that stay


def test_sums_are_added_day_by_day() -> None:
    daily_XTB = np.random.default_rng(0).normal(size=(2, 366, 7)).astype(np.float32)
    found = sums_of_days(torch.from_numpy(daily_XTB)).numpy()
    np.testing.assert_array_equal(found, [sum_of_days(each) for each in daily_XTB])
