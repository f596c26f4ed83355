"""Stores, exports and leases on S3: a real server on the loopback interface, asked as a user would."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
from typer.testing import CliRunner

from pipeline import config
from pipeline.cli.main import app, main
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.storage import files, lease, s3
from pipeline.storage import repository as store
from pipeline.storage.commit import CommitError, Committer, committing
from pipeline.storage.lease import Holder, Lease
from pipeline.storage.retry import RetryPolicy
from tests.helpers import small_archives
from tests.helpers.commits import transaction
from tests.helpers.s3_server import BUCKET, KEY, SECRET, S3Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with serve() as running:
        yield running


@pytest.fixture
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The environment of a user of the server, and nothing of this machine's own."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for asked_once in (s3._client, s3._check):  # a process has one environment, and these tests have many
        asked_once.cache_clear()
    server.throttled.clear()
    return server


@pytest.fixture
def place(environment: S3Server, request: pytest.FixtureRequest) -> str:
    """A location of the test's own."""
    assert environment.url
    return f"s3://{BUCKET}/{request.node.name.replace('[', '/').rstrip(']')}"


def keys(server: S3Server, location: str) -> list[str]:
    """Every key below a location, asked from the server with another client."""
    prefix = location.removeprefix(f"s3://{BUCKET}/")
    found = server.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix, MaxKeys=1000)
    return [entry["Key"] for entry in found.get("Contents", ())]


def test_what_is_committed_is_there_for_another_process(place: str) -> None:
    assert not store.exists(place)
    with transaction(store.create(place), "one") as root:
        root.create_array("values", data=np.arange(5))
    reading = f"""
from pipeline.storage import repository as store
print(store.values(store.read(store.open_existing({place!r}, made_by='')), 'values'))
"""
    said = subprocess.run([sys.executable, "-c", reading], capture_output=True, text=True, check=True)
    assert said.stdout == "[0 1 2 3 4]\n"


def test_the_second_of_two_commits_from_one_base_is_refused_and_nothing_of_it_is_seen(place: str) -> None:
    repository = store.create(place)
    first, second = (repository.writable_session(store.BRANCH) for _ in range(2))
    store.writable(first).attrs["who"] = "first"
    store.writable(second).attrs["who"] = "second"
    first.commit("first")
    with pytest.raises(icechunk.ConflictError):
        second.commit("second")
    assert store.attribute(store.read(store.open_existing(place, made_by="")), "who") == "first"


class Clock:
    """Time that passes only while someone sleeps; the server throttles for the first minute of it."""

    def __init__(self, server: S3Server, *methods: str) -> None:
        self._server, self.seconds = server, 0.0
        server.throttled.update(methods)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds > 60:
            self._server.throttled.clear()


@pytest.mark.parametrize("lease_is_checked", [True, False])
@pytest.mark.parametrize("methods", [("PUT",), ("PUT", "GET", "HEAD", "POST")])
def test_a_commit_outlasts_a_minute_of_throttling(
    place: str,
    environment: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    methods: tuple[str, ...],
    *,
    lease_is_checked: bool,
) -> None:
    """Whether the lease meets the server first, or Icechunk."""
    monkeypatch.setattr(s3, "WORKING", s3.Timeouts(10, 1))
    with committing(place, lambda: store.create(place)) as committer:
        committer.commit("array", lambda root: root.create_array("values", data=np.arange(5)))
        fork = committer.repository.writable_session(store.BRANCH).fork()
        store.array(store.writable(fork), "values")[...] = np.arange(5) * 2
        clock = Clock(environment, *methods)
        committer.sleep = clock.sleep
        if not lease_is_checked:
            committer.still_held = lambda: None
        committer.commit("throttled", lambda root: root.attrs.update(done=True), forks=[fork])
        assert clock.seconds > 60
    found = store.open_existing(place, made_by="")
    assert store.values(store.read(found), "values").tolist() == [0, 2, 4, 6, 8]
    assert [info.message for info in found.ancestry(branch=store.BRANCH)][:2] == ["throttled", "array"]


def test_throttling_that_stays_ends_a_commit_in_one_sentence(place: str, environment: S3Server) -> None:
    committer = Committer(store.create(place), place, RetryPolicy(retries=2), sleep=lambda _: None)
    environment.throttled.add("PUT")
    with pytest.raises(
        CommitError, match=r"the storage failed, and what was committed before is kept: .*service error"
    ):
        committer.commit("never", lambda root: root.attrs.update(done=True))
    environment.throttled.clear()
    committer.commit("after", lambda root: root.attrs.update(done=True))


def test_a_server_that_throttles_when_the_lease_is_given_back_fails_nothing(
    place: str, environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "WORKING", s3.Timeouts(10, 1))
    with store.sole_writer(place):
        environment.throttled.add("PUT")
    environment.throttled.clear()
    left = s3.get(f"{place}.lock")
    assert left is not None
    assert Holder.parse(left.content).pid == os.getpid()


def test_no_key_goes_into_the_store_or_to_a_worker(place: str, environment: S3Server) -> None:
    repository = store.create(place)
    session = repository.writable_session(store.BRANCH)
    store.writable(session).attrs["x"] = 1
    session.commit("one")
    travelling = pickle.dumps(repository.writable_session(store.BRANCH).fork())
    client = environment.client()
    stored = [client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys(environment, place)]
    assert len(stored) > 3
    for content in (travelling, *stored):
        assert KEY.encode() not in content
        assert SECRET.encode() not in content


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of small archives, with a run file that keeps everything in folders."""
    folder = tmp_path_factory.mktemp("archives")
    (folder / "local.toml").write_text(config.dump(small_archives.write_archives(folder)))
    return folder


def on_s3(folder: Path, place: str) -> Path:
    """A run file for the same archives that keeps everything in a bucket."""
    stores = config.StoreSettings(inputs=f"{place}/inputs", cube=f"{place}/cube", exports=f"{place}/exports")
    path = folder / "remote.toml"
    path.write_text(config.dump(config.load(folder / "local.toml").model_copy(update={"stores": stores})))
    return path


def agcarbon(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def everything(location: str) -> dict[str, np.ndarray]:
    """All arrays of a store but those that tell times and places."""
    root = store.read(store.open_existing(location, made_by="test"))
    arrays = {path: np.asarray(node[...]) for path, node in root.members(max_depth=None) if hasattr(node, "chunks")}
    return {path: values for path, values in arrays.items() if path not in ("ledger/seconds", "ledger/cpu_seconds")}


@pytest.mark.slow
def test_every_step_on_s3_gives_what_it_gives_in_folders(
    archives: Path, place: str, environment: S3Server, tmp_path: Path
) -> None:
    runs = (archives / "local.toml", on_s3(archives, place))
    for run_file in runs:
        for command in (["ingest"], ["run"], ["aggregate"], ["export", "cog"]):
            done = agcarbon(*command, run_file)
            assert done.exit_code == 0, done.output
        counts = json.loads(agcarbon("status", run_file, "--json").stdout)["counts"]
        assert counts["done"] == sum(counts.values()) > 0
    local, remote = (Job.open(run_file).run_file.stores for run_file in runs)
    for one, other in ((local.inputs, remote.inputs), (local.cube, remote.cube)):
        expected, found = everything(one), everything(other)
        assert expected.keys() == found.keys()
        for path, values in expected.items():
            np.testing.assert_array_equal(values, found[path], err_msg=path)
    _assert_same_exports(Path(local.exports), remote.exports, environment, tmp_path)


def _assert_same_exports(local: Path, remote: str, server: S3Server, scratch: Path) -> None:
    """Fetch what is in the bucket with another client, and compare it file by file."""
    prefix = remote.removeprefix(f"s3://{BUCKET}/")
    for key in (key for key in keys(server, remote) if not key.endswith(".lock")):  # leases stay
        target = scratch / key.removeprefix(prefix).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        server.client().download_file(BUCKET, key, str(target))
    names = sorted(path.relative_to(local) for path in local.rglob("*.*"))
    assert names == sorted(path.relative_to(scratch) for path in scratch.rglob("*.*"))
    assert {name.suffix for name in names} == {".tif", ".json", ".csv", ".qml", ".xml", ".png", ".vrt"}
    for name in (name for name in names if name.suffix == ".tif"):
        with rasterio.open(local / name) as one, rasterio.open(scratch / name) as other:
            np.testing.assert_array_equal(one.read(1), other.read(1))
    for name in (name for name in names if name.suffix == ".csv"):
        pd.testing.assert_frame_equal(pd.read_csv(local / name), pd.read_csv(scratch / name))
    catalogs = [pystac.Catalog.from_file(folder / "cog" / "catalog.json") for folder in (local, scratch)]
    listed = [{item.id: item.to_dict()["assets"].keys() for item in one.get_items(recursive=True)} for one in catalogs]
    assert listed[0] == listed[1] != {}
    for item in catalogs[1].get_items(recursive=True):
        assert all(Path(asset.get_absolute_href() or "").exists() for asset in item.assets.values())


REFUSED = {
    "another key": ({"AWS_ACCESS_KEY_ID": "other"}, "the server does not know the access key; set AWS_ACCESS_KEY_ID"),
    "no key": ({"AWS_ACCESS_KEY_ID": ""}, "no credentials for it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "nobody there": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:{closed}"}, "cannot be reached .*; check AWS_ENDPOINT_URL"),
    "silence": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:{silent}"}, "cannot be reached .*; check AWS_ENDPOINT_URL"),
    "no URL": ({"AWS_ENDPOINT_URL": "127.0.0.1"}, "is no URL; give it as https://host:port"),
    "a secret": (
        {"AWS_ENDPOINT_URL": f"https://{KEY}:{SECRET}@localhost"},
        "AWS_ENDPOINT_URL must hold no credentials",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_server_that_cannot_be_used_is_refused_and_no_secret_is_told(
    place: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(s3, "PROBING", s3.Timeouts(1, 1))
    settings, message = REFUSED[fault]
    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ports = {"closed": closed.getsockname()[1], "silent": silent.getsockname()[1]}
        for name, value in settings.items():
            monkeypatch.setenv(name, value.format(**ports))
        for ask in (store.exists, store.create, lambda location: store.sole_writer(location).__enter__()):
            with pytest.raises(UserError, match=message) as refusal:
                ask(place)
            assert SECRET not in str(refusal.value)
            assert KEY not in str(refusal.value)


@pytest.mark.usefixtures("environment")
def test_a_bucket_that_is_not_there_ends_a_command_with_one_sentence(
    archives: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_file = on_s3(archives, "s3://nowhere/prefix")
    monkeypatch.setattr(sys, "argv", ["agcarbon", "ingest", str(run_file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "agcarbon: s3://nowhere/prefix/cube: there is no such bucket; create it, or correct the run file\n"
    )


def test_a_file_in_a_bucket_appears_whole_or_not_at_all(place: str, environment: S3Server) -> None:
    def break_off() -> None:
        with files.writing(f"{place}/table.csv") as path:
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert files.read(f"{place}/table.csv") is None
    with files.writing(f"{place}/table.csv") as path:
        path.write_bytes(b"whole")
        assert keys(environment, place) == []
    assert files.read(f"{place}/table.csv") == b"whole"


def test_a_living_writer_keeps_others_out_and_a_killed_one_of_this_machine_does_not(place: str) -> None:
    hold = (
        "from pipeline.storage import repository as store\nimport time\n"
        f"with store.sole_writer({place!r}):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    refusal = f"process {process.pid} on {socket.gethostname()}, since 20.* is writing it.*{place}.lock is deleted"
    with pytest.raises(UserError, match=refusal), store.sole_writer(place):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with store.sole_writer(place) as still_held:
        still_held()


def elsewhere(place: str, *, silent_for: timedelta) -> None:
    """Leave the lease of a process on another machine."""
    then = (lease._now() - silent_for).isoformat()
    holder = replace(Holder.this_process(), machine="another", host="far", pid=1, since=then, seen=then)
    s3.put_if(f"{place}.lock", holder.dump(), tag=None)


def test_a_writer_elsewhere_is_waited_for_until_it_has_long_been_silent(place: str) -> None:
    elsewhere(f"{place}/living", silent_for=timedelta(minutes=34))
    with pytest.raises(UserError, match="process 1 on far, since"), store.sole_writer(f"{place}/living"):
        pass
    elsewhere(f"{place}/dead", silent_for=timedelta(minutes=36))
    with store.sole_writer(f"{place}/dead") as still_held:
        still_held()


def test_a_writer_whose_lease_was_taken_over_is_told_and_leaves_the_new_one_alone(place: str) -> None:
    def outlive() -> None:
        with store.sole_writer(place) as still_held:
            still_held()
            found = s3.get(f"{place}.lock")
            assert found is not None
            other = replace(Holder.this_process(), host="far")
            assert s3.put_if(f"{place}.lock", other.dump(), tag=found.tag)
            still_held()

    with pytest.raises(UserError, match="another one has taken the store over; uncommitted work is discarded"):
        outlive()
    left = s3.get(f"{place}.lock")
    assert left is not None
    assert Holder.parse(left.content).host == "far"


def test_a_lease_is_written_again_while_it_is_held_and_free_afterwards(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)

    def left() -> Holder:
        found = s3.get(f"{place}.lock")
        assert found is not None
        return Holder.parse(found.content)

    with store.sole_writer(place):
        first, deadline = left(), time.monotonic() + 20
        while left().seen == first.seen and time.monotonic() < deadline:
            time.sleep(0.02)
        assert left().seen > first.seen
        assert left().id == first.id
    assert left() == Holder()


def test_an_answer_that_was_lost_costs_no_lease(place: str) -> None:
    """The server has written the beat, and its holder never learns the new tag."""
    with store.sole_writer(place) as still_held:
        found = s3.get(f"{place}.lock")
        assert found is not None
        written = replace(Holder.parse(found.content), seen=lease._now().isoformat())
        assert s3.put_if(f"{place}.lock", written.dump(), tag=found.tag)
        still_held()


def test_two_takers_of_one_lease_never_both_get_it(place: str) -> None:
    """Many threads at once, each with a client's own timing."""
    held: list[Lease] = []

    def take() -> None:
        with suppress(UserError):
            held.append(Lease(f"{place}.lock", what=place))

    takers = [threading.Thread(target=take) for _ in range(8)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert len(held) == 1
    held[0].release()
