"""Files of an analysis: tables, picture, page and JSON record in a folder of its own; and the records read again.

exports/analyses/NAME/NAME.csv, .parquet   main table; NAME-TABLE.csv of further ones
exports/analyses/NAME/NAME.png             picture
exports/analyses/NAME/NAME.md              what was computed, numbers beside the paper's, what they cannot say
exports/analyses/NAME/NAME.json            all of it for programs, with provenance and the names of the files
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import pandas as pd

from pipeline.access.tables import write_parts
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.subject import SYNTHETIC, Subject
from pipeline.storage import files
from pipeline.years import spans

DPI = 110
FORMAT = 1  # of the JSON record


def folder_of(exports: str) -> str:
    """Return the folder of all analyses below the exports."""
    return files.join(exports, "analyses")


def write_findings(folder: str, analysis: Analysis, subject: Subject, found: Findings) -> dict[str, Any]:
    """Write the files of an analysis into its own folder below `folder`, the JSON record last; return the record."""
    place, name = files.join(folder, analysis.name), analysis.name
    tables = [
        file for part, table in found.tables.items() for file in _write_table(place, _table_name(name, part), table)
    ]
    with files.writing(files.join(place, f"{name}.png")) as path:
        found.figure.savefig(path, dpi=DPI, format="png")
    record = _record(analysis, subject, found, [*tables, f"{name}.png", f"{name}.md", f"{name}.json"])
    _write_text(files.join(place, f"{name}.md"), _page(analysis, subject, found))
    _write_text(files.join(place, f"{name}.json"), json.dumps(record, indent=2, allow_nan=False) + "\n")
    return record


def read_records(folder: str, names: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON records of the analyses of these names that were written below `folder`."""
    for name in names:
        content = files.read(files.join(folder, name, f"{name}.json"))
        if content is not None:
            yield json.loads(content)


def _table_name(name: str, part: str) -> str:
    return name if part == MAIN else f"{name}-{part}"


def _write_table(place: str, name: str, table: pd.DataFrame) -> list[str]:
    formats = [".csv", *([".parquet"] if find_spec("pyarrow") else [])]
    for suffix in formats:
        write_parts(files.join(place, name + suffix), [table])
    return [name + suffix for suffix in formats]


def _write_text(location: str, text: str) -> None:
    with files.writing(location) as path:
        path.write_text(text, encoding="utf-8")


def _record(analysis: Analysis, subject: Subject, found: Findings, names: list[str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": analysis.name,
        "title": analysis.title,
        "purpose": analysis.purpose,
        SYNTHETIC: subject.synthetic,
        "provenance": dict(subject.provenance),
        "computed": found.computed,
        "limits": found.limits,
        "notes": list(found.notes),
        "numbers": [number.as_json() for number in found.numbers],
        "tables": {_table_name(analysis.name, part): list(table.columns) for part, table in found.tables.items()},
        "files": names,
    }


def _page(analysis: Analysis, subject: Subject, found: Findings) -> str:
    facts = subject.provenance
    head = ["**Synthetic: the archives behind this cube were made by the demo; nothing here is about real fields.**"]
    lines = [
        f"# {analysis.title}",
        *(head if subject.synthetic else []),
        f"{facts['region']}, {spans(subject.years)}; cube at snapshot {facts['snapshot']} (release: "
        f"{facts['release']}); network weights: {facts['checkpoint_origin']}.",
        f"![{analysis.title}]({analysis.name}.png)",
        "## What was computed",
        found.computed,
        _numbers(found.numbers),
        "## What it cannot say",
        found.limits,
        *(["## Missing data", "\n".join(f"- {note}" for note in found.notes)] if found.notes else []),
    ]
    return "\n\n".join(lines) + "\n"


def _numbers(numbers: tuple[Number, ...]) -> str:
    rows = [
        f"| {number.name} | {number.text} | {number.unit} | "
        + (f"{number.paper.text} | {number.paper.source} |" if number.paper else "– | |")
        for number in numbers
    ]
    return "\n".join(["| result | here | unit | paper | source |", "|---|---|---|---|---|", *rows])
