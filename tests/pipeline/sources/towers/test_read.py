"""Towers from archives as downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.towers.read import read_tower
from tests.helpers.tower_files import (
    DAY,
    FLUXNET,
    STEPS,
    write_zip,
)


def test_archives_are_read_as_downloaded(tmp_path: Path) -> None:
    daily = read_tower(write_zip(tmp_path, {FLUXNET.format("DD"): DAY, FLUXNET.format("HH"): "broken"}))
    assert daily.site == "US-Ne1"
    assert list(daily.gpp) == [5]
    base = write_zip(
        tmp_path,
        {"AMF_US-CRT_BASE_HR_2-5.csv": "# Site: US-CRT\r\n# Version: 2-5\r\n" + STEPS.replace("\n", "\r\n")},
        name="AMF_US-CRT_BASE-BADM_2-5.zip",
    )
    assert read_tower(base).days["nee"].item() == pytest.approx(12.011e-6 * 86400)


def test_members_that_point_elsewhere_are_read_and_written_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = write_zip(inside, {"../../" + FLUXNET.format("DD"): DAY})
    (tmp_path / FLUXNET.format("DD")).write_text("another file")
    before = sorted(tmp_path.rglob("*"))
    assert read_tower(archive).site == "US-Ne1"
    assert sorted(tmp_path.rglob("*")) == before
