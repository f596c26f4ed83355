"""The checkpoints that ship with the code, by name. A name keeps its weights in all later versions."""

from __future__ import annotations

from pathlib import Path

DEFAULT, SIMULATED = "towers-2", "simulated-2"
"""After stage 5, for maps, and after stage 4, from which stage 5 starts; model/weights/README.md has their training."""
_WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = {name: _WEIGHTS / f"{name}.safetensors" for name in (DEFAULT, SIMULATED)}


def checkpoint_file(chosen: Path | str | None = None) -> Path:
    """Return the file of a checkpoint that ships, if that is what is named, or else the path as it is given."""
    return SHIPPED.get(str(chosen or DEFAULT)) or Path(str(chosen))
