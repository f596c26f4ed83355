"""Tower files in archives: the right member is read, none is unpacked, broken ones are refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.sources.towers.read import read_tower
from pipeline.sources.towers.tables import TowerFile, TowerTable, find_tower_file
from tests.helpers.tower_files import (
    DAY,
    FLUXNET,
    write_zip,
)


@pytest.mark.parametrize(
    ("members", "chosen"),
    [
        ([FLUXNET.format(step) for step in ("YY", "MM", "WW", "HH", "DD")], FLUXNET.format("DD")),
        ([FLUXNET.format(step) for step in ("YY", "HH")], FLUXNET.format("HH")),
        (["AMF_US-CRT_BASE_HR_2-5.csv", "AMF_US-CRT_BIF_20230922.xlsx"], "AMF_US-CRT_BASE_HR_2-5.csv"),
        (
            [
                "AMF_US-Ne1_FLUXNET_ERA5_DD_1981-2024_v1.3_r1.csv",
                "AMF_US-Ne1_FLUXNET_BIFVARINFO_HR_2001-2024_v1.3_r1.csv",
                "AMF_US-Ne1_FLUXNET_FLUXMET_HR_2001-2024_v1.3_r1.csv",
            ],
            "AMF_US-Ne1_FLUXNET_FLUXMET_HR_2001-2024_v1.3_r1.csv",
        ),
        (["FLX_US-Ne1_FLUXNET2015_ERAI_DD_1989-2014_1-4.csv", FLUXNET.format("HR")], FLUXNET.format("HR")),
        (
            [
                f"ICOSETC_DE-Kli_{table}_L2.csv"
                for table in ("ANCILLARY", "FLUXES", "METEO", "SITEINFO", "VARINFO_FLUXNET_DD", "VARINFO_FLUXNET_HH")
            ]
            + [f"ICOSETC_DE-Kli_FLUXNET_{step}_L2.csv" for step in ("YY", "MM", "WW", "HH", "DD")],
            "ICOSETC_DE-Kli_FLUXNET_DD_L2.csv",
        ),
        (
            ["ICOSETC_DE-Kli_FLUXES_INTERIM_L2.csv", "ICOSETC_DE-Kli_FLUXNET_HH_INTERIM_L2.csv"],
            "ICOSETC_DE-Kli_FLUXNET_HH_INTERIM_L2.csv",
        ),
        (["AMF_US-Ne1_FLUXNET_SUBSET_DD_2001-2020_3-5.csv"], "AMF_US-Ne1_FLUXNET_SUBSET_DD_2001-2020_3-5.csv"),
    ],
)
def test_the_finest_table_of_whole_days_is_chosen(tmp_path: Path, members: list[str], chosen: str) -> None:
    assert find_tower_file(write_zip(tmp_path, dict.fromkeys(members, ""))).member == chosen


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([FLUXNET.format("MM"), FLUXNET.format("YY")], "holds no DD, HH or HR file .* but FLX_US-Ne1"),
        ([], "but nothing"),
        (["readme.txt"], "but readme.txt"),
        (["ICOSETC_DE-Kli_FLUXES_L2.csv"], r"ICOS \(ICOSETC_\*_FLUXNET\), but ICOSETC_DE-Kli_FLUXES_L2.csv; download"),
        ([FLUXNET.format("DD"), FLUXNET.format("DD").replace("Ne1", "Ne2")], "holds 2 DD files .*Ne1.*Ne2"),
    ],
)
def test_archives_without_one_suitable_table_are_refused(tmp_path: Path, members: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_tower_file(write_zip(tmp_path, dict.fromkeys(members, "")))


def test_an_archive_of_icos_is_read_as_its_daily_table_is(tmp_path: Path) -> None:
    name = "ICOSETC_DE-Kli_FLUXNET_DD_INTERIM_L2.csv"
    (tmp_path / name).write_text(DAY)
    path = write_zip(
        tmp_path,
        {"ICOSETC_DE-Kli_VARINFO_FLUXNET_DD_INTERIM_L2.csv": "VARIABLE\n", name: DAY},
        name="ICOSETC_DE-Kli_ARCHIVE_INTERIM_L2.zip",
    )
    packed, plain = read_tower(path), read_tower(tmp_path / name)
    assert packed.site == plain.site == "DE-Kli"
    pd.testing.assert_frame_equal(packed.days, plain.days)
    assert packed.days["nee"].tolist() == [-2]


def test_broken_and_encrypted_archives_are_refused(tmp_path: Path) -> None:
    whole = write_zip(tmp_path, {FLUXNET.format("DD"): DAY + "20030102,-2,1,3,5\n" * 500}).read_bytes()
    cut, flipped, locked = (tmp_path / name for name in ("cut.zip", "flipped.zip", "locked.zip"))
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable zip archive"):
        read_tower(cut)
    start = 30 + len(FLUXNET.format("DD"))
    flipped.write_bytes(
        whole[: start + 20] + bytes(255 - byte for byte in whole[start + 20 : start + 60]) + whole[start + 60 :]
    )
    with pytest.raises(UserError, match=r"flipped.zip: FLX_.*not a readable CSV file"):
        read_tower(flipped)
    directory = whole.rindex(b"PK\x01\x02")
    locked.write_bytes(whole[: directory + 8] + b"\x01" + whole[directory + 9 :])
    with pytest.raises(UserError, match="is encrypted"):
        read_tower(locked)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tower.csv"
    path.write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(UserError, match="not a readable CSV file"):
        read_tower(path)
    with pytest.raises(UserError, match="not a readable CSV file"):
        read_tower(tmp_path / "absent.csv")
    path.write_text("")
    with pytest.raises(UserError, match="holds no header"):
        read_tower(path)


def test_rows_with_a_comma_too_many_do_not_shift_the_columns(tmp_path: Path) -> None:
    path = tmp_path / FLUXNET.format("DD")
    path.write_text("\ufeff" + DAY.replace("3,5\n", "3,5,\n"), encoding="utf-8")
    table = TowerTable.of(TowerFile(path))
    assert table.read(["NEE_VUT_REF", "GPP_NT_VUT_REF"], stamps=["TIMESTAMP"]).iloc[0].tolist() == ["20030101", -2, 5]
