"""Parts of messages on wrong input: names that resemble a misspelt one, and faults as a list."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

_MOST = 3
_ALIKE = 0.7  # ratio of `difflib` from which two names are near


def did_you_mean(name: str, known: Iterable[str] | Mapping[str, str]) -> str:
    """Return "; did you mean NAME?" for up to three known names that resemble a misspelt one, or an empty text.

    Upper and lower case count as equal. Of a mapping, whose keys are compared, the values are shown. A known name was
    refused for another reason, and has no near ones.

    Examples
    --------
    >>> did_you_mean("exectuion", ["execution", "archives"])
    '; did you mean execution?'
    >>> did_you_mean("Ilinois", {"Illinois": "IL"})
    '; did you mean IL?'
    >>> did_you_mean("mars", ["midwest", "demo"]), did_you_mean("IA", ["IA", "IL"])
    ('', '')
    """
    shown = known if isinstance(known, Mapping) else {one: one for one in known}
    if name in shown:
        return ""
    by_lower = {one.lower(): text for one, text in shown.items()}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=_MOST, cutoff=_ALIKE)
    return f"; did you mean {' or '.join(dict.fromkeys(by_lower[one] for one in near))}?" if near else ""


def listed(place: object, faults: Sequence[str]) -> str:
    r"""Return a fault of a place in one line, or several below each other.

    Examples
    --------
    >>> listed("run.toml", ["one"])
    'run.toml: one'
    >>> listed("run.toml", ["one", "two"])
    'run.toml: 2 faults\n  one\n  two'
    """
    if len(faults) == 1:
        return f"{place}: {faults[0]}"
    return "\n  ".join((f"{place}: {len(faults)} faults", *faults))
