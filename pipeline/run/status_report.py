"""The state of the tile-years as a table for people and JSON for programs."""

from __future__ import annotations

import json
from collections import Counter

from rich.table import Table

from pipeline.cube.ledger import Status
from pipeline.job import Job
from pipeline.run.status import Standing

_MOST_REASONS = 3


def status_table(job: Job, found: Standing) -> Table:
    """Tile-years of each year by status, and why they are not done."""
    # Unchecked ones are rare: where nothing can be compared.
    shown = [status for status in Status if status is not Status.UNCHECKED or found.count()[status]]
    table = Table("year", *(status.value for status in shown), "why", title=f"Status: {job.region.title}")
    for year in found.years:
        count = found.count(year)
        why = _reasons(found, year)
        if year in found.blocked:
            why = "; ".join(filter(None, (why, f"not ingested up to that year: {', '.join(found.blocked[year])}")))
        table.add_row(str(year), *(str(count[status] or "-") for status in shown), why)
    return table


def _reasons(found: Standing, year: int) -> str:
    """Return the most frequent reasons of a year, and how many others there are."""
    why = Counter(state.reason for (_, of), state in found.states.items() if of == year and state.reason)
    named = why.most_common(_MOST_REASONS)
    rest = why.total() - sum(number for _, number in named)
    return "; ".join([f"{number} {reason}" for reason, number in named] + ([f"{rest} others"] if rest else []))


def status_json(job: Job, found: Standing) -> str:
    """Return the state as JSON.

    Its keys: `region`; `cube` with `store` and `snapshot` (null: none yet); `inputs` with `store` and the `snapshot`
    compared with (null: it could not be); `years`; `tiles`; `counts` of tile-years by status, and `by_year`; `open`,
    every tile-year that is not done with tile, year, status and reason; `blocked`, the products that keep a year from
    being run; `notes`, what keeps the rest from being known.
    """
    stores = job.run_file.stores
    tiles = {tile for tile, _ in found.states}
    return json.dumps(
        {
            "region": job.region.name,
            "cube": {"store": stores.cube, "snapshot": found.snapshot},
            "inputs": {"store": stores.inputs, "snapshot": found.inputs},
            "years": list(found.years),
            "tiles": len(tiles),
            "counts": _counts(found.count()),
            "by_year": {str(year): _counts(found.count(year)) for year in found.years},
            "open": [
                {"tile": tile, "year": year, "status": state.status.value, "reason": state.reason}
                for (tile, year), state in found.states.items()
                if state.status is not Status.DONE
            ],
            "blocked": {str(year): list(products) for year, products in found.blocked.items()},
            "notes": list(found.notes),
        },
        indent=2,
    )


def _counts(count: Counter[Status]) -> dict[str, int]:
    return {status.value: count[status] for status in Status}
