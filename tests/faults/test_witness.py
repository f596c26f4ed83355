"""The witness of a campaign finds each of the four things that must not happen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.storage import repository as store
from tests.faults.scenarios import Undisturbed
from tests.faults.snapshots import Snapshot
from tests.faults.witness import Witness
from tests.helpers import filled_cube, random_inputs
from tests.helpers.commits import committer_of, transaction
from tests.helpers.filled_cube import FIRST, LAST, Filled


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filled:
    small = random_inputs.region_text(8).replace("2010", str(FIRST)).replace("2013", str(LAST))
    monkeypatch.setattr(filled_cube, "REGION", small.replace("mask_years = [2011, 2011]\n", ""))
    return filled_cube.fill_cube(tmp_path)


def _undisturbed(filled: Filled) -> Undisturbed:
    repository = filled.job.open_cube()
    newest = Snapshot(repository, store.tip(repository))
    return Undisturbed(newest.arrays(), {one.key: one.checksum for one in newest.recorded().values()})


def _witness(filled: Filled) -> Witness:
    return Witness(filled.job.run_file.stores.cube, _undisturbed(filled).checksums)


def test_nothing_is_found_in_a_cube_that_nothing_disturbed(filled: Filled) -> None:
    witness = _witness(filled)
    witness.look()
    found = witness.conclude(_undisturbed(filled))
    assert found.checksums > 0
    assert found.lost + found.torn + found.wrong_done + found.unequal == []


def test_values_that_are_not_those_of_the_checksum_are_torn(filled: Filled) -> None:
    before, witness = _undisturbed(filled), _witness(filled)
    with transaction(filled.job.open_cube(), "change one value") as root:
        daily = store.array(root, f"daily/{FIRST}/nee")
        place = tuple(int(index[0]) for index in np.nonzero(np.isfinite(np.asarray(daily[:]))))
        daily[place] = 1e3
    witness.look()
    assert len(witness.findings.torn) == 1
    found = witness.conclude(before)
    assert found.unequal == [f"daily/{FIRST}/nee differs in 1 values"]


def test_a_row_under_a_fingerprint_that_stands_for_other_values_is_wrong(filled: Filled) -> None:
    witness = _witness(filled)
    witness.checksums = dict.fromkeys(witness.checksums, "00" * 16)
    witness.look()
    assert len(witness.findings.wrong_done) == len(witness.checksums)
    assert not witness.findings.torn


def test_a_row_that_is_recorded_no_more_and_a_state_that_is_no_ancestor_are_lost(filled: Filled) -> None:
    witness, repository = _witness(filled), filled.job.open_cube()
    witness.look()
    with transaction(repository, "forget a row") as root:
        prints = store.array(root, "ledger/fingerprint")
        prints[0, 0] = 0
    witness.look()
    assert len(witness.findings.lost) == 1
    newest, before = (snapshot.id for snapshot in list(repository.ancestry(branch=store.BRANCH))[:2])
    repository.reset_branch(store.BRANCH, before)
    found = witness.conclude(_undisturbed(filled))
    assert f"snapshot {newest} is no ancestor" in found.lost


def test_a_release_that_a_command_reported_and_is_not_there_is_unequal(filled: Filled) -> None:
    before, witness = _undisturbed(filled), _witness(filled)
    with_release = replace(before, releases=frozenset({"v1"}))
    assert witness.conclude(with_release, succeeded=False).unequal == []
    assert witness.conclude(with_release).unequal == ["releases are [], undisturbed ['v1']"]
    committer_of(filled.job).create_tag("v1", store.tip(filled.job.open_cube()))
    witness = _witness(filled)
    assert witness.conclude(with_release).unequal == []
    assert witness.conclude(before, succeeded=False).unequal == ["releases are ['v1'], undisturbed [] or []"]


def test_another_program_s_commit_that_is_no_ancestor_is_lost(filled: Filled, tmp_path: Path) -> None:
    before, cube = _undisturbed(filled), filled.job.open_cube()
    foreign = tmp_path / "foreign"
    foreign.write_text(json.dumps({"location": filled.job.run_file.stores.cube, "snapshot": store.tip(cube)}))
    assert _witness(filled).conclude(before, foreign=foreign).lost == []
    committer = committer_of(filled.job)
    beside = committer.commit_beside(committer.base, "beside", lambda root: root.attrs.update(new=1))
    foreign.write_text(json.dumps({"location": filled.job.run_file.stores.cube, "snapshot": beside}))
    (lost,) = _witness(filled).conclude(before, foreign=foreign).lost
    assert "the commit of another program" in lost
