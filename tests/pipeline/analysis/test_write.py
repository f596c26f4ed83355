"""The files of an analysis are complete, and programs read the record."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.analysis.findings import MAIN, Analysis, Findings, Number, Published
from pipeline.analysis.subject import Subject
from pipeline.analysis.write import read_records, write_findings

NUMBERS = (Number("share", 50.0, "%", Published(86.0, "p. 1")), Number("nothing", float("nan"), "1"))


def analysis(_: Subject | None = None) -> Findings:
    figure = Figure()
    figure.subplots().plot([0, 1])
    tables = {MAIN: pd.DataFrame({"a": [1.5]}), "more": pd.DataFrame({"b": ["x"]})}
    return Findings("Sums.", "Errors.", NUMBERS, tables, figure, ("a note",))


ANALYSIS = Analysis("sums", "Some sums", "sums", lambda _: None, analysis)


def test_all_files_are_written_and_named_in_the_record(subject: Subject, tmp_path: Path) -> None:
    written = write_findings(str(tmp_path), ANALYSIS, subject, analysis())
    folder = tmp_path / "sums"
    assert sorted(path.name for path in folder.iterdir()) == sorted(written["files"])
    assert {"sums.csv", "sums-more.csv", "sums.png", "sums.md", "sums.json"} <= set(written["files"])
    assert pd.read_csv(folder / "sums.csv")["a"].tolist() == [1.5]
    assert matplotlib.image.imread(folder / "sums.png").size
    page = (folder / "sums.md").read_text()
    assert "| share | 50 | % | 86 | p. 1 |" in page
    assert "Errors." in page
    assert "- a note" in page


def test_the_record_has_provenance_and_is_read_again(subject: Subject, tmp_path: Path) -> None:
    write_findings(str(tmp_path), ANALYSIS, subject, analysis())
    (record,) = read_records(str(tmp_path), ("absent", "sums"))
    assert record == json.loads((tmp_path / "sums" / "sums.json").read_text())
    assert record["provenance"]["snapshot"] == subject.cube.snapshot
    assert record["provenance"]["years"] == [2010, 2011, 2012, 2013]
    assert record["provenance"]["checkpoint_origin"] == "random weights"
    assert record["numbers"][1]["value"] is None


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_stands_wherever_it_is(subject: Subject, tmp_path: Path, synthetic: bool) -> None:
    made = Subject.open(subject.job)
    made.__dict__["synthetic"] = synthetic
    record = write_findings(str(tmp_path), ANALYSIS, made, analysis())
    assert record["synthetic"] == synthetic
    assert record["provenance"]["archives"] == ("synthetic" if synthetic else "as downloaded")
    assert ("Synthetic" in (tmp_path / "sums" / "sums.md").read_text()) == synthetic
    assert made.caption.startswith("SYNTHETIC") == synthetic
