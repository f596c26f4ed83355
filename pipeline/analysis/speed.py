"""Speed beside the paper's claim: *ecosys*, the paper's GPU, benchmarks of this code, and the run behind the cube."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.analysis import figures
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number, Published
from pipeline.analysis.subject import Subject
from pipeline.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Speed beside the paper's claim"
PATTERN = "benchmarks/*.json"
DAYS_PER_YEAR = 365.25
ECOSYS_CPU_DAYS = 5.9 * DAYS_PER_YEAR * 1000
PAPER_GPU_DAYS = 1.6
ASSUMED_CELLS, PAPER_YEARS = 10_000_000, 21
_SECONDS_PER_DAY = 86400
_RATE = "cell_years_per_cpu_second"
_PAPER = "Liu et al. 2024"
_LEDGER = "ledger of the cube"

COMPUTED = (
    "The paper's figures for the US Midwest, 2000-2020: 5.9 years on 1000 CPUs for *ecosys*, 1.6 days on one GPU for "
    "the network; their ratio is 5.9 x 365.25 x 1000 / 1.6. Of this code: modelled cells x years of the tile-years "
    "in the ledger of the cube / processor time of the workers, reading and writing included; and the median rates of "
    "the benchmark results in the folder of --data, of the year step alone. Days of one processor core are for "
    "10 million cells and 21 years, a number of cells that is assumed: the paper gives none."
)
LIMITS = (
    "Processor days of different machines, and of CPU and GPU, are no common unit; the paper does not name what its "
    "times include. The ledger's time is that of the machines that ran, with all else that they did to their caches. "
    "Speed says nothing about accuracy."
)


def core_days(rate: float) -> float:
    """Return the days of one core for `ASSUMED_CELLS` and `PAPER_YEARS` at a rate [cell-years per CPU second].

    Examples
    --------
    >>> round(core_days(2000), 2)
    1.22
    """
    return ASSUMED_CELLS * PAPER_YEARS / rate / _SECONDS_PER_DAY


def ledger_rate(subject: Subject) -> float:
    """Return the cell-years per CPU second of the tile-years with results in the years; NaN without any time."""
    ledger = subject.cube.ledger
    there = np.array([[ledger.recorded(tile, year) is not None for tile in ledger.tiles] for year in ledger.years])
    there &= np.isin(ledger.years, subject.years)[:, None]
    cells, seconds = (ledger.column(name)[there].sum(dtype=np.float64) for name in ("cells", "cpu_seconds"))
    return float(cells / seconds) if seconds > 0 else float("nan")


def benchmark_rates(path: Path) -> Iterator[tuple[str, float]]:
    """Yield name and median rate [cell-years per CPU second] of each measurement in a file of `benchmarks/results`.

    Raises
    ------
    UserError
        If the file is not JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); give files that a benchmark wrote") from error
    yield from _rates(found)


def _rates(part: Any) -> Iterator[tuple[str, float]]:
    if not isinstance(part, dict):
        return
    if isinstance(part.get(_RATE), dict):
        for name, runs in part[_RATE].items():
            yield name, float(np.median(runs))
    else:
        for below in part.values():
            yield from _rates(below)


def table_of(subject: Subject) -> pd.DataFrame:
    """Return one row per figure: rate [cell-years per CPU second], processor days, their kind, and its source."""
    rows: list[tuple[str, float, float, str, str]] = [
        ("ecosys", np.nan, ECOSYS_CPU_DAYS, "CPU", f"{_PAPER}: 5.9 years on 1000 CPUs"),
        ("network of the paper", np.nan, PAPER_GPU_DAYS, "GPU", f"{_PAPER}: 1.6 days on one GPU"),
    ]
    own = ledger_rate(subject)
    rows.append(("this cube, all work of the run", own, core_days(own), "CPU core", _LEDGER))
    for path in _files(subject):
        source = f"{path.name}: {json.loads(path.read_text(encoding='utf-8')).get('command', 'no command recorded')}"
        rows += [(name, rate, core_days(rate), "CPU core", source) for name, rate in benchmark_rates(path)]
    return pd.DataFrame(rows, columns=["what", _RATE, "processor_days", "processor", "source"])


def analyse(subject: Subject) -> Findings:
    """Return the findings on speed."""
    table = table_of(subject)
    own = float(table.loc[table["source"] == _LEDGER, _RATE].iloc[0])
    ratio = Published(1e6, f"{_PAPER}: more than a million")
    numbers = (
        Number("ratio of the paper's processor days, ecosys to GPU", ECOSYS_CPU_DAYS / PAPER_GPU_DAYS, "1", ratio),
        Number("cell-years per CPU second of this cube", own, "s-1"),
        Number("days of one core for 10 million cells (assumed) and 21 years", core_days(own), "d"),
        Number("ecosys to one core here, at 10 million cells (assumed)", ECOSYS_CPU_DAYS / core_days(own), "1"),
    )
    notes = () if _files(subject) else (f"no benchmark results: none of {PATTERN} in the folder of --data",)
    return Findings(COMPUTED, LIMITS, numbers, {MAIN: table}, _figure(subject, table), notes)


def _figure(subject: Subject, table: pd.DataFrame) -> Figure:
    shown = table[::-1]
    drawing, panels = figures.sheet([["days"]], (9.5, 1.8 + 0.32 * len(shown)))
    axes = panels["days"]
    colours = [figures.PAPER if str(source).startswith(_PAPER) else figures.OURS for source in shown["source"]]
    axes.barh(np.arange(len(shown)), shown["processor_days"], color=colours)
    labels = [f"{what} ({kind})" for what, kind in zip(shown["what"], shown["processor"], strict=True)]
    axes.set_yticks(np.arange(len(shown)), labels)
    axes.set_xscale("log")
    for place, days in enumerate(shown["processor_days"]):
        axes.annotate(
            f"{float(f'{days:.3g}'):,g}", (days, place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.margins(x=0.15)
    figures.finish(axes, "Orange: paper, US Midwest 2000-2020; blue: here, for 10 million cells (assumed) and 21 years",
                   xlabel="processor days")  # fmt: skip
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _files(subject: Subject) -> list[Path]:
    return sorted(subject.options.data.glob(PATTERN)) if subject.options.data else []


def _obstacle(subject: Subject) -> str | None:
    return None if np.isfinite(ledger_rate(subject)) else "needs the processor time of a run, and the ledger has none"


ANALYSIS = Analysis("speed", TITLE, "processor days of ecosys, the paper's GPU and this code, each with its source",
                    _obstacle, analyse)  # fmt: skip
