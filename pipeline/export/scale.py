"""Scales of colours: the values of a layer and the colours that they have in its style and thumbnail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from pipeline.export.palettes import QUALITY_CLASSES, Ramp

_STOPS = 9  # of a ramp between its ends
_DEVIATIONS = 2  # standard deviations around the mean that the ramp spans: a few outliers do not fade the others


@dataclass(frozen=True)
class Statistics:
    """Minimum, maximum, mean and standard deviation of a layer."""

    minimum: float
    maximum: float
    mean: float
    stddev: float

    @classmethod
    def read(cls, path: Path) -> Statistics:
        """Return the statistics that a GeoTIFF states, and -1 to 1 for one without any value."""
        with rasterio.open(path) as source:
            return cls.of(source.tags(1))

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Statistics:
        """Return the statistics among the tags of a band, and -1 to 1 if there are none."""
        names = ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")
        if f"STATISTICS_{names[0]}" not in tags:
            return NO_VALUES
        return cls(*(float(tags[f"STATISTICS_{name}"]) for name in names))

    @classmethod
    def joined(cls, parts: Sequence[Statistics]) -> Statistics:
        """Return the statistics of layers of equal size together, without those that have no value.

        Examples
        --------
        >>> Statistics.joined([Statistics(0.0, 2.0, 1.0, 1.0), Statistics(4.0, 6.0, 5.0, 1.0)])
        Statistics(minimum=0.0, maximum=6.0, mean=3.0, stddev=2.23606797749979)
        """
        parts = [part for part in parts if part != NO_VALUES] or parts
        mean = float(np.mean([part.mean for part in parts]))
        squares = [part.stddev**2 + part.mean**2 for part in parts]
        stddev = math.sqrt(max(float(np.mean(squares)) - mean**2, 0.0))
        return cls(min(part.minimum for part in parts), max(part.maximum for part in parts), mean, stddev)


NO_VALUES = Statistics(-1.0, 1.0, 0.0, 1.0)
"""Stands for the statistics of a layer without any value."""


@dataclass(frozen=True)
class Stop:
    """Value, colour and label of an entry of a shader."""

    value: float
    colour: str
    label: str


def gradient(colours: Ramp, statistics: Statistics) -> list[Stop]:
    """Return a ramp over most values, whose ends reach to the lowest and the highest one."""
    low, high = statistics.minimum, statistics.maximum
    first = max(low, statistics.mean - _DEVIATIONS * statistics.stddev)
    last = min(high, statistics.mean + _DEVIATIONS * statistics.stddev)
    # Around zero for signed fluxes, so that colours separate sources from sinks.
    if colours.centred:
        low, high = -max(-low, high), max(-low, high)
        first, last = -max(-first, last), max(-first, last)
    hues = colours.stops(_STOPS)
    colour_of = {low: hues[0], high: hues[-1]} | dict(zip(np.linspace(first, last, _STOPS).tolist(), hues, strict=True))
    return [Stop(value, colour_of[value], f"{value:.4g}") for value in sorted(colour_of)]


def highest_bits() -> list[Stop]:
    """Return the entries of sets of flags, which are shown by their highest bit; each ends at its value."""
    # 0, 1, 2 to 3, 4 to 7, ...
    return [
        Stop(float(max(2 * each.value - 1, 0)), each.colour, f"{each.value}: {each.name}") for each in QUALITY_CLASSES
    ]
