"""What `agcarbon plan` says beside what happens: processor time and stored bytes of the demo and of a larger tile.

    python -m benchmarks.plan [--folder FOLDER]

Every command runs by itself and serially on synthetic archives: those of the demo, and those of a tile of 240 x 240
cells, in a region other than the two that `benchmarks.plan_rates` measures. Planned are ingest with the archives there,
and the other steps after it. Bytes are those of all files of a store. About three minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stages import OTHER, Place, working_folder, write_square_archives
from pipeline.demo.archives import write_archives

STEPS = (("run",), ("aggregate",), ("audit",), ("export", "cog"))
STORES = {"inputs": "inputs.icechunk", "cube": "cube.icechunk", "exports": "exports/cog"}


@dataclass(frozen=True)
class Pair:
    """A planned and an actual amount."""

    name: str
    planned: float
    actual: float

    def line(self, unit: str) -> str:
        """Return a row of the table."""
        ratio = self.planned / self.actual
        return f"  {self.name:<16} {self.planned:10.1f} {self.actual:10.1f} {unit}   planned / actual {ratio:.2f}"


def planned(place: Place) -> dict[str, Any]:
    """Return the plan as it is now."""
    found: dict[str, Any] = json.loads(place.answer("plan", "run.toml", "--json"))
    return found


def cpu_of(plan: dict[str, Any]) -> dict[str, float]:
    """Return the planned processor seconds by step."""
    return {step["name"]: step["cpu_seconds"] for step in plan["steps"]}


def compare(place: Place) -> tuple[list[Pair], list[Pair]]:
    """Take all steps; return their processor times [s], and the sizes of the stores [MB]."""
    before = cpu_of(planned(place))["ingest"]
    times = [Pair("ingest", before, place.command("ingest", "run.toml"))]
    plan = planned(place)
    after = cpu_of(plan)
    times += [Pair(step[0], after[step[0]], place.command(*step, "run.toml")) for step in STEPS]
    sizes = [
        Pair(
            store,
            sum(each["size_bytes"] for each in plan["products"] if each["store"] == store) / 1e6,
            place.size(folder) / 1e6,
        )
        for store, folder in STORES.items()
    ]
    return times, sizes


def total(pairs: list[Pair]) -> Pair:
    """Return the sum."""
    return Pair("all", sum(pair.planned for pair in pairs), sum(pair.actual for pair in pairs))


def report(name: str, times: list[Pair], sizes: list[Pair]) -> Iterator[str]:
    """Yield the lines of one region."""
    yield f"{name:<18} {'planned':>10} {'actual':>10}"
    yield from (pair.line("CPU s") for pair in (*times, total(times)))
    yield from (pair.line("MB   ") for pair in (*sizes, total(sizes)))


def main() -> None:
    """Print both regions, and the totals in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to work (about 300 MB); default: a temporary folder")
    ratios = []
    with working_folder(parser.parse_args().folder) as folder:
        write_archives(folder / "demo" / "archives")
        places = {"demo": Place(folder / "demo"), "240 x 240 cells": Place(folder / "square")}
        places["demo"].prepare(folder / "demo" / "archives")
        places["240 x 240 cells"].prepare(write_square_archives(folder), part=OTHER)
        for name, place in places.items():
            times, sizes = compare(place)
            print("\n".join(report(name, times, sizes)), flush=True)
            ratios += [f"{name} {of} {total(pairs).planned / total(pairs).actual:.2f}" for of, pairs in
                       (("CPU", times), ("bytes", sizes))]  # fmt: skip
    print(f"plan, planned / actual: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
