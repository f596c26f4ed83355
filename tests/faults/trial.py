"""One trial: a fault strikes a command, it is mended, the plain command is repeated, and the cube is looked at."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults import disks, hooks, processes
from tests.faults.kinds import DASK, Fault
from tests.faults.processes import STUCK, Child
from tests.faults.scenarios import Scenario
from tests.faults.witness import Findings, Witness, read_findings, watch

LIMIT = 120.0  # seconds for a command, with a fault or without
REPEATS = 3  # of the plain command after the fault


@dataclass(frozen=True)
class Verdict:
    """What came of a trial.

    Attributes
    ----------
    injected
        Whether the fault happened: a hook may never be reached, a signal come too late.
    codes
        Exit codes: of the command that the fault struck (of both, if two ran), then of its repeats.
    promised
        Whether the first of these are as promised.
    """

    injected: bool
    codes: tuple[int, ...]
    promised: bool
    findings: Findings


def carry_out(fault: Fault, scenario: Scenario, *, folder: Path, checksums: dict[str, str]) -> Verdict:
    """Do a trial in `folder`, which must not exist; `checksums` are those of all fingerprints that may arise."""
    shutil.copytree(scenario.folder, folder)
    cube = folder / "cube"
    with ExitStack() as stack:
        if fault.disk is not None and disks.can_mount():
            stack.enter_context(disks.small_disk(cube, disks_size(cube, fault)))
        witness = Witness(str(cube / "cube.icechunk"), checksums)
        end, report = folder / "end", folder / "findings.json"
        watching = processes.start(
            lambda: watch(witness, until=end, undisturbed=scenario.undisturbed, report=report),
            log=folder / "witness.log",
        )
        with _conditions(fault, folder):
            struck, sent = _strike(fault, scenario, folder)
        happened = _happened(fault, folder, struck, sent=sent)
        repeats = _repeat(folder, scenario) if happened else ()
        end.touch()
        ended = watching.wait(LIMIT)
    findings = read_findings(report) if happened and not ended else Findings()
    if happened and ended:
        findings.torn.append(f"the last reader ended with {ended}: {(folder / 'witness.log').read_text()[-500:]}")
    if happened and repeats[-1]:
        findings.unequal.append(f"the plain command ended with {repeats} after the fault")
    return Verdict(happened, (*struck, *repeats), set(struck) <= fault.codes, findings)


def disks_size(cube: Path, fault: Fault) -> int:
    """Bytes of the disk that is to fill up."""
    from tests.faults.scenarios import pages

    assert fault.disk is not None
    return pages(cube) + fault.disk


def _command(fault: Fault | None, scenario: Scenario, folder: Path) -> Child:
    def work() -> None:
        if fault and fault.hook:
            hooks.install(fault.hook, folder)
        if fault and fault.run_file == DASK:
            processes.fork_workers()
        if fault and fault.disk is not None and not disks.can_mount():
            disks.limit_files(max(1024, fault.disk % 20_000))
        os.chdir(folder)
        run_file = fault.run_file if fault else "run.toml"
        processes.agcarbon([run_file if word == "run.toml" else word for word in scenario.command])

    return processes.start(work, log=folder / ("struck.log" if fault else "repeats.log"))


def _strike(fault: Fault, scenario: Scenario, folder: Path) -> tuple[tuple[int, ...], bool]:
    """Run the command with the fault; return its exit code, or those of both, and whether the signal found it alive."""
    children, sent = [_command(fault, scenario, folder)], False
    if fault.second is not None:
        time.sleep(fault.second)
        children.append(_command(fault, scenario, folder))
    if fault.signal is not None:
        time.sleep(fault.signal.after)
        sent = children[0].signal(fault.signal.number, group=fault.signal.group)
    return tuple(child.wait(LIMIT) for child in children), sent


def _happened(fault: Fault, folder: Path, codes: tuple[int, ...], *, sent: bool) -> bool:
    if STUCK in codes:
        return True
    if fault.hook:
        return hooks.happened(folder) > 0
    if fault.signal:
        return sent
    if fault.second is not None:
        return 2 in codes
    # A damaged chunk that no one reads, or a disk that is just large enough, is no fault.
    return any(codes) or fault.damage == "flipped"


@contextmanager
def _conditions(fault: Fault, folder: Path) -> Iterator[None]:
    """What holds while the struck command runs, and is mended afterwards."""
    cube = folder / "cube"
    if fault.damage:
        with _damaged(folder / "inputs.icechunk", fault):
            yield
    elif fault.read_only:
        disks.forbid_writing(cube)
        try:
            yield
        finally:
            disks.allow_writing(cube)
    else:
        yield
        if fault.disk is not None and disks.can_mount():
            disks.enlarge(cube)


@contextmanager
def _damaged(inputs: Path, fault: Fault) -> Iterator[None]:
    """Damage one chunk of the inputs store."""
    rng = random.Random(f"{fault}")
    chunk = rng.choice(sorted((inputs / "chunks").iterdir()))
    whole = chunk.read_bytes()
    if fault.damage == "truncated":
        chunk.write_bytes(whole[: rng.randrange(len(whole))])
    elif fault.damage == "vanished":
        chunk.unlink()
    else:
        place = rng.randrange(len(whole))
        chunk.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :])
    yield
    chunk.write_bytes(whole)


def _repeat(folder: Path, scenario: Scenario) -> tuple[int, ...]:
    """Repeat the plain command until it ends well; return its exit codes."""
    codes: list[int] = []
    while len(codes) < REPEATS and (not codes or codes[-1]):
        codes.append(_command(None, scenario, folder).wait(LIMIT))
    return tuple(codes)
