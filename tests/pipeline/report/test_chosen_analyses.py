"""Only analyses of the same cube, years and archives, written by this version, are in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.analysis.registry import named
from pipeline.analysis.subject import SYNTHETIC, Subject
from pipeline.analysis.write import write_findings
from pipeline.report.chosen_analyses import ChosenAnalyses

pytestmark = pytest.mark.slow


@pytest.fixture
def record(subject: Subject, tmp_path: Path) -> Path:
    analysis = named("speed")
    write_findings(str(tmp_path), analysis, subject, analysis.analyse(subject))
    return tmp_path / "speed" / "speed.json"


def left_out(subject: Subject, record: Path, **changes: Any) -> str:
    """The reason why `speed` is not in the report, if its record had other values."""
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | changes))
    chosen = ChosenAnalyses.of(subject, str(record.parents[1]))
    record.write_text(json.dumps(content))
    (reason,) = [line for line in chosen.left_out if "`agcarbon analyze speed RUN_FILE`" in line] or [""]
    assert bool(reason) != bool(chosen.found)
    return reason


def test_only_what_was_made_of_the_same_is_chosen(subject: Subject, record: Path) -> None:
    provenance = json.loads(record.read_text())["provenance"]
    assert not left_out(subject, record)
    assert "of other years" in left_out(subject, record, provenance=provenance | {"years": [2010]})
    assert "of another state" in left_out(subject, record, provenance=provenance | {"snapshot": "X"})
    assert "of other archives" in left_out(subject, record, **{SYNTHETIC: not subject.synthetic})
    assert "another version" in left_out(subject, record, format=0)
    (record.parent / "speed.png").unlink()
    assert "figure is missing" in left_out(subject, record)


def test_numbers_come_back_with_the_papers_in_digits_or_words(subject: Subject, record: Path) -> None:
    content = json.loads(record.read_text())
    paper = {"value": "above 0", "source": "p. 8"}
    content["numbers"] = [
        {"name": "a", "value": None, "unit": "1", "paper": None},
        {"name": "b", "value": 2.5, "unit": "%", "paper": paper},
    ]
    record.write_text(json.dumps(content))
    (chosen,) = ChosenAnalyses.of(subject, str(record.parents[1])).found
    assert [str(number) for number in chosen.numbers] == ["a: –", "b: 2.5 % (paper: above 0 %, p. 8)"]
