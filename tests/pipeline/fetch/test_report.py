"""Tables of a plan and sentences on its result."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from pipeline.fetch.catalogue import Refused, Remote, Size
from pipeline.fetch.needs import ClimateArchive
from pipeline.fetch.report import SHOWN, plan_table, print_fetched
from pipeline.fetch.run import Fetched, FetchPlan, Item, State

ARCHIVE = ClimateArchive(Path("archives/nldas2"), (-90.0, 39.0, -89.0, 40.0), (2011,))


def item(name: str, size: Size | None, state: State) -> Item:
    return Item(Remote(name, f"https://data.nasa.gov/{name}", size, None, None), Path(name), state)


def printed(content: object) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(content)
    return text.getvalue()


def test_a_plan_is_shown_by_states_with_files_of_unknown_size_and_a_few_refused_names() -> None:
    items = (
        item("a.nc", Size(1000, exact=True), State.COMPLETE),
        item("b.nc", Size(2000, exact=True), State.MISSING),
        item("c.nc", None, State.MISSING),
    )
    refused = tuple(Refused(f"[red]{number}", "is not a plain file name") for number in range(SHOWN + 2))
    shown = printed(plan_table(FetchPlan(ARCHIVE, items, 3, refused, ("one note",))))
    for row in (
        "3 files, 3.0 kB, in archives/nldas2",
        "a.nc ... c.nc",
        "1 files, not counted",
        "3 other files",
        "one note",
    ):
        assert row in shown
    assert "present" in shown
    assert "2 files, 2.0 kB" in shown
    assert shown.count("'[red]") == SHOWN
    assert "and 2 more" in shown


def test_results_are_summed_and_the_first_failures_are_listed() -> None:
    failures = {str(number): f"{number}.nc: HTTP 404" for number in range(SHOWN + 1)}
    text = io.StringIO()
    print_fetched(Console(file=text, width=200), [Fetched(2, 3000, 1, {}), Fetched(1, 500, 0, failures)])
    assert "3 files fetched, 3.5 kB; 1 files already present verified" in text.getvalue()
    assert text.getvalue().count("HTTP 404") == SHOWN
    assert "failed: 1 more; the same command fetches them again" in text.getvalue()
