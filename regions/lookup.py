"""Looking up regions, states and counties by name."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

from regions.boundaries import Zone, counties
from regions.messages import did_you_mean

STATES = {
    "AL": "Alabama", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado", "CT": "Connecticut",
    "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida", "GA": "Georgia", "ID": "Idaho", "IL": "Illinois",
    "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine", "MD": "Maryland",
    "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri", "MT": "Montana",
    "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York",
    "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania",
    "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah",
    "VT": "Vermont", "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
}  # fmt: skip
"""Names of the 48 contiguous states and the District of Columbia by postal abbreviation."""


def included() -> list[str]:
    """Return the names of the regions of this package.

    >>> included()
    ['demo', 'midwest', 'three_i']
    """
    return sorted(file.stem for file in Path(__file__).parent.glob("*.toml"))


def counties_like(name: str) -> tuple[Zone, ...]:
    """Return the counties with a text in their name, with a FIPS code that begins with it, or in the state of its name.

    Examples
    --------
    >>> [(zone.fips, zone.state) for zone in counties_like("champaign")]
    [('17019', 'IL'), ('39021', 'OH')]
    >>> len(counties_like("IA")) == len(counties_like("iowa state")) == len(counties_like("19"))
    True
    """
    text = name.strip().lower()
    state = next((each for each, full in STATES.items() if text in (each.lower(), f"{full.lower()} state")), None)
    if state:
        return tuple(zone for zone in counties() if zone.state == state)
    return tuple(zone for zone in counties() if text in zone.name.lower() or zone.fips.startswith(text))


def near_state(name: str) -> str:
    """Return "; did you mean IL?" for a name that resembles that of a state, or an empty text."""
    return did_you_mean(name, {full: state for state, full in STATES.items()} | {state: state for state in STATES})


def near_county(name: str) -> str:
    """Return the code of the county whose name or code a text resembles, as `did_you_mean` does, and how to look up."""
    near = did_you_mean(name, _counties_by_name())
    return near or f"; `agcarbon counties {name}` looks for its code"


@cache
def _counties_by_name() -> dict[str, str]:
    """Return code, name and state of the counties by name and by code; of a name that several have, the name alone."""
    shared = Counter(zone.name for zone in counties())
    text = {zone.fips: f"{zone.fips} ({zone.name}, {zone.state})" for zone in counties()}
    by_name = {zone.name: text[zone.fips] for zone in counties() if shared[zone.name] == 1}
    several = {name: f"{name} (of several states)" for name, count in shared.items() if count > 1}
    return text | several | by_name
