"""Lesson of each command: its group in `--help`, examples, exit codes, and the commands that follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.cluster.stop import EXIT_CODE

DATA, RUN, RELEASES, PRODUCTS, CHECKPOINTS = "Data", "Run", "Releases", "Products", "Checkpoints"
GROUPS = (DATA, RUN, RELEASES, PRODUCTS, CHECKPOINTS)
SUB_COMMANDS, OTHER = "Commands", "Other"

_STOPPED = {EXIT_CODE: "stopped by Ctrl-C or SIGTERM; the same command resumes"}
_USE = "agcarbon run RUN_FILE, with the checkpoint in its section [model]"
_ALWAYS = {0: "success", 2: "wrong input or unusable storage; the message names the remedy"}


@dataclass(frozen=True)
class Lesson:
    """The part of a command's help that its options do not give.

    Attributes
    ----------
    group
        Heading in `agcarbon --help`; empty for sub-commands.
    examples
        Command lines.
    exits
        Meaning of exit codes beside 0 and 2, or other meanings of these.
    then, otherwise
        Commands that follow success and the other exit codes, with fields of the arguments, of which one that may be
        absent stands last, as does `{--years}`, the option with its value if it is given; empty if none follows.
    """

    group: str
    examples: tuple[str, ...]
    exits: Mapping[int, str] = field(default_factory=dict)
    then: str = ""
    otherwise: str = ""

    def next_after(self, code: int) -> str:
        """Return the command that follows an exit code; none follows 2, whose message names the remedy."""
        return {0: self.then, 2: "", EXIT_CODE: "the same command again, which resumes"}.get(code, self.otherwise)

    def epilog(self) -> str:
        """Return examples and exit codes, as lines that Click does not wrap."""
        codes = sorted({**_ALWAYS, **self.exits}.items())
        examples = "\n".join(f"  {example}" for example in self.examples)
        exits = "\n".join(f"  {code:<4}{meaning}" for code, meaning in codes)
        return f"\b\nExamples:\n{examples}\n\n\b\nExit codes:\n{exits}"


LESSONS: Mapping[str, Lesson] = {
    "init": Lesson(
        DATA,
        (
            "agcarbon init three_i",
            "agcarbon init --region-file my.toml",
            "agcarbon init my.toml -o run.toml",
        ),
        then="agcarbon fetch {output} --dry-run",
    ),
    "regions": Lesson(DATA, ("agcarbon regions",), then="agcarbon init REGION"),
    "counties": Lesson(
        DATA,
        ("agcarbon counties champaign", "agcarbon counties IL", "agcarbon counties 17019"),
        {1: "no county has such a name"},
        then="agcarbon init --region-file FILE, which takes these codes as `counties`",
        otherwise="agcarbon counties STATE, which lists the counties of a state, such as IL",
    ),
    "fetch": Lesson(
        DATA,
        (
            "agcarbon fetch run.toml --dry-run",
            "agcarbon fetch run.toml --years 2012 --product gpp",
            "agcarbon fetch run.toml --list polaris",
            "agcarbon fetch run.toml --list polaris --links > links.txt",
        ),
        {1: "some files failed; the same command fetches them again"},
        then="agcarbon ingest {run_file} {--years}",
        otherwise="agcarbon fetch {run_file} {--years}",
    ),
    "ingest": Lesson(
        DATA,
        ("agcarbon ingest run.toml", "agcarbon ingest run.toml --years 2021 --product gpp"),
        {1: "some product-years have no files in the archives", **_STOPPED},
        then="agcarbon plan {run_file} {--years}",
        otherwise="agcarbon fetch {run_file} --dry-run {--years}",
    ),
    "inputs": Lesson(
        DATA,
        ("agcarbon inputs run.toml", "agcarbon inputs run.toml --years 2012 --by-year --no-png"),
        {1: "years or tiles are not ingested, or values are implausible"},
        then="agcarbon plan {run_file}",
        otherwise="agcarbon ingest {run_file}",
    ),
    "plan": Lesson(
        RUN,
        ("agcarbon plan run.toml", "agcarbon plan run.toml --years 2021 --workers 32"),
        then="agcarbon run {run_file} {--years}",
    ),
    "run": Lesson(
        RUN,
        (
            "agcarbon run run.toml",
            "agcarbon run run.toml --years 2012 --scheduler serial",
            "agcarbon run run.toml --from-audit again.json",
        ),
        {1: "some tile-years failed", **_STOPPED},
        then="agcarbon aggregate {run_file}",
        otherwise="agcarbon status {run_file}",
    ),
    "status": Lesson(
        RUN,
        (
            "agcarbon status run.toml",
            "agcarbon -q status run.toml || agcarbon run run.toml",
            "agcarbon status run.toml --json --figure status.png",
        ),
        {
            0: "all tile-years are done",
            1: "some are missing, stale or not ingested: `agcarbon run` computes them",
            3: "some failed: see the reasons; `agcarbon run` tries again",
            4: "unknown: inputs, checkpoint or cube are missing; see the notes",
        },
        then="agcarbon aggregate {run_file}",
        otherwise="agcarbon run {run_file}",
    ),
    "audit": Lesson(
        RUN,
        ("agcarbon audit run.toml --sample 100", "agcarbon audit run.toml --rerun again.json"),
        {1: "faults were found", **_STOPPED},
        then="agcarbon tag {run_file} NAME",
        otherwise="agcarbon run {run_file} --from-audit FILE, with the FILE of audit --rerun FILE",
    ),
    "history": Lesson(
        RELEASES,
        ("agcarbon history run.toml", "agcarbon history run.toml --store inputs --limit 5"),
        then="agcarbon tag {run_file} NAME",
    ),
    "tag": Lesson(
        RELEASES,
        (
            "agcarbon tag run.toml v1 --message 'first release'",
            "agcarbon tag run.toml --list",
            "agcarbon tag run.toml --delete v1",
        ),
        then="agcarbon history {run_file}",
    ),
    "diff": Lesson(
        RELEASES,
        ("agcarbon diff run.toml v1 v2", "agcarbon diff run.toml v1 v2 --variables nee,yield -o changes"),
        then="agcarbon history {run_file}",
    ),
    "rollback": Lesson(
        RELEASES,
        ("agcarbon rollback run.toml v1", "agcarbon rollback run.toml 7Q3K9ZJ2 --yes"),
        then="agcarbon status {run_file}",
    ),
    "gc": Lesson(
        RELEASES,
        ("agcarbon gc run.toml --dry-run", "agcarbon gc run.toml --keep-days 90"),
        then="agcarbon history {run_file}",
    ),
    "aggregate": Lesson(
        PRODUCTS,
        ("agcarbon aggregate run.toml", "agcarbon aggregate run.toml --years 2010-2012"),
        {1: "some years failed", **_STOPPED},
        then="agcarbon map {run_file}",
        otherwise="agcarbon aggregate {run_file}",
    ),
    "export": Lesson(PRODUCTS, ("agcarbon export cog run.toml", "agcarbon export zarr run.toml")),
    "export cog": Lesson(
        "",
        (
            "agcarbon export cog run.toml",
            "agcarbon export cog run.toml --years 2012 --variables yield --units t/ha",
            "agcarbon export cog run.toml --states IL --crs EPSG:5070 -o maps",
        ),
        {1: "some files failed", **_STOPPED},
        then="agcarbon analyze all {run_file}",
        otherwise="the same command again, which keeps finished files",
    ),
    "export netcdf": Lesson(
        "",
        (
            "agcarbon export netcdf run.toml --variable yield",
            "agcarbon export netcdf run.toml --variable nee --frequency daily --states IL",
        ),
        then="agcarbon report {run_file}",
    ),
    "export zarr": Lesson(
        "",
        ("agcarbon export zarr run.toml", "agcarbon export zarr run.toml -o s3://bucket/midwest.zarr"),
        {1: "some parts failed", **_STOPPED},
        then="agcarbon view {run_file}",
        otherwise="the same command again, which keeps finished parts",
    ),
    "zonal": Lesson(
        PRODUCTS,
        ("agcarbon zonal run.toml --counties", "agcarbon zonal run.toml --fields fields.gpkg --label name"),
        then="agcarbon analyze all {run_file}",
    ),
    "extract": Lesson(
        PRODUCTS,
        (
            "agcarbon extract run.toml --point 40.05,-88.37 -o series.csv",
            "agcarbon extract run.toml --fields fields.gpkg --label name --period annual",
        ),
        then="agcarbon analyze all {run_file}",
    ),
    "map": Lesson(
        PRODUCTS,
        ("agcarbon map run.toml --year 2012", "agcarbon map run.toml --variables dsoc,nee --states IL,IN"),
        then="agcarbon export cog {run_file}",
    ),
    "analyze": Lesson(
        PRODUCTS, ("agcarbon analyze", "agcarbon analyze all run.toml"), then="agcarbon report {run_file}"
    ),
    "report": Lesson(
        PRODUCTS,
        ("agcarbon report run.toml", "agcarbon report run.toml --years 2010-2012 -o report.html"),
        then="agcarbon tag {run_file} NAME",
    ),
    "view": Lesson(PRODUCTS, ("agcarbon view run.toml", "agcarbon view run.toml -o site")),
    "checkpoint": Lesson(CHECKPOINTS, ("agcarbon checkpoint inspect", "agcarbon checkpoint inspect my.safetensors")),
    "checkpoint import": Lesson(
        "",
        ("agcarbon checkpoint import w.sav --scalers s.sav -o authors.safetensors",),
        then="agcarbon checkpoint inspect {output}",
    ),
    "checkpoint ensemble": Lesson(
        "",
        ("agcarbon checkpoint ensemble a.safetensors b.safetensors -o both.safetensors",),
        then="agcarbon checkpoint inspect {output}",
    ),
    "checkpoint inspect": Lesson(
        "",
        ("agcarbon checkpoint inspect", "agcarbon checkpoint inspect my.safetensors"),
        then="agcarbon evaluate scores {file}",
    ),
    "site": Lesson(
        CHECKPOINTS,
        (
            "agcarbon site --template site.csv",
            "agcarbon site site.csv -o mysite",
            "agcarbon site --tower US-Ne3.zip --soil soil.txt --crop corn --years 2003",
        ),
        then="agcarbon evaluate scores {checkpoint}",
    ),
    "train": Lesson(
        CHECKPOINTS,
        ("agcarbon train recipe.toml -o my.safetensors", "agcarbon train recipe.toml -o my.safetensors --stage 4"),
        then="agcarbon checkpoint inspect {output}",
    ),
    "training-data": Lesson(
        CHECKPOINTS, ("agcarbon training-data recipe.toml -o simulated",), then="agcarbon train {recipe} -o FILE"
    ),
    "evaluate": Lesson(CHECKPOINTS, ("agcarbon evaluate mead", "agcarbon evaluate towers --help")),
    "evaluate scores": Lesson(
        "",
        ("agcarbon evaluate scores --help",),
        {1: "with --check: the network fails a check"},
        then=_USE,
        otherwise="agcarbon train RECIPE -o FILE, after a look at the checks that fail",
    ),
    "evaluate towers": Lesson("", ("agcarbon evaluate towers --help",), then=_USE),
    "evaluate yields": Lesson("", ("agcarbon evaluate yields --help",), then=_USE),
    "evaluate mead": Lesson("", ("agcarbon evaluate mead", "agcarbon evaluate mead my.safetensors"), then=_USE),
    "evaluate experiment": Lesson("", ("agcarbon evaluate experiment --help",)),
    "demo": Lesson(DATA, ("agcarbon demo", "agcarbon demo -o /tmp/demo"), then="agcarbon status {folder}/run.toml"),
    "demo archives": Lesson(
        "", ("agcarbon demo archives archives", "agcarbon demo archives archives --seed 7"), then="agcarbon init demo"
    ),
}
"""Lessons by the name of the command, with that of its group before it."""
