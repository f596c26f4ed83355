"""The run file: every setting of a run, with its type, bounds and description.

`dump` writes the descriptions as comments, so that a run file documents itself. Relative paths start from the folder
of the run file.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from model.shipped import DEFAULT, SHIPPED
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings, Folder, Section
from pipeline.sources.crops.settings import CropSettings
from pipeline.sources.nldas2.product import NldasSettings
from pipeline.sources.slope.settings import SlopeSettings
from pipeline.sources.soil.product import SoilSettings
from pipeline.storage import s3
from regions import did_you_mean, listed


def _writable(value: str) -> str:
    if fault := s3.fault(value):
        raise PydanticCustomError("place", "{fault}", {"fault": fault})
    return value


_PROVIDER_ROLES = ("licensor", "producer", "processor", "host")


def _provider(value: str) -> str:
    name, _, rest = value.partition(";")
    roles, _, url = rest.partition(";")
    unknown = [role for role in roles.split() if role not in _PROVIDER_ROLES]
    if not name.strip() or unknown or (url.strip() and "://" not in url):
        raise PydanticCustomError(
            "provider",
            'it is not of the form "NAME; ROLES; URL", such as "University; producer licensor; https://example.org", '
            "with roles of {roles}",
            {"roles": ", ".join(_PROVIDER_ROLES)},
        )
    return value


def _licence(value: str) -> str:
    if not re.fullmatch(r"[\w.+-]+", value):
        raise PydanticCustomError(
            "licence", 'it is no SPDX identifier, such as "CC-BY-4.0"; "other" is one stated elsewhere'
        )
    return value


def _address(value: str) -> str:
    if value and "://" not in value:
        raise PydanticCustomError("address", 'it is no address, such as "https://creativecommons.org/licenses/by/4.0/"')
    return value


Location: TypeAlias = Annotated[str, AfterValidator(_writable)]
ProviderText: TypeAlias = Annotated[str, AfterValidator(_provider)]


class ArchiveSettings(Section):
    """Local folders of the downloaded archives."""

    nldas2: Folder = Field(Path("archives/nldas2"), description="NLDAS-2 granules, in subfolders of any depth")
    slope: Folder = Field(Path("archives/slope"), description="SLOPE GPP GeoTIFFs")
    slope_extra: Folder = Field(
        Path("archives/slope-extra"),
        description="SLOPE GPP of years that are not public (2020 and later), in the same layout; may be absent",
    )
    soil: Folder = Field(
        Path("archives/gssurgo"),
        description="gSSURGO or gNATSGO geodatabases and rasters, SoilGrids maps, or POLARIS tiles",
    )
    crop: Folder = Field(Path("archives/cdl"), description="annual Cropland Data Layers")
    csdl: Folder = Field(
        Path("archives/csdl"), description="annual Corn-Soy Data Layers, for years before 2008; may be absent"
    )

    @property
    def by_product(self) -> dict[str, Path]:
        """Main folder of each product of the inputs store."""
        return {"climate": self.nldas2, "gpp": self.slope, "soil": self.soil, "crop": self.crop}


class StoreSettings(Section):
    """Destinations: local folders, or s3://bucket/prefix with credentials from the environment."""

    inputs: Location = Field("inputs.icechunk", description="store of the ingested inputs")
    cube: Location = Field("cube.icechunk", description="store of the results")
    exports: Location = Field("exports", description="folder of GeoTIFFs, tables and figures")

    @property
    def repositories(self) -> dict[str, str]:
        """Locations of the two Icechunk repositories by name."""
        return {"cube": self.cube, "inputs": self.inputs}


class ModelSettings(Section):
    """The trained network."""

    checkpoint: str = Field(DEFAULT, description=f"checkpoint file, or one of those included: {', '.join(SHIPPED)}")
    precision: Literal["fp32"] = Field("fp32", description="floating-point precision; fixed when the cube is created")
    year_step: Literal["auto", "numba", "pytorch"] = Field(
        "auto",
        description='code of the network: "numba" (compiled for the CPU), "pytorch" (CPU or CUDA), or "auto" (that of '
        "the cube; for a new one, PyTorch with CUDA, which a scheduler elsewhere has if device is set to it, and else "
        "numba where it works); fixed when the cube is created",
    )
    gpp_draws: int = Field(
        0,
        ge=0,
        le=64,
        description="draws of GPP from its uncertainty (see [slope]), each run by all networks for the spread of the "
        "results; 0: none, else 2 or more; fixed with the three settings below when the cube is created",
    )
    gpp_seed: int = Field(0, ge=0, lt=2**63, description="seed of the draws")
    gpp_error_km: float = Field(
        50.0, gt=0, le=5000, description="distance at which the correlation of errors of GPP falls to 1/e; assumed"
    )
    gpp_error_days: float = Field(
        30.0, gt=0, le=3650, description="time at which the correlation of errors of GPP falls to 1/e; assumed"
    )

    @field_validator("gpp_draws")
    @classmethod
    def _have_a_spread(cls, draws: int) -> int:
        if draws == 1:
            raise PydanticCustomError("draws", "one draw has no spread; give 0, or 2 or more")
        return draws


class RestartSettings(Section):
    """Years at whose end the carried state is kept, so that later runs can start from it."""

    last: int = Field(2, ge=1, description="number of newest years that are kept")
    every: int = Field(5, ge=1, description="years divisible by this number are kept, too")


class PublicationSettings(Section):
    """What exports state of the licence and of those who publish the results."""

    license: Annotated[str, AfterValidator(_licence)] = Field(
        "other",
        description='licence of the results as an SPDX identifier, such as "CC-BY-4.0"; "other": stated elsewhere',
    )
    license_url: Annotated[str, AfterValidator(_address)] = Field(
        "", description="address of the text of the licence; may be empty"
    )
    providers: tuple[ProviderText, ...] = Field(
        (),
        description='organisations, each as "NAME; ROLES; URL": roles are licensor, producer, processor or host (none '
        "given: producer), the URL may be absent",
    )


class RunFile(Section):
    """All settings of one run."""

    region: str = Field("demo", description="region: midwest, three_i, demo, or a region file of your own")
    archives: ArchiveSettings = ArchiveSettings()
    nldas2: NldasSettings = NldasSettings()
    slope: SlopeSettings = SlopeSettings()
    soil: SoilSettings = SoilSettings()
    crop: CropSettings = CropSettings()
    stores: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    restart: RestartSettings = RestartSettings()
    execution: ExecutionSettings = ExecutionSettings()
    publication: PublicationSettings = PublicationSettings()

    @model_validator(mode="after")
    def _knows_the_uncertainty(self) -> RunFile:
        if self.model.gpp_draws and not self.slope.uncertainty:
            raise PydanticCustomError(
                "draws",
                "model.gpp_draws = {draws} needs the uncertainty of GPP: give slope.uncertainty_pattern or "
                "slope.uncertainty_band, and ingest it",
                {"draws": self.model.gpp_draws},
            )
        return self


def load(path: Path) -> RunFile:
    """Return the settings of a run file, with absolute paths.

    Raises
    ------
    UserError
        If the file cannot be read, or with every unknown key and every value that is not allowed.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such run file; create one with `agcarbon init REGION -o {path}`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}") from None
    try:
        run_file = RunFile.model_validate(raw)
    except ValidationError as error:
        raise UserError(listed(path, _faults(error))) from None
    return _absolute(run_file, path.resolve().parent)


def with_scheduler(settings: ExecutionSettings, scheduler: str | None) -> ExecutionSettings:
    """Return the settings with the scheduler of the option `--scheduler`, if it is given; raises `UserError`."""
    if scheduler is None:
        return settings
    try:
        # Not `model_copy`, which validates nothing.
        return ExecutionSettings.model_validate({**settings.model_dump(), "scheduler": scheduler})
    except ValidationError as error:
        raise UserError(f"--{'; '.join(_faults(error))}") from None


def _faults(error: ValidationError) -> list[str]:
    return [_fault(detail) for detail in error.errors()]


def _fault(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return _unknown(detail["loc"], section=isinstance(detail["input"], dict))
    if not place:  # of the file as a whole
        return str(detail["msg"])
    if detail["type"] == "place":  # the value is not repeated: a location may hold credentials
        return f"{place}: {detail['msg']}"
    return f"{place} = {detail['input']!r}: {detail['msg']}"


def _unknown(location: Sequence[Any], *, section: bool) -> str:
    """Return the fault of an unknown setting or section, with the names of its kind that resemble it."""
    *parents, name = (str(part) for part in location)
    there: Any = RunFile()
    for parent in parents:
        there = getattr(there, parent)
    of_kind = (each for each, value in there if isinstance(value, BaseModel) == section)
    prefix = "".join(f"{parent}." for parent in parents)
    shown = {each: f"[{prefix}{each}]" if section else each for each in of_kind}
    place = f"[{prefix}{name}]" if section else f"{prefix}{name}"
    near = did_you_mean(name, shown) or "; `agcarbon init` writes a file with all of them"
    return f"{place}: unknown {'section' if section else 'setting'}{near}"


def _absolute(run_file: RunFile, folder: Path) -> RunFile:
    def local(location: str) -> str:
        return location if "://" in location else str(folder / location)

    archives = {name: folder / path for name, path in run_file.archives}
    stores, execution = run_file.stores, run_file.execution
    slurm = execution.slurm.model_copy(update={"logs": folder / execution.slurm.logs})
    tls = execution.tls.model_copy(update={name: str(folder / file) for name, file in execution.tls if file})
    scheduler = str(folder / execution.scheduler) if execution.scheduler_file else execution.scheduler
    checkpoint = run_file.model.checkpoint
    return run_file.model_copy(
        update={
            "region": str(folder / run_file.region) if _is_file(run_file.region) else run_file.region,
            "archives": ArchiveSettings(**archives),
            "stores": StoreSettings(**{name: local(location) for name, location in stores}),
            "model": run_file.model.model_copy(
                update={"checkpoint": checkpoint if checkpoint in SHIPPED else str(folder / checkpoint)}
            ),
            "execution": execution.model_copy(update={"scheduler": scheduler, "slurm": slurm, "tls": tls}),
        }
    )


def relative_region(region: str, folder: Path) -> str:
    """Return a region as a run file in `folder` must name it: the path of a region file, as seen from there."""
    return os.path.relpath(Path(region).resolve(), folder.resolve()) if _is_file(region) else region


def _is_file(region: str) -> bool:
    return Path(region).suffix == ".toml"


def dump(run_file: RunFile) -> str:
    """Return the run file as TOML, with description and bounds of every setting as a comment."""
    return "\n".join(_lines(run_file)) + "\n"


def _lines(run_file: RunFile) -> Iterator[str]:
    yield "# agcarbon run file. Relative paths start from the folder of this file."
    yield from _settings(run_file)
    yield from _sections(run_file)


def _sections(parent: BaseModel, prefix: str = "") -> Iterator[str]:
    for name, section in parent:
        if isinstance(section, BaseModel):
            summary = (section.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            yield from ("", f"[{prefix}{name}]  # {summary}", *_settings(section))
            yield from _sections(section, f"{prefix}{name}.")


def _settings(section: BaseModel) -> Iterator[str]:
    """Yield the settings of a section, without the sections in it."""
    for name, value in section:
        if isinstance(value, BaseModel):
            continue
        info = type(section).model_fields[name]
        yield f"# {info.description}" + _bounds(info)
        # TOML writes truth values, numbers, strings and lists as JSON does.
        toml = json.dumps(value, default=str, ensure_ascii=False)
        yield f"{name} = {toml}" if value is not None else f"# {name} ="


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [f"{sign} {getattr(m, key)}" for m in info.metadata for key, sign in signs.items() if hasattr(m, key)]
    return f" ({', '.join(bounds)})" if bounds else ""
