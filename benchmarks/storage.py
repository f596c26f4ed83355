"""Bytes and speed of the stores' encodings, the objects they consist of, and the size of the Midwest's stores.

    python -m benchmarks.storage [--folder FOLDER] [--rounds 3] [--write FILE.json]

Values are those of the demo with every cell modelled (`benchmarks.every_cell`), mirrored at its edges to fill a tile of
240 x 240 cells; no chunk of 48 x 48 holds a cell twice. Three cases: patches of 22 % of such a tile, as modelled cells
lie in the Midwest; the demo with its own cells, in its tiles of 48 x 48; a tile that is modelled everywhere. Bytes are
those of chunks and shards, checksums and indices included, divided by the cells (or cell-days) that have values. Arrays
lie in memory: times are processor time of coding alone, the least of the rounds; MB/s are of all values of the tile
before compression, "series" reads all days of a cell, "map" a day of the tile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec
from zarr.storage import MemoryStore

from benchmarks.every_cell import EveryCell, every_cell
from benchmarks.objects import midwest_objects
from benchmarks.year_step import machine
from pipeline.inputs.layout import GPP_MISSING, Extent
from regions import load_region

Array = NDArray[Any]

EDGE = 240
MODELLED_SHARE = 0.22
# Standard deviation [cells] of the filter that draws patches. They have 0.48 borders with other cells for each of their
# own; corn and soybean of a single year have 0.64 in a real clip of the Cropland Data Layer, and means of years have
# fewer.
PATCH_CELLS = 1.5
# The region of regions/midwest.toml; its modelled cells, and those with a tenth of crops (1.7 times as many in that
# clip), are estimates until its crop layers are ingested.
MODELLED, SOME_CROPS, ALL_CELLS = 10.0e6, 20.0e6, 44.4e6
YEARS, RESTARTS = 21, 6
DAYS = round(YEARS * 365.25)


@dataclass(frozen=True)
class Encoding:
    """Axis that varies fastest; Blosc's shuffle, level of zstd and block (0: its choice); days and edge of a chunk."""

    fastest: str = "time"
    shuffle: str = "shuffle"
    level: int = 1
    block: int = 2**20
    days: int = 61
    edge: int = 48

    def __str__(self) -> str:
        block = "auto" if not self.block else f"{self.block >> 10} KiB"
        return (
            f"{self.fastest:>5} {self.shuffle:10} {self.level} {block:>8} {self.days:4} x {self.edge:3} x {self.edge:3}"
        )


STORED = Encoding()
FORMER = Encoding(fastest="x", shuffle="bitshuffle", block=0)
DAILY = (
    FORMER,
    replace(FORMER, fastest="time"),
    Encoding(shuffle="bitshuffle"),
    Encoding(shuffle="noshuffle"),
    Encoding(fastest="x"),
    Encoding(block=0),
    STORED,
    Encoding(level=3),
    Encoding(level=5),
    Encoding(days=122),
    Encoding(days=366),
    Encoding(edge=24),
)
# Arrays that keep the order of their axes.
OTHER = (FORMER, replace(FORMER, shuffle="noshuffle"), replace(STORED, fastest="x"), Encoding(fastest="x", level=3))


BY_TIME = ("three daily fluxes, bytes per cell-day", "GPP as int16, bytes per cell-day")


@dataclass(frozen=True)
class Case:
    """Arrays of equal shape, the shape of a tile, the number of values that bytes are divided by, chunks if fixed."""

    name: str
    arrays: tuple[Array, ...]
    tile: tuple[int, ...]
    values: int
    chunk: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cost:
    """Bytes of a value, coding speed [MB/s], and milliseconds for all days of a cell and all cells of a day."""

    bytes_per_value: float
    write: float
    read: float
    series_ms: float
    map_ms: float

    def __str__(self) -> str:
        return (
            f"{self.bytes_per_value:9.2f} {self.write:7.0f} {self.read:7.0f} {self.series_ms:7.1f} {self.map_ms:7.1f}"
        )


def array_in(memory: dict[str, Any], case: Case, encoding: Encoding, like: Array) -> zarr.Array[Any]:
    """Return an empty array in memory for the values `like`, one shard a tile."""
    wanted = case.chunk or (encoding.days, encoding.edge, encoding.edge)
    chunk = tuple(min(size, side) for size, side in zip(wanted, case.tile, strict=True))
    shard = tuple(-(-side // size) * size for side, size in zip(case.tile, chunk, strict=True))
    codec = BloscCodec(cname="zstd", clevel=encoding.level, shuffle=encoding.shuffle, blocksize=encoding.block)  # type: ignore[arg-type]
    return zarr.create_array(
        MemoryStore(memory),
        name="a",
        shape=like.shape,
        dtype=like.dtype,
        chunks=chunk,
        shards=shard if shard != chunk else None,
        filters=[TransposeCodec(order=(1, 2, 0))] if encoding.fastest == "time" else None,
        compressors=(codec, Crc32cCodec()),
        fill_value={"f": np.nan, "i": GPP_MISSING}.get(like.dtype.kind, 0),
    )


def cpu_seconds(function: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of a call."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def cost(case: Case, encoding: Encoding, rounds: int) -> Cost:
    """Return the cost of the arrays; times are those of the tile in the middle."""
    size, seconds = 0, np.zeros(4)
    for values in case.arrays:
        memory: dict[str, Any] = {}
        layer = array_in(memory, case, encoding, values)
        layer[...] = values
        size += sum(len(chunk) for path, chunk in memory.items() if "/c/" in path)
        # With leading axes in full; of the last two, the tile in the middle.
        first = [side // (2 * edge) * edge for side, edge in zip(values.shape[-2:], case.tile[-2:], strict=True)]
        window = tuple(slice(start, start + edge) for start, edge in zip(first, case.tile[-2:], strict=True))
        cell = tuple(side.start + edge // 2 for side, edge in zip(window, case.tile[-2:], strict=True))
        part = values[..., *window]
        calls: tuple[Callable[[], object], ...] = (
            lambda layer=layer, window=window, part=part: layer.__setitem__((..., *window), part),
            lambda layer=layer, window=window: layer[..., *window],
            lambda layer=layer, cell=cell: layer[..., *cell],
            lambda layer=layer, window=window: layer[*[side // 2 for side in layer.shape[:-2]], *window],
        )
        seconds += [cpu_seconds(call, rounds) for call in calls]
    megabytes = sum(values[..., *window].nbytes for values in case.arrays) / 1e6
    series, day = 1e3 * seconds[2:] / len(case.arrays)
    return Cost(size / case.values, megabytes / seconds[0], megabytes / seconds[1], series, day)


def mirrored(values: Array) -> Array:
    """Return the demo's values continued by reflection to a tile of `EDGE` x `EDGE` cells."""
    spare = [(0, EDGE - side) for side in values.shape[-2:]]
    return np.pad(values, [*[(0, 0)] * (values.ndim - 2), *spare], mode="symmetric")


def patches(share: float) -> NDArray[np.bool_]:
    """Return irregular patches that cover a share of a tile; those of a smaller share lie in those of a larger."""
    noise = gaussian_filter(np.random.default_rng(1).standard_normal((EDGE, EDGE)), PATCH_CELLS)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def cases(arrays: Sequence[Array], demo: NDArray[np.bool_], share: float) -> Iterator[Case]:
    """Yield the three cases of arrays (..., Y, X); bytes are per value, or per cell of all arrays."""
    for name, mask, edge in (
        (f"{share:.0%} of a tile of 240 x 240", patches(share), EDGE),
        ("the demo, tiles of 48 x 48", demo, 48),
        ("all of a tile of 240 x 240", np.ones((EDGE, EDGE), bool), EDGE),
    ):
        whole = [values if edge < EDGE else mirrored(values) for values in arrays]
        missing = [{"f": np.nan, "i": GPP_MISSING}.get(values.dtype.kind, 0) for values in whole]
        masked = tuple(
            np.where(mask, values, values.dtype.type(none)) for values, none in zip(whole, missing, strict=True)
        )
        first = masked[0]
        there = np.isfinite(first) if first.dtype.kind == "f" else first != GPP_MISSING
        tile = (*[366] * (first.ndim - 2), edge, edge)
        yield Case(name, masked, tile, int(there.sum()), () if first.ndim == 3 else tile)


def compare(title: str, found: Sequence[Case], tried: Sequence[Encoding], rounds: int) -> list[dict[str, Any]]:
    """Print the costs of all encodings in all cases, and return them as JSON values."""
    stored = STORED if title in BY_TIME else replace(STORED, fastest="x")
    rows = []
    for case in found:
        print(f"\n{title}: {case.name}; {len(case.arrays)} x ({' x '.join(map(str, case.arrays[0].shape))})")
        print(f"{'fastest, shuffle, level, block, chunk':45} bytes   write    read  series     map")
        print(f"{'':58} MB/s    MB/s      ms      ms")
        for encoding in tried:
            measured = cost(case, encoding, rounds)
            print(f"{encoding!s:45} {measured}{'  <- stored' if encoding == stored else ''}", flush=True)
            rows.append({"array": title, "case": case.name, **asdict(encoding), **asdict(measured)})
            rows[-1]["stored"] = encoding == stored
    return rows


def measure(fields: EveryCell, rounds: int) -> list[dict[str, Any]]:
    """Print and return the costs of all arrays."""
    share = MODELLED_SHARE
    rows = compare(BY_TIME[0], list(cases(fields.daily, fields.modelled, share)), DAILY, rounds)
    gpp = list(cases([fields.gpp], fields.some_crops, SOME_CROPS / MODELLED * share))
    rows += compare(BY_TIME[1], gpp, DAILY, rounds)
    annual = list(cases(fields.annual, fields.modelled, share))
    rows += compare("annual layers, bytes per cell", annual, OTHER, rounds)
    first = fields.climate[0]
    climate = Case(
        "all cells", fields.climate, first.shape, int(np.isfinite(np.stack(fields.climate)).sum()), first.shape
    )
    rows += compare("daily climate, bytes per value", [climate], (*OTHER, STORED), rounds)
    states = np.concatenate(fields.states, axis=2)
    state = Case("modelled cells", (states,), states.shape, states.shape[2], (1, states.shape[1], 1024))
    return rows + compare("states, bytes per cell", [state], OTHER, rounds)


def midwest(rows: Sequence[dict[str, Any]], fields: EveryCell) -> dict[str, float]:
    """Return gigabytes of the Midwest's groups, by the rates of the encodings that are stored."""

    def rate(array: str, case: str) -> float:
        return next(
            row["bytes_per_value"]
            for row in rows
            if row["stored"] and row["array"].startswith(array) and case in row["case"]
        )

    cells = fields.modelled.size
    window = Extent.of(load_region("midwest")).window
    tile = "of a tile"
    sizes = {
        "cube: daily": MODELLED * DAYS * rate("three daily", f"% {tile}"),
        "cube: annual": MODELLED * YEARS * rate("annual", f"% {tile}"),
        "cube: restart": MODELLED * RESTARTS * rate("states", ""),
        "cube: aggregates": MODELLED * YEARS * fields.group_bytes["aggregates"] / np.isfinite(fields.daily[0][0]).sum(),
        "inputs: gpp": SOME_CROPS * DAYS * rate("GPP", f"% {tile}"),
        "inputs: crop": ALL_CELLS * YEARS * fields.group_bytes["crop"] / cells,
        "inputs: soil": ALL_CELLS * fields.group_bytes["soil"] / cells,
        "inputs: climate": window.rows * window.cols * len(fields.climate) * DAYS * rate("daily climate", ""),
    }
    return {name: size / 1e9 for name, size in sizes.items()}


def print_midwest(sizes: dict[str, float], objects: dict[str, int]) -> None:
    """Print sizes and numbers of objects."""
    print(
        f"\nThe Midwest, {YEARS} years, {RESTARTS} of them with states: {MODELLED / 1e6:.1f} million modelled cells,\n"
        f"{SOME_CROPS / 1e6:.0f} million with GPP, {ALL_CELLS / 1e6:.1f} million in all"
    )
    for store in ("cube", "inputs"):
        total = sum(size for name, size in sizes.items() if name.startswith(store))
        print(f"{store:22} {total:8.1f} GB")
        for name, size in sizes.items():
            if name.startswith(store):
                print(f"  {name.removeprefix(f'{store}: '):20} {size:8.1f} GB")
    everywhere = sizes["inputs: gpp"] * (ALL_CELLS - SOME_CROPS) / SOME_CROPS
    print(f"GPP in all cells would add {everywhere:.0f} GB")
    print(f"\nobjects {sum(objects.values()):,}")
    for name, count in objects.items():
        print(f"  {name:24} {count:10,}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="of the demo with every cell modelled, made there; else temporary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="file for the results")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        fields = every_cell(chosen.folder or Path(temporary))
    rows = measure(fields, chosen.rounds)
    sizes, objects = midwest(rows, fields), midwest_objects()
    print_midwest(sizes, objects)
    if chosen.write:
        found = {"costs": rows, "midwest_gigabytes": sizes, "midwest_objects": objects, "machine": machine()}
        command = f"python -m benchmarks.storage --rounds {chosen.rounds}"
        chosen.write.write_text(json.dumps({"command": command, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
