"""Settings of the page: variables with their colours, years, certainty and origin of the maps, chunks of the store."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.basemap import limits
from pipeline.export.palettes import classes, ramp
from pipeline.export.plain_zarr.layout import ANNUAL_GROUP
from pipeline.storage import files
from pipeline.variables import FLUXES, QUALITY_MEANINGS, Quality
from pipeline.view.chunks import chunk_index
from regions import Zone

COLOURS = 256
# Of the list of variables; all others follow by name, those of an ensemble's spread last.
_FIRST = ("nee", "dsoc", "yield", "gpp", "reco", "crop", "quality")
# Columns of the table of a cell, and their headings.
_TABLE = {
    "gpp": "GPP",
    "reco": "Reco",
    "nee": "NEE",
    "yield": "Grain",
    "dsoc": "dSOC",
    "crop": "Crop",
    "quality": "Remarks",
}
_COORDINATES = ("year", "time", "y", "x", "spatial_ref", "cell_area")  # of which the page reads none
_MOST_VALUES = 4_000_000  # that decide the range of the colours
SPREAD = "_spread"  # ends the names of standard deviations over an ensemble


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
    layers = sorted((name for name in names if name not in (*_COORDINATES, "mask")), key=_rank)
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
        "sure": {str(year): _sure(arrays, index, layers) for index, year in enumerate(years)},
        "source": _source(attributes),
        "chunks": chunk_index(folder, root, [path for path in arrays if files.name_of(path) not in _COORDINATES]),
    }


def _rank(name: str) -> tuple[int, bool, str]:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST), name.endswith(SPREAD), name


def _variable(arrays: dict[str, zarr.Array[Any]], name: str) -> dict[str, Any]:
    array = arrays[f"{ANNUAL_GROUP}/{name}"]
    coded = classes(name)
    described = {
        "name": name,
        "short": _TABLE.get(name, name),
        **_words(name, array),
        "units": "" if coded else _units(array),
        "flags": name == "quality",
        "classes": [asdict(each) for each in coded],
    }
    if coded:
        return described
    colours = ramp(name)
    low, high = limits(_sample(arrays, name), centred=colours.centred)
    return {**described, "colours": colours.stops(COLOURS), "low": low, "high": high}


def _words(name: str, array: zarr.Array[Any]) -> dict[str, str]:
    """Return the name of a variable in words, and a note on its sign or origin; carbon stands in the unit already."""
    if name.endswith(SPREAD):
        flux = next(each for each in FLUXES if each.name == name.removesuffix(SPREAD))
        return {
            "label": f"Ensemble spread of {flux.long_name.partition(',')[0]}",
            "note": "standard deviation over members",
        }
    label, mark, note = re.split(r"([,:] |$)", str(array.attrs["long_name"]).replace(", carbon", ""), maxsplit=1)
    return {"label": label[0].upper() + label[1:], "note": note.replace("-", "−") if mark and name != "crop" else ""}


def _units(array: zarr.Array[Any]) -> str:
    units = str(array.attrs["units"])
    if units == "1":
        return "share, 0 to 1"
    return units.replace("g m-2", "g C m⁻²").replace("yr-1", "yr⁻¹").replace("d-1", "d⁻¹")


def _sample(arrays: dict[str, zarr.Array[Any]], name: str) -> NDArray[np.floating]:
    """Return the values of all years on the finest level that is small enough; without overviews, every n-th cell's."""
    levels = sorted(
        (array for path, array in arrays.items() if path.endswith(f"/{name}") and _yearly(array)), key=_size
    )
    fitting = [array for array in levels if array.size <= _MOST_VALUES] or levels[:1]
    thin = math.ceil(math.sqrt(fitting[-1].size / _MOST_VALUES))
    values = np.asarray(fitting[-1][:, ::thin, ::thin])
    return np.asarray(values[np.isfinite(values)])


def _yearly(array: zarr.Array[Any]) -> bool:
    return array.metadata.dimension_names == ("year", "y", "x")  # type: ignore[union-attr]


def _size(array: zarr.Array[Any]) -> int:
    return int(array.size)


def _synthetic(inputs: str) -> str:
    return "" if inputs == "none" else f"Synthetic inputs: {inputs}"


def _sure(arrays: dict[str, zarr.Array[Any]], index: int, layers: Sequence[str]) -> dict[str, str]:
    """Return the certainty of a year: intervals, cells with a result, and the share of these with remarks."""
    spread = any(name.endswith(SPREAD) for name in layers)
    interval = "Spread of an ensemble: see its layers." if spread else "One network: no interval."
    modelled = np.asarray(arrays[f"{ANNUAL_GROUP}/mask"][:]) == 1
    done = np.isfinite(np.asarray(arrays[f"{ANNUAL_GROUP}/dsoc"][index])) & modelled
    flags = np.asarray(arrays[f"{ANNUAL_GROUP}/quality"][index])[done]
    counted = f"{done.sum():,} of {modelled.sum():,} modelled cells have a result"
    if not flags.any():
        return {"short": interval, "long": f"{counted}, none of them with a remark on its quality."}
    remarked = _percent(float(np.mean(flags > 0))).capitalize()
    shares = {bit: float(np.mean((flags & bit) > 0)) for bit in Quality}
    named = [f"{_percent(share)} {QUALITY_MEANINGS[bit].partition(':')[0]}" for bit, share in shares.items() if share]
    return {
        "short": f"{interval} {remarked} of the cells have a remark.",
        "long": f"{counted}. Remarks (layer Quality flags): {'; '.join(named)}.",
    }


def _percent(share: float) -> str:
    """Return a share for readers, never 0 or 100 % of what is neither.

    Examples
    --------
    >>> _percent(0.0004), _percent(0.37), _percent(0.999)
    ('below 1 %', '37 %', 'above 99 %')
    """
    if 0 < share < 0.01:
        return "below 1 %"
    return "above 99 %" if 0.99 < share < 1 else f"{share:.0%}".replace("%", " %")


def _source(attributes: dict[str, str]) -> dict[str, str]:
    """Return the origin of the maps: program and version, then weights, network and rights."""
    weights = f"Weights: {attributes['checkpoint_origin']}"
    rights = f"Licence {attributes['license']}; institution {attributes['institution']}"
    return {
        "short": f"{attributes['software']}, version {attributes['product_version']}",
        "long": f"{attributes['source']}. {weights}. {rights}. Borders: US Census Bureau 2016.",
    }
