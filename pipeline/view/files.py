"""The static files of the page over an exported Zarr store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import zarr

from pipeline.errors import UserError
from pipeline.storage import files as outputs
from pipeline.storage import s3
from pipeline.view.borders import borders
from pipeline.view.settings import settings
from regions import Region, counties, zones

PAGE = Path(__file__).with_name("page")
NAMES = ("index.html", "view.js", "view.css", "THIRD_PARTY.txt")


def store_folder(location: str, *, made_by: str) -> Path:
    """Return the folder of an exported store; raises `UserError` if none opens there."""
    if s3.is_remote(location):
        raise UserError(
            f"{location}: the page needs a store in a local folder: `{made_by} -o FOLDER/NAME.zarr`, then "
            "`agcarbon view -o FOLDER`, and copy the folder into the bucket"
        )
    folder = Path(location)
    if not (folder / "zarr.json").is_file():
        raise UserError(f"{folder}: there is no complete Zarr store; `{made_by}` makes it")
    return folder


def page_files(store: Path, region: Region) -> dict[str, bytes]:
    """Return the files of the page by name; `store` is to lie beside them under its own name.

    Raises
    ------
    UserError
        If the store has no year with results.
    """
    root = zarr.open_group(store, mode="r")
    if "daily" not in root:
        raise UserError(f"{store}: no year has results; compute some with `agcarbon run`, then export again")
    of_region = zones(region)
    lines = borders(of_region, counties())
    described = settings(store, root, zones=of_region)
    return {
        **{name: (PAGE / name).read_bytes() for name in NAMES},
        "view.json": json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode(),
        "counties.json": lines.counties,
        "states.json": lines.states,
    }


def write_page(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files; `index.html` last, so that the page opens when all others are there."""
    for name in sorted(files, key=lambda name: name == "index.html"):
        outputs.write(str(folder / name), files[name])
