from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pipeline import config
from pipeline.config import RunFile, relative_region, with_scheduler
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings, SlurmSettings, TlsSettings


def test_a_written_run_file_reads_back_to_the_same(tmp_path: Path) -> None:
    text = config.dump(RunFile(region="three_i"))
    assert RunFile.model_validate(tomllib.loads(text)) == RunFile(region="three_i")
    (tmp_path / "run.toml").write_text(text)
    loaded = config.load(tmp_path / "run.toml")
    assert loaded.region == "three_i"
    assert loaded.archives.nldas2 == tmp_path / "archives/nldas2"
    assert loaded.stores.cube == str(tmp_path / "cube.icechunk")


def test_every_setting_is_written_with_a_comment() -> None:
    lines = config.dump(RunFile()).splitlines()
    settings = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    assert len(settings) > 20
    assert all(lines[number - 1].startswith("# ") for number in settings)


def test_a_store_on_s3_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('[stores]\ncube = "s3://bucket/cube"\n')
    assert config.load(tmp_path / "run.toml").stores.cube == "s3://bucket/cube"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[stores]\ncube = "s3://key:hush@bucket/cube"',
            "stores.cube: a location must hold no credentials; set AWS_ACC",
        ),
        ('[stores]\nexports = "s3://bucket/maps?X-Amz-Signature=hush"', "stores.exports: a location must hold no cred"),
        ('[stores]\ninputs = "s3://bucket/"', "stores.inputs: give a bucket and a prefix in it, as s3://bucket/prefix"),
        ('[stores]\ncube = "gs://bucket/cube"', "stores.cube: only folders and s3://bucket/prefix can be written"),
        ('[archives]\nslope = "s3://hush/slope"', "archives.slope: archives are read from local folders only; copy"),
    ],
)
def test_a_location_that_cannot_be_used_is_refused_and_not_repeated(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UserError, match=message) as refusal:
        config.load(tmp_path / "run.toml")
    assert "hush" not in str(refusal.value)


def test_exports_are_below_the_folder_of_the_run_file_or_on_s3(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("")
    assert config.load(tmp_path / "run.toml").stores.exports == str(tmp_path / "exports")
    (tmp_path / "run.toml").write_text('[stores]\nexports = "s3://bucket/maps"\n')
    assert config.load(tmp_path / "run.toml").stores.exports == "s3://bucket/maps"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reigon = 'demo'", "reigon: unknown setting"),
        ("[execution]\nblock_years = 0", r"execution.block_years = 0: Input should be greater than or equal to 1"),
        ("[execution]\ndevice = 'tpu'", "execution.device = 'tpu'"),
        ("[execution]\nscheduler = 'locl'", "execution.scheduler = 'locl': it is none of "),
        ("[execution]\nscheduler = 'http://host:8786'", "execution.scheduler = 'http://host:8786': it is none of"),
        ("region = ", "not a readable TOML file"),
        ("[nldas2]\nday_window = 'local'\n[slope]\nscal = 1", "nldas2.day_window.*slope.scal: unknown setting"),
        ('[publication]\nlicense = "my own"', r"publication.license = 'my own': it is no SPDX identifier, such as"),
        ('[publication]\nlicense_url = "here"', "publication.license_url = 'here': it is no address, such as"),
    ],
)
def test_a_faulty_run_file_is_refused_naming_every_fault(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(UserError, match=re.compile(message, re.DOTALL)):
        config.load(tmp_path / "run.toml")


def test_an_absent_run_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="agcarbon init"):
        config.load(tmp_path / "run.toml")


@pytest.mark.parametrize(
    "name",
    ["local", "serial", "slurm", "tcp://10.0.0.1:8786", "tls://[::1]:8786", "node-3.cluster:8786", "scheduler.json"],
)
def test_a_scheduler_that_dask_can_reach_is_accepted(name: str) -> None:
    assert with_scheduler(ExecutionSettings(workers=3), name) == ExecutionSettings(workers=3, scheduler=name)


def test_a_scheduler_on_the_command_line_is_validated_as_in_the_run_file() -> None:
    assert with_scheduler(ExecutionSettings(), None) == ExecutionSettings()
    with pytest.raises(UserError, match="--scheduler = 'locl': it is none of"):
        with_scheduler(ExecutionSettings(), "locl")


def test_files_of_a_cluster_start_from_the_folder_of_the_run_file(tmp_path: Path) -> None:
    settings = ExecutionSettings(
        scheduler="scheduler.json",
        slurm=SlurmSettings(logs=Path("logs")),
        tls=TlsSettings(ca="ca.pem", certificate="own.pem", key="/own.key"),
    )
    file = tmp_path / "run.toml"
    file.write_text(config.dump(RunFile(execution=settings)))
    found = config.load(file).execution
    assert found.scheduler == str(tmp_path / "scheduler.json")
    assert found.slurm.logs == tmp_path / "logs"
    assert found.tls == TlsSettings(ca=str(tmp_path / "ca.pem"), certificate=str(tmp_path / "own.pem"), key="/own.key")


@pytest.mark.parametrize(
    ("walltime", "minutes"), [("00:30:00", 30), ("04:00:00", 240), ("1-12:30:00", 36 * 60 + 30), ("100:00:00", 6000)]
)
def test_the_time_of_a_job_is_that_of_slurm(walltime: str, minutes: int) -> None:
    assert SlurmSettings(walltime=walltime).minutes == minutes


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('slurm.walltime = "4h"', "execution.slurm.walltime = '4h': it is no time as Slurm takes it: HH:MM:SS"),
        ('slurm.walltime = "00:10:00"', "execution.slurm.walltime = '00:10:00': workers of so short a job would do"),
        ("slurm.jobs = 0", "execution.slurm.jobs = 0: Input should be greater than or equal to 1"),
        ('tls.ca = "ca.pem"', "certificate is missing: all three are needed"),
    ],
)
def test_settings_of_a_cluster_that_cannot_work_are_refused(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(f"[execution]\n{setting}\n")
    with pytest.raises(UserError, match=re.escape(message)):
        config.load(tmp_path / "run.toml")


def test_a_region_file_is_named_as_seen_from_the_run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "sub")
    (tmp_path / "own.toml").touch()
    for named in ("../own.toml", str(tmp_path / "own.toml")):
        region = relative_region(named, Path("deeper"))
        (tmp_path / "sub" / "deeper" / "run.toml").write_text(config.dump(RunFile(region=region)))
        assert Path(config.load(Path("deeper/run.toml")).region).samefile(tmp_path / "own.toml")
    assert relative_region("midwest", Path("deeper")) == "midwest"


def test_faults_stand_below_each_other_and_misspelt_names_have_near_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('regoin = "demo"\n[exectuion]\nworkers = 1\n[execution.slrum]\njobs = 1\n[stores]\ncub = "x"\n')
    with pytest.raises(UserError) as refused:
        config.load(path)
    first, *faults = str(refused.value).splitlines()
    assert first == f"{path}: 4 faults"
    assert sorted(faults) == [
        "  [exectuion]: unknown section; did you mean [execution]?",
        "  [execution.slrum]: unknown section; did you mean [execution.slurm]?",
        "  regoin: unknown setting; did you mean region?",
        "  stores.cub: unknown setting; did you mean cube?",
    ]
