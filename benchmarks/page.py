"""The tables of docs/performance.md from a file of results, and what they mean for the Midwest.

    python -m benchmarks.page [benchmarks/results/bench.json] [--update]

Prints the tables; `--update` puts them into the document, between its two marks.

References
----------
Liu et al. (2024), doi:10.1038/s41467-023-43860-5: 1.6 days on one GPU for the Midwest, 2000-2020; *ecosys* would take
5.9 years on 1,000 CPUs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, DOCUMENT = ROOT / "benchmarks/results/bench.json", ROOT / "docs/performance.md"
FIRST_MARK, LAST_MARK = "<!-- tables of benchmarks.page -->", "<!-- end of the tables -->"

CELLS, YEARS, SPIN_UP_YEARS = 10_000_000, 21, 2  # modelled cells of regions/midwest.toml, 2000-2020
CELL_YEARS = CELLS * (YEARS + SPIN_UP_YEARS)
CORES = 16  # of the node in the table
PAPER_GPU_DAYS, PAPER_ECOSYS_YEARS, PAPER_ECOSYS_CPUS = 1.6, 5.9, 1000
ECOSYS_CPU_SECONDS = 44.8  # of a site-year: docs/performance.md has the circumstances
_DAY, _YEAR = 86_400, 365.25 * 86_400
LARGE = "240 x 240, 22 %"


def tables(found: Mapping[str, Any]) -> str:
    """Return all tables as Markdown."""
    where = found["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    machine = (
        f"`{found['command']}` on {where['date']}: {where['processor']}, {where['cores']} cores "
        f"({', '.join(where['features'])}), load {where['load'][0]}; Python {where['python']}, {versions}."
    )
    parts = (machine, midwest(found), year_step(found), roofline(found), blocks(found), f"`{found['summary']}`")
    return "\n\n".join(parts)


def midwest(found: Mapping[str, Any]) -> str:
    """Return the time of the Midwest's cell-years by different means."""
    medians, best = found["year_step"]["medians"], found["year_step"]["best_batch"]
    ends, block = found["end_to_end"], found["blocks"][LARGE]
    measured_cell_years = block["cells"] * len(block["years"])
    # Years of the spin-up are computed but not stored; states are counted as in blocks of two years.
    stored = ends["run_cpu_seconds"] / measured_cell_years
    spun_up = stored - block["cpu_seconds"]["encode and write results"] / measured_cell_years
    ours = (stored * YEARS + spun_up * SPIN_UP_YEARS) / (YEARS + SPIN_UP_YEARS)
    seconds = {
        "*ecosys*, estimate of the paper": PAPER_ECOSYS_YEARS * _YEAR * PAPER_ECOSYS_CPUS / CELL_YEARS,
        "*ecosys*, measured": ECOSYS_CPU_SECONDS,
        "network in PyTorch alone": 1 / medians[f"plain network, {best} cells"],
        "xarray, Dask and PyTorch, end to end": ends["naive_cpu_seconds"] / measured_cell_years,
        "agcarbon, network alone": 1 / medians["year step"],
        "agcarbon, end to end": ours,
    }
    rows = [("the paper, one GPU", f"{CELL_YEARS / PAPER_GPU_DAYS / _DAY:,.0f}", "", f"{PAPER_GPU_DAYS} days")]
    rows += [
        (name, _digits(1 / each), f"{each * CELL_YEARS / 3600:,.0f}", _duration(each * CELL_YEARS / CORES))
        for name, each in seconds.items()
    ]
    rows.append(("agcarbon, GPU", "not measured", "", "not measured"))
    return _table(("230 M cell-years", "cell-years per second", "CPU-hours", f"time on {CORES} cores"), rows)


def year_step(found: Mapping[str, Any]) -> str:
    """Return the race of the year step and the plain network."""
    rates, medians = found["year_step"]["cell_years_per_cpu_second"], found["year_step"]["medians"]
    rows = [(name, f"{medians[name]:,.0f}", f"{min(each):,.0f}–{max(each):,.0f}") for name, each in rates.items()]
    return _table(("one core, fp32", "cell-years per CPU-second", "range of the rounds"), rows)


def roofline(found: Mapping[str, Any]) -> str:
    """Return rates of one core, and the parts of the year step."""
    limit = found["roofline"]
    peak, operations = limit["peak_gflop_per_cpu_second"], limit["operations_per_cell_year"]
    rates = {"multiply-adds on registers: the peak": peak}
    rates |= {f"sgemm, {name}": rate for name, rate in limit["sgemm_gflop_per_cpu_second"].items()}
    rates |= {"year step": limit["year_step_cell_years_per_cpu_second"] * operations * 1e-9}
    rows = [(name, "", f"{rate:.0f}", f"{rate / peak:.0%}") for name, rate in rates.items()]
    for name, share in limit["share_of_year_step"].items():
        of_peak = limit["share_of_peak"].get(name)
        rate = (f"{of_peak * peak:.0f}", f"{of_peak:.0%}") if of_peak else ("", "")
        rows.append((f"— {name}", f"{share:.1%}", *rate))
    head = ("one core, fp32", "time of the year step", "GFLOP per CPU-second", "of the peak")
    limits = (
        f"A cell-year needs {operations / 1e6:.1f} M operations: at the peak, "
        f"{limit['limit_cell_years_per_cpu_second']:,.0f} cell-years per CPU-second; the year step makes "
        f"{limit['year_step_cell_years_per_cpu_second']:,.0f}."
    )
    return f"{_table(head, rows)}\n\n{limits}"


def blocks(found: Mapping[str, Any]) -> str:
    """Return CPU seconds of the phases of both blocks, their network's share and bytes."""
    subjects = found["blocks"]
    phases = list(subjects[LARGE]["cpu_seconds"])
    head = ("phase, CPU seconds", *(f"{name} ({each['cells']:,} cells, 2 years)" for name, each in subjects.items()))
    rows = [(phase, *(f"{each['cpu_seconds'].get(phase, 0):.2f}" for each in subjects.values())) for phase in phases]
    for title, key in (
        ("network's share of the block, E", "network_share_of_block"),
        ("bytes per modelled cell-day, B", "bytes_per_modelled_cell_day"),
    ):
        rows.append((title, *(f"{each[key]:.2f}" for each in subjects.values())))
    return _table(head, rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---", *["---:"] * (len(head) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _digits(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    """Return a time in the largest unit of which there is more than one and a half."""
    for unit, size in (("years", _YEAR), ("days", _DAY), ("hours", 3600)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds / 60:,.0f} minutes"


def updated(document: str, found: Mapping[str, Any]) -> str:
    """Return the document with these tables between its marks."""
    before, rest = document.split(FIRST_MARK)
    _old, after = rest.split(LAST_MARK)
    return f"{before}{FIRST_MARK}\n\n{tables(found)}\n\n{LAST_MARK}{after}"


def main() -> None:
    """Print the tables, or put them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--update", action="store_true", help="put the tables into docs/performance.md")
    chosen = parser.parse_args()
    found = json.loads(chosen.results.read_text())
    if chosen.update:
        DOCUMENT.write_text(updated(DOCUMENT.read_text(), found))
    else:
        print(tables(found))


if __name__ == "__main__":
    main()
