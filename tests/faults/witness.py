"""A reader that looks at the cube while a trial goes on, and afterwards at every state that was ever committed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import icechunk

from pipeline.storage import repository as store
from tests.faults import snapshots
from tests.faults.hooks import FOREIGN
from tests.faults.scenarios import Undisturbed
from tests.faults.snapshots import Recorded, Snapshot

PAUSE = 0.1  # seconds between looks
READ_WHOLE = 3  # one of so many states on which no look fell is read with all new values; of all, the ledger


@dataclass
class Findings:
    """What was wrong, in words, by kind; and how much was looked at.

    lost
        A state or a tile-year that had been committed is there no more.
    torn
        A reader could not read a state, or found values that its ledger does not speak of.
    wrong_done
        A tile-year is recorded as done with values other than those that its fingerprint stands for.
    unequal
        The cube in the end differs from that of an undisturbed run.
    silent
        Commands ended with exit code 0 and gave other numbers than undisturbed.
    stuck
        No documented command repaired the damage.
    """

    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    wrong_done: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    looks: int = 0
    checksums: int = 0

    @property
    def any(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.lost or self.torn or self.wrong_done or self.unequal or self.silent or self.stuck)


@dataclass
class Witness:
    """Looks at the cube at `location`, knowing the checksum of every fingerprint that may arise."""

    location: str
    checksums: Mapping[str, str]
    keeps: bool = True  # nothing that is committed may ever go
    findings: Findings = field(default_factory=Findings)
    _seen: dict[str, None] = field(default_factory=dict)  # tips, in order
    _held: dict[tuple[str, int], Recorded] = field(default_factory=dict)
    _repository: icechunk.Repository | None = None

    def look(self) -> None:
        """Read the newest state, if it is new, as a user who opens the cube now."""
        try:
            if not (self._repository or store.exists(self.location)):
                return
            self._repository = self._repository or store.open_existing(self.location, made_by="agcarbon run")
            tip = store.tip(self._repository)
            if tip not in self._seen:
                self._seen[tip] = None
                self._held = self._hold(Snapshot(self._repository, tip), self._held)
        except Exception as error:  # noqa: BLE001 (whatever a reader meets is a finding)
            self.findings.torn.append(f"a reader met {type(error).__name__}: {error}")
        self.findings.looks += 1

    def _hold(
        self, state: Snapshot, before: Mapping[tuple[str, int], Recorded], *, all_of_it: bool = False
    ) -> dict[tuple[str, int], Recorded]:
        """Compare what a state records with its values and with the undisturbed ones; return what it records."""
        now = state.recorded()
        for place, one in now.items():
            if not all_of_it and before.get(place) == one:
                continue
            self.findings.checksums += 1
            if state.checksum(one) != one.checksum:
                self.findings.torn.append(f"{one.tile} {one.year}: other values than the ledger's checksum")
            if self.checksums.get(one.key) != one.checksum:
                self.findings.wrong_done.append(f"{one.tile} {one.year}: other values than its fingerprint stands for")
        self._miss(before, now)
        return now

    def _miss(self, before: Mapping[tuple[str, int], Recorded], now: Mapping[tuple[str, int], Recorded]) -> None:
        gone = before.keys() - now.keys() if self.keeps else ()
        self.findings.lost += [f"{tile} {year} is recorded no more" for tile, year in gone]

    def conclude(self, undisturbed: Undisturbed, *, succeeded: bool = True, foreign: Path | None = None) -> Findings:
        """Read every state that was ever committed, and compare the last one with the undisturbed cube.

        Parameters
        ----------
        undisturbed
            The cube in the end.
        succeeded
            Whether the command that the fault struck reported success: then its releases are those in the end.
        foreign
            File that names the commit of another program, if there was one.
        """
        repository = store.open_existing(self.location, made_by="agcarbon run")
        kept = list(snapshots.ancestry(repository))
        gone = [tip for tip in self._seen if self.keeps and tip not in kept]
        self.findings.lost += [f"snapshot {tip} is no ancestor" for tip in gone]
        held: dict[tuple[str, int], Recorded] = {}
        for number, snapshot in enumerate(kept):
            state, last = Snapshot(repository, snapshot), snapshot == kept[-1]
            if last or (snapshot not in self._seen and number % READ_WHOLE == 0):
                held = self._hold(state, held, all_of_it=last)
            else:
                self._miss(held, held := state.recorded())
        self.findings.unequal += _differences(state, undisturbed)
        self._releases(frozenset(repository.list_tags()), undisturbed, succeeded=succeeded)
        if foreign is not None and foreign.exists():
            self._foreign(**json.loads(foreign.read_text()))
        return self.findings

    def _releases(self, found: frozenset[str], undisturbed: Undisturbed, *, succeeded: bool) -> None:
        allowed = [undisturbed.releases] if succeeded else [undisturbed.releases, undisturbed.releases_before]
        if found not in allowed:
            names = " or ".join(str(sorted(releases)) for releases in allowed)
            self.findings.unequal.append(f"releases are {sorted(found)}, undisturbed {names}")

    def _foreign(self, location: str, snapshot: str) -> None:
        repository = store.open_existing(location, made_by="agcarbon")
        if snapshot not in snapshots.ancestry(repository):
            self.findings.lost.append(f"{snapshot}, the commit of another program to {location}, is no ancestor")


def _differences(state: Snapshot, undisturbed: Undisturbed) -> list[str]:
    return snapshots.differences(state.arrays(), undisturbed.arrays) + [
        f"{place} is recorded as failed: {why}" for place, why in state.failures().items()
    ]


def watch(witness: Witness, *, until: Path, undisturbed: Undisturbed, report: Path) -> None:
    """Look until the file `until` says whether the struck command succeeded, conclude, and write the findings."""
    while not until.exists():
        witness.look()
        time.sleep(PAUSE)
    witness.look()
    found = witness.conclude(undisturbed, succeeded=json.loads(until.read_text()), foreign=until.with_name(FOREIGN))
    report.write_text(json.dumps(asdict(found)))


def read_findings(report: Path) -> Findings:
    """Return what `watch` wrote."""
    raw: dict[str, Any] = json.loads(report.read_text())
    return Findings(**raw)
