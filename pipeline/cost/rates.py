"""Rates of all steps, measured once on one machine by `python -m benchmarks.plan_rates`; see docs/plan.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

RATES_FILE = Path(__file__).with_name("rates.json")


@dataclass(frozen=True)
class Seconds:
    """Processor seconds for each unit of work on the machine that was measured.

    Attributes
    ----------
    start
        Start of a process: imports, and opening the stores.
    climate_hour, climate_byte
        Ingest of NLDAS-2, for each hour and for each byte of the files.
    gpp_cell_day, crop_cell_year, soil_cell
        Ingest of the gridded products, for each cell of the tiles.
    gpp_strip_day, crop_strip_year, soil_strip
        The same, for each strip of neighbouring tiles, which is read at a time.
    run_cell_year
        A run beside its network, for each modelled cell of a year: packing, rounding, checks, digests, compression.
    run_tile_cell, aggregate_tile_cell, audit_tile_cell
        Reading and writing, for each cell of a tile and year, modelled or not.
    aggregate_cell_year, audit_cell_year
        The same steps, for each modelled cell of a year.
    run_tile_year, aggregate_tile_year, audit_tile_year
        The same steps, for each tile and year, however large.
    export_cell
        Export of annual GeoTIFFs, for each cell of a layer's grid.
    run_member_cell_year, aggregate_member_cell_year, audit_member_cell_year
        What these steps take more for each member of an ensemble, beside its network, and modelled cell of a year.
    """

    start: float
    climate_hour: float
    climate_byte: float
    gpp_cell_day: float
    crop_cell_year: float
    soil_cell: float
    gpp_strip_day: float
    crop_strip_year: float
    soil_strip: float
    run_cell_year: float
    run_tile_cell: float
    run_tile_year: float
    aggregate_cell_year: float
    aggregate_tile_cell: float
    aggregate_tile_year: float
    audit_cell_year: float
    audit_tile_cell: float
    audit_tile_year: float
    export_cell: float
    run_member_cell_year: float
    aggregate_member_cell_year: float
    audit_member_cell_year: float


@dataclass(frozen=True)
class Bytes:
    """Stored bytes for each unit of data, after compression.

    Attributes
    ----------
    climate_cell_day
        Seven series of an NLDAS-2 cell, with months that were staged (freed by `agcarbon gc`).
    gpp_cell_day
        GPP, for each cell that has some.
    crop_cell_year, soil_cell
        The other gridded products, for each cell of the tiles.
    daily_cell_day
        The three daily fluxes of a modelled cell.
    annual_cell_year, aggregate_cell_year
        Annual layers and all aggregates, for each modelled cell of a year.
    restart_cell
        Carried state of one network, for each modelled cell of a kept year.
    mask_cell
        Masks, for each cell of the tiles.
    record
        Ledger, manifests and snapshots, for each tile-year.
    export_cell
        A layer of an annual GeoTIFF, for each modelled cell.
    member_cell_year, spread_cell_year
        Of an ensemble, for each modelled cell of a year: the sums of a member; all layers of spread.
    """

    climate_cell_day: float
    gpp_cell_day: float
    crop_cell_year: float
    soil_cell: float
    daily_cell_day: float
    annual_cell_year: float
    restart_cell: float
    aggregate_cell_year: float
    mask_cell: float
    record: float
    export_cell: float
    member_cell_year: float
    spread_cell_year: float


@dataclass(frozen=True)
class Rates:
    """Rates, the network's cell-years per processor second by year step, and the machine and date of measurement."""

    network: Mapping[str, float]
    seconds: Seconds
    bytes: Bytes
    machine: str
    date: str

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Rates:
        """Return the rates of a file's content."""
        return cls(raw["network"], Seconds(**raw["seconds"]), Bytes(**raw["bytes"]), raw["machine"], raw["date"])


@cache
def measured_rates() -> Rates:
    """Return the rates that come with this package."""
    return Rates.parse(json.loads(RATES_FILE.read_text(encoding="utf-8")))
