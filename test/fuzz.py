#!/usr/bin/env python3
"""Runs fuzz targets and prints a table; `./dev fuzz` is its front door.

The corpus of a target is build/fuzz-corpus/TARGET and grows from run to run; seeds come from src/ROOM/fuzz_seeds/TARGET.
An input that breaks a target is kept as build/fuzz-findings/TARGET-*. HUNG: it did not end by itself in two minutes more.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def fuzz(target, source, arguments):
    """One target; returns the columns of its row."""
    binary = TOP / "build" / arguments.preset / target
    if not binary.is_file():
        return ["-", "-", "-", "-", "missing"]
    corpus = TOP / "build" / "fuzz-corpus" / target
    findings = TOP / "build" / "fuzz-findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    seeds = source.parent / "fuzz_seeds" / target
    command = [str(binary), str(corpus), *([str(seeds)] if seeds.is_dir() else []),
               f"-max_total_time={arguments.seconds}", f"-artifact_prefix={findings}/{target}-", "-timeout=10",
               "-rss_limit_mb=2048", "-print_final_stats=1", "-use_value_profile=1"]
    dictionary = source.parent / "fuzz_seeds" / f"{target}.dict"
    if dictionary.is_file():
        command.append(f"-dict={dictionary}")
    if arguments.runs:
        command.append(f"-runs={arguments.runs}")
    began = time.monotonic()
    log = TOP / "build" / "test" / f"fuzz-{target}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=TOP, timeout=arguments.seconds + 120,
                                  env={**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}).returncode
        except subprocess.TimeoutExpired:
            code = None
    text = log.read_text(errors="replace")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    coverage = re.findall(r"cov: (\d+)", text)
    if code != 0:
        print("\n".join(text.splitlines()[-30:]), flush=True)
    return [runs.group(1) if runs else "-", coverage[-1] if coverage else "-", str(sum(1 for _ in corpus.iterdir())),
            f"{time.monotonic() - began:.0f}", "clean" if code == 0 else "HUNG" if code is None else "FINDING"]


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", help="only this one")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--runs", type=int, default=0, help="stop after so many inputs")
    parser.add_argument("--preset", default="fuzz")
    arguments = parser.parse_args()
    sources = {path.stem: path for path in sorted((TOP / "src").glob("*/*_fuzz.cc"))}
    if arguments.target:
        if arguments.target not in sources:
            sys.exit(f"fuzz: no target '{arguments.target}', expected one of: {' '.join(sources) or '(there is none)'}")
        sources = {arguments.target: sources[arguments.target]}
    rows = []
    for target, source in sources.items():
        rows.append([target, *fuzz(target, source, arguments)])
    head = ["target", "inputs", "edges", "corpus", "seconds", "result"]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) if column in (0, 5) else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())
    return 1 if any(row[-1] != "clean" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
