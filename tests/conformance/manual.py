"""Reads the manual: its sections, fenced blocks and code in prose and tables.

Two HTML comments, each on the line before a fence, say what the tests do with a block:

    <!-- not run: REASON -->     a block of commands that no test of the manual runs
    <!-- file: NAME -->          the block is written to this file before the commands of its section run
"""
import dataclasses
import functools
import pathlib
import re

import harness

PAGES = [
    harness.REPO / "README.md",
    harness.REPO / "CONTRIBUTING.md",
    harness.REPO / "charts/s3seal/README.md",
    *sorted((harness.REPO / "src/manual").glob("*.md")),
]
COMMENT = re.compile(r"\s*<!-- (not run|file): (.*) -->")
FENCE = re.compile(r"( *)(?:[-*] )?```(\w*)\s*$")


@dataclasses.dataclass(frozen=True)
class Block:
    page: str  # relative to the repository
    section: str
    line: int
    language: str
    text: str
    not_run: str | None
    file: str | None

    def __str__(self):
        return f"{self.page}:{self.line}"


def name_of(path):
    return str(path.relative_to(harness.REPO))


@functools.cache
def blocks():
    return [block for page in PAGES for block in blocks_of(page)]


def blocks_of(path: pathlib.Path):
    """Every fence, without the indentation of the list that it stands in."""
    section, comment, opened = "", {}, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened = (number, fence[1], fence[2], [])
        elif opened is not None and fence:
            start, indent, language, lines = opened
            text = "\n".join(line.removeprefix(indent) for line in lines) + "\n"
            yield Block(name_of(path), section, start, language, text, comment.get("not run"), comment.get("file"))
            opened, comment = None, {}
        elif opened is not None:
            opened[3].append(line)
        elif found := COMMENT.match(line):
            comment[found[1]] = found[2]
        else:
            comment = {}
            if line.startswith("#"):
                section = line.lstrip("#").strip()
    assert opened is None, f"{path}: a fence is not closed"


def prose(path: pathlib.Path):
    """The page without its fenced blocks."""
    inside, kept = False, []
    for line in path.read_text().splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def codes(path: pathlib.Path):
    """What stands between backticks in prose and tables; a line may end within."""
    found = re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(path))
    return [re.sub(r"\s+", " ", code).replace("\\|", "|") for code in found]


def commands(text):
    """Lines of a shell block, with those joined that end in a backslash; without comments."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]
