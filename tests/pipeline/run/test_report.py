"""Sentences of a finished run."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from model.checkpoint import RANGES, Checkpoint
from pipeline.job import Job
from pipeline.run.coordinator import RunTotals
from pipeline.run.plan import Plan
from pipeline.run.report import print_run
from pipeline.run.run import RunReport


def printed(checkpoint: Checkpoint, **totals: Any) -> str:
    job = cast(Job, SimpleNamespace(path=Path("run.toml"), checkpoint=checkpoint))
    plan = Plan(tiles=(), years=(), states={}, chains=(), blocked={})
    console = Console(file=StringIO(), width=500)
    print_run(console, job, RunReport(plan, RunTotals(**totals), {}, seconds=1.0))
    return cast(StringIO, console.file).getvalue()


def test_a_run_says_that_its_checkpoint_has_no_ranges_of_its_training_data(untrained: Checkpoint) -> None:
    sentence = "quality: the checkpoint's record holds no ranges of its training data"
    assert sentence in printed(untrained, tile_years=1)
    assert sentence not in printed(untrained, tile_years=0)
    assert sentence not in printed(replace(untrained, record={RANGES: {}}), tile_years=1)
