"""agcarbon for notebooks and programs: the cube as xarray, and the commands as functions.

    import agcarbon

    cube = agcarbon.open("run.toml", release="v1.0")
    cube.annual.dsoc.sel(year=2012)                      # xarray, read when asked for
    cube.county("17019").mean().daily.nee                # area-weighted series of a county
    cube.point(40.05, -88.37).annual.to_dataframe()      # one cell
    agcarbon.run("run.toml", years="2012")               # as `agcarbon run run.toml --years 2012`

Importing the package takes little time: what a function needs is imported when it is called.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from agcarbon import _shadowing

_shadowing.check()

if TYPE_CHECKING:
    from agcarbon.commands import aggregate, audit, export, export_zarr, ingest, plan, run
    from agcarbon.cube import Cube, open

_MODULES = {
    "Cube": "cube",
    "open": "cube",
    **dict.fromkeys(("aggregate", "audit", "export", "export_zarr", "ingest", "plan", "run"), "commands"),
}
__all__ = ["Cube", "aggregate", "audit", "export", "export_zarr", "ingest", "open", "plan", "run"]


def __getattr__(name: str) -> Any:
    """Import what is named when it is first used (PEP 562)."""
    if name == "__version__":
        return version("agcarbon")
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f"agcarbon.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'agcarbon' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
