"""Hours of a span, gathered from all files that hold them, in either format.

Where several files hold an hour, they must agree: copies in one format in every value, GRIB with netCDF to within the
step to which GRIB rounds. The netCDF copy, the current product, is kept.
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
        Number of superfluous copies of an hour [hours since 1970-01-01 00 UTC].
    damaged
        Files that cannot be read in full, "path: reason; download it again" each.
    """

    values_VHYX: Array
    duplicates: Counter[int]
    damaged: frozenset[str]


def gather_hours(index: HourIndex, *, span: range, window: Window) -> GatheredHours:
    """Return the hours of `span` [hours since 1970-01-01 00 UTC] on a window.

    Raises
    ------
    UserError
        If two files contradict each other or one contains another hour than its name gives; and as `product.Granule`.
    """
    gathering = _Gathering(span, window)
    # Files are opened twice, first only for their format: which copy of an hour is kept depends on the formats of all.
    entries = []
    for number, positions in _by_file(index, span):
        with gathering.noting_damage():
            path = index.files[number]
            offset_N = index.hour_N[positions] - span.start
            entries.append(_Entries(path, is_grib(path), offset_N, index.position_N[positions]))
    # netCDF first: of an hour in both formats, the first copy is kept.
    for of_file in sorted(entries, key=lambda of_file: of_file.grib):
        with gathering.noting_damage():
            gathering.add(of_file)
        heartbeat()
    return GatheredHours(gathering.values_VHYX, gathering.duplicates, frozenset(gathering.damaged))


def _by_file(index: HourIndex, span: range) -> Iterator[tuple[int, Hours]]:
    """Yield each file with hours of a span, by its number, and the entries of the index for these hours."""
    low, high = np.searchsorted(index.hour_N, (span.start, span.stop))
    numbers = index.file_N[low:high]
    for number in np.unique(numbers).tolist():
        yield number, low + np.flatnonzero(numbers == number)


@dataclass(frozen=True)
class _Entries:
    """Contribution of one file to a span: offsets in the span, positions on the file's own time axis."""

    path: Path
    grib: bool
    offset_N: Hours
    position_N: Hours


@dataclass
class _Gathering:
    """The hours gathered so far; `sources` has the file of each."""

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
        """Note a damaged granule and continue: another may hold its hour; if none does, the hour is missing."""
        try:
            yield
        except DamagedGranuleError as damage:
            self.damaged.add(str(damage))

    def add(self, entries: _Entries) -> None:
        """Read a file: take the hours that no earlier file held, compare the others."""
        is_new_N = self._claim(entries)
        new, again = entries.offset_N[is_new_N], entries.offset_N[~is_new_N]
        try:
            with open_granule(entries.path) as granule:
                # Names are trusted by the index, so that a misnamed file must be found here.
                check_hours(granule, hour_N=entries.offset_N + self.span.start, position_N=entries.position_N)
                for number, variable in enumerate(USED):
                    read_NYX = granule.values(variable, position_N=entries.position_N, window=self.window)
                    self.values_VHYX[number, new] = read_NYX[is_new_N]
                    for offset, read_YX in zip(again.tolist(), read_NYX[~is_new_N], strict=True):
                        # GRIB rounds values to its packing step; two GRIB copies are rounded alike and must be equal.
                        step = granule.step(variable) if entries.grib != self.sources[offset].grib else 0.0
                        kept_YX = self.values_VHYX[number, offset]
                        if not np.allclose(kept_YX, read_YX, rtol=ROUNDING if step else 0, atol=step, equal_nan=True):
                            raise UserError(self._contradiction(entries, offset, name=variable.name, step=step))
        except DamagedGranuleError:
            self._forget(new)  # some variables of these hours may be read already: an hour is complete or missing
            raise
        self.duplicates.update((again + self.span.start).tolist())

    def _claim(self, entries: _Entries) -> NDArray[np.bool_]:
        """Make the file the source of its hours that have none yet; return a mask of these hours."""
        is_new = []
        for offset in entries.offset_N.tolist():
            is_new.append(offset not in self.sources)
            self.sources.setdefault(offset, entries)
        return np.array(is_new)

    def _forget(self, offsets: Hours) -> None:
        """Drop the hours of a file that turned out to be truncated."""
        self.values_VHYX[:, offsets] = np.nan
        for offset in offsets.tolist():
            del self.sources[offset]

    def _contradiction(self, entries: _Entries, offset: int, *, name: str, step: float) -> str:
        apart = f" by more than {step:g}, the step of its packing" if step else ""
        return (
            f"{self.sources[offset].path} and {entries.path} hold {np.datetime64(self.span[offset], 'h')} UTC with "
            f"different values of {name}{apart}; keep the right one"
        )
