"""What the documents say of the code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
KGML, PURE = "ML + GPP + pre-training + structure + KG", "ML + GPP"
DIGITS = {"yield_r2": 2, "reco_r2": 2, "nee_r2": 2, "imbalance": 2, "imbalance_annual": 0}
ROWS = {
    "extreme years": "years with outlying yields", "ordinary years": "the other years of the same run",
    "site group 1": "first third of the sites", "site group 2": "second third", "site group 3": "last third",
    "ML": "ML", "KG": "+ knowledge-guided loss",
}  # fmt: skip
"""What docs/evaluation.md calls them, where that is not the name in the tables."""


@pytest.mark.parametrize(
    ("document", "least"),
    [("docs/inputs.md", 40), ("docs/reliability.md", 25), ("docs/clusters/README.md", 5), ("SECURITY.md", 5)],
)
def test_every_test_that_a_document_names_exists(document: str, least: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / document).read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    assert len(named) > least
    assert not named - there


def test_the_readme_is_of_the_length_of_a_readme() -> None:
    assert 120 <= len((ROOT / "README.md").read_text().splitlines()) <= 180


@pytest.mark.parametrize("part", re.split(r"^## ", (ROOT / "docs/faq.md").read_text(), flags=re.MULTILINE)[1:])
def test_every_question_is_answered_and_leads_to_a_page(part: str) -> None:
    question, _, answer = part.partition("\n")
    assert question.endswith("?")
    assert len(answer.partition("→")[0].split()) >= 8
    assert re.search(r"→ \[.+\]\(.+\)", answer)


@pytest.mark.parametrize("form", ["bug", "data-problem", "question"])
def test_an_issue_form_has_what_a_form_must_have(form: str) -> None:
    found = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())
    assert found["name"]
    assert found["description"]
    assert any(field.get("validations", {}).get("required") for field in found["body"])
    assert all(field["attributes"]["label"] and field["id"] for field in found["body"])


def experiment(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / f"docs/experiments/{name}-table.csv")


def assert_written(label: str, first: pd.Series[float], second: pd.Series[float] | None, *, bold: bool) -> None:
    """The row of docs/evaluation.md of this name, in which the scores of two networks stand side by side, is there."""
    mark = "**" if bold else ""
    others = {name: "–" if second is None else f"{second[name]:.{n}f}" for name, n in DIGITS.items()}
    cells = [f"{mark}{first[name]:.{n}f}{mark} / {others[name]}" for name, n in DIGITS.items()]
    assert f"| {label} | {' | '.join(cells)} |" in (ROOT / "docs/evaluation.md").read_text()


@pytest.mark.parametrize("name", ["sample-size", "extreme-years", "leave-years-out", "leave-sites-out"])
def test_the_experiments_are_reported_as_they_came_out(name: str) -> None:
    tests = experiment(name).groupby(["tested_on", "samples"])
    assert len(tests) >= 2
    for (tested_on, samples), rows in tests:
        label = str(samples) if name == "sample-size" else ROWS.get(tested_on, tested_on)
        of_variant = rows.set_index("variant")
        # Without a sample there is no pure machine learning.
        pure = of_variant.loc[PURE] if PURE in of_variant.index else None
        assert_written(label, of_variant.loc[KGML], pure, bold=True)


def test_the_ablation_is_reported_as_it_came_out() -> None:
    table = experiment("ablation").set_index(["variant", "samples"])
    ingredients = KGML.split(" + ")
    for count in range(1, len(ingredients) + 1):
        variant = " + ".join(ingredients[:count])
        label = ROWS.get(ingredients[count - 1], f"+ {ingredients[count - 1]}")
        assert_written(label, table.loc[(variant, 2)], table.loc[(variant, 24)], bold=False)
