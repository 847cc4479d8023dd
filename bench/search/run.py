#!/usr/bin/env python3
"""Searches of an analyst over ten million archived events: facets, a histogram, the newest and the oldest rows.

The events are those of the rules benchmark with eight windows and 109 rules, spread over sixty days and written as a
server writes them, some at a time. Each kind of search is asked once as after a start (`first`), then again and again
with other values, in a mixed order. Times include compiling the expression. The archive is made once and kept.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rules"), str(HERE.parent / "archive")]
from measure import BUILD, RELEASE, Missing, call, cores, last_json, note, table  # noqa: E402
from prepared import prepare  # noqa: E402
from events import write_policy  # noqa: E402

FOLDER = BUILD / "search"


def make(arguments, source):
    """The archive; nothing where it is there already."""
    rows = FOLDER / f"{arguments.rows}"
    if (rows / "manifest.json").is_file() and not arguments.new:
        return rows, None
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_policy(source / "policy", FOLDER / "policy")
    note(f"deciding and archiving {arguments.rows} events")
    half = FOLDER / "half"
    figures = last_json(*call([RELEASE / "archive_measure", "--days", arguments.days, "--flush", arguments.flush, "--fill",
                               FOLDER / "policy", source / "events.ndjson", arguments.rows, half], 7200))
    half.rename(rows)
    return rows, figures


def main():
    parser = argparse.ArgumentParser(prog="./dev bench search", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="distinct events (default 200000)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows in the archive (default ten million)")
    parser.add_argument("--days", type=int, default=60, help="that they are spread over (default 60)")
    parser.add_argument("--flush", type=int, default=100_000, help="rows written at a time (default 100000)")
    parser.add_argument("--rounds", type=int, default=10, help="searches of each kind (default 10)")
    parser.add_argument("--new", action="store_true", help="make the archive anew")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    source, _, _ = prepare(100, arguments.events)
    try:
        rows, filled = make(arguments, source)
        figures = last_json(*call([RELEASE / "replay_find", FOLDER / "policy", rows, arguments.rounds], 3600))
    except Missing as why:
        sys.exit(f"search: {why}")
    if filled:
        figures["filled"] = filled
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    if filled:
        print(f"{filled['flush_rows_per_cpu_s']:,.0f} rows a CPU second written and joined, {filled['bytes_an_event_at_last']:.1f} bytes an event, "
              f"{filled['peak_mb']:.0f} MB at most with the engine's state\n")
    keys = ("p50_ms", "p95_ms", "cpu_p50_ms", "cpu_p95_ms", "first_ms")
    table(["search", "found", "p50 ms", "p95 ms", "CPU p50", "CPU p95", "first ms"],
          [[kind["name"], f"{kind['found']:,}", *(f"{kind[key]:.0f}" for key in keys)] for kind in figures["kinds"]])
    print(f"\nall {figures['searches']}: p50 {figures['p50_ms']:.0f} ms, p95 {figures['p95_ms']:.0f} ms, longest {figures['longest_ms']:.0f} ms; "
          f"{figures['rows']:,} rows in {figures['files']} files, {figures['peak_mb']:.0f} MB at most, {len(cores())} cores")


if __name__ == "__main__":
    main()
