"""Granules of either format: recognised by their content, other files named as damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources.nldas2.product import DamagedGranuleError
from tests.helpers.nldas2_files import WINDOW, read_variable


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"truncated or neither netCDF nor GRIB \(0 bytes\)"),
        (b"\n<!DOCTYPE html><title>Earthdata Login</title>", r"an HTML page"),
        (b"GRIB" + bytes(60), "truncated"),
    ],
)
def test_what_is_no_granule_is_damaged(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "granule.grb"
    path.write_bytes(content)
    with pytest.raises(DamagedGranuleError, match=rf"granule\.grb: {reason}.*; download it again"):
        read_variable(path, "Tair", window=WINDOW)
