"""Differences between the releases of Icechunk that agcarbon runs with; no other module tests a version.

On Python 3.11 that is Icechunk 1.1, on Python 3.12 and newer Icechunk 2. Both read and write version 1 of Icechunk's
format, and no other version is written: a store that one of them created can be read and continued with the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import icechunk

FORMAT: Final = 1

_RELEASE: Final = int(icechunk.__version__.partition(".")[0])

# Options of `icechunk.Repository.open_or_create`: Icechunk 2 would create version 2, which Icechunk 1 cannot open.
CREATE_OPTIONS: Final[Mapping[str, Any]] = {"create_version": FORMAT} if _RELEASE > 1 else {}
