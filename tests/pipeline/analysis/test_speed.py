"""Rates are cells over processor time, from the ledger's rows and from the benchmark files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.findings import MAIN
from pipeline.analysis.speed import ANALYSIS, benchmark_rates
from pipeline.analysis.subject import Options, Subject
from pipeline.errors import UserError
from tests.pipeline.analysis.conftest import Whole

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_ledgers_rate_is_cells_over_seconds(subject: Subject, whole: Whole) -> None:
    found = ANALYSIS.analyse(subject)
    ledger = whole.cube.root["ledger"]
    seconds = sum(np.nansum(ledger[name][:]) for name in _arrays(ledger, "cpu_seconds"))
    table = found.tables[MAIN].set_index("what")
    rate = table.loc["this cube, all work of the run", "cell_years_per_cpu_second"]
    assert rate == pytest.approx(4 * whole.mask.sum() / seconds)
    days = table.loc["this cube, all work of the run", "processor_days"]
    assert days == pytest.approx(10e6 * 21 / rate / 86400)
    assert found.numbers[0].value == pytest.approx(5.9 * 365.25 * 1000 / 1.6)
    assert table.loc["ecosys", "processor_days"] == pytest.approx(2_154_975)


def _arrays(group: object, name: str) -> list[str]:
    return [path for path, _ in group.members(max_depth=None) if path.split("/")[-1] == name]  # type: ignore[attr-defined]


def test_the_committed_benchmarks_are_read(subject: Subject, tmp_path: Path) -> None:
    medians = json.loads((RESULTS / "year-step.json").read_text())["medians"]
    assert dict(benchmark_rates(RESULTS / "year-step.json")) == pytest.approx(medians)
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "year-step.json").write_text((RESULTS / "year-step.json").read_text())
    found = ANALYSIS.analyse(Subject.open(subject.job, options=Options(data=tmp_path)))
    table = found.tables[MAIN]
    assert set(table["what"]) >= set(medians)
    assert table["source"].str.contains("python -m benchmarks.year_step").any()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        list(benchmark_rates(tmp_path / "a.json"))
