"""Faults that the user can mend."""

from __future__ import annotations


class UserError(ValueError):
    """A bad value, file or folder; the message names value, limit, place and remedy in one sentence."""
