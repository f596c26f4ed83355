"""What docs/reliability.md says of the campaign is so."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reliability.md").read_text()


def test_the_figures_are_those_of_the_last_campaign() -> None:
    report = json.loads((ROOT / "docs/faults.json").read_text())
    assert report["line"] in TEXT
    assert f"Seed {report['seed']}, {report['date']}" in TEXT
    assert sum(report["kinds"].values()) == int(report["line"].split()[1]) >= 200
    assert set(report["line"].split()[3::2]) == {"0"}
