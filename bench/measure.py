"""What the benchmark runners share: running a program pinned and bounded, and printing tables."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD = TOP / "build" / "bench"
RELEASE = TOP / "build" / "release"


class Missing(Exception):
    """A peer that cannot run here; the text says why."""


def cores():
    return sorted(os.sched_getaffinity(0))


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def call(command, seconds, cwd=None, environment=None):
    """Runs a command to its end within `seconds`, killing it and its children otherwise; returns (code, output, errors)."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, text=True,
                               stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, **(environment or {})})
    try:
        out, errors = process.communicate(timeout=seconds)
        return process.returncode, out, errors
    except subprocess.TimeoutExpired:
        return None, "", f"stopped after {seconds} s"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def last_json(code, out, errors):
    """The last line of a program's output as JSON; Missing if it failed."""
    lines = out.strip().splitlines()
    if code != 0 or not lines:
        said = (errors.strip().splitlines() or lines or ["no output"])[-1]
        raise Missing(f"failed ({'time out' if code is None else f'exit code {code}'}): {said[:200]}")
    return json.loads(lines[-1])


def compile_cpp(source, binary, libraries, include):
    """Compiles one file with g++ -O2 unless the binary is newer than what it is made of."""
    inputs = [Path(source), *Path(include).glob("*.inc")]
    if binary.is_file() and all(binary.stat().st_mtime >= path.stat().st_mtime for path in inputs):
        return
    code, _, errors = call(["g++", "-O2", "-std=c++20", "-w", f"-I{include}", source, "-o", binary, *libraries], 900)
    if code != 0:
        raise Missing(f"does not compile: {(errors.strip().splitlines() or ['?'])[0][:200]}")


def cpu_seconds(pid):
    """User and system time that a process has used (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def table(head, rows, left=(0,)):
    """Prints rows of texts in columns; those in `left` are aligned to the left."""
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = [str(cell).ljust(width) if column in left else str(cell).rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def number(value):
    return "-" if value is None else f"{value:,.0f}".replace(",", " ")


def note(text):
    print(text, file=sys.stderr, flush=True)
