"""The memory of ingest: rows of GPP as wide as a worker can hold, and a refusal with a limit that would do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ingest import measure
from pipeline.cluster.dask import worker_memory
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.ingest.memory import Step, check, climate_bytes, gpp_bytes, tiles_that_fit
from pipeline.sources.nldas2.product import Window

GIB = 2**30


@given(st.sampled_from([48, 120, 240, 480]), st.integers(2**29, 8 * GIB))
def test_a_row_is_as_wide_as_fits_and_never_empty(edge: int, limit: int) -> None:
    tiles, most = tiles_that_fit(edge, limit), 4800 // edge
    assert 1 <= tiles <= most
    assert tiles == 1 or gpp_bytes(edge, tiles) <= 0.95 * limit
    assert tiles == most or gpp_bytes(edge, tiles + 1) > 0.95 * limit
    assert tiles_that_fit(edge, None) == most


def test_a_step_that_a_worker_cannot_hold_is_refused_with_a_limit_that_would_do() -> None:
    steps = [Step.month(Window(0, 0, 114, 213)), Step.row(240, 20), Step.row(240, 3)]
    assert max(steps, key=lambda step: step.worker_bytes) == steps[1]
    with pytest.raises(
        UserError, match=r"GPP on 20 tiles of 240 x 240 cells needs \d+MiB .*, whose limit is 1024MiB; set exec"
    ) as refusal:
        check(steps, GIB)
    named = str(refusal.value).partition("execution.memory_limit to '")[2].partition("'")[0]
    check(steps, worker_memory(ExecutionSettings(memory_limit=named)))
    check(steps, None)
    check([], GIB)


def test_the_hours_of_a_month_are_most_of_the_memory_of_climate() -> None:
    hours = 7 * 4 * 31 * 24
    grown = climate_bytes(Window(0, 0, 200, 100)) - climate_bytes(Window(0, 0, 100, 100))
    assert hours * 10_000 < grown < 1.3 * hours * 10_000


@pytest.mark.slow
@pytest.mark.parametrize("tiles", [1, 6])
def test_a_row_of_gpp_takes_what_was_projected_and_not_much_less_and_decodes_each_file_once(tiles: int) -> None:
    found = measure(tiles, 240)
    assert 1 <= found["projected"] / found["peak"] <= 1.3, found
    assert found["decoded"] == 365
