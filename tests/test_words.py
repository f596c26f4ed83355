"""Words that readers stumble over do not come back: in strings, docstrings and documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import imports

AVOIDED = {
    r"lack(s|ed|ing)?": "missing",
    r"mend(s|ed|ing)?|spoilt|leavings|whim|seldom|for want of|ought to|come by|in (its|their) room": "plain words",
    r"go(es)? on|went on|gets? on|got no further": "continues, resumes, makes progress",
    r"tells?|told|held against|says? of (itself|themselves)": "reports, determines, compared with",
    r"(say|says|said) what": "the noun",
    r"gC m-2|gC m⁻²": "g C m-2",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(AVOIDED)})\b", re.IGNORECASE)
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "model/weights/README.md",
    "Makefile",
    "pyproject.toml",
)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module with their lines, docstrings among them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def documents() -> list[Path]:
    named = (imports.ROOT / name for name in DOCUMENTS)
    return [file for path in named for file in (sorted(path.rglob("*.md")) if path.is_dir() else [path])]


def test_the_avoided_words_are_found() -> None:
    assert PATTERN.search("2012 lacks 3 tiles")
    assert PATTERN.search("reported in gC m-2 yr-1")
    assert not PATTERN.search("black soils, an amended plan, telling units g C m-2 yr-1, a toll")


@pytest.mark.parametrize("package", imports.TOP)
def test_no_string_of_the_code_holds_an_avoided_word(package: str) -> None:
    found = [
        f"{path.relative_to(imports.ROOT)}:{line}: {match[0]}"
        for path in imports.files(package)
        for line, text in strings(path)
        for match in PATTERN.finditer(text)
    ]
    assert not found


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(imports.ROOT)))
def test_no_document_holds_an_avoided_word(document: Path) -> None:
    lines = document.read_text().splitlines()
    found = [f"{n}: {match[0]}" for n, line in enumerate(lines, start=1) for match in PATTERN.finditer(line)]
    assert not found
