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
FILES = ("Dockerfile", "Dockerfile.cuda")
INSTRUCTIONS = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "LABEL", "USER", "HEALTHCHECK", "ENTRYPOINT"}
"""Those that the files need; `ADD`, `EXPOSE` and others would be news."""


def instructions(name: str) -> list[tuple[str, str]]:
    """Return instructions and their arguments, with continued lines joined and comments left out."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "docker" / name).read_text())
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def arguments(name: str, word: str) -> list[str]:
    return [rest for each, rest in instructions(name) if each == word]


def test_the_image_has_all_packages_and_extras_and_no_user_with_rights() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(PACKAGES)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in PACKAGES} <= set(ignored)
    (extras,) = PYPROJECT["project"]["optional-dependencies"]["all"]
    others = PYPROJECT["project"]["optional-dependencies"].keys() - {"all", "test", "dev", "docs"}
    assert set(re.findall(r"\w+", extras.partition("[")[2])) == others


@pytest.mark.parametrize("name", FILES)
def test_an_image_file_has_known_instructions_and_its_image_runs_as_a_numbered_user(name: str) -> None:
    words = [word for word, _ in instructions(name)]
    assert set(words) <= INSTRUCTIONS
    assert words.index("FROM") <= 1  # only an argument may stand before
    assert arguments(name, "USER")[-1] == "1000"  # by number: Kubernetes' runAsNonRoot needs it
    assert "useradd --uid 1000" in DOCKERFILE


@pytest.mark.parametrize("name", FILES)
def test_a_base_is_pinned_by_digest_or_is_the_image_of_this_project(name: str) -> None:
    defaults = dict(each.split("=", 1) for each in arguments(name, "ARG"))
    for base in arguments(name, "FROM"):
        image = defaults[base.split()[0].strip("${}")]
        assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image) or (name, image) == ("Dockerfile.cuda", "agcarbon")


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_a_title_and_no_secret(name: str) -> None:
    assert any("org.opencontainers.image.title=" in each for each in arguments(name, "LABEL"))
    set_ = " ".join((*arguments(name, "ARG"), *arguments(name, "ENV"), *arguments(name, "COPY")))
    assert not re.search(r"token|passw|secret|credential|netrc|\.aws|\w://\w+:", set_, re.IGNORECASE)
    assert not [each for each in arguments(name, "COPY") if each.split()[0] == "."]
    assert (ROOT / ".dockerignore").read_text().splitlines()[0] == "*"  # what is copied is listed


@pytest.mark.parametrize("name", FILES)
def test_every_package_list_is_removed_in_the_layer_that_fetched_it(name: str) -> None:
    fetching = [each for each in arguments(name, "RUN") if "apt-get update" in each]
    assert fetching
    assert all("rm -rf /var/lib/apt/lists/*" in each for each in fetching)
    assert all("--no-install-recommends" in each for each in fetching)


def test_pytorch_of_both_images_is_the_pinned_release_of_its_index() -> None:
    for name in FILES:
        (index,) = (each for each in arguments(name, "ARG") if each.startswith("TORCH_INDEX="))
        assert index == f"TORCH_INDEX=https://download.pytorch.org/whl/{'cu130' if 'cuda' in name else 'cpu'}"
        assert any("grep '^torch==' " in each and '"$TORCH_INDEX"' in each for each in arguments(name, "RUN"))


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
