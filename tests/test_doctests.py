"""The examples in docstrings run and print what they claim."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests import imports

WITH_EXAMPLES = [
    imports.module_of(path) for top in imports.TOP for path in imports.files(top) if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed
