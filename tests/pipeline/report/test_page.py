"""The page in a headless Chromium: answers on the first screen, nothing cut off, and a table that sorts and filters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.analysis.subject import Subject
from pipeline.report.write import write_report
from tests.helpers import chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.executable() is None, reason="Chromium is not installed: the page was not opened"),
]
DESK, PHONE = (1280, 760), (390, 844)
ORIGIN = (
    "fine-tuned on the towers US-Ne1, US-Ne2; before: synthetic: pre-trained on simulations of this project's own "
    "process model (model/synthetic); not the authors' weights"
)
QUESTIONS = ["What is this?", "Where, which years?", "Which unit?", "How sure?", "Where from?"]


@pytest.fixture(scope="module")
def location(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that its first screen can say: synthetic archives, and an origin of two stages."""
    made, path = Subject.open(subject.job), tmp_path_factory.mktemp("report") / "report.html"
    made.__dict__["synthetic"] = True
    made.__dict__["provenance"] = {**subject.provenance, "checkpoint_origin": ORIGIN}
    write_report(str(path), made)
    return path


@pytest.fixture(scope="module")
def page(location: Path) -> Iterator[chromium.Page]:
    with chromium.browser() as page:
        page.open(location.as_uri())
        page.wait("document.readyState === 'complete'")
        yield page
        assert not page.faults


@pytest.mark.parametrize("screen", [DESK, PHONE])
def test_the_questions_are_answered_on_the_first_screen(page: chromium.Page, screen: tuple[int, int]) -> None:
    page.size(*screen, touch=screen == PHONE)
    assert page.value("Array.from(document.querySelectorAll('header dt'), (one) => one.textContent)") == QUESTIONS
    page.value("scrollTo(0, 0)")
    ends = page.value(
        "Array.from(document.querySelectorAll('h1, .banner, .lead, header dd'),"
        " (one) => one.getBoundingClientRect().bottom)"
    )
    assert len(ends) == 3 + len(QUESTIONS)
    assert max(ends) < screen[1]
    assert page.value("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"


def column(page: chromium.Page, number: int) -> list[float]:
    cells = page.value(
        "Array.from(document.querySelectorAll('#counties tbody tr:not([hidden])'),"
        f" (row) => row.cells[{number}].textContent)"
    )
    return [float(text.replace("−", "-").replace(",", "")) for text in cells if text != "–"]


def test_the_county_table_sorts_and_filters(page: chromium.Page) -> None:
    page.size(*DESK)
    before = column(page, 2)
    for ordered in (sorted(before), sorted(before, reverse=True)):
        page.value("document.querySelectorAll('#counties thead button')[2].click()")
        assert column(page, 2) == ordered
    name = page.value("document.querySelector('#counties tbody tr').cells[0].textContent")
    page.value(
        f"(() => {{ const box = document.getElementById('county-filter'); box.value = '{name}';"
        " box.dispatchEvent(new Event('input')); })()"
    )
    assert 0 < len(column(page, 2)) < len(before)
