#!/usr/bin/env python3
"""Runs clang-tidy over the sources of src/, and remembers what it found clean.

A file is analysed again only when its text, a header of ours that it reaches, its compile command, .clang-tidy or the
version of clang-tidy changed. Prints one line per finding and, as its last line, the count of files passed and failed.

    python3 test/tidy.py [--build DIR] [FILE...]
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)
FILE_SECONDS_MAX = 240


def reached_headers(path, known):
    """Headers of ours that a file includes, directly or not; `known` caches what one file includes."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current not in known:
            known[current] = [TOP / "src" / name for name in INCLUDE.findall(current.read_text(errors="replace"))]
        for header in known[current]:
            if header not in found and header.is_file():
                found.add(header)
                waiting.append(header)
    return sorted(found)


def stamp_of(entry, known, common):
    digest = hashlib.sha256(common)
    digest.update(entry["command"].encode())
    path = Path(entry["file"])
    for part in [path, *reached_headers(path, known)]:
        digest.update(str(part.relative_to(TOP)).encode() + b"\0" + part.read_bytes() + b"\0")
    return digest.hexdigest()


def analyse(entry, build):
    """Runs clang-tidy on one file; None if it is clean, else what it says."""
    command = ["clang-tidy", "--quiet", "-p", str(build), "--extra-arg=-Wno-unknown-warning-option", entry["file"]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FILE_SECONDS_MAX, cwd=TOP)
    except subprocess.TimeoutExpired:
        return f"{entry['file']}: clang-tidy took over {FILE_SECONDS_MAX} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return "\n".join(lines or done.stderr.splitlines()[-20:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help="configured build folder")
    parser.add_argument("files", nargs="*", help="only these")
    arguments = parser.parse_args()
    build = TOP / arguments.build
    database = build / "compile_commands.json"
    if not database.is_file():
        sys.exit(f"tidy: {database.relative_to(TOP)} is missing: run ./dev build first")
    entries = [entry for entry in json.loads(database.read_text()) if entry["file"].startswith(str(TOP / "src") + "/")]
    if arguments.files:
        wanted = {str((TOP / name).resolve()) for name in arguments.files}
        entries = [entry for entry in entries if entry["file"] in wanted]
    # Tests stand under the compiler's warnings and the sanitizers; the macros of gtest cost clang-tidy most of its time.
    entries = [entry for entry in entries if arguments.files or not entry["file"].endswith(("_test.cc", "_bench.cc"))]

    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    common = version + (TOP / ".clang-tidy").read_bytes()
    stamps = TOP / "build" / "tidy"
    stamps.mkdir(parents=True, exist_ok=True)
    known = {}
    waiting = [(entry, stamps / stamp_of(entry, known, common)) for entry in entries]
    waiting = [(entry, stamp) for entry, stamp in waiting if not stamp.exists()]
    failed = 0
    jobs = int(os.environ.get("TAMIS_JOBS") or os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda item: (item[0], item[1], analyse(item[0], build)), waiting)
        for entry, stamp, findings in results:
            if findings is None:
                stamp.touch()
            else:
                failed += 1
                print(findings.replace(str(TOP) + "/", ""), flush=True)
    print(f"{len(entries) - failed} passed, {failed} failed, {len(entries) - len(waiting)} unchanged")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
