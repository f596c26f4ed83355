"""The benchmark of a CUDA device: its arithmetic, its refusal where there is none, and all of it on the CPU."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import BatchRate, TileTimes, batch_fill, fixed_cost, midwest
from model.arrays import YearFluxes
from model.device.predictor import DevicePredictor


def called(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *options])
    return gpu.main()


def test_without_a_cuda_device_it_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert called(monkeypatch) == 2
    shown = capsys.readouterr()
    assert shown.err == "PyTorch finds no CUDA device here; GPU: not measured\n"
    assert not shown.out


def test_a_device_that_differs_from_the_cpu_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = DevicePredictor.year

    def year(*given: object) -> YearFluxes:
        found = real(*given)  # type: ignore[arg-type]
        found.yield_N[0] += 0.05  # of a standard deviation of some 120 g C m-2
        return found

    monkeypatch.setattr(DevicePredictor, "year", year)
    assert called(monkeypatch, "--device", "cpu", "--small") == 1
    assert capsys.readouterr().out.startswith("parity: largest difference 4.0e-04 standard deviations")


def test_the_cost_of_a_batch_is_a_line_through_the_smallest_and_the_largest() -> None:
    measured = [BatchRate(100, 50.0, None), BatchRate(200, 1.0, None), BatchRate(400, 80.0, 1.0)]  # 2 s and 5 s
    assert fixed_cost([*measured, BatchRate(800, None, None)]) == pytest.approx((1.0, 0.01))
    assert fixed_cost(measured[:1]) is None


def test_the_midwest_takes_its_cell_years_times_those_of_a_tile() -> None:
    hours = midwest(TileTimes(100, read=9.0, network=5.0, rest_of_computation=1.0, write=15.0, in_overlap=3600 / 230))
    assert hours["in_overlap"] == 1.0
    assert hours["write"] == pytest.approx(230 * 15 / 3600, abs=1e-3)


@pytest.mark.parametrize("edge", [24, 240])
def test_the_mask_of_the_tile_is_patchy_and_leaves_the_cell_without_gpp_out(edge: int) -> None:
    tile_mask = gpu._patchy(edge)
    assert tile_mask.mask.shape == (edge, edge)
    assert 0.2 < tile_mask.mask.mean() < 0.25
    assert not tile_mask.mask[0, 0]
    assert len(tile_mask.first_crop_N) == np.count_nonzero(tile_mask.mask)


def test_the_batches_of_tiles_are_those_of_each_and_fuller_in_groups() -> None:
    cells = (np.random.default_rng(0).beta(1.0, 3.44, 771) * 240**2).astype(int) + 1
    fill = batch_fill(8192, (0.5, 1e-5))
    batches = sum(math.ceil(count / 8192) for count in cells)
    assert fill.alone == pytest.approx(cells.sum() / (8192 * batches))
    assert fill.alone < 0.75 < 0.99 < fill.grouped <= 1
    hours = (0.5 * batches * 230e6 / cells.sum() + 1e-5 * 230e6) / 3600
    assert fill.alone_hours == pytest.approx(hours)
    assert fill.grouped_hours is not None
    assert fill.grouped_hours < hours
    assert batch_fill(8192, None).grouped_hours is None


@pytest.mark.slow
def test_all_of_it_runs_on_a_cpu_which_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.block, "open_predictor", gpu.block.open_predictor)  # restored after the test
    assert called(monkeypatch, "--device", "cpu", "--small", "--write", str(tmp_path / "gpu.json")) == 0
    shown = capsys.readouterr().out
    assert shown.count("CPU in place of a GPU") == 2
    for term in ("read", "network", "rest of computation", "write", "in overlap"):
        assert f"\n{term} " in shown
    assert shown.count(" % full, plain network ") == 4
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["parity"] < 1e-4
    assert found["tile"]["in_overlap"] > 0
