"""`make faults`: a randomised campaign of faults against the commands that commit.

Usage: python -m tests.faults.campaign 200 --seed 1 [--only TRIAL] [--scenario NAME] [--write docs/faults.json]
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.kinds import Fault
    from tests.faults.scenarios import Scenario
    from tests.faults.trial import Verdict

FINDINGS = ("lost", "torn", "wrong_done", "unequal", "silent", "stuck")


@dataclass
class CampaignTotals:
    """What a campaign counted: faults that happened by kind, and trials with each kind of finding."""

    kinds: Counter[str] = field(default_factory=Counter)
    scenarios: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    not_reached: int = 0
    codes_not_promised: list[int] = field(default_factory=list)  # trials
    repeats: Counter[int] = field(default_factory=Counter)  # that did not end well
    repaired_by: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    checksums: int = 0

    @property
    def faults(self) -> int:
        """Number of faults that happened."""
        return self.kinds.total()

    @property
    def line(self) -> str:
        """The campaign in one line."""
        counts = " ".join(f"{name.replace('_', '-')} {self.found[name]}" for name in FINDINGS)
        return f"faults {self.faults} {counts}"

    @property
    def clean(self) -> bool:
        """Whether all was as promised."""
        return not self.found.total() and not self.codes_not_promised

    def add(self, trial: int, fault: Fault, verdict: Verdict) -> None:
        """Count a trial."""
        if not verdict.injected:
            self.not_reached += 1
            return
        self.kinds[fault.kind] += 1
        self.scenarios[fault.scenario] += 1
        self.found.update(name for name in FINDINGS if getattr(verdict.findings, name))
        self.repeats[sum(map(bool, verdict.repeats))] += 1
        self.repaired_by.update([verdict.repaired_by] if verdict.repaired_by else [])
        self.looks += verdict.findings.looks
        self.checksums += verdict.findings.checksums
        if not verdict.promised:
            self.codes_not_promised.append(trial)


def main() -> int:
    """Carry out the campaign; return 1 if anything was found."""
    asked = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["ICECHUNK_LOG"] = "error"
    seed = asked.seed if asked.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with _folder(asked.folder) as folder:
        scenarios = _prepared(folder)
        totals = _carry_out(asked, seed, scenarios, folder)
    minutes = (time.monotonic() - began) / 60
    if asked.write:
        asked.write.write_text(json.dumps(_report(totals, seed, minutes), indent=2) + "\n")
    if totals.codes_not_promised:
        print(f"exit codes other than promised in trials {totals.codes_not_promised}")
    print(totals.line)
    return 0 if totals.clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A randomised campaign of faults against the commands that commit.")
    parser.add_argument("faults", type=int, help="faults that must happen")
    parser.add_argument("--seed", type=int, help="of the faults; drawn and printed if not given")
    parser.add_argument("--only", type=int, metavar="TRIAL", help="only this trial; its folder is kept")
    parser.add_argument("--scenario", help="only faults of this one, such as `aggregate`")
    parser.add_argument("--folder", type=Path, help="where to work; kept (default: a temporary one)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a report as JSON")
    return parser.parse_args()


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen:
        chosen.mkdir(parents=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="agcarbon-faults-") as folder:
        yield Path(folder)


def _prepared(folder: Path) -> dict[str, Scenario]:
    """Import all that a trial needs, so that forked children need not, and prepare the scenarios."""
    for name in (
        "distributed",
        "pipeline.aggregate.write",
        "pipeline.audit.audit",
        "pipeline.cli.main",
        "pipeline.cluster.dask",
        "pipeline.export.geotiffs",
        "pipeline.run.report",
        "pipeline.run.run",
    ):
        importlib.import_module(name)
    from regions.boundaries import counties
    from tests.faults import cheap_network, scenarios

    counties()
    cheap_network.install()
    return scenarios.prepare(folder / "prepared")


def _carry_out(asked: argparse.Namespace, seed: int, scenarios: dict[str, Scenario], folder: Path) -> CampaignTotals:
    from tests.faults import kinds
    from tests.faults.trial import carry_out

    known = {key: value for scenario in scenarios.values() for key, value in scenario.undisturbed.checksums.items()}
    totals = CampaignTotals()
    for trial in itertools.count() if asked.only is None else (asked.only,):
        fault = kinds.draw(seed, trial, scenarios, command=asked.scenario)
        place, began = folder / f"trial-{trial}", time.monotonic()
        verdict = carry_out(fault, scenarios[fault.scenario], folder=place, checksums=known)
        totals.add(trial, fault, verdict)
        _print_trial(trial, fault, verdict, time.monotonic() - began)
        if asked.only is None and not (asked.folder and _is_bad(verdict)):
            shutil.rmtree(place)
        if totals.faults >= asked.faults:
            break
    return totals


def _is_bad(verdict: Verdict) -> bool:
    return not verdict.promised or verdict.findings.any


def _print_trial(trial: int, fault: Fault, verdict: Verdict, seconds: float) -> None:
    then = f"repaired by: {verdict.repaired_by}" if verdict.repaired_by else f"then {_spelled(verdict.repeats)}"
    outcome = f"ended with {_spelled(verdict.struck)}, {then}"
    if not verdict.injected:
        outcome = "did not happen"
    print(f"{trial}: {fault.kind} ({fault.scenario}) {outcome}, {seconds:.1f} s", flush=True)
    if verdict.injected and _is_bad(verdict):
        print(f"   {fault}")
        for name in FINDINGS:
            for finding in getattr(verdict.findings, name):
                print(f"   {name.replace('_', '-')}: {finding}", flush=True)


def _spelled(codes: tuple[int, ...]) -> str:
    return " ".join(map(str, codes))


def _report(totals: CampaignTotals, seed: int, minutes: float) -> dict[str, Any]:
    packages = ("agcarbon", "icechunk", "zarr", "dask", "distributed", "numpy")
    from tests.faults.disks import can_mount

    return {
        "line": totals.line,
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "minutes": round(minutes, 1),
        "kinds": dict(sorted(totals.kinds.items())),
        "scenarios": dict(sorted(totals.scenarios.items())),
        "trials_whose_fault_did_not_happen": totals.not_reached,
        "commands_after_the_fault_that_did_not_end_well": {
            str(key): value for key, value in sorted(totals.repeats.items())
        },
        "damage_repaired_by": dict(sorted(totals.repaired_by.items())),
        "exit_codes_not_promised": totals.codes_not_promised,
        "looks_at_the_cube_meanwhile": totals.looks,
        "checksums_verified": totals.checksums,
        "full_and_read_only_disks": "mounted" if can_mount() else "by RLIMIT_FSIZE and modes",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


if __name__ == "__main__":
    sys.exit(main())
