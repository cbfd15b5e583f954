"""The pages of the manual: where they lie, in which order they are read, and what stands under which heading.

Loads neither Qt nor torch. To add a page is to add a file to `manual/` and a line to `manual/index.md`.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

CONTENTS = "index"
"""Name of the page that lists the others in their order."""
_LINK = re.compile(r"^\d+\. \[.*?\]\((\S+)\.md\)", re.MULTILINE)
_HEADING = re.compile(r"^(#{1,3}) +(.+?)\s*$")
_FENCE = re.compile(r"^ *```")


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under a heading.

    Attributes:
        title: The heading; that of the page for what stands above its first one.
        anchor: What links call it, "" for the beginning of the page.
        text: Heading and text, as Markdown.
    """

    title: str
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        name: Of its file, without the ending.
        title: Its first heading.
        sections: In their order, the beginning first.
    """

    name: str
    title: str
    sections: tuple[Section, ...]


def folder() -> Path:
    """Where the pages lie, in a clone and in a wheel alike."""
    return Path(str(files(__name__.rpartition(".")[0]) / "manual"))


def pages() -> tuple[Page, ...]:
    """All pages in the order of the contents, which come first."""
    contents = _read(CONTENTS)
    return tuple(_page(name, _read(name)) for name in (CONTENTS, *_LINK.findall(contents)))


def anchor(heading: str) -> str:
    """What a link calls a heading: as forges do, in lower case, with hyphens, without other punctuation."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _read(name: str) -> str:
    return (folder() / f"{name}.md").read_text(encoding="utf-8")


def _page(name: str, text: str) -> Page:
    """Divide a page at its headings; lines of code that begin with # are none."""
    title, sections = "", list[tuple[str, list[str]]]()
    in_code = False
    for line in text.splitlines():
        in_code ^= bool(_FENCE.match(line))
        found = None if in_code else _HEADING.match(line)
        if found and not title:
            title = found[2]
        if found or not sections:
            sections.append((found[2] if found else "", []))
        sections[-1][1].append(line)
    return Page(
        name,
        title,
        tuple(
            Section(heading or title, anchor(heading) if number else "", "\n".join(lines))
            for number, (heading, lines) in enumerate(sections)
        ),
    )
