"""Tables and sentences on a plan of transfers and on its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # tables need neither earthaccess nor requests
    from pipeline.fetch.run import Fetched, FetchPlan

SHOWN = 5  # faults and names at most; the rest is counted


def plan_table(plan: FetchPlan) -> Table:
    """Return a table of the files that a region needs of an archive: number, size, states on the disk, and faults."""
    from pipeline.fetch.run import State

    table = Table(title=plan.archive.title, show_header=False)
    rows = [("needed", f"{plan.count():,} files, {decimal(plan.size_bytes())}, in {plan.archive.folder}")]
    if plan.items:
        rows.append(("names", f"{plan.items[0].remote.name} ... {plan.items[-1].remote.name}"))
    for state in State:
        if plan.count(state):
            rows.append((state.value, f"{plan.count(state):,} files, {decimal(plan.size_bytes(state))}"))
    unknown = sum(item.remote.size is None for item in plan.items)
    if unknown:
        rows.append(("of unknown size", f"{unknown:,} files, not counted in the sizes above"))
    if plan.other_files:
        rows.append(("not needed", f"{plan.other_files:,} other files found by the same search"))
    rows += [("note", note) for note in plan.notes]
    rows += [("not used", f"{refused.name!r} {refused.reason}") for refused in plan.refused[:SHOWN]]
    if len(plan.refused) > SHOWN:
        rows.append(("not used", f"and {len(plan.refused) - SHOWN:,} more"))
    for label, text in rows:
        # Text from a server is shown as it is, never taken for markup.
        table.add_row(label, Text(text, overflow="fold"))
    return table


def print_fetched(console: Console, done: Sequence[Fetched]) -> None:
    """Print how many files were fetched and verified, and which failed."""
    files, found = sum(fetched.transferred for fetched in done), sum(fetched.verified for fetched in done)
    size = decimal(sum(fetched.size_bytes for fetched in done))
    console.print(f"{files:,} files fetched, {size}; {found:,} files already present verified")
    failures = [message for fetched in done for message in fetched.failures.values()]
    for message in failures[:SHOWN]:
        console.print(f"failed: {message}", soft_wrap=True, markup=False)
    if len(failures) > SHOWN:
        console.print(f"failed: {len(failures) - SHOWN:,} more; the same command fetches them again")
