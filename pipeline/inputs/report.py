"""Report on the inputs store: its content beside plausible and requested inputs, also as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.ranges import PUBLISHED_RANGES, TrainingRanges
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.inputs.distribution import Distribution
from pipeline.inputs.layout import PRODUCTS, YEARLY, Extent, check_extent, group_name, read_record
from pipeline.inputs.limits import faults, plausible
from pipeline.inputs.survey import Reading, Survey, survey
from pipeline.inputs.view import MADE_BY, InputsView, open_inputs
from pipeline.progress import Progress, silent
from pipeline.storage import repository as store
from regions import Region

# Optional companions of a product: reported where they are ingested, and never as absent.
COMPANIONS = {"gpp": ("gpp_uncertainty",)}


@dataclass(frozen=True)
class Wanted:
    """Scope of a report.

    Attributes
    ----------
    everything
        Whether all cells of daily GPP are read, and not a chunk of each tile.
    ranges
        Training ranges to compare with.
    """

    years: tuple[int, ...]
    products: tuple[str, ...] = PRODUCTS
    everything: bool = False
    ranges: TrainingRanges = PUBLISHED_RANGES

    def __post_init__(self) -> None:
        unknown = [product for product in self.products if product not in PRODUCTS]
        if unknown:
            raise UserError(f"{', '.join(map(repr, unknown))}: the products are {', '.join(PRODUCTS)}")

    def product_years(self) -> Iterator[tuple[str, int | None]]:
        """Yield every product-year; soil has no year."""
        for product in PRODUCTS:
            if product in self.products:
                yield from ((product, year) for year in (self.years if product in YEARLY else (None,)))


@dataclass(frozen=True, eq=False)
class InputsReport:
    """Content of the inputs store within the scope of a report.

    Attributes
    ----------
    title
        Region title.
    location, snapshot
        The store, and the snapshot that was read.
    surveys
        Surveys of all ingested product-years.
    ingested_at
        Time of ingest (ISO 8601, UTC) by group, as far as the store's history has it.
    absent
        Product-years that are not ingested: years by product, no years for soil.
    synthetic
        Products whose archive is marked as synthetic.
    training_years
        Calendar years of the network's training data.
    """

    title: str
    location: str
    snapshot: str
    surveys: tuple[Survey, ...]
    ingested_at: Mapping[str, str]
    absent: Mapping[str, tuple[int, ...]]
    synthetic: tuple[str, ...]
    training_years: range

    @property
    def sound(self) -> bool:
        """Whether all inputs in scope are there, complete and plausible."""
        return not self.absent and not any(survey.absent_tiles or survey_faults(survey) for survey in self.surveys)

    def beyond_training(self, survey: Survey) -> bool:
        """Return whether the calendar year of a survey is outside those of the network's training data."""
        return survey.year is not None and survey.year not in self.training_years

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "store": self.location,
            "snapshot": self.snapshot,
            "region": self.title,
            "sound": self.sound,
            "synthetic": list(self.synthetic),
            "not_ingested": {product: list(years) for product, years in self.absent.items()},
            "product_years": [_survey_json(survey, self) for survey in self.surveys],
        }


def report_inputs(
    location: str,
    region: Region,
    wanted: Wanted,
    *,
    archives: Mapping[str, Path],
    progress: Progress = silent,
) -> InputsReport:
    """Survey product-years of an inputs store; memory grows with neither region nor years.

    Parameters
    ----------
    location, region
        Inputs store, and the region whose inputs it must have.
    wanted
        Scope of the report.
    archives
        Archive folder of each product; its README marks a synthetic one.
    progress
        Called after each product-year.

    Raises
    ------
    UserError
        If there is no inputs store, or one of another region.
    """
    view = open_inputs(location)
    check_extent(view.root, Extent.of(region), location=view.location)
    requested = list(wanted.product_years())
    companions = [(name, year) for product, year in requested for name in COMPANIONS.get(product, ())]
    there = [key for key in (*requested, *companions) if read_record(view.root, group_name(*key)) is not None]
    absent = [key for key in requested if key not in there]
    return InputsReport(
        region.title,
        view.location,
        view.snapshot,
        tuple(_surveys(view, region, there, Reading(wanted.everything, wanted.ranges), progress)),
        _ingested_at(view),
        {
            product: tuple(year for named, year in absent if named == product and year)
            for product in dict.fromkeys(named for named, _ in absent)
        },
        tuple(product for product in wanted.products if is_synthetic(archives[product])),
        wanted.ranges.years,
    )


def _surveys(
    view: InputsView, region: Region, there: Sequence[tuple[str, int | None]], reading: Reading, progress: Progress
) -> Iterator[Survey]:
    tiles = domain_of(region).tiles
    for product in dict.fromkeys(product for product, _ in there):
        years = [year for named, year in there if named == product]
        for done, year in enumerate(years, start=1):
            yield survey(view, product, year, tiles=tiles, reading=reading)
            progress(product, done, len(years))


def _ingested_at(view: InputsView) -> dict[str, str]:
    """Return the time of the newest commit of each product-year, which `ingest.run` names in its message."""
    repository = store.open_existing(view.location, made_by=MADE_BY)
    history = repository.ancestry(snapshot_id=view.snapshot)
    commits = [(str(commit.message), commit.written_at) for commit in history]
    return {
        message.removeprefix("ingest "): when.isoformat(timespec="seconds")
        for message, when in reversed(commits)
        if message.startswith("ingest ")
    }


def is_synthetic(archive: Path) -> bool:
    """Return whether the README of an archive begins as that of the demo's archives."""
    readme = archive / "README.txt"
    return readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith("Synthetic")


def survey_faults(survey: Survey) -> list[str]:
    """Return a sentence for each implausible variable of a product-year."""
    if survey.found.cells and not survey.found.present:
        return ["no cell has data; is the archive that of this region?"]
    found = (_fault(survey, name, distribution) for name, distribution in survey.found.distributions.items())
    return [fault for fault in found if fault]


def _fault(survey: Survey, name: str, distribution: Distribution) -> str | None:
    if not distribution.count:
        return None
    fault = faults(survey.product, name, distribution.minimum, distribution.maximum, mean=distribution.mean)
    if not fault or not distribution.outside:
        return fault
    return f"{fault}; {distribution.outside:,} of {distribution.count:,} values are outside"


def _survey_json(survey: Survey, report: InputsReport) -> dict[str, Any]:
    record = survey.record
    return {
        "product": survey.product,
        "year": survey.year,
        "ingested_at": report.ingested_at.get(survey.group),
        "files": record.files,
        "size_bytes": record.size_bytes,
        "digest": record.digest,
        "cells": survey.region_cells,
        "share_read": survey.share_read,
        "share_stored": survey.share_stored,
        "coverage": survey.coverage,
        "missing_share": record.missing_share,
        "tiles_not_ingested": list(survey.absent_tiles),
        "counts": dict(record.counts),
        "notes": dict(record.notes),
        "beyond_training_years": report.beyond_training(survey),
        "faults": survey_faults(survey),
        "variables": [
            _distribution_json(survey, name, distribution) for name, distribution in survey.found.distributions.items()
        ],
    }


def _distribution_json(survey: Survey, name: str, distribution: Distribution) -> dict[str, Any]:
    limits, trained = plausible(survey.product, name), distribution.bounds.trained
    return {
        "name": name,
        "units": survey.units[name],
        "values": distribution.count,
        "missing": distribution.missing,
        "minimum": _number(distribution.minimum),
        "percentile_1": _number(distribution.percentile(1)),
        "mean": _number(distribution.mean),
        "percentile_99": _number(distribution.percentile(99)),
        "maximum": _number(distribution.maximum),
        "plausible": [limits.low, limits.high] if limits else None,
        "plausible_mean": [limits.mean_low, limits.mean_high] if limits else None,
        "outside_plausible": distribution.outside,
        "trained_on": list(trained) if trained else None,
        "outside_training": distribution.untrained if trained else None,
        "fault": _fault(survey, name, distribution),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
