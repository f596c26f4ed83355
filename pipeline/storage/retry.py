"""Which errors of storage pass by themselves, which end a run, and how long to wait before trying again."""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from icechunk import ConflictError, IcechunkError

Result = TypeVar("Result")

STORAGE_ERRORS = (OSError, IcechunkError, ConflictError)

# EIO too: network file systems give it while a server restarts. Where it stays, the retries end.
_PASSING = frozenset(
    {
        errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE,
        errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENETDOWN, errno.ENETUNREACH,
        errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    }
)  # fmt: skip
# What no other tile would fare better with: they are of the disk, not of what is read from it or written to it.
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

# Icechunk's errors are of one type and carry no number: the cause, a chain of Rust errors, is only in their text.
_NUMBER = re.compile(r"\(os error (\d+)\)")
_CAUSE = re.compile(r"^\s*[|`]-> (.*)$", re.MULTILINE)
_KEY = re.compile(r'\bkey="([^"]+)"')
_PASSING_TEXT = re.compile(
    r"time[d-]? ?out|connection (?:was )?(?:reset|refused|closed|aborted)|dispatch failure|broken pipe"
    r"|slow ?down|throttl|too ?many ?requests|service ?unavailable|internal ?(?:server ?)?error",
    re.IGNORECASE,
)

# Icechunk 2 gives its errors a kind, a stable code; Icechunk 1 gives one type and a text.
_CONFLICT_KINDS, _CONFLICT_TEXT = frozenset({"branch-update-conflict"}), re.compile("branch update conflict")
_TAG_KINDS = frozenset({"tag-already-exists", "tag-previously-deleted"})
_TAG_TEXT = re.compile("tags are immutable")
_ABSENT_KINDS = frozenset({"object-not-found", "key-not-found", "snapshot-not-found"})
_ABSENT_TEXT = re.compile("not found|NoSuchKey")  # folders; S3


def number_of(error: BaseException) -> int | None:
    """Return the operating system's number of the error, also from the text of an Icechunk error, or None."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    numbers = _NUMBER.findall(str(error)) if isinstance(error, STORAGE_ERRORS) else []
    return int(numbers[0]) if numbers else None


def is_transient(error: BaseException) -> bool:
    """Say whether the error may pass by itself: a connection, a timeout, a busy or restarting server."""
    number = number_of(error)
    if number is not None:
        return number in _PASSING
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return isinstance(error, IcechunkError) and any(_PASSING_TEXT.search(cause) for cause in _causes(error))


def is_fatal(error: BaseException) -> bool:
    """Say whether the error ends the whole run: a full disk, a spent quota, a read-only file system."""
    return number_of(error) in _FATAL


def is_conflict(error: BaseException) -> bool:
    """Return whether a branch was not where it was expected."""
    return isinstance(error, ConflictError) or _is_icechunk(error, _CONFLICT_KINDS, _CONFLICT_TEXT)


def names_deleted_tag(error: BaseException) -> bool:
    """Return whether a tag was refused because one of its name existed before."""
    return _is_icechunk(error, _TAG_KINDS, _TAG_TEXT)


def is_absent(error: BaseException) -> bool:
    """Return whether an object or a snapshot is not in the store."""
    return _is_icechunk(error, _ABSENT_KINDS, _ABSENT_TEXT)


def _is_icechunk(error: BaseException, kinds: frozenset[str], text: re.Pattern[str]) -> bool:
    """Return whether an error of Icechunk is of one of these kinds, or of this text where it has no kind."""
    if not isinstance(error, IcechunkError):
        return False
    kind = getattr(error, "kind", None)
    return kind in kinds if kind else any(text.search(cause) for cause in _causes(error))


def _causes(error: IcechunkError) -> list[str]:
    """The first line and the chain of causes; what lies between are places in Icechunk's source."""
    text = str(error).strip()
    return [text.partition("\n")[0].removeprefix("x ").strip(), *_CAUSE.findall(text)]


def describe(error: BaseException) -> str:
    """Return the error in one line, with the keys in the store that Icechunk names."""
    if not isinstance(error, IcechunkError):
        return f"{type(error).__name__}: {error}"
    causes, keys = _causes(error), dict.fromkeys(_KEY.findall(str(error)))
    root = causes[-1] if causes[-1] in causes[0] else f"{causes[0]}: {causes[-1]}"
    return f"{causes[0] if root in causes[0] else root}" + (f" (key {', '.join(keys)})" if keys else "")


@dataclass(frozen=True)
class RetryPolicy:
    """How often to try again, and how long to wait before: exponential back-off, capped, with full jitter.

    With full jitter a wait is drawn evenly between 0 and its bound, so that workers which failed together do not come
    back together.

    Attributes
    ----------
    retries
        Attempts after the first.
    first_seconds
        Bound of the first wait; it doubles with each.
    longest_seconds
        No bound is above it.
    """

    retries: int = 5
    first_seconds: float = 1.0
    longest_seconds: float = 60.0

    def waits(self, rng: random.Random) -> Iterator[float]:
        """Yield the seconds to wait before each further attempt."""
        for attempt in range(self.retries):
            yield rng.uniform(0, min(self.longest_seconds, self.first_seconds * 2**attempt))


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
