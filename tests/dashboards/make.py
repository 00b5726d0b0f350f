"""Writes charts/s3seal/files/dashboards.

    python3 tests/dashboards/make.py            writes the files
    python3 tests/dashboards/make.py --check    fails if they are not what would be written
"""
import pathlib
import sys

import capacity
import keys
import overview
import security

TARGET = pathlib.Path(__file__).resolve().parents[2] / "charts/s3seal/files/dashboards"
DASHBOARDS = [overview.DASHBOARD, keys.DASHBOARD, security.DASHBOARD, capacity.DASHBOARD]


def main(arguments):
    made = {f"{dashboard.uid}.json": dashboard.text() for dashboard in DASHBOARDS}
    if arguments == ["--check"]:
        there = {path.name: path.read_text() for path in TARGET.iterdir()}
        changed = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
        return f"not current, run {__file__}: {', '.join(changed)}" if changed else 0
    if arguments:
        return __doc__
    for name, text in made.items():
        (TARGET / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
