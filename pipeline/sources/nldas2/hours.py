"""Hours of a span, gathered from whatever files hold them, in either format.

Where several files hold an hour, they must agree: copies in one format in every value, GRIB with netCDF to the step to
which GRIB rounds. The netCDF copy, the current product, is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.progress import heartbeat
from pipeline.sources.nldas2.granule import is_grib, open_granule
from pipeline.sources.nldas2.index import HourIndex, check_hours
from pipeline.sources.nldas2.product import VARIABLES, Array, DamagedGranuleError, Hours, Window

USED = tuple(VARIABLES[name] for name in ("Tair", "Qair", "PSurf", "Wind_E", "Wind_N", "SWdown", "Rainf"))
ROUNDING = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class GatheredHours:
    """Hours of a span on a window.

    Attributes
    ----------
    values_VHYX
        (7, hours, rows, cols) float32, the variables `USED` in the product's units; NaN where no file holds the hour.
    duplicates
        How many files more than one hold an hour [hours since 1970-01-01 00 UTC].
    damaged
        Files that are no whole granules, "path: reason; download it again" each.
    """

    values_VHYX: Array
    duplicates: Counter[int]
    damaged: frozenset[str]


def gather_hours(index: HourIndex, *, span: range, window: Window) -> GatheredHours:
    """Return the hours of `span` [hours since 1970-01-01 00 UTC] on a window.

    Raises
    ------
    UserError
        If two files contradict each other or one is not what its name says, and as `nldas2_product.Granule` does.
    """
    gathering = _Gathering(span, window)
    entries = []
    for number, positions in _by_file(index, span):
        with gathering.noting_damage():
            path = index.files[number]
            offset_N = index.hour_N[positions] - span.start
            entries.append(_Entries(path, is_grib(path), offset_N, index.position_N[positions]))
    for of_file in sorted(entries, key=lambda of_file: of_file.grib):
        with gathering.noting_damage():
            gathering.add(of_file)
        heartbeat()
    return GatheredHours(gathering.values_VHYX, gathering.duplicates, frozenset(gathering.damaged))


def _by_file(index: HourIndex, span: range) -> Iterator[tuple[int, Hours]]:
    """Yield each file that holds hours of a span, by number, and which entries of the index these are."""
    low, high = np.searchsorted(index.hour_N, (span.start, span.stop))
    numbers = index.file_N[low:high]
    for number in np.unique(numbers).tolist():
        yield number, low + np.flatnonzero(numbers == number)


@dataclass(frozen=True)
class _Entries:
    """What one file contributes to a span: offsets in it, positions on the file's own time axis."""

    path: Path
    grib: bool
    offset_N: Hours
    position_N: Hours


@dataclass
class _Gathering:
    """The hours so far; `sources` tells the file that each came from."""

    span: range
    window: Window
    values_VHYX: Array = field(init=False)
    sources: dict[int, _Entries] = field(default_factory=dict)
    duplicates: Counter[int] = field(default_factory=Counter)
    damaged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        shape = (len(USED), len(self.span), self.window.rows, self.window.cols)
        self.values_VHYX = np.full(shape, np.nan, np.float32)

    @contextmanager
    def noting_damage(self) -> Iterator[None]:
        """Note a damaged granule and go on: another may hold its hour, else the hour is missing."""
        try:
            yield
        except DamagedGranuleError as damage:
            self.damaged.add(str(damage))

    def add(self, entries: _Entries) -> None:
        """Read a file: take the hours that are not there yet, compare the others."""
        is_new_N = self._claim(entries)
        new, again = entries.offset_N[is_new_N], entries.offset_N[~is_new_N]
        try:
            with open_granule(entries.path) as granule:
                check_hours(granule, hour_N=entries.offset_N + self.span.start, position_N=entries.position_N)
                for number, variable in enumerate(USED):
                    read_NYX = granule.values(variable, position_N=entries.position_N, window=self.window)
                    self.values_VHYX[number, new] = read_NYX[is_new_N]
                    for offset, read_YX in zip(again.tolist(), read_NYX[~is_new_N], strict=True):
                        step = granule.step(variable) if entries.grib != self.sources[offset].grib else 0.0
                        kept_YX = self.values_VHYX[number, offset]
                        if not np.allclose(kept_YX, read_YX, rtol=ROUNDING if step else 0, atol=step, equal_nan=True):
                            raise UserError(self._contradiction(entries, offset, name=variable.name, step=step))
        except DamagedGranuleError:
            self._forget(new)
            raise
        self.duplicates.update((again + self.span.start).tolist())

    def _claim(self, entries: _Entries) -> NDArray[np.bool_]:
        """Note the file as the source of its hours that have none; return which these are."""
        is_new = []
        for offset in entries.offset_N.tolist():
            is_new.append(offset not in self.sources)
            self.sources.setdefault(offset, entries)
        return np.array(is_new)

    def _forget(self, offsets: Hours) -> None:
        """Drop what a file brought before it broke off."""
        self.values_VHYX[:, offsets] = np.nan
        for offset in offsets.tolist():
            del self.sources[offset]

    def _contradiction(self, entries: _Entries, offset: int, *, name: str, step: float) -> str:
        apart = f" by more than {step:g}, the step of its packing" if step else ""
        return (
            f"{self.sources[offset].path} and {entries.path} hold {np.datetime64(self.span[offset], 'h')} UTC with "
            f"different values of {name}{apart}; keep the right one"
        )
