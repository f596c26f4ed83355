"""Settings of Sphinx: `make docs`. The root of the repository is the source, so that links are those of GitHub."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import reference  # noqa: E402

project = "agcarbon"
author = "The agcarbon maintainers"
release = version_of("agcarbon")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docker/README.md",
    "model/weights/README.md",
]  # fmt: skip
exclude_patterns = [".*", "build", "demo", "dist", "runs", "*.egg-info", "**/__pycache__"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
# Types of other packages, whose pages are not fetched.
nitpick_ignore_regex = [
    ("py:.*", r"(xr|xarray|gpd|np|pathlib|os|collections|pipeline)\..*"),
    ("py:.*", r"Progress|Years|RunFile|.*Report|Cost|Selection|PathLike.*|Iterable.*|Sequence.*|UserError|UserWarning"),
]

html_theme = "furo"
html_extra_path = ["site"]  # from the root of the site to the first page
html_title = f"agcarbon {release}"
html_show_sourcelink = False
html_copy_source = False


def setup(_app: object) -> None:
    """Write the pages of the reference before Sphinx looks for pages."""
    reference.write(Path(__file__).parent / "reference")
