"""History of a store, effect of a rollback and freed space, as tables and sentences for people and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from rich.box import SIMPLE
from rich.filesize import decimal
from rich.table import Table

from pipeline.cube.garbage import Freed
from pipeline.cube.history import Commit, Release, short
from pipeline.cube.rollback import Rollback
from pipeline.years import spans

_YEAR = 4  # digits


def history_table(location: str, commits: Sequence[Commit]) -> Table:
    """Return the commits, newest first, with the chunks that each wrote and, in brackets, the releases made of it."""
    table = Table(title=f"History: {location}", box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("time (UTC)", "snapshot", "message", "chunks written"):
        table.add_column(heading, no_wrap=heading in ("time (UTC)", "snapshot"), overflow="fold")
    for commit in commits:
        releases = f" ({', '.join(commit.releases)})" if commit.releases else ""
        table.add_row(
            f"{commit.written_at:%Y-%m-%d %H:%M}",
            short(commit.snapshot),
            commit.message + releases,
            changes(commit.changed),
        )
    return table


def changes(changed: Mapping[str, int]) -> str:
    """Return `annual 4, daily 2011-2012 24`: chunks written by outermost group, with the years of its groups."""
    chunks: defaultdict[str, int] = defaultdict(int)
    years: defaultdict[str, list[int]] = defaultdict(list)
    for group, count in changed.items():
        name, *within = group.split("/")
        chunks[name] += count
        years[name] += [int(part) for part in within if len(part) == _YEAR and part.isdigit()]
    return ", ".join(" ".join(filter(None, (name, spans(years[name]), str(chunks[name])))) for name in sorted(chunks))


def history_json(location: str, commits: Sequence[Commit]) -> dict[str, Any]:
    """Return `store`, and under `commits` the fields of `Commit`, newest first."""
    return {"store": location, "commits": [_plain(commit) for commit in commits]}


def releases_json(location: str, releases: Sequence[Release]) -> dict[str, Any]:
    """Return `store`, and under `releases` the fields of `Release`, oldest first."""
    return {"store": location, "releases": [_plain(release) for release in releases]}


def _plain(record: Commit | Release) -> dict[str, Any]:
    return asdict(record) | {"written_at": record.written_at.isoformat(timespec="seconds")}


def releases_table(location: str, releases: Sequence[Release]) -> Table:
    """Return the releases, oldest first."""
    table = Table("release", "made (UTC)", "of snapshot", "message", title=f"Releases: {location}", box=SIMPLE)
    for release in releases:
        table.add_row(release.name, f"{release.written_at:%Y-%m-%d %H:%M:%S}", short(release.of), release.message)
    return table


def rollback_sentences(wanted: Rollback) -> Iterator[str]:
    """Yield the move and its effect, in a sentence each."""
    yield f"from {short(wanted.left)} to {short(wanted.state)}"
    yield f"drops {_by_year(wanted.drops)}"
    if wanted.restores:
        yield f"restores {_by_year(wanted.restores)}"


def _by_year(count: Mapping[int, int]) -> str:
    by_year = ", ".join(f"{number} of {year}" for year, number in count.items())
    return f"{sum(count.values())} tile-years: {by_year}" if count else "no tile-years"


def freed_sentence(location: str, freed: Freed, *, dry_run: bool, age: timedelta) -> str:
    """Return how much was freed, or would be, and the age up to which data were spared."""
    verb = "would free" if dry_run else "freed"
    text = f"{location}: {verb} {decimal(freed.size_bytes)} in {freed.objects} objects, {freed.chunks} of them chunks"
    text += f"; spared what is younger than {age / timedelta(hours=1):g} h" if age else ""
    if not freed.expired:
        return text
    if dry_run:
        return f"{text}; would expire {freed.expired} states and free the data that only they hold"
    return f"{text}; expired {freed.expired} states"


def freed_json(collected: Mapping[str, Freed], *, dry_run: bool) -> dict[str, Any]:
    """Return `dry_run`, and under `stores` the location of each as `store` with the fields of `Freed`."""
    stores = [{"store": location} | asdict(freed) for location, freed in collected.items()]
    return {"dry_run": dry_run, "stores": stores}
