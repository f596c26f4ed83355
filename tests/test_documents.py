"""What the documents say of the code is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_holds_a_trap_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/inputs.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    assert len(named) > 40
    assert not named - there
