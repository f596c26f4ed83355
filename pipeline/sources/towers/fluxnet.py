"""FLUXNET towers (FLUXNET2015 and AmeriFlux FLUXNET; FULLSET, SUBSET or FLUXMET): daily, half-hourly or hourly files.

The kind of a file is recognised by its columns and stamps, not by its name.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3 (FLUXNET2015, its columns and QC).
Reichstein et al. (2005), Global Change Biology 11:1424-1439, doi:10.1111/j.1365-2486.2005.001002.x (night-time).
Lasslop et al. (2010), Global Change Biology 16:187-208, doi:10.1111/j.1365-2486.2009.02041.x (daytime).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.daily_record import FluxLimit, FluxNames, Tower, spike_notes, without_spikes
from pipeline.sources.towers.half_hourly import Steps, daily_fluxes, daily_share, read_steps, scale_notes
from pipeline.sources.towers.tables import DAY_DIGITS, TowerTable

# Partitioning of NEE into Reco and GPP: NT extrapolates the respiration of nights by temperature, DT fits a light
# response to daytime NEE. VUT_REF is the reference of the friction-velocity thresholds that vary from year to year.
Partitioning = Literal["NT", "DT"]

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
    suffix = f"{partitioning}_VUT_REF"
    names = FluxNames(f"RECO_{suffix}", "NEE_VUT_REF", f"GPP_{suffix}", "NEE_VUT_REF_QC")
    columns = {f"RECO_{suffix}": "reco", names.nee: "nee", f"GPP_{suffix}": "gpp_product"}
    other = "DT" if partitioning == "NT" else "NT"
    if names.reco not in table.columns and f"RECO_{other}_VUT_REF" in table.columns:
        raise UserError(f"{table.file}: holds RECO_{other}_VUT_REF but no {names.reco}; give --partitioning {other}")
    if "TIMESTAMP" in table.columns:
        return _of_days(table, names=names, columns=columns)
    return _of_steps(table, names=names, columns=columns)


def _of_days(table: TowerTable, *, names: FluxNames, columns: dict[str, str]) -> Tower:
    raw = table.read([*columns, names.qc], stamps=["TIMESTAMP"])
    dates = table.times(raw["TIMESTAMP"], digits=DAY_DIGITS)
    # Strictly ascending: a day given twice, or a file sorted otherwise, is no file as released.
    faulty = np.isnat(dates)
    faulty[1:] |= dates[1:] <= dates[:-1]
    if faulty.any():
        row = int(np.flatnonzero(faulty)[0])
        raise UserError(
            f"{table.file}: TIMESTAMP {raw['TIMESTAMP'].iloc[row]!r} in row {row + 1} is not the YYYYMMDD of a later "
            f"day than in the row before; give the daily file with each day once"
        )
    quality = raw[names.qc]
    if not quality.dropna().between(0, 1).all():
        raise UserError(
            f"{table.file}: {names.qc} ranges from {quality.min():g} to {quality.max():g}, but that of a day is the "
            f"share of good half-hours, 0 to 1; give the daily file as released"
        )
    fluxes = without_spikes(raw[list(columns)], limit=DAY_LIMIT, place=table.file)
    reading = spike_notes(raw[list(columns)], fluxes, limit=DAY_LIMIT)
    days = fluxes.rename(columns=columns).assign(qc=quality).set_axis(pd.DatetimeIndex(dates), axis=0)
    return Tower(table.file.site, names, days, reading)


def _of_steps(table: TowerTable, *, names: FluxNames, columns: dict[str, str]) -> Tower:
    steps = read_steps(table, list(columns), flags=(names.qc,))
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
