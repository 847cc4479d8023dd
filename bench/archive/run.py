#!/usr/bin/env python3
"""The archive: bytes an event, and how fast it takes, writes, scans and answers.

The events are those of the rules benchmark (28 fields, 650 bytes of JSON) with eight windows and 100 rules, decided by the
engine and archived. The size is that of the first, distinct events; for ten million rows they are repeated at later times.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rules"), str(HERE)]
from measure import BUILD, RELEASE, Missing, call, last_json, note, table  # noqa: E402
from prepared import prepare  # noqa: E402
from events import write_policy  # noqa: E402

FOLDER = BUILD / "archive"


def main():
    parser = argparse.ArgumentParser(prog="./dev bench archive", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="distinct events (default 200000)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows in the archive (default ten million)")
    parser.add_argument("--keep", action="store_true", help="ask the archive of the last run instead of making one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    source, _, _ = prepare(100, arguments.events)
    write_policy(source / "policy", FOLDER / "policy")
    data = FOLDER / "data"
    if not arguments.keep:
        shutil.rmtree(data, ignore_errors=True)
    note(f"deciding and archiving {arguments.rows} events")
    try:
        figures = last_json(*call([RELEASE / "archive_measure", FOLDER / "policy", source / "events.ndjson", arguments.rows, data], 1800))
    except Missing as why:
        sys.exit(f"archive: {why}")
    if not arguments.keep:
        shutil.rmtree(data, ignore_errors=True)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    names = {"bytes_an_event": "bytes an event", "add_us": "add, us", "flush_rows_per_s": "flush, rows/s", "flush_rows_per_cpu_s": "flush, rows/cpu s",
             "scan_first_s": "scan of all rows, 4 columns and the decision, first, s", "scan_again_s": "the same again, s"}
    table(["archive", "figure"], [[name, f"{figures[key]:,.2f}"] for key, name in names.items() if key in figures])
    print()
    table(["query", "first ms", "p50 ms", "p95 ms"],
          [[name, *(f"{took[key]:.0f}" for key in ("first_ms", "p50_ms", "p95_ms"))] for name, took in figures["queries"].items()])
    print(f"\n{figures['rows']:,} rows in {figures['files']} files, {len(os.sched_getaffinity(0))} cores")


if __name__ == "__main__":
    main()
