"""Nothing that a user is given by others can run code, reach out of its folder, or become a path unchecked."""

from __future__ import annotations

import ast
import datetime as dt
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.authors_files import read_scalers, read_weights
from model.checkpoint import Checkpoint, CheckpointError
from pipeline.errors import UserError
from pipeline.fetch import manifest
from pipeline.fetch.catalogue import Checksum, Remote, files_of
from pipeline.fetch.needs import ClimateArchive, GppArchive
from pipeline.grid.sinusoidal import Tile
from pipeline.sources.archive_paths import check_member, inside
from pipeline.sources.crops.cdl import files_like, raster_of
from pipeline.sources.crops.settings import CropSettings
from pipeline.sources.raster import open_raster
from pipeline.sources.soil.geodatabase import Table, read_table
from pipeline.sources.soil.layer_stack import Depth, LayerFile
from pipeline.sources.soil.soilgrids import raster_files
from pipeline.sources.towers.tables import SITE_NAME, find_tower_file

ROOT = Path(__file__).parents[1]
SOURCES = [path for package in ("model", "pipeline", "regions") for path in sorted((ROOT / package).rglob("*.py"))]
# Functions that build objects, run text as code or a shell, or unpack archives onto the disk.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads",
    "marshal.load", "shelve.open", "joblib.load", "dill.load", "dill.loads", "pandas.read_pickle", "pd.read_pickle",
    "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "shutil.unpack_archive", "zarr.codecs.Pickle",
}  # fmt: skip
UNPACKING = {"extractall", "extract"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call in a file by its name, with the module as it is called there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str, str]:
    return {keyword.arg or "**": ast.unparse(keyword.value) for keyword in call.keywords}


def test_no_call_in_the_sources_can_turn_a_file_into_code() -> None:
    found = []
    for path in SOURCES:
        for name, call in calls(path):
            given = keywords(call)
            unsafe = (
                name in FORBIDDEN
                or (name.rpartition(".")[2] in UNPACKING and ".str." not in name)
                or (name == "torch.load" and given.get("weights_only") != "True")
                or given.get("allow_pickle", "False") != "False"
                or given.get("shell", "False") != "False"
            )
            found += [f"{path}:{call.lineno} {name}"] if unsafe else []
    assert len(SOURCES) > 100
    assert found == []


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.victim),)


@pytest.fixture
def trap(tmp_path: Path) -> bytes:
    """A pickle that makes the folder `victim` where it is loaded."""
    content = pickle.dumps(Malicious(tmp_path / "victim"))
    pickle.loads(content)  # noqa: S301 (it works)
    (tmp_path / "victim").rmdir()
    return content


def test_a_checkpoint_that_is_a_pickle_is_refused_unloaded(tmp_path: Path, trap: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(trap)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: not a readable checkpoint"):
        Checkpoint.load(path)
    torch.save({"model_state_dict": Malicious(tmp_path / "victim")}, tmp_path / "published.pt")
    for read in (read_weights, read_scalers):
        with pytest.raises(CheckpointError, match=r"published\.pt: refused: it holds posix\.mkdir"):
            read(tmp_path / "published.pt")
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: refused"):
            read(path)
    assert not (tmp_path / "victim").exists()


def test_the_command_line_refuses_it_with_one_line_and_exit_code_2(tmp_path: Path, trap: bytes) -> None:
    (tmp_path / "weights.safetensors").write_bytes(trap)
    command = [sys.executable, "-m", "pipeline.cli", "checkpoint", "inspect", str(tmp_path / "weights.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("agcarbon: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "victim").exists()


def test_files_below_the_folder_are_taken_and_the_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/2012").mkdir(parents=True)
    (tmp_path / "disk/2012/a.tif").touch()
    (tmp_path / "disk/b.tif").symlink_to("2012/a.tif")
    (tmp_path / "archive").symlink_to("disk")
    folder = tmp_path / "archive"
    assert inside(folder, [folder / "b.tif", folder / "2012/a.tif"]) == [folder / "2012/a.tif", folder / "b.tif"]


@pytest.mark.parametrize("link", ["2012_30m_cdls.tif", "sub"])
def test_links_that_lead_out_of_an_archive_are_refused_by_name(tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/2012_30m_cdls.tif").touch()
    folder = tmp_path / "cdl"
    folder.mkdir()
    target = tmp_path / "elsewhere" / (link if link.endswith(".tif") else "")
    (folder / link).symlink_to(target)
    found = folder / link if link.endswith(".tif") else folder / link / "2012_30m_cdls.tif"
    with pytest.raises(UserError, match=rf"{re.escape(str(found))}: leads to .*elsewhere.*, outside the archive"):
        inside(folder, [found])
    if link.endswith(".tif"):
        with pytest.raises(UserError, match="outside the archive's folder"):
            files_like(folder, "2012_*.tif")
    else:
        assert files_like(folder, "2012_*.tif") == []


def test_paths_with_dots_are_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    for way in ("../x.tif", "..", "../archive2/x.tif"):
        with pytest.raises(UserError, match="outside the archive"):
            inside(tmp_path / "archive", [tmp_path / "archive" / way])


VRT = """<VRTDataset rasterXSize="1" rasterYSize="1"><SRS>EPSG:4326</SRS>
<GeoTransform>-90, 1, 0, 40, 0, -1</GeoTransform>
<VRTRasterBand dataType="Byte" band="1">{band}</VRTRasterBand></VRTDataset>"""
SOURCE = "<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"


def write_pixel(path: Path) -> None:
    options = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=rasterio.Affine(1, 0, -90, 0, -1, 40), **options) as file:
        file.write(np.full((1, 1, 1), 7, np.uint8))


def test_a_virtual_raster_called_tif_is_not_opened(tmp_path: Path) -> None:
    write_pixel(tmp_path / "secret.tif")
    path = tmp_path / "layer.tif"
    path.write_text(VRT.format(band=SOURCE.format(path=tmp_path / "secret.tif")))
    with rasterio.open(path) as source:  # GDAL by itself goes by content
        assert source.read(1)[0, 0] == 7
    with pytest.raises(UserError, match=r"layer\.tif: absent, truncated or not a raster"), open_raster(path):
        pass


def test_a_virtual_raster_made_of_files_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "soilgrids"
    folder.mkdir()
    write_pixel(tmp_path / "secret.tif")
    (folder / "inner.vrt").write_text(VRT.format(band=SOURCE.format(path=tmp_path / "secret.tif")))
    (folder / "sand_0-5cm_mean.vrt").write_text(VRT.format(band=SOURCE.format(path=folder / "inner.vrt")))
    layer = LayerFile("sand", Depth(0, 5), folder / "sand_0-5cm_mean.vrt")
    with pytest.raises(UserError, match=r"secret\.tif: leads to .*outside the archive's folder"):
        raster_files([layer], folder=folder)


def test_python_in_a_virtual_raster_does_not_run(tmp_path: Path) -> None:
    write_pixel(tmp_path / "pixel.tif")
    code = f"import os\ndef f(*a, **k):\n    os.mkdir({str(tmp_path / 'victim')!r})\n"
    band = "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
    band += f"<PixelFunctionCode><![CDATA[{code}]]></PixelFunctionCode>" + SOURCE.format(path=tmp_path / "pixel.tif")
    text = VRT.format(band=band).replace('band="1">', 'band="1" subClass="VRTDerivedRasterBand">')
    (tmp_path / "layer.vrt").write_text(text)
    with pytest.raises(UserError, match="absent, truncated or not a raster"), open_raster(tmp_path / "layer.vrt") as it:
        it.read(1)
    assert not (tmp_path / "victim").exists()


def zip_of(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


def test_members_of_zips_that_lead_out_are_refused(tmp_path: Path) -> None:
    layer = zip_of(tmp_path / "2012_30m_cdls.zip", ["../../2012_30m_cdls.tif"])
    with pytest.raises(UserError, match="leads out of the archive"):
        raster_of(layer)
    base = zip_of(tmp_path / "soil.zip", ["../soil.gdb/a00000001.gdbtable"])
    with pytest.raises(UserError, match="leads out of the archive"):
        read_table([base], Table("mapunit", "mukey"))
    assert raster_of(zip_of(tmp_path / "2013_30m_cdls.zip", ["deep/2013_30m_cdls.tif"]))
    assert CropSettings().pattern


def test_a_tower_archive_that_unpacks_to_more_than_any_has_is_refused(tmp_path: Path) -> None:
    name = "AMF_US-Ne1_BASE_HR_2-5.csv"
    path = zip_of(tmp_path / "tower.zip", [name])
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")  # the central directory: 24 bytes on, the size unpacked
    raw[entry + 24 : entry + 28] = (4_100_000_000).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(UserError, match=r"unpacks to 4 GB|unpacks to 4\.?\d* GB"):
        find_tower_file(path)


HOSTILE = st.one_of(
    st.sampled_from(
        ["..", ".", "/", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\b", "a\x00b", "%2e%2e/x", "~"]
    ),
    st.text(max_size=30),
)


@given(HOSTILE)
def test_members_are_checked_as_the_system_would_follow_them(name: str) -> None:
    root = PurePosixPath("/archive")
    led = PurePosixPath(os.path.normpath(root / name.replace("\\", "/")))
    if not led.is_relative_to(root):
        with pytest.raises(UserError):
            check_member(Path("x.zip"), name)


@given(HOSTILE)
def test_names_of_tiles_and_towers_hold_no_path(name: str) -> None:
    try:
        parsed = Tile.parse(name, cells=240).name
    except UserError:
        parsed = ""
    assert "/" not in parsed
    assert ".." not in parsed
    if SITE_NAME.fullmatch(name):
        assert PurePosixPath(f"{name}.png").name == f"{name}.png"


@given(HOSTILE, st.sampled_from(["", "NLDAS_FORA0125_H.A20120101.0000.020.nc", "GPP.2012.01.01.h11v04.tif"]))
def test_files_of_a_catalogue_stay_below_the_archive_whatever_they_are_called(name: str, real: str) -> None:
    url = f"https://data.gesdisc.earthdata.nasa.gov/{name}{real}"
    granule = {"umm": {"GranuleUR": name, "RelatedUrls": [{"URL": url, "Type": "GET DATA"}]}}
    box, years = (-90.0, 39.0, -89.0, 40.0), (2012,)
    archives = (
        ClimateArchive(Path("/archive"), box, years),
        GppArchive(
            Path("/archive"), box, years, frozenset({"h11v04"}), "GPP250m/{YYYY}/GPP.{YYYY}.{MM}.{DD}.{tile}.tif"
        ),
    )
    for remote in files_of(granule):
        for archive in archives:
            if isinstance(remote, Remote) and archive.needs(remote.name):
                place = os.path.normpath(archive.folder / archive.place(remote))
                assert PurePosixPath(place).is_relative_to("/archive")


def test_the_manifest_of_a_download_keeps_neither_login_nor_signature() -> None:
    entry = manifest.entry_of(
        "a.nc",
        url="https://me:word@x.nasa.gov/a.nc?token=abc&X-Amz-Signature=1#f",
        size_bytes=1,
        checksum=Checksum("md5", "0"),
    )
    text = json.dumps(entry.__dict__)
    assert not any(secret in text for secret in ("me:", "word", "abc", "Signature"))
    assert dt.datetime.fromisoformat(entry.fetched)
