"""A lease on a location in an object store, where no operating system can hold a lock.

It is an object beside the store that names its holder, who renews it every minute by a conditional write: the server
refuses it if anyone else has written the object since. A holder that stops renewing it counts as dead after `EXPIRY`,
or at once if it was a process of this machine that no longer runs.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.errors import UserError
from pipeline.storage import s3

BEAT_SECONDS = 60.0
# S3 refuses requests from clocks off by more than 15 minutes: two may differ by 30, and no living holder looks dead.
EXPIRY = timedelta(minutes=35)


@dataclass(frozen=True)
class Holder:
    """A process that holds a lease, or, without an id, nobody."""

    id: str = ""
    host: str = ""
    pid: int = 0
    machine: str = ""
    since: str = ""
    seen: str = ""

    @classmethod
    def this_process(cls) -> Holder:
        """Return this process, holding from now."""
        now = _now().isoformat(timespec="seconds")
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid(), _machine(), now, now)

    @classmethod
    def parse(cls, content: bytes) -> Holder:
        """Return the holder that `dump` wrote."""
        return cls(**json.loads(content))

    def dump(self) -> bytes:
        """Return JSON."""
        return json.dumps(asdict(self)).encode()

    @property
    def expires(self) -> datetime:
        """Time from which the holder counts as dead, unless it renews the lease."""
        return datetime.fromisoformat(self.seen) + EXPIRY

    def is_gone(self) -> bool:
        """Return whether the lease is free, or its holder is dead or counts as dead."""
        return not self.id or _now() > self.expires or (self.machine == _machine() and not _runs(self.pid))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def _now() -> datetime:
    return datetime.now(UTC)


def _machine() -> str:
    """Return identifiers of the kernel's boot and PID namespace: elsewhere the same PID is another process."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    return f"{boot.read_text().strip()} {space.stat().st_ino}"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


class HeldError(UserError):
    """Another process holds the lease."""


class Lease:
    """A lease that this process holds until `release`.

    Parameters
    ----------
    location
        The object that represents the lease.
    what
        Location of the leased store, for messages.

    Raises
    ------
    UserError
        If another process holds it; the message names the holder, its start, and how to break the lease.
    """

    def __init__(self, location: str, *, what: str) -> None:
        self._location, self._what = location, what
        self._holder = Holder.this_process()
        self._turn, self._ended = threading.Lock(), threading.Event()
        self._tag: str | None = self._acquire()
        self._beats = threading.Thread(target=self._beat_on, name=f"lease of {what}", daemon=True)
        self._beats.start()

    def _acquire(self) -> str:
        while True:
            found = s3.get(self._location)
            holder = Holder.parse(found.content) if found else Holder()
            if not holder.is_gone():
                raise HeldError(
                    f"{self._what}: {holder} is writing it; wait, or stop that process (if it no longer runs, its "
                    f"lease expires at {holder.expires:%H:%M} UTC, or when {self._location} is deleted)"
                )
            if tag := s3.put_if(self._location, self._holder.dump(), tag=found.tag if found else None):
                return tag

    def verify(self) -> None:
        """Renew the lease; raises `UserError` if another process has taken it over."""
        if not self._beat():
            raise UserError(
                f"{self._what}: this process did not renew its lease in time, and another one has taken the store "
                "over; uncommitted work is discarded; run the command again"
            )

    def release(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._beats.join()
        # All work is done: a server that is unavailable now must not turn it into a failure. The lease expires then.
        with suppress(s3.UnavailableError):
            if self._tag:
                s3.put_if(self._location, Holder().dump(), tag=self._tag)

    def _beat_on(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                if not self._beat():
                    return
            except UserError:  # the server is unavailable: the next beat, or `verify`, shows whether the lease held
                continue

    def _beat(self) -> bool:
        """Renew the lease; return whether it is still ours."""
        with self._turn:
            seen = replace(self._holder, seen=_now().isoformat())
            tag = self._tag and s3.put_if(self._location, seen.dump(), tag=self._tag)
            if self._tag and not tag:
                tag = self._retaken(seen)
            self._tag = tag
            return bool(tag)

    def _retaken(self, seen: Holder) -> str | None:
        """Return the new tag if only the server's reply to an earlier renewal was lost; else None."""
        found = s3.get(self._location)
        if not found or Holder.parse(found.content).id != self._holder.id:
            return None
        return s3.put_if(self._location, seen.dump(), tag=found.tag)
