"""Changes between two states of a cube on the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from pipeline.changes.compare import Comparison
from pipeline.cube.history import short
from pipeline.variables import FLUXES

_SHOWN = ("gpp", "reco", "nee", "yield", "dsoc")


def table(found: Comparison) -> Table:
    """Return a row for each set of parts that differ, and their total."""
    names = {"gpp": "GPP", "reco": "Reco", "nee": "NEE", "yield": "yield", "dsoc": "dSOC"}
    signs = "change in Gg C, summed over years; NEE is positive to the atmosphere, dSOC where the soil gains carbon"
    table = Table(title=f"{_name(found, 0)} to {_name(found, 1)}\n{signs}", box=SIMPLE)
    table.add_column("changed")
    for heading in ("tile-years", *(names[name] for name in _SHOWN)):
        table.add_column(heading, justify="right")
    terms = found.terms
    for parts, row in terms.iterrows():
        table.add_row(str(parts), f"{row['tile_years']:.0f}", *(f"{row[f'{name}_gg']:+.4g}" for name in _SHOWN))
    table.add_section()
    total = terms.sum()
    table.add_row("total", f"{total['tile_years']:.0f}", *(f"{total[f'{name}_gg']:+.4g}" for name in _SHOWN))
    return table


def _name(found: Comparison, which: int) -> str:
    state = (found.before, found.after)[which]
    of = short(state.snapshot)
    return of if state.snapshot.startswith(state.name.upper()) else f"{state.name} ({of})"


def as_json(found: Comparison) -> dict[str, Any]:
    """Return JSON values; docs/json.md lists their keys."""
    terms = found.terms
    return {
        **{
            key: {"name": state.name, "snapshot": state.snapshot}
            for key, state in (("before", found.before), ("after", found.after))
        },
        "terms": [
            {"changed": parts, "tile_years": int(row["tile_years"]), "change_gg": _fluxes(row)}
            for parts, row in terms.iterrows()
        ],
        "total_gg": _fluxes(terms.sum()),
        "tile_years": [{"tile": each.tile.name, "year": each.year, "changed": each.parts} for each in found.found],
    }


def _fluxes(row: Any) -> dict[str, float]:
    return {flux.name: float(row[f"{flux.name}_gg"]) for flux in FLUXES}
