"""What the page shows besides values: variables with their colours, years, and where the map comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.basemap import limits
from pipeline.export.palettes import classes, ramp
from pipeline.export.plain_zarr.layout import ANNUAL_GROUP
from pipeline.variables import QUALITY_MEANINGS, Quality
from pipeline.view.chunks import chunk_index
from regions import Zone

COLOURS = 256
# Of the list of variables; all others follow in the order of the store.
_FIRST = ("nee", "dsoc", "yield", "gpp", "reco", "crop", "quality")
# Columns of the table of a cell, and their headings.
_TABLE = {"gpp": "GPP", "reco": "Reco", "nee": "NEE", "yield": "Grain", "dsoc": "dSOC", "crop": "Crop", "quality": "Remarks"}
_NO_LAYERS = ("mask", "cell_area", "year", "y", "x", "spatial_ref")
_MOST_VALUES = 4_000_000  # that decide the range of the colours
_NAMED_REMARKS = 2


def settings(folder: Path, root: zarr.Group, *, zones: Sequence[Zone]) -> dict[str, Any]:
    """Return the settings of the page (`view.json`) for an exported store.

    Parameters
    ----------
    folder
        The store, which lies beside the page under its own name.
    root
        The same, opened.
    zones
        Counties of the region.
    """
    import shapely

    arrays = {path: array for path, array in root.members(max_depth=None) if isinstance(array, zarr.Array)}
    names = [path.split("/")[1] for path in arrays if path.startswith(f"{ANNUAL_GROUP}/")]
    layers = sorted((name for name in names if name not in _NO_LAYERS), key=_rank)
    years = np.asarray(arrays[f"{ANNUAL_GROUP}/year"][:])
    shown = [int(year) for year in years if f"daily/{year}/nee" in arrays]
    attributes = {name: str(value) for name, value in root.attrs.items() if isinstance(value, str)}
    return {
        "title": attributes["title"],
        "region": attributes["region_title"],
        "store": folder.name,
        "years": years.tolist(),
        "shown": shown,
        "bounds": np.round(shapely.total_bounds([zone.geometry for zone in zones]), 4).tolist(),
        "variables": [_variable(arrays, name) for name in layers],
        "table": [name for name in _TABLE if name in layers],
        "dailyUnits": _units(arrays[f"daily/{shown[-1]}/nee"]),
        "synthetic": _synthetic(attributes["synthetic_inputs"]),
        "spread": _spread(layers),
        "remarks": {str(year): _remarks(arrays, index) for index, year in enumerate(years) if year in shown},
        "source": _source(attributes),
        "chunks": chunk_index(folder, root, [path for path in arrays if not path.endswith(_NO_LAYERS[2:])]),
    }


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _variable(arrays: dict[str, zarr.Array[Any]], name: str) -> dict[str, Any]:
    array = arrays[f"{ANNUAL_GROUP}/{name}"]
    coded = classes(name)
    described = {
        "name": name,
        "short": _TABLE.get(name, name),
        "label": _label(array),
        "units": "" if coded else _units(array),
        "flags": "flag_masks" in array.attrs,
        "classes": [asdict(each) for each in coded],
    }
    if coded:
        return described
    colours = ramp(name)
    low, high = limits(_sample(arrays, name), centred=colours.centred)
    return {**described, "colours": colours.stops(COLOURS), "low": low, "high": high}


def _label(array: zarr.Array[Any]) -> str:
    """Return the name of a variable in words.

    Carbon stands in the unit already, and codes in the legend.
    """
    words = str(array.attrs["long_name"]).replace(", carbon", "").partition(": ")[0]
    return words[0].upper() + words[1:]


def _units(array: zarr.Array[Any]) -> str:
    units = str(array.attrs["units"])
    if units == "1":
        return "share, 0 to 1"
    return units.replace("g m-2", "g C m⁻²").replace("yr-1", "yr⁻¹").replace("d-1", "d⁻¹")


def _sample(arrays: dict[str, zarr.Array[Any]], name: str) -> NDArray[np.floating]:
    """Return the values of the finest level, of all years, that is small enough; without overviews, of every n-th cell."""
    levels = sorted((array for path, array in arrays.items() if path.endswith(f"/{name}") and _yearly(array)), key=_size)
    fitting = [array for array in levels if array.size <= _MOST_VALUES] or levels[:1]
    thin = -(-int(np.sqrt(fitting[-1].size / _MOST_VALUES)) // 1) or 1
    values = np.asarray(fitting[-1][:, ::thin, ::thin])
    return np.asarray(values[np.isfinite(values)])


def _yearly(array: zarr.Array[Any]) -> bool:
    return array.metadata.dimension_names == ("year", "y", "x")  # type: ignore[union-attr]


def _size(array: zarr.Array[Any]) -> int:
    return int(array.size)


def _synthetic(inputs: str) -> str:
    return "" if inputs == "none" else f"Synthetic inputs: {inputs}"


def _spread(layers: Iterable[str]) -> str:
    if any(name.endswith("_spread") for name in layers):
        return "Layers “standard deviation” have the spread over the ensemble's members."
    return "One network, no ensemble: the store has no interval."


def _remarks(arrays: dict[str, zarr.Array[Any]], index: int) -> str:
    """Return the number of cells with a result in a year, and the share of these with remarks on their quality."""
    modelled = np.asarray(arrays[f"{ANNUAL_GROUP}/mask"][:]) == 1
    done = np.isfinite(np.asarray(arrays[f"{ANNUAL_GROUP}/dsoc"][index])) & modelled
    flags = np.asarray(arrays[f"{ANNUAL_GROUP}/quality"][index])[done]
    text = f"{done.sum():,} of {modelled.sum():,} modelled cells have a result"
    if not flags.size or not flags.any():
        return f"{text}, none with a remark."
    shares = {bit: float(np.mean((flags & bit) > 0)) for bit in Quality}
    largest = sorted((bit for bit in Quality if shares[bit] > 0), key=lambda bit: -shares[bit])[:_NAMED_REMARKS]
    named = "; ".join(f"{_percent(shares[bit])} {QUALITY_MEANINGS[bit].partition(':')[0]}" for bit in largest)
    return f"{text}, {_percent(float(np.mean(flags > 0)))} with a remark (layer Quality flags): {named}."


def _percent(share: float) -> str:
    """Return a share for readers, never 0 or 100 % of what is neither.

    Examples
    --------
    >>> _percent(0.0004), _percent(0.37), _percent(0.999)
    ('< 1 %', '37 %', '> 99 %')
    """
    if 0 < share < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < share < 1 else f"{share:.0%}".replace("%", " %")


def _source(attributes: dict[str, str]) -> str:
    version = f"Version {attributes['product_version']}, {attributes['software']}"
    rights = f"licence {attributes['license']}; institution {attributes['institution']}"
    return f"{attributes['source']}. Weights: {attributes['checkpoint_origin']}. {version}; {rights}."
