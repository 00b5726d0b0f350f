"""Writes the tables of values into the chart's README.md, from values.yaml and its comments.

    python3 tests/chart/readme.py            write them
    python3 tests/chart/readme.py --check    fail where they are not current

A line `# === Title` begins a table. The comment right above a key belongs to it.
"""
import json
import pathlib
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "charts/s3seal"
README, VALUES = CHART / "README.md", CHART / "values.yaml"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->\n"
LONG = 60  # characters of a default that is shown


def wanted():
    """The README with current tables."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, "the README has no place for the tables"
    return before + BEGIN + tables() + END + after


def current():
    return README.read_text()


def tables():
    text = VALUES.read_text()
    lines = text.splitlines()
    sections = [(number, line.removeprefix("# === ")) for number, line in enumerate(lines) if line.startswith("# === ")]
    root = yaml.compose(text)
    rows = list(entries(root, "", lines))
    out = []
    for (start, title), (end, _) in zip(sections, sections[1:] + [(len(lines), "")]):
        out.append(f"\n### {title}\n\n| value | default | |\n|---|---|---|\n")
        out += [f"| `{path}` | {default} | {comment} |\n" for number, path, default, comment in rows if start < number < end]
    return "".join(out) + "\n"


def entries(node, path, lines):
    """Line, path, default and comment of every value; of a map with content those of its keys."""
    for key, value in node.value:
        here = f"{path}.{key.value}".removeprefix(".")
        comment = comment_above(lines, key.start_mark)
        if isinstance(value, yaml.MappingNode) and value.value:
            if comment:
                yield key.start_mark.line, here, "", comment
            yield from entries(value, here, lines)
        else:
            yield key.start_mark.line, here, shown(value), comment


def comment_above(lines, mark):
    number, found = mark.line - 1, []
    while number >= 0 and lines[number].startswith(" " * mark.column + "#") and "# ===" not in lines[number]:
        found.insert(0, lines[number].strip().lstrip("#").strip())
        number -= 1
    return " ".join(found).replace("|", "\\|").replace("<", "&lt;")


def shown(node):
    value = yaml.safe_load(yaml.serialize(node))
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LONG:
        return "see values.yaml"
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if current() == wanted() else "charts/s3seal/README.md is not current: run tests/chart/readme.py")
    README.write_text(wanted())
