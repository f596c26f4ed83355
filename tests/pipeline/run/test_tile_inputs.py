"""The inputs of a tile-year: no crop map is read that decides nothing, and each once."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.executor import Serial
from pipeline.cube.layout import TileMask
from pipeline.inputs import view as inputs
from pipeline.run.run import run
from pipeline.run.tile_inputs import gather
from pipeline.simulate.crops import crop_of_year
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint

FIRST, COUNT = 2000, 6
REGION: Any = SimpleNamespace(first_year=FIRST, crop_threshold=0.5)


def view_of(fractions_Y2N: Any) -> tuple[Any, Counter[int]]:
    """A view of one tile with these crop fractions, whose tile-years are their crops; and the years that are read."""
    reads: Counter[int] = Counter()

    def crop_fractions(_tile: Any, year: int) -> Any:
        reads[year] += 1
        return fractions_Y2N[year - FIRST][..., None]

    return SimpleNamespace(crop_fractions=crop_fractions, read_tile_year=lambda *_, crop, **__: crop), reads


@given(st.integers(0, 2**32 - 1), st.integers(0, COUNT - 1), st.floats(0, 1))
def test_the_crop_is_that_of_the_whole_history(seed: int, number: int, empty: float) -> None:
    rng = np.random.default_rng(seed)
    fractions_Y2N = rng.random((COUNT, 2, 20), np.float32)
    fractions_Y2N[(rng.random((COUNT, 1, 20)) < empty) & np.ones((1, 2, 1), bool)] = 0
    fractions_Y2N[rng.random((COUNT, 2, 20)) < 0.1] = np.nan
    first_N = rng.choice(np.array([1, 5], np.uint8), 20)
    view, reads = view_of(fractions_Y2N)
    found: Any = gather(REGION, view, SimpleNamespace(), FIRST + number, TileMask(np.ones((20, 1), bool), first_N))  # type: ignore[arg-type]
    expected = crop_of_year(fractions_Y2N[: number + 1], first_N, 0.5)
    np.testing.assert_array_equal(found.crop_N, expected.crop_N)
    np.testing.assert_array_equal(found.grown_N, expected.grown_N)
    known = np.cumsum(fractions_Y2N[number::-1].sum(axis=1) > 0, axis=0).all(axis=1)
    assert sum(reads.values()) == (int(np.argmax(known)) + 1 if known.any() else number + 1)


@pytest.mark.slow
def test_a_run_reads_each_crop_map_of_a_tile_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, random_checkpoint())
    read: Counter[tuple[str, str]] = Counter()
    real = inputs._read

    def counted(view: Any, product: str, year: int, name: str, selection: Any) -> Any:
        read[f"{product}/{year}", f"{name} {selection}"] += name.endswith("_fraction")
        return real(view, product, year, name, selection)

    monkeypatch.setattr(inputs, "_read", counted)
    report = run(job, Serial(), years=YEARS)
    assert report.totals.tile_years == len(report.plan.tiles) * len(YEARS)
    assert +read == dict.fromkeys(+read, 1)
    assert sum(read.values()) == 2 * len(YEARS) * len(job.domain.tiles)
