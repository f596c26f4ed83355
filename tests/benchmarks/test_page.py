"""docs/performance.md has the numbers of the committed results."""

from __future__ import annotations

import json

import pytest

from benchmarks import page

FOUND = json.loads(page.RESULTS.read_text())


def test_the_document_holds_the_tables_of_the_results() -> None:
    document = page.DOCUMENT.read_text()
    assert page.updated(document, FOUND) == document


def test_other_results_change_the_document() -> None:
    document = page.DOCUMENT.read_text()
    slower = FOUND | {"end_to_end": FOUND["end_to_end"] | {"run_cpu_seconds": 1e6}}
    assert page.updated(document, slower) != document


def test_the_paper_and_ecosys_need_what_the_paper_reports() -> None:
    table = page.midwest(FOUND)
    assert page.CELL_YEARS == 230_000_000
    assert "| the paper, one GPU | 1,664 |  | 1.6 days |" in table
    # 5.9 years of 1,000 CPUs on 16 of them; 44.8 s x 230 M / 3600 s.
    assert "51,719,400 | 368.8 years |" in table
    assert "2,862,222 |" in table


@pytest.mark.parametrize(
    ("seconds", "words"), [(59 * 60, "59 minutes"), (7200, "2.0 hours"), (3 * 86_400, "3.0 days"), (8e7, "2.5 years")]
)
def test_a_duration_has_a_unit_that_fits(seconds: float, words: str) -> None:
    assert page._duration(seconds) == words
