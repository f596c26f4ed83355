"""AmeriFlux BASE towers: half-hourly or hourly fluxes as the tower's team submitted them, without gap-filling.

A BASE column may carry a position, `_H_V_R` (horizontal, vertical, replicate) or `_H_V_A` (mean of replicates), and
marks of the team: `_PI` for quantities that the team derived and `_F` for those that it filled. Columns are chosen by
a fixed rule, and the tower's notes name them:

- NEE: NEE_PI, else NEE, else FC. To FC the storage below the sensor, SC at the same position, is added where the
  file has it for at least half of FC's steps; a step then needs both. Filled columns (`NEE_PI_F`) are not taken, since
  they are no observations.
- Reco and GPP: RECO_PI_F, else RECO_PI, else RECO; likewise GPP. Both are the team's models in any case, so that filled
  columns are as good as others. Without a column of Reco it is NEE + GPP.
- Of several positions, the one without suffix, else the lowest; columns without any value are skipped.

References
----------
Chu et al. (2023), Scientific Data 10:614, doi:10.1038/s41597-023-02531-2 (AmeriFlux BASE).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.daily_record import FluxNames, Tower
from pipeline.sources.towers.half_hourly import STAMPS, Steps, daily_fluxes, daily_share, read_steps, scale_notes
from pipeline.sources.towers.tables import SITE_NAME, TowerTable

# Share of a day's steps that must be measured. Most gaps are calm nights, so that the mean of the other steps is biased
# towards uptake: a higher share gives fewer days with less bias.
MIN_SHARE = 0.8
MIN_STORAGE_SHARE = 0.5
NEE_NAMES = ("NEE_PI", "NEE", "FC")
RECO_NAMES = ("RECO_PI_F", "RECO_PI", "RECO")
GPP_NAMES = ("GPP_PI_F", "GPP_PI", "GPP")
STORAGE = "SC"
OTHER_SIGN_UMOL = -1.0  # a lower mean of Reco or GPP proves the opposite sign: noise averages closer to zero

_POSITION = r"(?:_(\d+)(?:_(\d+)_(\d+|A))?)?"
_PERIODS = ("_VUT_", "_CUT_")  # in names of FLUXNET products only


def is_base(table: TowerTable) -> bool:
    """Return whether the table is AmeriFlux BASE: it has comment lines, or steps and no FLUXNET column."""
    fluxnet = any(mark in name for name in table.columns for mark in _PERIODS)
    return bool(table.comments) or (STAMPS[0] in table.columns and not fluxnet)


def read_base(table: TowerTable, *, min_share: float = MIN_SHARE) -> Tower:
    """Return the days of a BASE file; a flux is missing where fewer than `min_share` of the day's steps have a value.

    The tower's column qc is the share of the day's steps on which NEE was measured.

    Raises
    ------
    UserError
        If there is no measured NEE, a value is not a number, fluxes are beyond those of a field, Reco or GPP has the
        opposite sign, or a step is malformed, repeated or out of order.
    """
    found = {name: positions(table.columns, name) for name in (*NEE_NAMES, *RECO_NAMES, *GPP_NAMES, STORAGE)}
    steps = read_steps(table, [column for columns in found.values() for column in columns])
    fluxes = _chosen(table, steps, found=found)
    _check_signs(table, fluxes)
    made = Steps(steps.minutes, fluxes.values)
    days = daily_fluxes(made, list(fluxes.values.columns), min_share=min_share)
    days["qc"] = daily_share(fluxes.values["nee"].notna(), per_day=steps.per_day)
    names = FluxNames(fluxes.reco, fluxes.nee, fluxes.gpp, f"a share of measured {steps.name}")
    reading = (
        *_made_of(table, made, days=days, min_share=min_share),
        *_passed_over(steps, fluxes),
        *steps.notes,
        *scale_notes(fluxes.values["nee"].rename(fluxes.nee), per_day=steps.per_day),
    )
    return Tower(_site(table), names, days, reading)


def _site(table: TowerTable) -> str:
    """Name of the tower; reports are files of that name, so that only the form of network names is accepted."""
    named = table.comment("Site")
    if named and not SITE_NAME.fullmatch(named):
        raise UserError(
            f"{table.file}: the comment `Site: {named[:40]}` is not a tower's name such as US-CRT; correct it"
        )
    return named or table.file.site


def positions(columns: tuple[str, ...], name: str) -> list[str]:
    """Return the columns of a quantity: the one without position, then by rising position, means of replicates last."""
    found = {column: re.fullmatch(name + _POSITION, column) for column in columns}
    places = {
        column: [math.inf if part == "A" else int(part) for part in match.groups() if part]
        for column, match in found.items()
        if match
    }
    return sorted(places, key=places.__getitem__)


@dataclass(frozen=True)
class _Fluxes:
    """Fluxes by step, columns nee, reco, gpp_product, and the names of their columns in the file."""

    values: pd.DataFrame
    nee: str
    reco: str | None
    gpp: str | None


def _chosen(table: TowerTable, steps: Steps, *, found: dict[str, list[str]]) -> _Fluxes:
    # Columns may be present and empty: -9999 in all rows.
    def first(names: tuple[str, ...]) -> str | None:
        columns = (column for name in names for column in found[name])
        return next((column for column in columns if steps.values[column].notna().any()), None)

    measured, reco_name, gpp_name = first(NEE_NAMES), first(RECO_NAMES), first(GPP_NAMES)
    if measured is None:
        raise UserError(
            f"{table.file}: none of {', '.join(NEE_NAMES)} has a value; give a file with measured NEE (filled columns "
            f"such as NEE_PI_F do not count)"
        )
    absent = pd.Series(math.nan, steps.values.index)
    nee, nee_name = _with_storage(steps.values, measured)
    gpp = steps.values[gpp_name] if gpp_name else absent
    reco = steps.values[reco_name] if reco_name else nee + gpp
    if reco_name is None and gpp_name:
        reco_name = f"{nee_name} + {gpp_name}"
    return _Fluxes(pd.DataFrame({"nee": nee, "reco": reco, "gpp_product": gpp}), nee_name, reco_name, gpp_name)


def _with_storage(values: pd.DataFrame, measured: str) -> tuple[pd.Series, str]:
    """NEE and its name: FC with the storage at the same position where there is enough of it."""
    # NEE is the turbulent flux FC plus the change of storage between ground and sensor, SC.
    nee = values[measured]
    storage = measured.replace("FC", STORAGE, 1)
    if not measured.startswith("FC") or storage not in values:
        return nee, measured
    both = nee + values[storage]
    # Where storage is rare, its correction would cost more days than it improves.
    if both.count() < MIN_STORAGE_SHARE * nee.count():
        return nee, measured
    return both, f"{measured} + {storage}"


def _check_signs(table: TowerTable, fluxes: _Fluxes) -> None:
    for name, column in ((fluxes.gpp, "gpp_product"), (fluxes.reco, "reco")):
        mean = fluxes.values[column].mean()
        if mean < OTHER_SIGN_UMOL:
            raise UserError(
                f"{table.file}: {name} is {mean:.3g} umol CO2 m-2 s-1 on average, but Reco and GPP are positive; "
                f"change its sign"
            )


def _made_of(table: TowerTable, steps: Steps, *, days: pd.DataFrame, min_share: float) -> tuple[str, ...]:
    version = table.comment("Version") or "without version"
    missing, partial = int(days["nee"].isna().sum()), int((days["nee"].notna() & (days["qc"] < 1)).sum())
    return (
        f"The days are means of measured {steps.name} in umol CO2 m-2 s-1 (AmeriFlux BASE {version}); the partitioning "
        f"of NEE is the tower team's own.",
        f"Of the file's {len(days):,} days, {missing:,} have less than {min_share:.0%} of their {steps.name} of NEE "
        f"and are missing; {partial:,} have gaps, mostly at night, and are biased towards uptake.",
    )


def _passed_over(steps: Steps, fluxes: _Fluxes) -> tuple[str, ...]:
    taken = re.findall(r"\w+", " ".join(filter(None, (fluxes.nee, fluxes.reco, fluxes.gpp))))
    others = [str(column) for column in steps.values.columns if column not in taken]
    return (f"Columns of the same fluxes that are not used: {', '.join(others)}.",) if others else ()
