"""Commands with their lessons: groups and whole purposes in `--help`, examples and exit codes, the next command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.cli.guide.lessons import GROUPS, LESSONS, OTHER, SUB_COMMANDS, Lesson

_UNCUT = 1000  # characters of a purpose, which is a sentence


class Guided(TyperGroup):
    """A group of commands, each with its lesson."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; flags of the program may stand behind the command too, as in `agcarbon run -q`."""
        if ctx.parent is None:
            flags = {name for each in self.params if getattr(each, "is_flag", False) for name in each.opts}
            end = args.index("--") if "--" in args else len(args)
            ahead = [each for each in args[:end] if each in flags]
            args = [*ahead, *(each for each in args[:end] if each not in flags), *args[end:]]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, with its lesson; None if there is none of that name."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _teach(command, _full_name(ctx, cmd_name))
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under the headings of their groups, with their purposes as whole sentences."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            lesson = LESSONS.get(_full_name(ctx, name))
            heading = OTHER if lesson is None else lesson.group or SUB_COMMANDS
            rows.setdefault(heading, []).append((name, command.get_short_help_str(_UNCUT)))
        for heading in (*GROUPS, SUB_COMMANDS, OTHER):
            if heading in rows:
                with formatter.section(heading):
                    formatter.write_dl(rows[heading])


def _full_name(context: Any, name: str) -> str:
    """Return the name of a command with those of the groups that it is in."""
    names = [name]
    while context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(names)


def _teach(command: Any, name: str) -> None:
    """Give a command and its sub-commands their epilogs, and have each name the next command when it ends."""
    lesson = LESSONS.get(name)
    if lesson is not None and command.epilog is None:
        command.epilog = lesson.epilog()
        if command.callback is not None:
            command.callback = _naming_the_next(command.callback, lesson)
    for sub_name, sub_command in getattr(command, "commands", {}).items():
        _teach(sub_command, f"{name} {sub_name}")


def _naming_the_next(callback: Callable[..., Any], lesson: Lesson) -> Callable[..., Any]:
    @wraps(callback)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            found = callback(*arguments, **options)
        except typer.Exit as end:
            _print_next(lesson.next_after(end.exit_code), options)
            raise
        # A command that knows better returns the next one.
        _print_next(found if isinstance(found, str) else lesson.next_after(0), options)
        return found

    return call


def _print_next(command: str, options: Mapping[str, Any]) -> None:
    """Print the next command on stderr, where it is no part of the result."""
    if not command:
        return
    from pipeline.console import print_hint

    given = {name: "" if value is None else shlex.quote(str(value)) for name, value in options.items()}
    given["--years"] = f"--years {given['years']}" if given.get("years") else ""
    print_hint(f"next: {command.format_map(given).rstrip()}")
