"""One trial: a fault strikes a command, it is mended, the plain command is repeated, and the cube is looked at."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults import disks, hooks, processes, snapshots, wreck
from tests.faults.hooks import CUBE, INPUTS
from tests.faults.kinds import SERIAL, Fault, Second
from tests.faults.processes import STUCK, Child
from tests.faults.scenarios import Scenario, pages
from tests.faults.witness import Findings, Witness, read_findings, watch

LIMIT = 300.0  # seconds for a command, with a fault or without
REPEATS = 3  # of the plain command after the fault


@dataclass(frozen=True)
class Verdict:
    """What came of a trial.

    Attributes
    ----------
    injected
        Whether the fault happened: a hook may never be reached, a signal come too late.
    struck
        Exit codes of the command that the fault struck, or of both, if two ran.
    repeats
        Exit codes of the commands that finished the work, each repeated until it ended well.
    promised
        Whether the first are as promised.
    repaired_by
        The documented repair of damage that nobody mended.
    """

    injected: bool
    struck: tuple[int, ...]
    repeats: tuple[int, ...]
    promised: bool
    findings: Findings
    repaired_by: str = ""


def carry_out(fault: Fault, scenario: Scenario, *, folder: Path, checksums: dict[str, str]) -> Verdict:
    """Do a trial in `folder`, which must not exist; `checksums` are those of all fingerprints that may arise."""
    if fault.wreck:
        outcome = wreck.carry_out(fault, scenario, folder=folder)
        promised = set(outcome.codes) <= fault.codes
        return Verdict(outcome.noticed, outcome.codes, (), promised, outcome.findings, outcome.repaired_by)
    shutil.copytree(scenario.folder, folder)
    cube = folder / "cube"
    with ExitStack() as stack:
        if fault.disk is not None and disks.can_mount():
            stack.enter_context(disks.small_disk(cube, pages(cube) + fault.disk))
        witness = Witness(str(folder / CUBE), checksums, keeps=scenario.keeps)
        end, report = folder / "end", folder / "findings.json"
        watching = processes.start(
            lambda: watch(witness, until=end, undisturbed=scenario.undisturbed, report=report),
            log=folder / "witness.log",
        )
        with _conditions(fault, folder):
            struck, sent = _strike(fault, scenario, folder)
        happened = _happened(fault, folder, struck, sent=sent)
        if not happened and fault.damage != "flipped":  # other numbers might have been read for it
            watching.signal(signal.SIGKILL, group=True)
            watching.wait(LIMIT)
            return Verdict(False, struck, (), True, Findings())
        half = _unlike(snapshots.exported(folder), scenario.undisturbed.exported, ending=".tif")
        repeats = tuple(code for command in scenario.finish for code in _repeat(folder, command))
        partial = end.with_suffix(".partial")  # the witness reads it as soon as it is there
        partial.write_text(json.dumps(set(struck) == {0}))
        partial.rename(end)
        ended = watching.wait(LIMIT)
    findings = Findings() if ended else read_findings(report)
    if ended:
        findings.torn.append(f"the last reader ended with {ended}: {(folder / 'witness.log').read_text()[-500:]}")
    findings.torn += [f"{name} could be seen before it was complete" for name in half]
    findings.unequal += [
        f"the exported {name} differs" for name in _unlike(scenario.undisturbed.exported, snapshots.exported(folder))
    ]
    if repeats[-1]:
        findings.unequal.append(f"the plain command ended with {repeats} after the fault")
    return Verdict(happened or findings.any, struck, repeats, set(struck) <= fault.codes, findings)


def _unlike(found: Mapping[str, str], wanted: Mapping[str, str], *, ending: str = "") -> list[str]:
    """Return the files with this ending that are absent from the wanted ones, or have other content there."""
    return [name for name, digest in found.items() if name.endswith(ending) and wanted.get(name) != digest]


def _command(folder: Path, command: tuple[str, ...], fault: Fault | None = None) -> Child:
    def work() -> None:
        if fault and fault.hook:
            hooks.install(fault.hook, folder)
        if fault and fault.run_file != SERIAL:
            processes.fork_workers()
        if fault and fault.disk is not None and not disks.can_mount():
            disks.limit_files(max(1024, fault.disk % 20_000))
        os.chdir(folder)
        run_file = fault.run_file if fault else "run.toml"
        processes.agcarbon([run_file if word == "run.toml" else word for word in command])

    return processes.start(work, log=folder / ("struck.log" if fault else "repeats.log"))


def _strike(fault: Fault, scenario: Scenario, folder: Path) -> tuple[tuple[int, ...], bool]:
    """Run the command with the fault; return its exit code, or those of both, and whether the signal found it alive."""
    children, sent = [_command(folder, scenario.command, fault)], False
    if fault.second is not None:
        time.sleep(fault.second.after)
        children.append(_command(folder, _linked(fault.second, folder), fault))
    if fault.signal is not None:
        time.sleep(fault.signal.after)
        sent = children[0].signal(fault.signal.number, group=fault.signal.group)
    return tuple(child.wait(LIMIT) for child in children), sent


def _linked(second: Second, folder: Path) -> tuple[str, ...]:
    """Return the second command, on a run file that leads to the same stores through a link if it is to."""
    if not second.linked:
        return second.command
    (folder / "link").symlink_to(folder, target_is_directory=True)
    text = (folder / "run.toml").read_text()
    for store in (CUBE, INPUTS):
        text = text.replace(f'"{store}"', f'"link/{store}"')
    (folder / "linked.toml").write_text(text)
    return tuple("linked.toml" if word == "run.toml" else word for word in second.command)


def _happened(fault: Fault, folder: Path, codes: tuple[int, ...], *, sent: bool) -> bool:
    if STUCK in codes:
        return True
    if fault.hook:
        return hooks.happened(folder) > 0
    if fault.signal:
        return sent
    if fault.second is not None:
        return 2 in codes
    return any(codes)  # a damaged chunk that no one reads, or a disk that is just large enough, is no fault


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
    """Damage one chunk of the inputs store, of the larger half: GPP and climate, which every run reads."""
    rng = random.Random(f"{fault}")
    chunks = sorted((inputs / "chunks").iterdir(), key=lambda path: (path.stat().st_size, path.name))
    chunk = rng.choice(chunks[len(chunks) // 2 :])
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


def _repeat(folder: Path, command: tuple[str, ...]) -> tuple[int, ...]:
    """Repeat a command until it ends well; return its exit codes."""
    codes: list[int] = []
    while len(codes) < REPEATS and (not codes or codes[-1]):
        codes.append(_command(folder, command).wait(LIMIT))
    return tuple(codes)
