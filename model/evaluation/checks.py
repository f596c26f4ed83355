"""Checks of a network against the paper's constraints: responses that never fall, yields that plants can bear.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: its response and threshold losses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import YIELD_SHARE, Evaluation, YieldBounds

MONOTONE = (("TSOC", "rh"), ("GPP", "rh"), ("GPP", "grain"))
"""Pairs of an input and an output that must not fall as the input rises."""
NAMES = {"rh": "Rh", "grain": "yield"}
UNITS = {"rh": "g C m-2 d-1", "grain": "g C m-2 yr-1"}


@dataclass(frozen=True)
class Verdict:
    """Result of one check of a network.

    Attributes
    ----------
    check
        The constraint, as a sentence.
    holds
        Whether the network meets it.
    found
        The finding, in words.
    """

    check: str
    holds: bool
    found: str


def verdicts(evaluation: Evaluation) -> tuple[Verdict, ...]:
    """Return the verdicts on the response curves of an evaluation and on its yields."""
    return (*response_verdicts(evaluation.responses), yield_verdict(evaluation.yield_bounds))


def response_verdicts(curves: Sequence[ResponseCurve]) -> Iterator[Verdict]:
    """Yield a verdict for each pair of `MONOTONE` whose curve is given.

    The curves are means over days and sites, like those in the published losses.
    """
    of_input = {curve.feature: curve for curve in curves}
    for feature, output in MONOTONE:
        if feature in of_input:
            yield _never_falls(of_input[feature], output)


def _never_falls(curve: ResponseCurve, output: str) -> Verdict:
    values = getattr(curve, output)
    # The step with the largest fall is named in the finding.
    steps = list(zip(pairwise(curve.levels), pairwise(values), strict=True))
    (low, high), (before, after) = min(steps, key=lambda step: step[1][1] - step[1][0])
    name, falls = NAMES[output], sum(later < earlier for _, (earlier, later) in steps)
    course = f"from {values[0]:.3g} to {values[-1]:.3g} {UNITS[output]}"
    found = f"mean {name} runs {course} over {len(values)} levels"
    if falls:
        found += f"; it falls in {falls} steps, most ({before - after:.3g}) between {low:.3g} and {high:.3g}"
    return Verdict(f"{name} does not fall as {curve.feature} rises", falls == 0, found)


def yield_verdict(bounds: YieldBounds) -> Verdict:
    """Return the verdict that every yield lies above 0 and below `YIELD_SHARE` of GPP."""
    outside = bounds.negative + bounds.above
    found = (
        f"within in {bounds.count - outside:,} of {bounds.count:,} site-years; {bounds.negative:,} at or below 0, "
        f"{bounds.above:,} too high; the crop failed in {bounds.failed:,}, of which {bounds.failed_outside:,} are "
        f"outside"
    )
    return Verdict(f"0 < yield < {YIELD_SHARE:g} GPP", outside == 0, found)
