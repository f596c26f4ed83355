"""CPU time before agcarbon works: of `import agcarbon` beside `import numpy`, and of commands.

Usage: python -m benchmarks.imports [RUN_FILE]

Each is the CPU time of a fresh process and its children, the median of `REPEATS` after one that fills the caches of the
file system. Python itself, which all of them start, is listed first. "status, before it works" has imported all that
the command needs and read nothing; with a run file of a demo, the time of `agcarbon status` is that of a command which
reads both stores. The second column is the ratio to `import numpy`, which depends less on the machine.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

REPEATS = 5
CODES = {
    "python": "",
    "import numpy": "import numpy",
    "import agcarbon": "import agcarbon",
    "agcarbon.open, not called": "import agcarbon; agcarbon.open",
    "status, before it works": "import pipeline.cli.main, pipeline.console, pipeline.job, pipeline.run.status, regions",
}
COMMANDS = {
    "agcarbon --version": ["--version"],
    "agcarbon --help": ["--help"],
    "agcarbon run --help": ["run", "--help"],
}


def seconds(command: list[str]) -> float:
    """Return the CPU time of a command [s], in user and kernel mode, the median of some calls."""
    return statistics.median([_once(command) for _ in range(REPEATS + 1)][1:])


def _once(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(run_file: str | None) -> None:
    """Print the CPU seconds of each."""
    calls = {name: [sys.executable, "-c", code] for name, code in CODES.items()}
    commands = COMMANDS | ({"agcarbon status RUN_FILE": ["status", run_file]} if run_file else {})
    calls |= {name: [sys.executable, "-m", "pipeline.cli", *arguments] for name, arguments in commands.items()}
    found = {name: seconds(command) for name, command in calls.items()}
    for name, cpu in found.items():
        print(f"{name:<28}{cpu:6.2f} s{cpu / found['import numpy']:7.1f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
