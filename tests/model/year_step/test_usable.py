"""Where the compiled year step works, why not elsewhere, and the cache of its code."""

from __future__ import annotations

import platform
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import llvmlite.binding
import numba
import pytest

from model.inference import Predictor
from model.year_step import usable
from model.year_step.usable import Compiled, compiled
from tests.helpers.networks import SCALERS, network

needs_numba = pytest.mark.skipif(compiled().obstacle is not None, reason=str(compiled().obstacle))
NEWS = "from model.year_step.usable import compiled; print(compiled().news)"


@pytest.fixture(autouse=True)
def _found_anew() -> Iterator[None]:
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def test_another_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert compiled().obstacle == "the processor is of type aarch64, not x86-64"


def test_a_processor_without_fma_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: {"avx2": True, "fma": False})
    assert compiled().obstacle == "the processor has no FMA"


def test_an_absent_numba_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setitem(sys.modules, "numba", None)
    found = compiled()
    assert found.obstacle is not None
    assert found.obstacle.startswith("Numba cannot be imported: ")
    assert found.news == f"year step: PyTorch, since the compiled one does not work here: {found.obstacle}"


@needs_numba
def test_a_failing_compilation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise numba.core.errors.LoweringError("no such instruction")

    monkeypatch.setattr(usable, "_loaded", fail)
    assert compiled().obstacle == "Numba fails: no such instruction"


@pytest.mark.slow
@needs_numba
def test_the_code_is_compiled_once_and_then_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (_printed() for _ in range(2))
    (folder,) = (tmp_path / "agcarbon").iterdir()
    assert first.startswith("year step: compiled in ")
    assert first.endswith(f"for this processor, kept in {folder}")
    assert second == "None"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def _printed() -> str:
    return subprocess.run([sys.executable, "-c", NEWS], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_the_cache_lies_where_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied, temporary = tmp_path / "file", tmp_path / "tmp"
    occupied.touch()
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    monkeypatch.setattr(usable.tempfile, "gettempdir", lambda: str(temporary))
    folder = usable._cache_folder()
    assert folder is not None
    assert folder.is_relative_to(temporary)
    monkeypatch.setattr(usable.tempfile, "gettempdir", lambda: str(occupied))
    assert usable._cache_folder() is None
    assert "kept nowhere" in str(Compiled(None, 16, 5.0, None).news)


def test_pytorch_is_opened_where_it_is_asked_for() -> None:
    from model.checkpoint import Checkpoint

    checkpoint = Checkpoint.from_published(network().state_dict(), SCALERS.as_json())
    opened = usable.predictor(checkpoint, year_step=usable.PYTORCH, device="cpu", batch_cells=7)
    assert type(opened) is Predictor
    assert opened.batch_cells == 7
