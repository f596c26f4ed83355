"""The pages of the reference, written from the code each time that the documentation is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import typer

from model.arrays import MONTHS
from pipeline import config
from pipeline.aggregate import layout as aggregate_layout
from pipeline.aggregate import tables
from pipeline.aggregate.sums import AREA_TYPES, Sums
from pipeline.cli import main
from pipeline.cluster.stop import EXIT_CODE
from pipeline.cube import layout as cube_layout
from pipeline.cube import ledger, members
from pipeline.cube.entry import COMPONENTS
from pipeline.inputs import layout as inputs_layout
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, QUALITY_MEANINGS, Variable
from regions import counties, region

_SIGNS = "NEE is positive to the atmosphere, dSOC where the soil gains carbon; GPP, respiration and yield are positive."


def write(folder: Path) -> None:
    """Write all pages into a folder; a page that is the same is left alone, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    for name, lines in pages().items():
        text, path = "\n".join(lines) + "\n", folder / f"{name}.md"
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def pages() -> dict[str, list[str]]:
    """Return the lines of each page by its name."""
    return {
        "commands": list(_commands()),
        "exit-codes": list(_exit_codes()),
        "run-file": list(_run_file()),
        "region-file": list(_region_file()),
        "variables": list(_variables()),
        "tables": list(_tables()),
        "python": list(_python()),
    }


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the commands of `agcarbon` with their names, those of groups after their group."""
    yield from _below(click.Context(typer.main.get_command(main.app), info_name="agcarbon"))


def _below(context: click.Context) -> Iterator[tuple[str, Any]]:
    command: Any = context.command
    yield context.command_path, command
    for child in getattr(command, "commands", {}):
        below = command.get_command(context, child)  # of the group, which may add to it
        if not below.hidden:
            yield from _below(click.Context(below, info_name=child, parent=context))


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield "\nAs `--help` prints them. Every command that takes a run file takes it first."
    yield " [Exit codes](exit-codes.md), [settings of the run file](run-file.md), [output with `--json`](../json.md)."
    for name, command in commands():
        yield f"\n## `{name}`\n"
        for text in (command.help, command.epilog):
            yield from _help(inspect.cleandoc(text or ""))
        arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
        options = [_option(each) for each in command.params if each.param_type_name == "option"]
        options = [option for option in options if option[0] not in ("`--install-completion`", "`--show-completion`")]
        yield from _table(("argument", "meaning"), arguments)
        yield from _table(("option", "meaning", "default"), options)


def _help(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; those after a backspace keep their lines, as in a terminal."""
    for paragraph in filter(None, text.partition("\f")[0].split("\n\n")):
        if paragraph.startswith("\b"):
            yield from ("```text", paragraph[1:].strip("\n"), "```\n")
        else:
            yield f"{_text(paragraph)}\n"


def _argument(parameter: Any) -> tuple[str, str]:
    name = parameter.name.upper()
    return f"`{name if parameter.required else f'[{name}]'}`", _cell(parameter.help or "")


def _option(parameter: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default in (None, False, (), "") or callable(default) else f"`{default}`"
    return names, _cell(parameter.help or ""), "required" if parameter.required else shown


def _exit_codes() -> Iterator[str]:
    yield "# Exit codes\n"
    yield "Of all commands; those with codes of their own have them in [Commands](commands.md). The message of an error"
    yield "is one line on stderr, without a traceback."
    codes = {
        "0": "success; nothing is left to do of what was asked",
        "1": "work of which a part was left undone or failed, each part named: an archive that is absent, a tile that "
        "failed, an audit or a check that did not pass",
        "2": "an error that the user can fix, with value, limit, place and remedy: options, run file, region, stores, "
        "a full disk",
        str(EXIT_CODE): "stopped by Ctrl-C or SIGTERM; what was committed stays, and the same command resumes",
    }
    yield from _table(("code", "meaning"), codes.items())


def _run_file() -> Iterator[str]:
    yield "# Run file\n"
    yield "Every setting with its default, as `agcarbon init` writes it; a key that is left out has its default, an"
    yield "unknown one is refused. Relative paths start from the folder of the file."
    head, *sections = re.split(r"\n(?=\[)", config.dump(config.RunFile()))
    yield from _toml(head)
    for section in sections:
        name = section[1 : section.index("]")]
        yield f"\n## `[{name}]`"
        yield from _toml(section)


def _region_file() -> Iterator[str]:
    yield "# Region file\n"
    yield "A TOML file; `agcarbon init FILE.toml -o run.toml` writes a run file for it. It must hold"
    yield f"{_codes(sorted(region._REQUIRED))}, and at least one of `states`, `counties` and `bbox`; it may hold"
    yield f"{_codes(sorted(region._OPTIONAL))}. Any other key is refused, and all faults are named at once.\n"
    rows = [(_codes(names.split(", ")), _cell(text)) for names, text in _attributes(region.Region)]
    yield from _table(("key", "meaning"), rows[1:])  # without `name`, which is that of the file
    yield "\n## The region files that are included"
    for path in sorted(Path(region.__file__).parent.glob("*.toml")):
        yield f"\n`{path.stem}`:"
        yield from _toml(path.read_text())


def _attributes(kind: type) -> Iterator[tuple[str, str]]:
    """Yield names and descriptions of the section Attributes of a docstring."""
    section = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")[2]
    for entry in re.split(r"\n(?=\S)", section):
        names, _, text = entry.partition("\n")
        yield names, " ".join(text.split())


def _variables() -> Iterator[str]:
    yield "# Variables and groups of the stores\n"
    yield f"{_SIGNS} The unit `g m-2` is of carbon. NaN is a cell that is not modelled or has no result."
    yield "\n## The cube\n"
    yield from _literal(cube_layout)
    yield from _group("`daily/YYYY`", DAILY)
    yield from _group("`annual`", (*ANNUAL,))
    yield from _group("`annual`, of an ensemble also", tuple(ENSEMBLE_STD.values()))
    yield "\n### Bits of `quality`\n"
    bits = ((str(int(bit)), f"`{bit.name.lower()}`", meaning) for bit, meaning in QUALITY_MEANINGS.items())
    yield from _table(("bit", "name", "meaning"), bits)
    yield "\n### `members`, of an ensemble\n"
    yield from _literal(members)
    yield "\n### `ledger`\n"
    yield from map(_text, (inspect.getdoc(ledger) or "").splitlines())
    yield f"\nParts of a fingerprint: {_codes(COMPONENTS)}."
    yield "\n### `aggregates`\n"
    yield from _literal(aggregate_layout)
    yield from _group("Annual groups", aggregate_layout.ANNUAL_LAYERS)
    yield from _group("Annual groups, of an ensemble also", tuple(aggregate_layout.SPREADS.values()))
    yield from _group("Monthly groups", aggregate_layout.MONTHLY_LAYERS)
    yield from _group("Monthly groups, of an ensemble also", aggregate_layout.MONTHLY_SPREADS)
    yield "\n## The inputs store\n"
    yield from _literal(inputs_layout)
    yield from _group("`climate/YYYY`", inputs_layout.CLIMATE)
    for product, declared in inputs_layout.ON_GRID.items():
        yield from _group(f"`{inputs_layout.group_name(product, None if product == 'soil' else 'YYYY')}`", declared)  # type: ignore[arg-type]


def _tables() -> Iterator[str]:
    yield "# Tables\n"
    yield "Files of `agcarbon aggregate`, in `tables` of the exports. `_g_m2` are means, `_g` totals, of carbon in a"
    yield f"year or month; {_SIGNS} Those of `agcarbon zonal` and `extract`: [Tables](../tables.md)."
    for name, table in _empty_tables().items():
        yield from (f"\n## `{name}.csv`\n", _codes(table.columns))
    yield f"\n`cover` is the area type: {', '.join(AREA_TYPES)}. `route` is how the region was summed up:"
    yield f"{', '.join(tables.ROUTES)}."


def _empty_tables() -> dict[str, pd.DataFrame]:
    """Return each table with the columns that `agcarbon aggregate` writes for a single network."""
    zones = counties()[:1]
    county, state = tables.county_labels(zones), tables.states_of(zones)[0]
    months = np.zeros((1 + len(DAILY), MONTHS, 1))
    return {
        "counties": tables.county_table(Sums.zero(1), zones, year=2000),
        "states": tables.state_table(Sums.zero(1), zones, year=2000),
        "region": tables.regional_table(Sums.zero(len(tables.ROUTES)), year=2000),
        "counties_monthly": tables.monthly_table(county, months, year=2000),
        "states_monthly": tables.monthly_table(state, months, year=2000),
    }


def _python() -> Iterator[str]:
    yield "# Python\n"
    yield "How they are used: [The cube in Python](../python.md).\n"
    yield "```{eval-rst}"
    yield ".. autofunction:: agcarbon.open"
    yield ".. autoclass:: agcarbon.Cube()\n   :members:"
    for name in ("ingest", "plan", "run", "aggregate", "export", "audit"):
        yield f".. autofunction:: agcarbon.{name}"
    yield "```"


def _group(title: str, variables: Iterable[Variable]) -> Iterator[str]:
    yield f"\n{title}:\n"
    rows = ((f"`{each.name}`", _cell(each.units), each.dtype, _cell(each.long_name)) for each in variables)
    yield from _table(("name", "unit", "type", "meaning"), rows)


def _literal(module: object) -> Iterator[str]:
    """Yield the list of groups in the docstring of a module."""
    indented = re.findall(r"^ {4}.*$", inspect.getdoc(module) or "", re.MULTILINE)
    yield from ("```text", *(line[4:] for line in indented), "```")


def _toml(text: str) -> Iterator[str]:
    yield from ("\n```toml", text.rstrip(), "```")


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield f"\n| {' | '.join(heads)} |"
        yield f"|{'---|' * len(heads)}"
        yield from (f"| {' | '.join(row)} |" for row in found)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", r"\|")


def _text(text: str) -> str:
    """Return text of the command line as Markdown that shows it."""
    outside = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in outside)
