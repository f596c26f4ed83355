"""The report of an audit, and the list of tile-years to compute again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.audit.checks import AGGREGATES, CHECKSUM, SUMS, Measured
from pipeline.audit.report import AuditReport, read_rerun
from pipeline.errors import UserError


def failed_report() -> AuditReport:
    report = AuditReport("cube", "SNAPSHOT", tile_years=3)
    report.add("h11v04-r0c0", 2012, Measured(CHECKSUM, 1, 1, "differs"))
    report.add("h11v04-r0c0", 2011, Measured(SUMS, float("nan"), 9, "nee"))
    report.add("h11v04-r0c1", 2011, Measured(SUMS, 1e-9, 9, "ra"))
    report.add("", 2011, Measured(AGGREGATES, 1.0, 4, "aggregates/0p5/nee"))
    return report


def test_only_tile_years_that_a_run_can_fix_are_listed_from_their_first_year(tmp_path: Path) -> None:
    (tmp_path / "rerun.json").write_text(failed_report().rerun_json())
    assert read_rerun(tmp_path / "rerun.json") == {"h11v04-r0c0": 2011}


def test_the_last_line_names_checks_and_the_first_failure() -> None:
    assert failed_report().last_line() == (
        "audit failed: 3 of 3 tile-years fail aggregates, checksum, sums; "
        "first: aggregates: 2011: 1 (aggregates/0p5/nee)"
    )


def test_json_has_every_check_with_its_limit_and_verdict() -> None:
    checks = failed_report().as_json()["checks"]
    assert checks["checksum"]["verdict"] == "1 failed"
    assert checks["seams"]["verdict"] == "not measured"
    keys = {"name", "what", "unit", "limit", "rerun", "places", "values", "worst", "verdict"}
    assert all(set(check) == keys for check in checks.values())


@pytest.mark.parametrize("text", ["", "{}", '{"format": "agcarbon-rerun-1", "tile_years": []}', '{"format": 1}', "[1]"])
def test_a_file_that_is_not_a_rerun_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rerun.json").write_text(text)
    with pytest.raises(UserError, match=r"rerun\.json"):
        read_rerun(tmp_path / "rerun.json")
