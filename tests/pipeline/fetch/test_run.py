"""A region's share of an archive, from the search to the folder; all answers and files are generated."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from earthaccess import Store

from pipeline.config import ArchiveSettings, RunFile
from pipeline.errors import UserError
from pipeline.fetch.download import LoginRefusedError
from pipeline.fetch.earthdata import EarthdataCatalogue
from pipeline.fetch.needs import Archive, archive_of
from pipeline.fetch.run import REFUSALS, STAGING, Fetched, FetchPlan, State, fetch, plan_fetch
from pipeline.sources.nldas2.product import NldasSettings
from regions import load_region
from tests.helpers.earthdata_server import ARCHIVE, LOGIN_PAGE, TOKEN, Answer, EarthdataServer, granule, serving

HOURS = range(5)
STAMP = dt.datetime(2011, 1, 1)
TRIES = 3  # of a file by earthaccess
RETRIES = 6  # of a request to a busy archive, the first included


def name_of(hour: int) -> str:
    return f"NLDAS_FORA0125_H.A20110101.{hour:02d}00.020.nc"


def url_of(hour: int) -> str:
    return f"{ARCHIVE}/data/NLDAS/NLDAS_FORA0125_H.2.0/2011/001/{name_of(hour)}"


def content_of(hour: int) -> bytes:
    return hashlib.sha256(bytes([hour])).digest() * 1000


@pytest.fixture
def server() -> Iterator[EarthdataServer]:
    """Five hours of climate: with checksums, but for the last two; the last has a rounded size."""
    with serving(EarthdataServer()) as server:
        for hour in HOURS:
            content = content_of(hour)
            md5 = {"Algorithm": "MD5", "Value": hashlib.md5(content).hexdigest()} if hour < 3 else None
            rounded = {"SizeInBytes": None, "Size": len(content) / 1024, "SizeUnit": "KB"} if hour == 4 else {}
            server.add(url_of(hour), content, Checksum=md5, **rounded)
        yield server


@pytest.fixture
def store(server: EarthdataServer, monkeypatch: pytest.MonkeyPatch) -> Store:
    return server.open_store(monkeypatch)


@pytest.fixture
def fetched(store: Store) -> Callable[..., Fetched]:
    def call(plan: FetchPlan, *, parallel: int = 2) -> Fetched:
        return fetch(plan, store, parallel=parallel, progress=quiet)

    return call


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return climate(tmp_path / "nldas2")


def climate(folder: Path) -> Archive:
    run_file = RunFile(region="demo", archives=ArchiveSettings(nldas2=folder))
    return archive_of("climate", run_file=run_file, region=load_region("demo"), years=(2011,), only=None)


def quiet(what: str, done: int, total: int, failed: int = 0, /) -> None:
    assert what
    assert 0 <= done <= total
    assert 0 <= failed <= done


def planned(server: EarthdataServer, archive: Archive, *, recheck: bool = False) -> FetchPlan:
    return plan_fetch(archive, EarthdataCatalogue(server.address, pause_s=0.0), recheck=recheck, progress=quiet)


def states(plan: FetchPlan) -> list[State]:
    return [item.state for item in plan.items]


def place(archive: Archive, hour: int) -> Path:
    return archive.folder / "NLDAS_FORA0125_H.2.0" / "2011" / "001" / name_of(hour)


def manifest(archive: Archive) -> list[dict[str, object]]:
    return [json.loads(line) for line in (archive.folder / "fetched.jsonl").read_text().splitlines()]


def test_a_plan_counts_files_and_bytes_and_changes_nothing(server: EarthdataServer, archive: Archive) -> None:
    plan = planned(server, archive)
    assert states(plan) == [State.MISSING] * 5
    assert plan.size_bytes() == 5 * 32_000
    assert plan.notes == ("8,827 of 8,832 hours are missing, the first is 20101231.0000 UTC",)
    assert not archive.folder.exists()
    assert not server.asked


def test_all_is_fetched_and_a_second_call_asks_for_nothing(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    done = fetched(planned(server, archive))
    assert done == Fetched(5, 5 * 32_000, 0, {})
    assert [place(archive, hour).read_bytes() for hour in HOURS] == [content_of(hour) for hour in HOURS]
    server.asked.clear()
    again = planned(server, archive)
    assert states(again) == [State.COMPLETE] * 5
    assert fetched(again) == Fetched(0, 0, 0, {})
    assert not server.asked


def test_the_reader_finds_the_fetched_files_and_nothing_else(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    (archive.folder / "NLDAS_FORA0125_H.2.0").mkdir(parents=True)
    server.plan(url_of(0), Answer(ends_after=20_000), *[Answer(ends_after=0)] * (TRIES - 1))
    fetched(planned(server, archive))
    found = {path.name for path in archive.folder.rglob(NldasSettings().pattern)}
    assert found == {name_of(hour) for hour in (1, 2, 3, 4)}


def test_the_manifest_lists_the_files_that_arrived(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    server.granules[0] = granule(f"{url_of(0)}?user=me", content_of(0))
    fetched(planned(server, archive))
    entries = {str(entry["path"]).rsplit("/", 1)[-1]: entry for entry in manifest(archive)}
    assert len(entries) == 5
    assert entries[name_of(0)]["url"] == url_of(0)
    assert entries[name_of(1)]["algorithm"] == "md5"
    assert entries[name_of(3)]["algorithm"] == "sha256"
    assert entries[name_of(3)]["checksum"] == hashlib.sha256(content_of(3)).hexdigest()
    assert {entry["size_bytes"] for entry in entries.values()} == {32_000}
    assert str(entries[name_of(1)]["fetched"]).endswith("Z")


def test_the_token_is_written_nowhere(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, headers in server.asked)
    written = [path.read_bytes() for path in archive.folder.rglob("*") if path.is_file()]
    assert written
    assert not any(TOKEN.encode() in content for content in written)


def test_files_copied_by_hand_are_verified_and_not_transferred(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    elsewhere = archive.folder / "copied" / "from a colleague"
    elsewhere.mkdir(parents=True)
    for hour in HOURS:
        (elsewhere / name_of(hour)).write_bytes(content_of(hour))
    plan = planned(server, archive)
    assert states(plan) == [State.UNVERIFIED] * 5
    assert fetched(plan) == Fetched(0, 0, 5, {})
    # A rounded size and no checksum say too little: the archive itself is asked for the length.
    assert [path for path, _ in server.asked] == [f"/data/NLDAS/NLDAS_FORA0125_H.2.0/2011/001/{name_of(4)}"]
    assert states(planned(server, archive)) == [State.COMPLETE] * 5
    assert not place(archive, 0).exists()


@pytest.mark.parametrize("hour", HOURS)
def test_a_file_that_is_not_the_archives_is_replaced(
    server: EarthdataServer, archive: Archive, hour: int, fetched: Callable[..., Fetched]
) -> None:
    wrong = content_of(hour)[:-1] if hour > 2 else bytes(32_000)
    place(archive, hour).parent.mkdir(parents=True)
    place(archive, hour).write_bytes(wrong)
    assert fetched(planned(server, archive)).transferred == 5
    assert place(archive, hour).read_bytes() == content_of(hour)


def test_a_wrong_file_in_another_folder_is_replaced_there_so_that_no_two_contradict(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    elsewhere = archive.folder / "mine" / name_of(0)
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(LOGIN_PAGE)
    fetched(planned(server, archive))
    assert list(archive.folder.rglob(name_of(0))) == [elsewhere]
    assert elsewhere.read_bytes() == content_of(0)


def test_a_file_of_the_wrong_size_is_announced_as_to_be_replaced(server: EarthdataServer, archive: Archive) -> None:
    place(archive, 0).parent.mkdir(parents=True)
    place(archive, 0).write_bytes(LOGIN_PAGE)
    assert states(planned(server, archive))[0] is State.CHANGED


def test_a_file_that_changed_in_the_archive_is_fetched_again(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    newer = bytes(reversed(content_of(0)))
    server.files[f"/data/NLDAS/NLDAS_FORA0125_H.2.0/2011/001/{name_of(0)}"] = newer
    md5 = {"Algorithm": "MD5", "Value": hashlib.md5(newer).hexdigest()}
    server.granules[0] = granule(url_of(0), newer, Checksum=md5)
    plan = planned(server, archive)
    assert states(plan) == [State.CHANGED] + [State.COMPLETE] * 4
    fetched(plan)
    assert place(archive, 0).read_bytes() == newer
    assert states(planned(server, archive)) == [State.COMPLETE] * 5


@pytest.mark.parametrize("hour", [1, 3, 4])
def test_a_file_damaged_on_the_disk_is_found_when_all_are_read_again(
    server: EarthdataServer, archive: Archive, hour: int, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    place(archive, hour).write_bytes(bytes(32_000))
    assert states(planned(server, archive)) == [State.COMPLETE] * 5  # by name and size
    plan = planned(server, archive, recheck=True)
    assert states(plan) == [State.UNVERIFIED] * 5
    assert fetched(plan) == Fetched(1, 32_000, 4, {})
    assert place(archive, hour).read_bytes() == content_of(hour)


def test_a_file_that_lost_bytes_since_is_found_even_where_the_archive_rounds_sizes(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    place(archive, 4).write_bytes(content_of(4)[:-10])
    plan = planned(server, archive)
    assert states(plan)[4] is State.UNVERIFIED
    assert fetched(plan).transferred == 1
    assert place(archive, 4).read_bytes() == content_of(4)


def test_a_torn_last_line_of_the_manifest_costs_one_verification(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    path = archive.folder / "fetched.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    plan = planned(server, archive)
    assert plan.count(State.COMPLETE) == 4
    done = fetched(plan)
    assert (done.transferred, done.verified) == (0, 1)
    assert len(manifest(archive)) == 5


def test_a_damaged_manifest_is_refused_by_its_line(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    fetched(planned(server, archive))
    path = archive.folder / "fetched.jsonl"
    lines = path.read_text().splitlines()
    for damaged in ("{", '{"path": "a"}', "[]"):
        path.write_text("\n".join([lines[0], damaged, *lines[2:]]) + "\n")
        with pytest.raises(UserError, match=r"fetched\.jsonl: line 2"):
            planned(server, archive)


def test_faults_of_single_files_are_named_and_the_others_arrive(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    server.plan(url_of(1), *[Answer(404)] * TRIES)
    server.plan(url_of(3), *[Answer(503)] * RETRIES * TRIES)
    done = fetched(planned(server, archive))
    assert done.transferred == 3
    assert set(done.failures) == {name_of(1), name_of(3)}
    assert "404" in done.failures[name_of(1)]
    assert "HTTP 503" in done.failures[name_of(3)]
    assert states(planned(server, archive)).count(State.MISSING) == 2
    assert fetched(planned(server, archive)).transferred == 2


def test_one_refusal_is_a_fault_of_its_file_and_many_in_a_row_end_it(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    server.plan(url_of(1), *[Answer(403)] * TRIES)
    done = fetched(planned(server, archive), parallel=1)
    assert set(done.failures) == {name_of(1)}
    shutil.rmtree(archive.folder)
    server.asked.clear()
    for hour in HOURS:
        server.plan(url_of(hour), Answer(body=LOGIN_PAGE))
    with pytest.raises(LoginRefusedError, match="NASA GESDISC DATA ARCHIVE"):
        fetched(planned(server, archive), parallel=1)
    assert len(server.asked) == REFUSALS
    assert not any(path.suffix == ".nc" for path in archive.folder.rglob("*"))


def test_hostile_names_are_reported_and_write_nothing_anywhere(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    hostile = ("..%2F..%2Fescaped.nc", "%2Ftmp%2Fescaped.nc", "..", f"..%2F{name_of(9)}")
    for name in hostile:
        server.add(f"{ARCHIVE}/data/{name}", b"bad")
    server.granules.append(granule(f"http://example.com/{name_of(8)}", b"bad"))
    plan = planned(server, archive)
    assert len(plan.refused) == 5
    assert len(plan.items) == 5
    fetched(plan)
    written = {path.name for path in archive.folder.parent.rglob("*") if path.is_file()}
    assert written == {*map(name_of, HOURS), "fetched.jsonl", "agcarbon.lock"}


def test_files_of_the_search_that_are_not_needed_are_counted(server: EarthdataServer, archive: Archive) -> None:
    server.add(f"{url_of(0)}.xml", b"<description/>")
    server.add(f"{ARCHIVE}/NLDAS_FORA0125_H.A20130101.0000.020.nc", b"another year")
    assert planned(server, archive).other_files == 2


def test_a_file_that_is_listed_twice_with_different_sizes_is_reported(
    server: EarthdataServer, archive: Archive
) -> None:
    server.granules.append(server.granules[0])
    assert not planned(server, archive).refused
    server.granules.append(granule(url_of(0), b"shorter"))
    plan = planned(server, archive)
    assert [(refused.name, len(plan.items)) for refused in plan.refused] == [(name_of(0), 5)]


def test_a_disk_that_is_too_small_is_refused_before_anything_comes(
    server: EarthdataServer, archive: Archive, monkeypatch: pytest.MonkeyPatch, fetched: Callable[..., Fetched]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 5 * 32_000 - 1))
    with pytest.raises(UserError, match="GB are free"):
        fetched(planned(server, archive))
    assert not server.asked


def test_two_processes_do_not_fetch_into_one_folder(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    from pipeline.storage.repository import sole_writer

    plan = planned(server, archive)
    with sole_writer(str(archive.folder)), pytest.raises(UserError, match="is writing it"):
        fetched(plan)


def test_an_interruption_starts_no_further_transfers(server: EarthdataServer, archive: Archive, store: Store) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    plan = planned(server, archive)
    fetchers = {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name}
    with pytest.raises(KeyboardInterrupt):
        fetch(plan, store, parallel=2, progress=interrupt)
    assert {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name} == fetchers
    assert len(server.asked) <= 2
    assert not (archive.folder / STAGING).exists()
    assert states(planned(server, archive)).count(State.COMPLETE) == 1


def test_no_more_files_are_asked_for_at_a_time_than_allowed(
    server: EarthdataServer, archive: Archive, store: Store
) -> None:
    server.slow_s = 0.1
    fetch(planned(server, archive), store, parallel=2, progress=quiet)
    assert server.most == 2


_KILLED = """
import sys
from pathlib import Path

import pytest

from tests.helpers.earthdata_server import EarthdataServer
from tests.pipeline.fetch.test_run import climate, fetch, planned, quiet

server, archive = EarthdataServer(port=int(sys.argv[1])), climate(Path(sys.argv[2]))
with pytest.MonkeyPatch.context() as monkeypatch:
    fetch(planned(server, archive), server.open_store(monkeypatch), parallel=1, progress=quiet)
"""


def test_a_killed_process_leaves_no_part_visible_and_the_next_continues(
    server: EarthdataServer, archive: Archive, fetched: Callable[..., Fetched]
) -> None:
    server.plan(url_of(1), Answer(ends_after=20_000, hangs=True))
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(server.port), str(archive.folder)])
    deadline = time.monotonic() + 60
    while not transferring(archive, url_of(1), server) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any((archive.folder / STAGING).iterdir())
    assert [path.name for path in archive.folder.rglob(NldasSettings().pattern)] == [name_of(0)]
    plan = planned(server, archive)
    assert states(plan) == [State.COMPLETE] + [State.MISSING] * 4
    assert fetched(plan) == Fetched(4, 4 * 32_000, 0, {})
    assert not (archive.folder / STAGING).exists()


def transferring(archive: Archive, url: str, server: EarthdataServer) -> bool:
    """Return whether a file is on its way: the server was asked for it, and a temporary file is there."""
    staging = archive.folder / STAGING
    return any(url.endswith(path) for path, _ in server.asked) and staging.exists() and any(staging.iterdir())


def test_gpp_that_was_fetched_is_where_ingest_looks(
    server: EarthdataServer, tmp_path: Path, fetched: Callable[..., Fetched]
) -> None:
    server.granules.clear()
    for tile in ("h11v04", "h11v05", "h12v04"):
        for name in (f"GPP.2011.07.04.{tile}.tif", f"PAR.2011.07.04.{tile}.tif"):
            server.add(f"https://data.ornldaac.earthdata.nasa.gov/protected/slope/data/{name}", name.encode())
    region, run_file = load_region("demo"), RunFile(archives=ArchiveSettings(slope=tmp_path / "slope"))
    gpp = archive_of("gpp", run_file=run_file, region=region, years=(2011,), only=None)
    plan = planned(server, gpp)
    assert plan.other_files == 4
    fetched(plan)
    expected = {tmp_path / "slope" / "GPP250m" / "2011" / f"GPP.2011.07.04.{tile}.tif" for tile in ("h11v04", "h11v05")}
    assert set((tmp_path / "slope").rglob("*.tif")) == expected
