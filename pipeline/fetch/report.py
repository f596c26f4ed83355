"""What there is to fetch, and what was fetched, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # what reports print needs neither earthaccess nor requests
    from pipeline.fetch.run import Fetched, FetchPlan

SHOWN = 5  # of faults and names; the rest is counted


def plan_table(plan: FetchPlan) -> Table:
    """Return what an archive holds for the region, what of it is there, and what is not as it should be."""
    from pipeline.fetch.run import State

    table = Table(title=plan.archive.title, show_header=False)
    rows = [("needed", f"{plan.count():,} files, {decimal(plan.size_bytes())}, below {plan.archive.folder}")]
    if plan.items:
        rows.append(("names", f"{plan.items[0].remote.name} ... {plan.items[-1].remote.name}"))
    for state in State:
        if plan.count(state):
            rows.append((state.value, f"{plan.count(state):,} files, {decimal(plan.size_bytes(state))}"))
    unknown = sum(item.remote.size is None for item in plan.items)
    if unknown:
        rows.append(("of unknown size", f"{unknown:,} files, which the bytes leave out"))
    if plan.other_files:
        rows.append(("not needed", f"{plan.other_files:,} other files of the same search"))
    rows += [("note", note) for note in plan.notes]
    rows += [("not used", f"{refused.what!r} {refused.why}") for refused in plan.refused[:SHOWN]]
    if len(plan.refused) > SHOWN:
        rows.append(("not used", f"and {len(plan.refused) - SHOWN:,} more"))
    for label, text in rows:
        # What a server wrote is shown as it is, never taken for markup.
        table.add_row(label, Text(text, overflow="fold"))
    return table


def print_fetched(console: Console, done: Sequence[Fetched]) -> None:
    """Say what was fetched, what was verified, and what failed."""
    files, found = sum(fetched.transferred for fetched in done), sum(fetched.verified for fetched in done)
    size = decimal(sum(fetched.size_bytes for fetched in done))
    console.print(f"{files:,} files fetched, {size}; {found:,} that were there verified")
    failures = [message for fetched in done for message in fetched.failures.values()]
    for message in failures[:SHOWN]:
        console.print(f"failed: {message}", soft_wrap=True, markup=False)
    if len(failures) > SHOWN:
        console.print(f"failed: {len(failures) - SHOWN:,} more; the same command goes on with them")
