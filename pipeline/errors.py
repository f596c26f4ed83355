"""Errors that the user can fix."""

from __future__ import annotations


class UserError(ValueError):
    """A value, file or folder that cannot be used; the message names value, limit, place and remedy in one sentence."""


class DamagedError(OSError):
    """Stored data that are not what was written: altered, truncated or gone."""
