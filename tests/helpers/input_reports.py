"""Reports on an inputs store, its arrays as xarray reads them, and values planted in it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from pipeline.grid.domain import domain_of
from pipeline.inputs.report import InputsReport, Wanted, report_inputs
from pipeline.inputs.report_tables import print_inputs
from pipeline.inputs.survey import Survey
from pipeline.job import Job
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.storage.repository import Array
from tests.helpers.commits import transaction


def survey_stores(job: Job, wanted: Wanted) -> InputsReport:
    files = job.run_file
    return report_inputs(files.stores.inputs, job.region, wanted, archives=files.archives.by_product)


def change(job: Job, path: str, how: Callable[[Array], None]) -> None:
    """Change an array in the store, as no reader would."""
    repository = store.open_existing(job.run_file.stores.inputs, made_by="test")
    with transaction(repository, "plant") as root:
        how(store.array(root, path))


def filled_with(value: float) -> Callable[[Array], None]:
    """Return a change that puts a value wherever there is one."""

    def fill(array: Array) -> None:
        stored, packing = np.asarray(array[...]), cf.Packing.of(array)
        new = value if packing.scale is None else packing.missing if np.isnan(value) else round(value / packing.scale)
        array[...] = np.where(np.isnan(packing.unpacked(stored)), stored, new)

    return fill


def opened(job: Job, group: str) -> xr.Dataset:
    session = store.open_existing(job.run_file.stores.inputs, made_by="test").readonly_session("main")
    return xr.open_zarr(session.store, group=group, consolidated=False)


def of(report: InputsReport, group: str) -> Survey:
    return next(survey for survey in report.surveys if survey.group == group)


def in_tiles(job: Job, data: xr.DataArray) -> np.ndarray[Any, Any]:
    """Values on the region's tiles alone."""
    domain = domain_of(job.region)
    inside = np.zeros(domain.grid.shape, bool)
    for tile in domain.tiles:
        inside[domain.grid.window(tile)] = True
    return np.asarray(data.values[..., inside], np.float64)


def printed(report: InputsReport, *, by_year: bool = False, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_inputs(console, report, by_year=by_year)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
