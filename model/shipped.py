"""The checkpoints that ship with the code, by name."""

from __future__ import annotations

from pathlib import Path

_WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "default"
SHIPPED = {DEFAULT: _WEIGHTS / "agcarbon.safetensors", "us-ne1": _WEIGHTS / "us-ne1.safetensors"}


def checkpoint_file(chosen: Path | str | None = None) -> Path:
    """Return the file of a checkpoint that ships, if that is what is named, or else the path as it is given."""
    return SHIPPED.get(str(chosen or DEFAULT)) or Path(str(chosen))
