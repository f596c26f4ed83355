"""Picture of the changes between two states of a cube: maps of fluxes, and of the parts that explain them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import basemap
from pipeline.changes.compare import PARTS, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {
    "gpp": "Gross primary production",
    "ra": "Autotrophic respiration",
    "rh": "Heterotrophic respiration",
    "reco": "Ecosystem respiration",
    "nee": "Net ecosystem exchange\n(positive: more to the atmosphere)",
    "yield": "Grain yield",
    "residue": "Crop residue",
    "dsoc": "Soil carbon change\n(positive: the soil gains more)",
}
"""Fluxes whose change can be drawn."""

_UNIT = r"g C m$^{-2}$ yr$^{-1}$"
# Okabe & Ito (2008), safe for colour-blind readers; sets beyond these share grey.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
_OTHERS, _UNCHANGED, _EMPTY = "#606060", "#f4f4f4", "#a6a9ad"
_PANEL_INCH, _COLUMNS = 4.2, 3


def save(path: Path, found: Comparison) -> None:
    """Draw a comparison as a PNG."""
    figure(found).savefig(path, dpi=110, format="png")


def figure(found: Comparison) -> Figure:
    """Return a map of the parts that changed in each tile, and one of the change of each flux."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    extent, number = basemap.Extent.around(found.zones), 1 + len(found.maps)
    columns = 2 if number in (2, 4) else min(number, _COLUMNS)
    rows = -(-number // columns)
    width, height = columns * _PANEL_INCH + 1, rows * (_PANEL_INCH / extent.aspect + 1.4) + 0.5
    space = ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - 0.45 / height))
    drawing = Figure(figsize=(width, height), layout=space)
    title = f"Changes from {found.before.name} to {found.after.name}"
    drawing.suptitle(title, fontsize=15, y=1 - 0.1 / height).set_in_layout(False)
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[number:]:
        axes.set_axis_off()
    _draw_parts(panels[0], found)
    for axes, name in zip(panels[1:], found.maps, strict=False):
        _draw_change(axes, found, name)
    for axes in panels[:number]:
        basemap.draw_borders(axes, found.zones)
        basemap.draw_graticule(axes, extent, background=_EMPTY)
    basemap.draw_scale(panels[0], extent)
    drawing.draw_without_rendering()  # the layout settles with the second drawing
    return drawing


def parts_by_tile(found: Comparison) -> dict[str, str]:
    """Return the parts that changed in any year of each tile, such as `GPP + weights`, by its name."""
    order = list(PARTS.values())
    parts: dict[str, set[str]] = {}
    for change in found.found:
        parts.setdefault(change.tile.name, set()).update(change.parts.split(" + "))
    key = {name: place for place, name in enumerate(order)}
    return {tile: " + ".join(sorted(of, key=lambda one: (key.get(one, len(order)), one))) for tile, of in parts.items()}


def _draw_parts(axes: Axes, found: Comparison) -> None:
    from matplotlib.colors import ListedColormap, to_hex
    from matplotlib.patches import Patch

    by_tile = parts_by_tile(found)
    sets = sorted(set(by_tile.values()), key=lambda one: (-list(by_tile.values()).count(one), one))
    colours = {one: _COLOURS[place] if place < len(_COLOURS) else _OTHERS for place, one in enumerate(sets)}
    edge = found.grid.tile_cells
    codes = np.full((found.grid.rows // edge, found.grid.cols // edge), np.nan)
    for name in {*found.before.ledger.tiles, *found.after.ledger.tiles}:
        (tile,) = [tile for tile in found.grid.tiles() if tile.name == name]
        rows, cols = found.grid.window(tile)
        codes[rows.start // edge, cols.start // edge] = 1 + sets.index(by_tile[name]) if name in by_tile else 0
    palette = ListedColormap([_UNCHANGED, *colours.values()])
    basemap.draw_blocks(axes, found.grid, codes, edge=edge, cmap=palette, vmin=-0.5, vmax=len(sets) + 0.5)
    axes.set_title("Parts that changed, in any year", fontsize=11)
    handles = [Patch(color=to_hex(colour), label=one) for one, colour in colours.items()][: len(_COLOURS) + 1]
    handles += [Patch(facecolor=_UNCHANGED, edgecolor="0.5", label="unchanged")]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False, fontsize=9)


def _draw_change(axes: Axes, found: Comparison, name: str) -> None:
    values = found.maps[name]
    present = values[np.isfinite(values)]
    # The range of the middle 96 % of cells, so that a few outliers do not fade the others.
    limit = float(np.abs(np.percentile(present, [2, 98])).max()) if present.size else 0.0
    limit = limit or 1.0
    mesh = basemap.draw_cells(axes, found.grid, values, cmap="PuOr_r", vmin=-limit, vmax=limit)
    axes.set_title(TITLES[name], fontsize=11)
    bar = basemap.colourbar(axes, mesh, extend="both")
    bar.ax.locator_params(nbins=5)
    mean = f", mean of cells {present.mean():+.3g}".replace("-", "\N{MINUS SIGN}") if present.size else ""
    bar.set_label(f"change in {_UNIT}{mean}\ngrey: unchanged, or not in both")
