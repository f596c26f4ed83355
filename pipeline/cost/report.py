"""The cost of a region for people, on 80 columns and a screen, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from rich.filesize import decimal

from pipeline.cost.estimate import Cost
from pipeline.cost.model import BANDWIDTH, StoreName
from pipeline.cost.work import PRIOR_SHARE
from pipeline.cube.entry import Status
from pipeline.job import Job
from pipeline.progress import duration
from pipeline.run.estimate import GPU_NOT_MEASURED
from pipeline.run.plan import blocked_spans
from pipeline.years import spans

WIDTH = 80
FORMAT = 1  # of the JSON; keys are added without a new number
_COMPARED = (Status.DONE, Status.STALE, Status.FAILED, Status.MISSING)
_MOST_SPANS = 3  # blocked spans and kept years that are listed; the others are counted
_SOURCES = {
    "prior": f"prior: {PRIOR_SHARE:.1%}, as in the Midwest (docs/plan.md)",
    "crops": "by the ingested crops",
    "masks": "by the masks",
}


def lines(job: Job, cost: Cost) -> Iterator[str]:
    """Yield the lines of the plan, the headline first."""
    yield from _headline(job, cost)
    yield ""
    yield from _cells(job, cost)
    yield from _downloads(cost)
    yield from _steps(cost)
    yield from _disk(cost)


def _headline(job: Job, cost: Cost) -> Iterator[str]:
    yield f"{job.region.title}, {spans(cost.work.years)}, {_workers(cost)}:"
    parts = [f"download {decimal(round(cost.download_bytes))}"] if cost.downloads else []
    parts += [] if cost.work.run.cell_years else ["nothing to compute"]
    parts += [f"{step.name} {time_text(step.wall_seconds)}" for step in cost.steps]
    yield from (f"  {line}" for line in wrap(", ".join([*parts, f"disk {decimal(round(cost.disk_bytes))}"]), WIDTH - 2))


def _workers(cost: Cost) -> str:
    return f"{cost.workers} worker{'s' if cost.workers > 1 else ''}"


def _cells(job: Job, cost: Cost) -> Iterator[str]:
    work, edge = cost.work, job.grid.tile_cells
    yield _row("tiles", f"{work.cells.tiles:,} of {edge} x {edge} cells, {work.cells.total:,} cells")
    yield _row("modelled", f"{work.cells.modelled:,} cells, {_SOURCES[work.cells.source]}")
    if plan := work.plan:
        counts = ", ".join(f"{plan.count(status)} {status.value}" for status in _COMPARED if plan.count(status))
        yield _row("tile-years", counts)
        blocked = list(blocked_spans(plan.blocked))
        for years, products in blocked[:_MOST_SPANS]:
            yield _row("blocked", f"{years}, not ingested up to them: {products}")
        if len(blocked) > _MOST_SPANS:
            yield _row("", f"and {len(blocked) - _MOST_SPANS} more spans")
        if kept := plan.kept_stale:
            yield _row("kept", f"{sum(kept.values())} stale tile-years of {spans(kept)} are left as they are")


def _downloads(cost: Cost) -> Iterator[str]:
    if not cost.downloads:
        return
    seconds = cost.download_bytes / BANDWIDTH
    yield f"{'download':<26} {'files':>8} {'bytes':>9}  {time_text(seconds)} at 100 Mbit/s"
    for each in cost.downloads:
        yield f"  {each.archive:<24} {each.files:>8,} {decimal(round(each.size_bytes)):>9}  {each.basis}"


def _steps(cost: Cost) -> Iterator[str]:
    yield f"{'step':<12} {'processor time':>15} {'on ' + _workers(cost):>16}"
    for step in cost.steps:
        note = f"  {cost.run_rate.source}" if step.name == "run" else ""
        cpu, wall = time_text(step.cpu_seconds), time_text(step.wall_seconds)
        yield f"  {step.name:<10} {cpu:>15} {wall:>16}{note}"
    rates = f"of {cost.rates.date} on {cost.rates.machine}; this core has {cost.speed:.2f} of its speed"
    yield from (_row("" if number else "rates", text) for number, text in enumerate(wrap(rates, WIDTH - 13)))
    limit = "" if cost.worker_limit is None else f", limit {decimal(cost.worker_limit)}"
    yield _row("memory", f"{decimal(cost.worker_bytes)} a worker, projected{limit}")


def _disk(cost: Cost) -> Iterator[str]:
    stores: tuple[StoreName, ...] = ("inputs", "cube", "exports")
    for store in stores:
        of_store = [product for product in cost.products if product.store == store]
        total = decimal(round(sum(product.size_bytes for product in of_store)))
        named = ", ".join(f"{product.name} {decimal(round(product.size_bytes))}" for product in of_store)
        for number, text in enumerate(wrap(named, WIDTH - 24)):
            yield f"{'' if number else 'disk ' + store:<13}{'' if number else total:>9}  {text}"


def _row(label: str, text: str) -> str:
    return f"{label:<12} {text}"


def time_text(seconds: float) -> str:
    """Return a time in its two largest units; for NaN, that it was not measured.

    Examples
    --------
    >>> time_text(11_999.6), time_text(float("nan"))
    ('3 h 20 min', 'GPU: not measured')
    """
    return GPU_NOT_MEASURED if math.isnan(seconds) else duration(round(seconds))


def as_json(job: Job, cost: Cost) -> dict[str, Any]:
    """Return the plan as JSON values; docs/plan.md lists their keys."""
    work, plan = cost.work, cost.work.plan
    return {
        "format": FORMAT,
        "region": job.region.name,
        "years": list(work.years),
        "workers": cost.workers,
        "cells": asdict(work.cells),
        "tile_years": {status.value: plan.count(status) for status in _COMPARED} if plan else None,
        "blocked": {str(year): list(products) for year, products in plan.blocked.items()} if plan else {},
        "cell_years": work.run.cell_years,
        "downloads": [asdict(each) for each in cost.downloads],
        "steps": [asdict(step) for step in cost.steps],
        "products": [asdict(product) for product in cost.products],
        "memory": {"projected_bytes": cost.worker_bytes, "limit_bytes": cost.worker_limit},
        "rates": {
            "run_cell_years_per_second": cost.run_rate.cell_years_per_second,
            "run_source": cost.run_rate.source,
            "speed": cost.speed,
            "machine": cost.rates.machine,
            "date": cost.rates.date,
        },
    }
