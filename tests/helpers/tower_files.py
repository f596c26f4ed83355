"""Files of flux towers, written for tests."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = "TIMESTAMP,TA_F,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF,RECO_DT_VUT_REF,GPP_DT_VUT_REF"
STEP_COLUMNS = COLUMNS.replace("TIMESTAMP", "TIMESTAMP_START,TIMESTAMP_END")
ROWS = [
    "20030101,1,-2,1.0,3,5.5,4,6",  # GPP = 5
    "20030102,1,4,0.9,3,0.1,4,0",  # GPP = -1, kept
    "20030103,1,-2,0.5,3,5.5,4,6",  # poor
    "20030104,1,-9999,1.0,3,7,4,6",  # product
    "20030105,1,-2,1.0,-9999.0,-9999,4,6",  # 0
    "20030106,1,-2,-9999,3,5.5,4,6",  # no quality: poor
]
GC_PER_UMOL = 12.011e-6


def write_fluxnet(folder: Path, rows: list[str], *, columns: str = COLUMNS) -> Path:
    path = folder / "FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2003-2003_1-4.csv"
    path.write_text("\n".join([columns, *rows]))
    return path


def fluxnet_steps(nee: np.ndarray, *, minutes: int = 30, start: str = "2003-03-08", qc: int = 0) -> list[str]:
    """Rows of a file whose NEE is given step by step [umol m-2 s-1], Reco 6 and GPP 1."""
    begins = pd.date_range(start, periods=len(nee), freq=f"{minutes}min")
    ends = begins + pd.Timedelta(minutes=minutes)
    stamps = zip(begins.strftime("%Y%m%d%H%M"), ends.strftime("%Y%m%d%H%M"), nee, strict=True)
    return [f"{begin},{end},1,{float(value)!r},{qc},6,1,6,1" for begin, end, value in stamps]


DAY = "TIMESTAMP,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF\n20030101,-2,1,3,5\n"
STEPS = "TIMESTAMP_START,TIMESTAMP_END,FC\n" + "".join(
    f"20110101{hour:02}00,201101{1 + (hour + 1) // 24:02}{(hour + 1) % 24:02}00,1\n" for hour in range(24)
)
FLUXNET = "FLX_US-Ne1_FLUXNET2015_FULLSET_{}_2001-2013_1-4.csv"


def write_zip(folder: Path, members: dict[str, str], *, name: str = "archive.zip") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path
