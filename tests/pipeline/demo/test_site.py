"""Daily inputs of the demo's field."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.demo.site import site_inputs
from pipeline.site.table import read_site_csv

SEED = 3


@pytest.mark.slow
def test_the_inputs_of_the_demo_site_are_accepted_and_labelled_as_synthetic(tmp_path: Path) -> None:
    site_inputs(tmp_path / "site.csv", seed=SEED)
    site = read_site_csv(tmp_path / "site.csv")
    assert len(site.dates) == 1096
    assert "synthetic" in site.notes[0]
