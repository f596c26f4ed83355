"""Time from opening the page of `agcarbon view` to the first map, and from a click to the first series.

    python -m benchmarks.view RUN_FILE [--repeats 5] [--pictures FOLDER]

A headless Chromium without a cache opens the page over the exported Zarr store of the run file; the processor draws,
as there is no graphics card. The map counts when its first frame with data is drawn, the series when NEE is in the
document, the table when all years are. Then `--pictures` writes view.png and view-phone.png, at 1280 and 390 pixels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import zarr

from pipeline.job import Job
from pipeline.storage import files
from pipeline.view.files import page_files, store_folder
from pipeline.view.server import Site, address, open_server
from tests.helpers import chromium

AIMS_SECONDS = {"map": 2.0, "series": 1.0, "table": None}


def a_cell(store: Path) -> tuple[int, int]:
    """Return row and column of the modelled cell that is nearest to the middle of the map."""
    mask = zarr.open_group(store, mode="r")["annual/mask"]
    assert isinstance(mask, zarr.Array)
    places = np.argwhere(np.asarray(mask[:]) == 1)
    row, col = places[np.square(places - np.array(mask.shape) / 2).sum(axis=1).argmin()]
    return int(row), int(col)


def measure(page: chromium.Page, link: str, cell: tuple[int, int]) -> dict[str, float]:
    """Return the seconds until the first map, and after a click on a cell until the first series and the table."""
    page.open("about:blank")
    page.call("Network.setCacheDisabled", cacheDisabled=True)
    page.open(link)
    page.wait("document.body?.dataset.map", seconds=120)
    first_map = page.value("performance.getEntriesByName('map')[0].startTime") / 1e3
    time.sleep(1)
    row, col = cell
    x, y = page.value(
        "(() => { const { map, cube } = agcarbon;"
        f"const {{ x, y }} = map.project(cube.centre({{row: {row}, col: {col}}}));"
        "const box = map.getContainer().getBoundingClientRect(); return [box.left + x, box.top + y]; })()"
    )
    page.value("addEventListener('mousedown', () => performance.mark('click'), { once: true, capture: true })")
    page.click(x, y)
    page.wait("document.body.dataset.series", seconds=120)
    page.wait("document.body.dataset.table", seconds=120)
    marks = page.value("['click', 'series', 'table'].map((name) => performance.getEntriesByName(name)[0].startTime)")
    return {"map": first_map, "series": (marks[1] - marks[0]) / 1e3, "table": (marks[2] - marks[0]) / 1e3}


def pictures(page: chromium.Page, link: str, cell: tuple[int, int], folder: Path) -> None:
    """Write the page with a chosen cell at desk width, and its first screen at phone width."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, height, chosen in (("view.png", 1280, 800, True), ("view-phone.png", 390, 844, False)):
        page.size(width, height, touch=not chosen)
        page.open("about:blank")
        page.open(f"{link}#cell={cell[0]},{cell[1]}" if chosen else link)
        page.wait(f"document.body?.dataset.{'table' if chosen else 'map'}", seconds=120)
        time.sleep(3)
        page.picture(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_file", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    job = Job.open(arguments.run_file)
    location = files.join(job.stores.exports, "zarr", f"{job.region.name}.zarr")
    store = store_folder(location, made_by=f"agcarbon export zarr {arguments.run_file}")
    with open_server(Site(page_files(store, job.region), store), 0) as server, chromium.browser() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.size(1280, 800)
        link, cell = urljoin(address(server), "/"), a_cell(store)
        found = [measure(page, link, cell) for _ in range(arguments.repeats)]
        if arguments.pictures:
            pictures(page, link, cell, arguments.pictures)
        server.shutdown()
    for name, aim in AIMS_SECONDS.items():
        seconds = [each[name] for each in found]
        print(
            f"first {name}: median {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} s"
            f"{f' (aim {aim:g} s)' if aim else ''}"
        )
    where = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{arguments.repeats} openings, {where}; faults in the console: {page.faults or 'none'}")


if __name__ == "__main__":
    main()
