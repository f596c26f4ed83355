"""Damage to any file of either store, which nobody mends: what the commands make of it, and what repairs it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.faults import snapshots
from tests.faults.hooks import CUBE, INPUTS
from tests.faults.kinds import Fault
from tests.faults.processes import agcarbon_in, start
from tests.faults.scenarios import LIMIT, RELEASE, USE, Scenario
from tests.faults.witness import Findings

_NEWER = 0.75
_LOG, _LIST = "commands.log", "rerun.json"


@dataclass(frozen=True)
class Repair:
    """A documented way to repair damage: words of an error that name it, and what is done before all is used again."""

    words: str
    stores: tuple[str, ...] = ()  # moved away
    commands: tuple[tuple[str, ...], ...] = ()
    delete: str = ""


_AUDIT = (("audit", "run.toml", "--rerun", _LIST), ("run", "run.toml", "--from-audit", _LIST))
REPAIRS = (
    Repair("repeat the same command"),
    Repair("config.yaml", delete="config.yaml"),
    Repair("agcarbon ingest --again", commands=(("ingest", "run.toml", "--again"),)),
    Repair("agcarbon aggregate --again", commands=(("aggregate", "run.toml", "--again"),)),
    Repair("--from-audit", commands=_AUDIT),
    Repair("agcarbon rollback", commands=(("rollback", "run.toml", RELEASE, "--yes"),)),
    Repair("move it away", stores=(INPUTS,), commands=(("ingest", "run.toml"),)),
    Repair("move it away", stores=(CUBE,)),
    Repair("move it away", stores=(INPUTS, CUBE), commands=(("ingest", "run.toml"),)),
)


@dataclass
class Outcome:
    """What came of the damage.

    Attributes
    ----------
    noticed
        Whether a command failed, or gave other numbers.
    codes
        Exit codes of the commands that were struck.
    findings
        Silent and stuck damage.
    damaged
        The file.
    repaired_by
        The repair that helped, and whether an error had named it.
    """

    noticed: bool
    codes: tuple[int, ...]
    findings: Findings
    damaged: str
    repaired_by: str = ""


def carry_out(fault: Fault, scenario: Scenario, *, folder: Path) -> Outcome:
    """Damage a file in a copy of the scenario, use the stores, and repair them by what is documented."""
    shutil.copytree(scenario.folder, folder)
    rng = random.Random(fault.seed)
    assert fault.wreck is not None
    damaged = _damage(folder, fault.wreck, rng)
    codes = _use(folder)
    findings = Findings()
    undisturbed = scenario.folder.with_name(f"{scenario.folder.name}, undisturbed")
    wrong = [] if any(codes) else _differences(folder, undisturbed)
    if wrong:
        findings.silent.append(f"{fault.wreck} {damaged}: {'; '.join(wrong)}")
    # Nothing that is used may lead to the file; an audit looks at more.
    audited = 0 if any(codes) or wrong else _command(folder, ("audit", "run.toml"))
    if not any(codes) and not wrong and not audited and not _unequal(folder, scenario):
        return Outcome(False, codes, findings, damaged)
    return replace(_repaired(folder, scenario, findings, damaged), codes=codes)


def _repaired(folder: Path, scenario: Scenario, findings: Findings, damaged: str) -> Outcome:
    log = " ".join((folder / _LOG).read_text().split())  # lines are wrapped
    for repair in sorted(REPAIRS, key=lambda repair: repair.words not in log):
        named = "named by the error" if repair.words in log else "not named"
        if _repair(folder, repair) and not _unequal(folder, scenario):
            return Outcome(True, (), findings, damaged, f"{repair.words} ({named})")
    findings.stuck.append(f"{damaged}: {'; '.join(_unequal(folder, scenario))[:500]}")
    return Outcome(True, (), findings, damaged)


def _repair(folder: Path, repair: Repair) -> bool:
    """Carry out a repair and use the stores; say whether that succeeded."""
    for store in (CUBE, INPUTS) if repair.delete else ():
        (folder / store / repair.delete).unlink(missing_ok=True)
    for store in repair.stores:
        if (folder / store).exists():
            shutil.rmtree(folder / store)
    for command in repair.commands:
        _command(folder, command)
    return not any(_use(folder)) and not _command(folder, ("audit", "run.toml"))


def _damage(folder: Path, how: str, rng: random.Random) -> str:
    """Damage a file of a store, each kind of file as likely as another, and return its name."""
    files = rng.choice([files for store in (CUBE, INPUTS) for files in _files(folder / store)])
    # Of the many that only earlier states need, and nobody misses, fewer: most are of the newest third.
    file = rng.choice(files[-(len(files) // 3 + 1) :] if rng.random() < _NEWER else files)
    content = bytearray(file.read_bytes())
    if how == "removed":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(content[: rng.randrange(len(content))])
    else:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    return str(file.relative_to(folder))


def _files(store: Path) -> Iterator[list[Path]]:
    for kind in ("chunks", "manifests", "snapshots", "transactions", "refs"):
        files = (path for path in (store / kind).rglob("*") if path.is_file() and path.stat().st_size)
        yield sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name))
    yield [store / "config.yaml"]


def _use(folder: Path) -> tuple[int, ...]:
    """Use the stores as users do; stop at the first command that fails."""
    codes: list[int] = []
    for command in USE:
        codes.append(_command(folder, command))
        if codes[-1]:
            break
    return tuple(codes)


def _command(folder: Path, command: Sequence[str]) -> int:
    return start(lambda: agcarbon_in(folder, command), log=folder / _LOG).wait(LIMIT)


def _differences(folder: Path, undisturbed: Path) -> list[str]:
    """Return what differs in the numbers that users get: exports, tables, and what the ledger says of tile-years."""
    found, wanted = _numbers(folder), _numbers(undisturbed)
    return [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]


def _numbers(folder: Path) -> dict[str, str]:
    target = folder / "numbers.json"
    target.unlink(missing_ok=True)
    start(lambda: snapshots.save_numbers(folder, target), log=folder / "compared.log").wait(LIMIT)
    return dict(json.loads(target.read_text())) if target.exists() else {}


def _unequal(folder: Path, scenario: Scenario) -> list[str]:
    """Return the arrays of the cube that differ from those of the undisturbed one."""
    target = folder / "unequal.json"
    target.unlink(missing_ok=True)
    compare = partial(snapshots.save_differences, folder / CUBE, scenario.undisturbed.arrays, target)
    start(compare, log=folder / "compared.log").wait(LIMIT)
    return list(json.loads(target.read_text())) if target.exists() else ["the cube cannot be read"]
