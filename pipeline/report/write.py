"""Writes the report of a cube: one HTML file without references to others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.analysis.subject import Subject
from pipeline.report import facts, pictures
from pipeline.report.chosen_analyses import ChosenAnalyses
from pipeline.report.counties import ALL_YEARS, CountyTable
from pipeline.report.quantities import CROPS, DSOC, QUANTITIES, UNIT, number
from pipeline.report.values import RegionValues
from pipeline.storage import files
from pipeline.years import spans

_PAGE = "page"


@dataclass(frozen=True)
class Report:
    """A report: the page, and sentences on what it does not hold."""

    html: str
    notes: tuple[str, ...]


def report_location(exports: str) -> str:
    """Return the default location of the report below the exports."""
    return files.join(exports, "report.html")


def make_report(subject: Subject, *, analyses: str | None = None) -> Report:
    """Return the report of a subject.

    Parameters
    ----------
    subject
        State of a cube, and years.
    analyses
        Folder of analyses; by default that of the exports.

    Raises
    ------
    DamagedError
        If the cube holds other values than were computed.
    """
    values, chosen = RegionValues.of(subject), ChosenAnalyses.of(subject, analyses)
    table, obstacle = CountyTable.of(subject), CountyTable.obstacle(subject)
    notes = (*([obstacle] if obstacle else []), *chosen.left_out, *subject.provenance["incomplete"])
    environment = Environment(
        loader=PackageLoader("pipeline.report", _PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    html = environment.get_template("report.html.j2").render(
        _context(subject, values, table),
        analyses=[(each, pictures.embedded(each.figure)) for each in chosen.found],
        analyses_left_out=chosen.left_out,
        obstacle=obstacle,
    )
    return Report(html, notes)


def write_report(location: str, subject: Subject, *, analyses: str | None = None) -> tuple[str, ...]:
    """Write the report of a subject as an HTML file; return sentences on what it does not hold."""
    report = make_report(subject, analyses=analyses)
    with files.writing(location) as path:
        path.write_text(report.html, encoding="utf-8")
    return report.notes


def _context(subject: Subject, values: RegionValues, table: CountyTable | None) -> Mapping[str, Any]:
    zones, page = subject.zones, resources("pipeline.report") / _PAGE
    several = len(subject.years) > 1
    maps = [
        (each, pictures.mean_map(values, each, zones), pictures.years_of(values, each) if several else None)
        for each in QUANTITIES
    ]
    return {
        "style": (page / "report.css").read_text(encoding="utf-8"),
        "script": (page / "report.js").read_text(encoding="utf-8"),
        "region": subject.region.title,
        "synthetic": subject.synthetic,
        "years": spans(subject.years),
        "year_list": subject.years,
        "unit": UNIT,
        "states": sorted({zone.state for zone in zones}),
        "verdict": facts.verdict(values),
        "headlines": facts.headlines(values),
        "certainty": facts.certainty(subject, values, table),
        "hero": maps[0][1],
        "dsoc": DSOC,
        "maps": maps,
        "annual": [(each, pictures.annual_maps(values, each, zones)) for each in QUANTITIES] if several else [],
        "courses": [(crop, pictures.courses(values, crop)) for crop in CROPS if values.grown_m2[crop].any()],
        "courses_every": values.courses.every,
        "distributions": [(each, pictures.distribution(values, each)) for each in QUANTITIES],
        "table": table,
        "all_years": ALL_YEARS,
        "remarks": list(facts.remarks(values)),
        "area_km2": values.area_m2_Y / 1e6,
        "grown_km2": {crop: area_m2 / 1e6 for crop, area_m2 in values.grown_m2.items()},
        "provenance": subject.provenance,
        "version": version("agcarbon"),
        "written": f"{dt.date.today():%Y-%m-%d}",
    }
