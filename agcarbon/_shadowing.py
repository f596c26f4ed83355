"""A check that the packages `pipeline`, `model` and `regions` are those of agcarbon.

Their names are common: a folder of the same name where Python is started comes before them on the path of imports.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("pipeline", "model", "regions")
_COMMAND = "agcarbon"
_HERE = Path(__file__).resolve().parent.parent


def check() -> None:
    """Raise `ImportError` that names the folders or modules that hide packages of agcarbon; end the command instead."""
    hiding = [(name, place) for name in PACKAGES if (place := _place(name)) and place != _HERE / name]
    if hiding:
        found = "; ".join(f"{place} hides agcarbon's package {name!r}" for name, place in hiding)
        message = (
            f"{found}: rename it, or start Python in another folder, and take that folder off PYTHONPATH; agcarbon's "
            f"packages are in {_HERE}"
        )
        if Path(sys.argv[0]).name == _COMMAND:  # whose errors are one line without a traceback
            print(f"{_COMMAND}: {message}", file=sys.stderr)
            raise SystemExit(2)
        raise ImportError(message)


def _place(name: str) -> Path | None:
    """Return the folder (or the file of a single module) that `import name` gives, or None if there is none."""
    spec = sys.modules[name].__spec__ if name in sys.modules else find_spec(name)
    if spec is None:
        return None
    # A folder without `__init__.py` has no file, but places.
    file = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path
