"""Links of built pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import links

PAGE = """<a href="other.html#there">1</a> <a href="#here">2</a> <h2 id="here">x</h2> <img src="picture.png">
<a href="https://example.org/x">3</a> <a href="folder/%C3%A4.html">4</a>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "folder" / "ä.html").write_text('<a href="../index.html">')
    (tmp_path / "picture.png").touch()
    return tmp_path


def test_links_to_files_and_anchors_that_are_there_are_alive(site: Path) -> None:
    assert links.main(site) == 0
    assert (site / "external-links.txt").read_text() == "https://example.org/x\n"


@pytest.mark.parametrize(
    ("old", "new"), [("#there", "#elsewhere"), ("#here", "#her"), ("other.html", "none.html"), ("picture", "photo")]
)
def test_a_link_that_leads_nowhere_is_named(site: Path, capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    page = site / "index.html"
    page.write_text(page.read_text().replace(old, new, 1))
    assert links.main(site) == 1
    assert f"dead link: {page.name}: " in capsys.readouterr().out


def test_a_folder_without_pages_is_no_success(tmp_path: Path) -> None:
    assert links.main(tmp_path) == 1
