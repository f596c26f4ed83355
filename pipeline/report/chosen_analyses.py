"""Analyses in the report: those that `agcarbon analyze` wrote of the same state of the cube and the same years."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.analysis.findings import Number, Published
from pipeline.analysis.registry import ANALYSES
from pipeline.analysis.subject import SYNTHETIC, Subject
from pipeline.analysis.write import FORMAT, folder_of, read_records
from pipeline.storage import files


@dataclass(frozen=True)
class Chosen:
    """A record of `agcarbon analyze`, its numbers, and its figure as PNG."""

    record: Mapping[str, Any]
    numbers: tuple[Number, ...]
    figure: bytes


@dataclass(frozen=True)
class ChosenAnalyses:
    """The analyses of the report, and a sentence on each that is not in it."""

    found: tuple[Chosen, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, subject: Subject, folder: str | None = None) -> ChosenAnalyses:
        """Return the analyses below a folder, by default that of the exports."""
        folder = folder or folder_of(subject.job.stores.exports)
        records = {record["name"]: record for record in read_records(folder, tuple(each.name for each in ANALYSES))}
        found, left_out = [], []
        for analysis in ANALYSES:
            record = records.get(analysis.name)
            figure = files.read(files.join(folder, analysis.name, f"{analysis.name}.png"))
            reason = _fault(record, subject, figure)
            if reason or record is None or figure is None:
                left_out.append(f"{analysis.title}: {reason}; `agcarbon analyze {analysis.name} RUN_FILE` makes it")
            else:
                found.append(Chosen(record, _numbers(record["numbers"]), figure))
        return cls(tuple(found), tuple(left_out))


def _fault(record: Mapping[str, Any] | None, subject: Subject, figure: bytes | None) -> str | None:
    if record is None:
        return "not run"
    of = record.get("provenance", {})
    if record.get("format") != FORMAT:
        return "written by another version"
    if of.get("snapshot") != subject.cube.snapshot:
        return f"of another state of the cube ({str(of.get('snapshot'))[:8]})"
    if of.get("years") != list(subject.years):
        return "of other years"
    if record.get(SYNTHETIC) != subject.synthetic:
        return "of other archives"
    return "its figure is missing" if figure is None else None


def _numbers(stored: Sequence[Mapping[str, Any]]) -> tuple[Number, ...]:
    return tuple(
        Number(
            each["name"],
            math.nan if each["value"] is None else float(each["value"]),
            each["unit"],
            Published(**each["paper"]) if each["paper"] else None,
        )
        for each in stored
    )
