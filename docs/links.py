"""Links of built pages: `python docs/links.py build/docs` names each that leads nowhere, and lists external ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

GENERATED = ("genindex.html", "search.html", "py-modindex.html")


@dataclass
class Page(HTMLParser):
    """Targets of the links of a page, and the anchors in it."""

    targets: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect `href`, `src` and `id`."""
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.targets.append(value)
            elif value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)


def read(folder: Path) -> dict[Path, Page]:
    """Return the pages below a folder."""
    found = {path.resolve(): Page() for path in sorted(folder.rglob("*.html"))}
    for path, page in found.items():
        page.feed(path.read_text())
    return found


def external(pages: dict[Path, Page]) -> list[str]:
    """Return the addresses outside that pages name."""
    return sorted({target for page in pages.values() for target in page.targets if urlsplit(target).scheme})


def dead(pages: dict[Path, Page]) -> Iterator[str]:
    """Yield each link between the pages whose file or anchor is not there."""
    for path, page in pages.items():
        if path.name in GENERATED:
            continue
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = pages.get(file)
            if not file.exists() or (there and parts.fragment and unquote(parts.fragment) not in there.anchors):
                yield f"{path.name}: {target}"


def main(folder: Path) -> int:
    """Print what was found; 1 if a link is dead."""
    pages = read(folder)
    addresses = external(pages)
    (folder / "external-links.txt").write_text("\n".join(addresses) + "\n")
    found = sorted(set(dead(pages)))
    print(*(f"dead link: {link}" for link in found), sep="\n", end="\n" if found else "")
    print(f"{len(pages)} pages, {len(found)} dead links; {len(addresses)} external ones, not fetched: "
          f"{folder / 'external-links.txt'}")  # fmt: skip
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
