"""Which storage errors may pass by themselves, which end a run, and how long to wait before the next attempt.

Errors are classified by type and number where there is one: `OSError` by its errno, Icechunk 2 by the error's `kind`, a
stable code. Icechunk 1 has one type for nearly all errors, and the cause, a chain of Rust errors, only in its text.
"""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from icechunk import ConflictError, IcechunkError

from pipeline.errors import DamagedError, UserError
from pipeline.storage.s3 import UnavailableError

Result = TypeVar("Result")

STORAGE_ERRORS = (OSError, IcechunkError, ConflictError, UnavailableError)

# EIO too: network file systems give it while a server restarts. Where it stays, the retries end.
_TRANSIENT = frozenset(
    {
        errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE,
        errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENETDOWN, errno.ENETUNREACH,
        errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    }
)  # fmt: skip
# Every other tile would meet these too: they concern the disk, not the data that are read or written.
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True)
class _Pattern:
    """Errors of Icechunk: the kinds that mean the same, and the text that stands for them where there is no kind."""

    kinds: frozenset[str]
    text: re.Pattern[str]

    def matches(self, error: BaseException) -> bool:
        """Return whether an error is one of these, judged by its kind if it has one."""
        if not isinstance(error, IcechunkError):
            return False
        kind = _kind(error)
        return kind in self.kinds if kind else any(self.text.search(cause) for cause in _causes(error))


_CONFLICT = _Pattern(frozenset({"branch-update-conflict"}), re.compile("branch update conflict"))
_TAG_TAKEN = _Pattern(frozenset({"tag-already-exists", "tag-previously-deleted"}), re.compile("tags are immutable"))
_ABSENT = _Pattern(
    frozenset({"object-not-found", "key-not-found", "snapshot-not-found"}), re.compile("not found|NoSuchKey")
)

_THROTTLED_KIND = "throttled"
_MISSING_KIND = "object-not-found"  # Icechunk 2 drops the number of this error
# Kinds that name only the layer that failed, a forbidden request like an overloaded server: there the text decides.
_VAGUE_KINDS = frozenset({None, "object-store", "io", "storage-other"})
_TRANSIENT_TEXT = re.compile(
    r"time[d-]? ?out|connection (?:was )?(?:reset|refused|closed|aborted)|dispatch failure|broken pipe"
    r"|slow ?down|throttl|too ?many ?requests|service ?unavailable|internal ?(?:server ?)?error",
    re.IGNORECASE,
)
# A commit of Icechunk 1 ends in this line alone, without the server's answer, be that SlowDown or AccessDenied. It is
# taken for the former: who may not write meets the latter before, when the store is locked.
_WITHOUT_CAUSE = re.compile(r"object store (?:service|response) error$")
_NUMBER = re.compile(r"\(os error (\d+)\)")
_CAUSE = re.compile(r"^\s*[|`]-> (.*)$", re.MULTILINE)
_KEY = re.compile(r'\b(?:key|path)="([^"]+)"')  # objects have a key in Icechunk 1, a path in Icechunk 2


def number_of(error: BaseException) -> int | None:
    """Return the operating system's number of the error, also from the text of an Icechunk error, or None."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    numbers = _NUMBER.findall(str(error)) if isinstance(error, STORAGE_ERRORS) else []
    if numbers:
        return int(numbers[0])
    return errno.ENOENT if isinstance(error, IcechunkError) and _kind(error) == _MISSING_KIND else None


def is_transient(error: BaseException) -> bool:
    """Return whether the error may pass by itself: a connection, a timeout, a busy or restarting server."""
    number = number_of(error)
    if number is not None:
        return number in _TRANSIENT
    if isinstance(error, (ConnectionError, TimeoutError, UnavailableError)):
        return True
    if not isinstance(error, IcechunkError):
        return False
    kind, causes = _kind(error), _causes(error)
    if kind not in _VAGUE_KINDS:
        return kind == _THROTTLED_KIND
    without_cause = len(causes) == 1 and _WITHOUT_CAUSE.search(causes[0])
    return bool(without_cause) or any(_TRANSIENT_TEXT.search(cause) for cause in causes)


def is_fatal(error: BaseException) -> bool:
    """Return whether the error ends the whole run: a full disk, a spent quota, a read-only file system."""
    return number_of(error) in _FATAL


def is_conflict(error: BaseException) -> bool:
    """Return whether a branch was not where the writer expected it."""
    return isinstance(error, ConflictError) or _CONFLICT.matches(error)


def is_absent(error: BaseException) -> bool:
    """Return whether an object or a snapshot is not in the store."""
    return _ABSENT.matches(error)


def is_damage(error: IcechunkError) -> bool:
    """Return whether the error is of stored data that are altered or gone, and no other than reading it again helps."""
    return not is_transient(error) and number_of(error) in (None, errno.ENOENT)


def names_deleted_tag(error: BaseException) -> bool:
    """Return whether a tag was refused because there is, or was, one of its name."""
    return _TAG_TAKEN.matches(error)


def _kind(error: IcechunkError) -> str | None:
    """Return the kind of an error; None if Icechunk gives none (1.x) or says "unknown" (2.x, an error made of text)."""
    kind = getattr(error, "kind", None)
    return None if kind == "unknown" else kind


def _causes(error: IcechunkError) -> list[str]:
    """Return the first line and the chain of causes; the lines between them are places in Icechunk's source."""
    text = str(error).strip()
    return [text.partition("\n")[0].removeprefix("x ").strip(), *_CAUSE.findall(text)]


def describe(error: BaseException) -> str:
    """Return the error in one line, with the keys in the store that Icechunk names."""
    if isinstance(error, (UserError, DamagedError)):
        return str(error)
    if not isinstance(error, IcechunkError):
        return f"{type(error).__name__}: {error}"
    causes, keys = _causes(error), dict.fromkeys(_KEY.findall(str(error)))
    root = causes[-1] if causes[-1] in causes[0] else f"{causes[0]}: {causes[-1]}"
    return f"{causes[0] if root in causes[0] else root}" + (f" (key {', '.join(keys)})" if keys else "")


@dataclass(frozen=True)
class RetryPolicy:
    """How many further attempts are made, and how long to wait before each: a capped exponential back-off with jitter.

    A wait is drawn evenly between half its bound and its bound, so that workers which failed together do not come back
    together, and the waits still have a smallest sum.

    Attributes
    ----------
    retries
        Attempts after the first.
    first_seconds
        Bound of the first wait; it doubles with each.
    longest_seconds
        Largest bound.
    """

    # The waits add up to at least (1 + 2 + 4 + 8 + 16 + 32 + 60) / 2 = 61.5 s and at most 123 s, so that a server which
    # throttles all requests for a minute ends nothing. Attempts take time too: Icechunk asks ten times, in 15 to 40 s.
    retries: int = 7
    first_seconds: float = 1.0
    longest_seconds: float = 60.0

    def waits(self, rng: random.Random) -> Iterator[float]:
        """Yield the seconds to wait before each further attempt."""
        for attempt in range(self.retries):
            bound = min(self.longest_seconds, self.first_seconds * 2**attempt)
            yield rng.uniform(bound / 2, bound)


BY_DEFAULT = RetryPolicy()


def retried(
    call: Callable[[], Result],
    policy: RetryPolicy,
    *,
    may_pass: Callable[[Exception], bool] = is_transient,
    rng: random.Random | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Return what `call` returns, called again as often as it ends in an error that may pass and the policy allows.

    Any other error, and the last one, is raised as it is.
    """
    for wait in policy.waits(rng or random.Random()):
        try:
            return call()
        except STORAGE_ERRORS as error:
            if not may_pass(error):
                raise
        sleep(wait)
    return call()
