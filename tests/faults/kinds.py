"""The faults of a campaign: drawn at random, each fully described by its fields."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from tests.faults.hooks import CHANGES, IN_WORKERS, Hook
from tests.faults.scenarios import GC, RUN, Scenario

SERIAL, DASK, IMPATIENT = "run.toml", "dask.toml", "hang.toml"
RUNS = ("fresh", "fresh, changed", "append", "resume", "reingest")
COMMANDS = ("ingest", "aggregate", "tag", "tag --delete", "rollback")  # that commit, beside runs
PASSING = 2  # times that an error is met: as often as the run file has it tried again
STAYING = 10_000


@dataclass(frozen=True)
class Signal:
    """A signal to the coordinator, or to all processes, some seconds after the start."""

    number: int
    after: float
    group: bool


@dataclass(frozen=True)
class Second:
    """Another command on the same stores, some seconds after the first, perhaps through a link to them."""

    command: tuple[str, ...]
    after: float
    linked: bool = False


@dataclass(frozen=True)
class Fault:
    """One fault, in one scenario.

    Attributes
    ----------
    run_file
        With the serial executor, or with a cluster of two workers.
    codes
        Exit codes that are promised of the command that the fault strikes.
    hook, signal, damage, disk, read_only, second, wreck
        What happens: at a step; a signal; to a chunk of the inputs store, which is mended; a disk of so many bytes more
        than are used at the start; a folder that can't be written; a second command; to any file of either store, which
        nobody mends.
    """

    kind: str
    scenario: str
    run_file: str
    codes: frozenset[int]
    hook: Hook | None = None
    signal: Signal | None = None
    damage: str | None = None
    disk: int | None = None
    read_only: bool = False
    second: Second | None = None
    wreck: str | None = None
    seed: int = 0  # of what a wreck draws


Draw = Callable[[random.Random, Scenario], Fault]
KILLED, STOPPED, REFUSED, OPEN, DONE = -9, 130, 2, 1, 0


def _hook(rng: random.Random, scenario: Scenario, steps: tuple[str, ...], **known: object) -> Hook:
    """A call of one of the steps that the scenario makes, each call as likely as another of the same step."""
    step = rng.choice([step for step in steps if scenario.calls[step]])
    drawn = {"when": rng.choice(("before", "after")), "nth": rng.randint(1, scenario.calls[step]), "times": 1} | known
    return Hook(step=step, **drawn)  # type: ignore[arg-type]


_STEPS = (
    "create", "mask", "room", "read", "layer", "write", "restart", "sum", "map", "merge", "record", "commit", "commit",
    "prune", "collect", "release", "delete a release", "move the branch", "square", "file", "catalog",
)  # fmt: skip


def _kill_at_step(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, _STEPS, action="kill")
    return Fault("SIGKILL at a step", scenario.name, SERIAL, frozenset({KILLED}), hook=hook)


def _kill_any_time(rng: random.Random, scenario: Scenario) -> Fault:
    when = Signal(9, rng.uniform(0, scenario.seconds), group=True)
    return Fault("SIGKILL at any time", scenario.name, SERIAL, frozenset({KILLED}), signal=when)


def _stop_at_step(rng: random.Random, scenario: Scenario, *, action: str) -> Fault:
    hook = _hook(rng, scenario, (*IN_WORKERS, "merge", "commit"), action=action)
    return Fault(f"{action} at a step", scenario.name, SERIAL, frozenset({STOPPED, DONE}), hook=hook)


def _killed_commit(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, CHANGES, action="kill")
    return Fault("SIGKILL at a commit", scenario.name, SERIAL, frozenset({KILLED}), hook=hook)


def _lost_reply(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, CHANGES, when="after", action="connection reset")
    return Fault("lost reply to a commit", scenario.name, SERIAL, frozenset({DONE}), hook=hook)


def _failed_commit(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, CHANGES, when="before", action="connection reset", times=rng.randint(1, PASSING))
    return Fault("commit that fails and then does not", scenario.name, SERIAL, frozenset({DONE}), hook=hook)


def _foreign_commit(rng: random.Random, scenario: Scenario) -> Fault:
    """Another program commits at the moment in which the command does; a release moves no branch, and is made."""
    store = "inputs" if scenario.name == "ingest" else "cube"
    hook = _hook(rng, scenario, CHANGES, when="before", action=f"foreign commit to the {store}")
    if scenario.name in RUNS and hook.step == "commit":  # not before there is a cube: that would be no cube then
        hook = replace(hook, nth=max(2, hook.nth))
    codes = {DONE, REFUSED} if scenario.name.startswith("tag") else {REFUSED}
    return Fault("foreign commit", scenario.name, SERIAL, frozenset(codes), hook=hook)


def _passing_read_error(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("read",), when="before", action="EIO", times=rng.randint(1, PASSING))
    return Fault("read error that goes away", scenario.name, SERIAL, frozenset({DONE}), hook=hook)


def _staying_read_error(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("read",), when="before", action="EIO", times=STAYING)
    return Fault("read error that stays", scenario.name, SERIAL, frozenset({OPEN}), hook=hook)


def _damaged_input(_rng: random.Random, scenario: Scenario, *, damage: str) -> Fault:
    return Fault(f"input {damage}", scenario.name, SERIAL, frozenset({OPEN, REFUSED}), damage=damage)


def _full_disk(rng: random.Random, scenario: Scenario) -> Fault:
    room = int(scenario.written * rng.uniform(0.02, 0.9))
    return Fault("full disk", scenario.name, SERIAL, frozenset({REFUSED}), disk=room)


def _full_disk_at_step(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("layer", "commit"), when="before", action="ENOSPC", times=STAYING)
    return Fault("full disk at a step", scenario.name, SERIAL, frozenset({REFUSED}), hook=hook)


def _read_only(_rng: random.Random, scenario: Scenario) -> Fault:
    return Fault("read-only folder", scenario.name, SERIAL, frozenset({REFUSED}), read_only=True)


def _wreck(rng: random.Random, scenario: Scenario, *, how: str) -> Fault:
    """Damage any file of either store; whatever fails says so, or nobody needs the file."""
    codes = frozenset({DONE, OPEN, REFUSED})
    return Fault(f"file {how}", scenario.name, SERIAL, codes, wreck=how, seed=rng.randrange(2**32))


def _two_runs(rng: random.Random, scenario: Scenario) -> Fault:
    second = Second(RUN, rng.uniform(0, scenario.seconds), linked=rng.random() < 0.5)
    return Fault("two runs at once", scenario.name, SERIAL, frozenset({DONE, REFUSED}), second=second)


def _gc_during_run(rng: random.Random, scenario: Scenario) -> Fault:
    second = Second(GC, rng.uniform(0, scenario.seconds), linked=rng.random() < 0.5)
    return Fault("gc during a run", scenario.name, SERIAL, frozenset({DONE, REFUSED}), second=second)


def _in_worker(rng: random.Random, scenario: Scenario, *, action: str, times: int = 1) -> Hook:
    hook = _hook(rng, scenario, IN_WORKERS, action=action, times=times)
    # Each of the two workers makes about half of the calls.
    return Hook(hook.step, hook.when, max(1, hook.nth // 4), hook.times, hook.action)


def _worker_killed(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _in_worker(rng, scenario, action="kill")
    return Fault("SIGKILL of a worker", scenario.name, DASK, frozenset({DONE}), hook=hook)


def _worker_out_of_memory(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _in_worker(rng, scenario, action="take memory")
    return Fault("worker out of memory", scenario.name, DASK, frozenset({DONE}), hook=hook)


def _worker_hangs(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _in_worker(rng, scenario, action="hang")
    return Fault("worker that hangs", scenario.name, IMPATIENT, frozenset({DONE}), hook=hook)


def _coordinator_killed(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("merge", "record", "commit"), action="kill")
    return Fault("SIGKILL of the coordinator", scenario.name, DASK, frozenset({KILLED}), hook=hook)


def _group_killed(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("merge", "record", "commit"), action="kill group")
    return Fault("SIGKILL of all processes", scenario.name, DASK, frozenset({KILLED}), hook=hook)


def _cluster_interrupted(rng: random.Random, scenario: Scenario) -> Fault:
    hook = _hook(rng, scenario, ("merge", "commit"), action="SIGINT")
    return Fault("Ctrl-C on a cluster", scenario.name, DASK, frozenset({STOPPED, DONE}), hook=hook)


@dataclass(frozen=True)
class Kind:
    """A kind of fault, how many of each 100 trials are of it, and the scenarios that it may strike.

    With `each`, the trials are shared out evenly among the scenarios; else each trial draws one.
    """

    draw: Draw
    weight: int
    where: tuple[str, ...] = RUNS
    each: bool = False


EVERYWHERE = (*RUNS, *COMMANDS, "gc", "export")
KINDS = (
    Kind(_kill_at_step, 4, EVERYWHERE),
    Kind(_kill_at_step, 5, ("aggregate", "export", "aggregate", "export", "gc"), each=True),
    Kind(_kill_any_time, 3, EVERYWHERE),
    Kind(_kill_any_time, 2, ("export",)),
    Kind(_killed_commit, 5, COMMANDS, each=True),
    Kind(_lost_reply, 3),
    Kind(_lost_reply, 5, COMMANDS, each=True),
    Kind(_failed_commit, 3),
    Kind(_failed_commit, 5, COMMANDS, each=True),
    Kind(_foreign_commit, 2),
    Kind(_foreign_commit, 5, COMMANDS, each=True),
    Kind(partial(_stop_at_step, action="SIGTERM"), 2, (*RUNS, "aggregate", "export")),
    Kind(partial(_stop_at_step, action="SIGINT"), 3),
    Kind(_passing_read_error, 3),
    Kind(_staying_read_error, 2),
    Kind(partial(_damaged_input, damage="truncated"), 1),
    Kind(partial(_damaged_input, damage="vanished"), 1),
    Kind(partial(_damaged_input, damage="flipped"), 1),
    Kind(partial(_wreck, how="flipped"), 10, ("damage",)),
    Kind(partial(_wreck, how="truncated"), 5, ("damage",)),
    Kind(partial(_wreck, how="removed"), 5, ("damage",)),
    Kind(_full_disk, 3),
    Kind(_full_disk_at_step, 2),
    Kind(_read_only, 2),
    Kind(_two_runs, 3),
    Kind(_gc_during_run, 2),
    Kind(_worker_killed, 2),
    Kind(_worker_killed, 2, ("aggregate", "export"), each=True),
    Kind(_worker_out_of_memory, 1),
    Kind(_worker_hangs, 2),
    Kind(_coordinator_killed, 2),
    Kind(_group_killed, 1),
    Kind(_group_killed, 1, ("aggregate",)),
    Kind(_cluster_interrupted, 2),
)


def draw(seed: int, trial: int, scenarios: Mapping[str, Scenario], *, command: str | None = None) -> Fault:
    """Return the fault of a trial: the same for the same seed and number; of each 100, each kind has its share.

    With `command`, only the kinds that may strike this scenario, and only there.
    """
    rng = random.Random(f"{seed}/{trial}")
    kinds = [replace(kind, where=(command,)) for kind in KINDS if command in kind.where] if command else KINDS
    # Of an `each` kind the cards name their scenario, and the others all from which one is drawn.
    deck = [
        (kind, (kind.where[number % len(kind.where)],) if kind.each else kind.where)
        for kind in kinds
        for number in range(kind.weight)
    ]
    random.Random(f"{seed}/deck {trial // len(deck)}").shuffle(deck)
    kind, where = deck[trial % len(deck)]
    return kind.draw(rng, scenarios[rng.choice(where)])
