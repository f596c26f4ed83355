"""FLUXNET towers (FLUXNET2015, AmeriFlux FLUXNET, ICOS): daily, half-hourly or hourly files.

The kind of a file is recognised by its columns and stamps, not by its name.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3 (FLUXNET2015, its columns and QC).
Reichstein et al. (2005), Global Change Biology 11:1424-1439, doi:10.1111/j.1365-2486.2005.001002.x (night-time).
Lasslop et al. (2010), Global Change Biology 16:187-208, doi:10.1111/j.1365-2486.2009.02041.x (daytime).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.daily_record import FluxLimit, FluxNames, Tower, spike_notes, without_spikes
from pipeline.sources.towers.half_hourly import Steps, daily_fluxes, daily_share, read_steps, scale_notes
from pipeline.sources.towers.tables import TowerTable

# Partitioning of NEE into Reco and GPP: NT extrapolates the respiration of nights by temperature, DT fits a light
# response to daytime NEE. VUT_REF is the reference of the friction-velocity thresholds that vary from year to year.
Partitioning = Literal["NT", "DT"]

STAMP = "TIMESTAMP"  # of days and months; steps have a start and an end


class Period(NamedTuple):
    """Days or months of a file: their name, that of the file, and the form of their stamps."""

    name: str
    file: str
    stamp: str


DAY, MONTH = Period("day", "daily", "YYYYMMDD"), Period("month", "monthly", "YYYYMM")
STEP_FLAGS = (0, 1, 2, 3)  # of a step: measured; filled with good, medium, poor confidence
GOOD = 1
DAY_LIMIT = FluxLimit(50.0, "g C m-2 d-1", "kg C ha-1 d-1, mg C or g CO2 m-2 d-1")  # twice the uptake of maize


def read_fluxnet(table: TowerTable, *, partitioning: Partitioning = "NT") -> Tower:
    """Return the days of a FLUXNET file, computed from its steps where it is half-hourly or hourly.

    A day computed from steps is missing unless all of its steps have a value; its qc is the share of steps with flag 0
    or 1, as in the daily files.

    Raises
    ------
    UserError
        If a column is missing, a value is not a number, fluxes are beyond those of a field, a quality flag is unknown,
        a stamp is malformed, repeated or out of order, or the file is weekly, monthly or yearly.
    """
    names = flux_names(table, partitioning)
    return _of_days(table, names) if STAMP in table.columns else _of_steps(table, names)


def flux_names(table: TowerTable, partitioning: Partitioning) -> FluxNames:
    """Return the columns of a partitioning; raises `UserError` if the file has the other one only."""
    suffix = f"{partitioning}_VUT_REF"
    names = FluxNames(f"RECO_{suffix}", "NEE_VUT_REF", f"GPP_{suffix}", "NEE_VUT_REF_QC")
    other = "DT" if partitioning == "NT" else "NT"
    if names.reco not in table.columns and f"RECO_{other}_VUT_REF" in table.columns:
        raise UserError(f"{table.file}: holds RECO_{other}_VUT_REF but no {names.reco}; give --partitioning {other}")
    return names


def read_means(table: TowerTable, names: list[str], *, period: Period) -> pd.DataFrame:
    """Return columns of a daily or monthly file by date (the first of a month); NaN is missing.

    Raises
    ------
    UserError
        If a column is missing, a value is not a number, or a stamp is malformed, repeated or out of order.
    """
    raw = table.read(names, stamps=[STAMP])
    dates = table.times(raw[STAMP], digits=len(period.stamp))
    # Strictly ascending: a day given twice, or a file sorted otherwise, is no file as released.
    faulty = np.isnat(dates)
    faulty[1:] |= dates[1:] <= dates[:-1]
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise UserError(
            f"{table.file}: {STAMP} {raw[STAMP].iloc[row]!r} in row {row + 1} is not the {period.stamp} of a later "
            f"{period.name} than in the row before; give the {period.file} file with each {period.name} once"
        )
    return raw[names].set_axis(pd.DatetimeIndex(dates), axis=0)


def read_fluxes(table: TowerTable, names: FluxNames, *, period: Period) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the fluxes of a daily or monthly file without spikes, as `Tower.days`, and sentences on the spikes.

    Raises
    ------
    UserError
        For the reasons of `read_means`, or if fluxes are beyond those of a field or a quality is no share.
    """
    columns = _columns(names)
    raw = read_means(table, [*columns, names.qc], period=period)
    quality = raw[names.qc]
    if not quality.dropna().between(0, 1).all():
        raise UserError(
            f"{table.file}: {names.qc} ranges from {quality.min():g} to {quality.max():g}, but that of a {period.name} "
            f"is the share of good half-hours, 0 to 1; give the {period.file} file as released"
        )
    fluxes = without_spikes(raw[list(columns)], limit=DAY_LIMIT, place=table.file)
    reading = spike_notes(raw[list(columns)], fluxes, limit=DAY_LIMIT)
    return fluxes.rename(columns=columns).assign(qc=quality), reading


def _columns(names: FluxNames) -> dict[str, str]:
    return {str(names.reco): "reco", names.nee: "nee", str(names.gpp): "gpp_product"}


def _of_days(table: TowerTable, names: FluxNames) -> Tower:
    days, reading = read_fluxes(table, names, period=DAY)
    return Tower(table.file.site, names, days, reading)


def _of_steps(table: TowerTable, names: FluxNames) -> Tower:
    columns = _columns(names)
    steps = read_steps(table, list(columns), others=(names.qc,))
    flags = steps.values[names.qc]
    if not flags.dropna().isin(STEP_FLAGS).all():
        raise UserError(
            f"{table.file}: {names.qc} ranges from {flags.min():g} to {flags.max():g}, but that of a step is one of "
            f"{STEP_FLAGS}; give the HH or HR file as released"
        )
    quality = daily_share(flags <= GOOD, per_day=steps.per_day)  # a step without a flag is not known to be good
    days = daily_fluxes(steps, list(columns)).rename(columns=columns).assign(qc=quality)
    reading = (_made_of(steps, days), *steps.notes, *scale_notes(steps.values[names.nee], per_day=steps.per_day))
    return Tower(table.file.site, names, days, reading)


def _made_of(steps: Steps, days: pd.DataFrame) -> str:
    return (
        f"The days are means of {steps.name} in umol CO2 m-2 s-1; of the file's {len(days):,} days, "
        f"{int(days['nee'].isna().sum()):,} have a gap in NEE and {int(days['reco'].isna().sum()):,} in Reco, and are "
        f"missing."
    )
