"""The run file: every setting of a run, typed and bounded, written with its own comments.

Relative paths are taken from the folder of the run file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from model.shipped import SHIPPED
from pipeline.errors import UserError
from pipeline.sources.crops.cdl import CropSettings
from pipeline.sources.nldas2.daily import NldasSettings
from pipeline.sources.slope.settings import SlopeSettings
from pipeline.sources.soil.product import SoilSettings
from pipeline.storage import s3


class Section(BaseModel):
    """A table of the run file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _local(value: Any) -> Any:
    if "://" in str(value):
        raise PydanticCustomError("place", "archives are read from folders only; copy it there first")
    return value


def _writable(value: str) -> str:
    if fault := s3.fault(value):
        raise PydanticCustomError("place", "{fault}", {"fault": fault})
    return value


Folder: TypeAlias = Annotated[Path, BeforeValidator(_local)]
Location: TypeAlias = Annotated[str, AfterValidator(_writable)]


class ArchiveSettings(Section):
    """Where the downloaded archives are: folders."""

    nldas2: Folder = Field(Path("archives/nldas2"), description="folder of NLDAS-2 granules, any depth")
    slope: Folder = Field(Path("archives/slope"), description="folder of SLOPE GPP GeoTIFFs")
    slope_extra: Folder = Field(
        Path("archives/slope-extra"),
        description="folder in the same layout for years that are not public (2020 and later); may be absent",
    )
    soil: Folder = Field(
        Path("archives/gssurgo"),
        description="folder of gSSURGO or gNATSGO geodatabases and rasters, SoilGrids maps or POLARIS tiles",
    )
    crop: Folder = Field(Path("archives/cdl"), description="folder of yearly Cropland Data Layers")
    csdl: Folder = Field(
        Path("archives/csdl"), description="folder of yearly Corn-Soy Data Layers, for years before 2008; may be absent"
    )

    @property
    def by_product(self) -> dict[str, Path]:
        """Main folder of each product of the inputs store."""
        return {"climate": self.nldas2, "gpp": self.slope, "soil": self.soil, "crop": self.crop}


class StoreSettings(Section):
    """Where results go: folders, or s3://bucket/prefix with the credentials of the environment."""

    inputs: Location = Field("inputs.icechunk", description="inputs store, analysis-ready")
    cube: Location = Field("cube.icechunk", description="cube of results")
    exports: Location = Field("exports", description="GeoTIFFs, tables and figures")

    @property
    def repositories(self) -> dict[str, str]:
        """Locations of the two repositories by name."""
        return {"cube": self.cube, "inputs": self.inputs}


class ModelSettings(Section):
    """The network."""

    checkpoint: str = Field("default", description='checkpoint file, or one that ships: "default" or "us-ne1"')
    precision: Literal["fp32"] = Field("fp32", description="fixed when the cube is created")


class RestartSettings(Section):
    """Which year ends keep the carried state."""

    last: int = Field(2, ge=1, description="the newest years")
    every: int = Field(5, ge=1, description="and each year divisible by this")


class ExecutionSettings(Section):
    """How work is done; changes no result beyond the rounding of the last bit."""

    scheduler: str = Field("local", description='"local" cluster, "serial", or the address of a Dask scheduler')
    workers: int = Field(0, ge=0, description="worker processes of the local cluster; 0 is one per core")
    memory_limit: str = Field("", description='per worker, such as "4GiB"; empty is its share of the machine')
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the network runs")
    batch_cells: int = Field(
        0, ge=0, le=1_000_000, description="cells in one forward pass; 0 is 128 on a CPU, 8192 on CUDA"
    )
    block_years: int = Field(5, ge=1, description="years of one tile in one task, at most")
    commit_seconds: float = Field(30.0, gt=0, description="a commit at least this often")
    retries: int = Field(
        7, ge=0, le=20, description="how often a read, write or commit is tried again after an error that may pass"
    )
    block_minutes: float = Field(
        30.0, ge=0, description="a worker that ends no tile-year for this long is restarted; 0 is never"
    )
    dashboard: bool = Field(False, description="serve Dask's dashboard (needs the extra `dashboard`)")


class RunFile(Section):
    """All settings of one run."""

    region: str = Field("demo", description="a region by name (midwest, three_i, demo) or a file of your own")
    archives: ArchiveSettings = ArchiveSettings()
    nldas2: NldasSettings = NldasSettings()
    slope: SlopeSettings = SlopeSettings()
    soil: SoilSettings = SoilSettings()
    crop: CropSettings = CropSettings()
    stores: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    restart: RestartSettings = RestartSettings()
    execution: ExecutionSettings = ExecutionSettings()


def load(path: Path) -> RunFile:
    """Read a run file and make its paths absolute.

    Raises
    ------
    UserError
        Naming every unknown key and every value out of bounds.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such run file; write one with `agcarbon init REGION -o {path}`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}") from None
    try:
        run_file = RunFile.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(_fault(detail) for detail in error.errors())
        raise UserError(f"{path}: {faults}") from None
    return _absolute(run_file, path.resolve().parent)


def _fault(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown setting (`agcarbon init` writes all there are)"
    if detail["type"] == "place":  # which may hold credentials
        return f"{place}: {detail['msg']}"
    return f"{place} = {detail['input']!r}: {detail['msg']}"


def _absolute(run_file: RunFile, folder: Path) -> RunFile:
    def local(location: str) -> str:
        return location if "://" in location else str(folder / location)

    archives = {name: folder / path for name, path in run_file.archives}
    stores = run_file.stores
    checkpoint = run_file.model.checkpoint
    return run_file.model_copy(
        update={
            "region": str(folder / run_file.region) if run_file.region.endswith(".toml") else run_file.region,
            "archives": ArchiveSettings(**archives),
            "stores": StoreSettings(**{name: local(location) for name, location in stores}),
            "model": run_file.model.model_copy(
                update={"checkpoint": checkpoint if checkpoint in SHIPPED else str(folder / checkpoint)}
            ),
        }
    )


def dump(run_file: RunFile) -> str:
    """Return the run file as TOML, every setting with its meaning and bounds as a comment."""
    return "\n".join(_lines(run_file)) + "\n"


def _lines(run_file: RunFile) -> Iterator[str]:
    yield "# agcarbon run file. Relative paths are taken from this file's folder."
    sections = {name: value for name, value in run_file if isinstance(value, BaseModel)}
    yield from _settings(run_file, skip=sections)
    for name, section in sections.items():
        yield ""
        yield f"[{name}]" + (f"  # {_first_line(section)}" if _first_line(section) else "")
        yield from _settings(section, skip={})


def _first_line(section: BaseModel) -> str:
    return (section.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _settings(section: BaseModel, *, skip: dict[str, Any]) -> Iterator[str]:
    for name, value in section:
        if name in skip:
            continue
        info = type(section).model_fields[name]
        yield f"# {info.description}" + _bounds(info)
        yield f"{name} = {_toml(value)}" if value is not None else f"# {name} ="


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, key)}" for m in info.metadata for key, sign in signs.items() if hasattr(m, key)]
    return f" ({', '.join(bounds)})" if bounds else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
