"""What the documents say of the code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
KGML, PURE = "ML + GPP + pre-training + structure + KG", "ML + GPP"
DIGITS = {"yield_r2": 2, "reco_r2": 2, "nee_r2": 2, "imbalance": 2, "imbalance_annual": 0}


def test_every_test_that_holds_a_trap_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/inputs.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    assert len(named) > 40
    assert not named - there


def experiment(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / f"docs/experiments/{name}-table.csv")


def assert_written(first: pd.Series[float], second: pd.Series[float], *, bold: bool) -> None:
    """The row of docs/evaluation.md in which the scores of two networks stand side by side is there."""
    mark = "**" if bold else ""
    cells = [f"{mark}{first[name]:.{n}f}{mark} / {second[name]:.{n}f}" for name, n in DIGITS.items()]
    assert f"| {' | '.join(cells)} |" in (ROOT / "docs/evaluation.md").read_text()


@pytest.mark.parametrize("name", ["sample-size", "extreme-years", "leave-years-out", "leave-sites-out"])
def test_the_experiments_are_reported_as_they_came_out(name: str) -> None:
    tests = experiment(name).groupby(["tested_on", "samples"])
    assert len(tests) >= 2
    for _, rows in tests:
        of_variant = rows.set_index("variant")
        assert_written(of_variant.loc[KGML], of_variant.loc[PURE], bold=True)


def test_the_ablation_is_reported_as_it_came_out() -> None:
    table = experiment("ablation").set_index(["variant", "samples"])
    ingredients = KGML.split(" + ")
    for count in range(1, len(ingredients) + 1):
        variant = " + ".join(ingredients[:count])
        assert_written(table.loc[(variant, 2)], table.loc[(variant, 24)], bold=False)
