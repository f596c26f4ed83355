"""The images' files fit the project: what they copy, whom they run as, and the commands they start."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_packaging import PACKAGES, PYPROJECT

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()


def test_the_image_has_all_packages_and_extras_and_no_user_with_rights() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(PACKAGES)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in PACKAGES} <= set(ignored)
    (extras,) = PYPROJECT["project"]["optional-dependencies"]["all"]
    others = PYPROJECT["project"]["optional-dependencies"].keys() - {"all", "test", "dev", "docs"}
    assert set(re.findall(r"\w+", extras.partition("[")[2])) == others
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)[-1] == "agcarbon"
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^USER (\w+)$", (ROOT / "docker/Dockerfile.cuda").read_text(), re.MULTILINE)[-1] == "agcarbon"


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    return found


def test_the_services_start_one_after_the_other_on_one_folder() -> None:
    found = services()
    assert found.keys() == {"scheduler", "worker", "run"}
    assert all(service["volumes"] == found["run"]["volumes"] for service in found.values())
    assert all(
        found[name]["depends_on"] == {"scheduler": {"condition": "service_healthy"}} for name in ("worker", "run")
    )


@pytest.mark.parametrize("name", ["scheduler", "worker"])
def test_dask_knows_the_options_of_a_service(name: str) -> None:
    _, *arguments = services()[name]["entrypoint"]
    helped = subprocess.run([sys.executable, "-m", "dask", arguments[0], "--help"], capture_output=True, text=True)
    for option in (each for each in arguments if each.startswith("--")):
        assert option in helped.stdout
