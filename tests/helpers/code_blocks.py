"""Code blocks of documents, and the command lines in them compared with the commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pipeline.cli import main

NEEDS = ("archives", "checkout", "gpu", "hours", "s3", "slurm")
"""Why a block is not run: ```` ```sh needs=s3 ````."""
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `needs` is empty where it can run on the demo."""

    document: Path
    line: int
    language: str
    needs: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text()
    for found in _FENCE.finditer(text):
        language, _, rest = found["info"].strip().partition(" ")
        lines = (line.removeprefix(found["indent"]) for line in found["text"].splitlines())
        needs = rest.strip().removeprefix("needs=")
        yield Block(document, text.count("\n", 0, found.start()) + 1, language, needs, "\n".join(lines))


def command_lines(script: str) -> Iterator[list[str]]:
    """Yield the arguments of each `agcarbon` at the beginning of a line."""
    for line in script.replace("\\\n", " ").splitlines():
        if line.strip().startswith("agcarbon "):
            yield shlex.split(re.split(r"\s&&|\s\||\s>", line.strip())[0], comments=True)[1:]


def fault(arguments: list[str]) -> str:
    """Return why the command line is refused, or nothing; nothing is run."""
    command: Any = typer.main.get_command(main.app)
    name, parent, rest = "agcarbon", None, list(arguments)
    with ExitStack() as stack:
        try:
            while True:
                context = stack.enter_context(command.make_context(name, rest, parent=parent))
                rest = [*getattr(context, "_protected_args", ()), *context.args]
                if not hasattr(command, "commands") or not rest:
                    return ""
                name, command, rest = command.resolve_command(context, rest)
                parent = context
        except typer.Exit:  # --help, --version
            return ""
        except Exception as error:
            if hasattr(error, "format_message"):
                return str(error.format_message())
            raise
