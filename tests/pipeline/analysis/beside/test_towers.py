"""A tower made of a cell's own fluxes and known errors is scored as by hand, at that cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.analysis.beside.towers import ANALYSIS
from pipeline.analysis.findings import MAIN
from pipeline.analysis.subject import Options, Subject
from pipeline.errors import UserError
from tests.pipeline.analysis.conftest import Whole

pytestmark = pytest.mark.slow

PLACE = 57
HEAD = "TIMESTAMP,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF"


@pytest.fixture
def beside(subject: Subject, whole: Whole, tmp_path: Path) -> Subject:
    """A tower of 2011 with NEE and Reco 0.5 and 1 above the cell's, and ten days of poor quality."""
    ra, rh, nee = (whole.cube.root[f"daily/2011/{name}"][:][:, whole.mask][:, PLACE] for name in ("ra", "rh", "nee"))
    rows = [
        f"{date:%Y%m%d},{float(n) + 0.5!r},{0.2 if index < 10 else 1.0},{float(r) + 1!r},1"
        for index, (date, n, r) in enumerate(zip(pd.date_range("2011-01-01", periods=365), nee, ra + rh, strict=True))
    ]
    folder = tmp_path / "towers"
    folder.mkdir()
    (folder / "FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2011-2011_1-4.csv").write_text("\n".join([HEAD, *rows]))
    lon, lat = (values[PLACE] for values in whole.lonlat)
    (folder / "sites.csv").write_text(f"site,latitude,longitude\nUS-Ne1,{lat},{lon}\n")
    return Subject.open(subject.job, options=Options(data=tmp_path))


def test_scores_are_those_of_the_cell(beside: Subject, whole: Whole) -> None:
    assert ANALYSIS.obstacle(beside) is None
    found = ANALYSIS.analyse(beside)
    table = found.tables[MAIN].set_index("flux")
    assert table.loc["nee", "bias_g_m2_d"] == pytest.approx(-0.5, abs=1e-5)
    assert table.loc["reco", "rmse_g_m2_d"] == pytest.approx(1, abs=1e-5)
    assert (table["days"] == 355).all()
    r2 = {number.name: number for number in found.numbers[1:]}
    assert {name: number.paper and number.paper.value for name, number in r2.items()} == {
        "R2 of daily Reco at US-Ne1": 0.94,
        "R2 of daily NEE at US-Ne1": 0.96,
    }
    assert r2["R2 of daily NEE at US-Ne1"].value == table.loc["nee", "r2"]
    nee = whole.cube.root["daily/2011/nee"][:][:, whole.mask][10:, PLACE].astype(float)
    assert table.loc["nee", "r2"] == pytest.approx(1 - 0.25 / nee.var(), rel=1e-4)
    assert table.loc["nee", "corn_share"] == pytest.approx(whole.layer("corn_fraction")[:, PLACE].mean(), rel=1e-5)
    (row,) = found.tables["years"].to_dict("records")
    assert row["nee"] - row["cube_nee"] == pytest.approx(0.5 * 365, abs=1)
    assert row["reco"] - row["cube_reco"] == pytest.approx(365, abs=2)
    assert row["gpp"] == pytest.approx(row["reco"] - row["nee"])


def test_a_tower_elsewhere_is_named(beside: Subject) -> None:
    assert beside.options.data is not None
    (beside.options.data / "towers" / "sites.csv").write_text("site,latitude,longitude\nUS-Ne1,41.165,-96.4766\n")
    with pytest.raises(UserError, match=r"US-Ne1 is left out: lat 41\.165"):
        ANALYSIS.analyse(beside)


def test_places_are_needed(subject: Subject) -> None:
    assert "towers/sites.csv" in (ANALYSIS.obstacle(subject) or "")
