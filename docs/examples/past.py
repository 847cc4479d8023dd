#!/usr/bin/env python3
"""Reads the archive of a data folder without Tamis: events a day from the manifest's files, and, where the module
duckdb is installed, verdicts and hits of rules.

    python3 past.py DATA
"""

import json
import sys
from collections import Counter
from pathlib import Path


def main(data):
    folder = Path(data) / "archive"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {}
    for file in manifest["files"]:  # only these count; the empty type is that of acts
        files.setdefault(file["type"] or "acts", []).append(folder / file["path"])
    for kind, paths in sorted(files.items()):
        days = Counter(path.parent.name for path in paths)
        print(f"{kind}: {len(paths)} files of {len(days)} days, {sum(path.stat().st_size for path in paths)} bytes")
    try:
        import duckdb
    except ImportError:
        print("for more: pip install duckdb")
        return
    for kind in sorted(set(files) - {"acts"}):
        events = duckdb.read_parquet([str(path) for path in files[kind]], union_by_name=True)
        print(events.query("e", "SELECT time::DATE AS day, verdict, count(*) AS events FROM e GROUP BY ALL ORDER BY ALL"))
        print(events.query("e", "SELECT unnest(rules) AS rule, count(*) AS hits FROM e GROUP BY ALL ORDER BY hits DESC"))


if __name__ == "__main__":
    main(sys.argv[1])
