"""Tables and sentences about history."""

from __future__ import annotations

from pipeline.cube.history_report import changes


def test_changes_are_listed_by_kind_with_their_years() -> None:
    changed = {"annual": 4, "daily/2011": 6, "daily/2012": 6, "daily/2014": 0, "ledger": 2, "staging/a/2011/05": 1}
    assert changes(changed) == "annual 4, daily 2011-2012, 2014 12, ledger 2, staging 2011 1"
