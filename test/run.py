#!/usr/bin/env python3
"""Runs every test and check of the project in steps; `./dev test` is its front door.

Each step gives how many cases passed, failed and were skipped; what failed is printed as it happens and again at the end,
with the log of the step under build/test/. The last line is `N passed, N failed`; the exit code is 1 if anything failed.
"""

import argparse
import concurrent.futures
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOGS = TOP / "build" / "test"
THREADED_ROOMS = ["base", "net", "journal", "action", "door", "app"]
CHECK_TESTS = ["layers", "style"]  # test files that check the tree and need no build
JOBS = int(os.environ.get("TAMIS_JOBS") or os.cpu_count() or 1)


@dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    faults: list = field(default_factory=list)  # what to show of what failed

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.faults += other.faults
        return self

    @staticmethod
    def of(ok, fault):
        return Outcome(passed=1) if ok else Outcome(failed=1, faults=[fault])


def run(command, log, timeout_s, environment=None):
    """Runs a command in a process group of its own; returns (exit code or None if it was stopped, its output)."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with open(path, "wb") as out:
        process = subprocess.Popen(command, cwd=TOP, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **(environment or {})}, start_new_session=True)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Also what the command started and left behind.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    return code, path.read_text(errors="replace")


def tail(text, lines=40):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def why(code, timeout_s):
    if code is None:
        return f"was stopped after {timeout_s} s"
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def build(preset, targets, timeout_s=2400):
    code, text = run([str(TOP / "dev"), "build", preset, *targets], f"build-{preset}", timeout_s, {"TAMIS_KEEP_GOING": "0"})
    errors = [line for line in text.splitlines() if re.search(r"(error|FAILED|undefined reference)", line)]
    return Outcome.of(code == 0, f"build {preset} {why(code, timeout_s)}\n" + "\n".join(errors[:40] or [tail(text)]))


def read_gtest(name, code, text, timeout_s):
    """Counts what a gtest program printed. A crash is one more failed case, with the end of the output."""
    passed = len(re.findall(r"^\[       OK \] ", text, re.M))
    skipped = len(re.findall(r"^\[  SKIPPED \] \S+ \(", text, re.M))
    failed = re.findall(r"^\[  FAILED  \] (\S+?)(?:, where .*)? \(\d+ ms\)$", text, re.M)
    faults = []
    for case in failed:
        body = re.search(r"^\[ RUN      \] " + re.escape(case) + r"\n(.*?)^\[  FAILED  \] " + re.escape(case), text, re.M | re.S)
        faults.append(f"{name}: {case}\n{tail(body.group(1)) if body else ''}")
    complete = re.search(r"^\[==========\] \d+ tests? .* ran\.", text, re.M)
    if not complete or (code != 0 and not failed):
        last = re.findall(r"^\[ RUN      \] (\S+)$", text, re.M)
        where = f" in or after {last[-1]}" if last else ""
        return Outcome(passed, len(failed) + 1, skipped, [*faults, f"{name} {why(code, timeout_s)}{where}\n{tail(text)}"])
    return Outcome(passed, len(failed), skipped, faults)


def no_address_randomisation():
    """GCC 12's ThreadSanitizer cannot place its shadow under the address randomisation of some newer kernels."""
    prefix = ["setarch", platform.machine(), "-R"]
    if shutil.which("setarch") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
        return prefix
    return []


def unit_tests(preset, rooms=None, timeout_s=900):
    """Builds and runs the gtest programs of a preset; only those of `rooms` if given."""
    known = [room for line in (TOP / "src" / "LAYERS").read_text().splitlines() if not line.startswith("#")
             for room in line.split()]
    rooms = [room for room in (rooms or known) if any((TOP / "src" / room).glob("*_test.cc"))]
    programs = [f"{room}_test" for room in rooms]
    if not programs:
        return Outcome()
    outcome = build(preset, programs)
    prefix = no_address_randomisation() if preset == "tsan" else []
    environment = {
        # The same inputs in every run of the suite, so that it does not fail by chance; RC_PARAMS=seed=... tries others.
        "RC_PARAMS": os.environ.get("RC_PARAMS", "seed=1"),
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:check_initialization_order=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    }

    def one(program):
        path = TOP / "build" / preset / program
        name = f"{preset}/{program}"
        if not path.is_file():
            return Outcome(failed=1, faults=[f"{name} was not built"])
        code, text = run([*prefix, str(path), "--gtest_color=no"], f"{preset}-{program}", timeout_s, environment)
        return read_gtest(name, code, text, timeout_s)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for part in pool.map(one, programs):
            outcome.add(part)
    return outcome


def python_tests(names, timeout_s=900):
    """Runs test/NAME_test.py files one after the other, each in a process of its own."""
    outcome = Outcome()
    for name in names:
        counts = LOGS / f"{name}.json"
        counts.unlink(missing_ok=True)
        command = [sys.executable, str(TOP / "test" / "run.py"), "--python-test", f"test/{name}_test.py", str(counts)]
        code, text = run(command, name, timeout_s, {"TAMIS_BIN": str(TOP / "build" / "release" / "tamis")})
        if counts.is_file():
            read = json.loads(counts.read_text())
            outcome.add(Outcome(read["passed"], read["failed"], read["skipped"], [f"{name}: {f}" for f in read["faults"]]))
        if not counts.is_file() or code is None or code < 0:
            outcome.add(Outcome(failed=1, faults=[f"{name} {why(code, timeout_s)}\n{tail(text)}"]))
    return outcome


def run_python_test(path, counts_path):
    """The other end of python_tests: runs one file and writes its counts."""
    sys.path.insert(0, str(TOP / "test"))
    suite = unittest.defaultTestLoader.discover(str(TOP / "test"), pattern=Path(path).name)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = result.failures + result.errors
    faults = [f"{case.id()}\n{tail(text)}" for case, text in bad]
    faults += [f"{case.id()} was expected to fail" for case in result.unexpectedSuccesses]
    skipped = len(result.skipped)
    # An error in setUpClass stands for all cases of the class, so count passed cases, not the difference of two counts.
    passed = max(0, result.testsRun - skipped - len({case.id() for case, _ in bad}) - len(result.unexpectedSuccesses))
    Path(counts_path).write_text(json.dumps({"passed": passed, "failed": len(faults), "skipped": skipped, "faults": faults}))
    for case, reason in result.skipped:
        print(f"skipped: {case.id()}: {reason}")
    return 1 if faults else 0


def style():
    outcome = python_tests(["style"])
    sys.path.insert(0, str(TOP / "test"))
    import style_test
    for name, count in style_test.long_files():
        print(f"      warning: {name} has {count} lines, over {style_test.LINES_MAX}")
    return outcome


def end_to_end():
    names = sorted(path.name.removesuffix("_test.py") for path in (TOP / "test").glob("*_test.py"))
    outcome = build("release", ["programs"])
    return outcome.add(python_tests([name for name in names if name not in CHECK_TESTS]))


def sources(*suffixes):
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP,
                            capture_output=True, check=True).stdout.decode().split("\0")
    return sorted(name for name in listed if name.endswith(suffixes) and (TOP / name).is_file())


def format_check():
    """One case a file, so that the count says what was looked at."""
    names = sources(".h", ".cc")
    code, text = run(["clang-format", "--dry-run", "-Werror", "--ferror-limit=1", *names], "format", 300)
    bad = sorted({match.group(1) for match in re.finditer(r"^(\S+?):\d+:\d+: error:", text, re.M)})
    if code != 0 and not bad:
        return Outcome(failed=1, faults=[f"clang-format {why(code, 300)}\n{tail(text)}"])
    return Outcome(len(names) - len(bad), len(bad), 0, [f"{name} is not formatted: run ./dev fmt" for name in bad])


def shellcheck():
    scripts = ["dev", ".ci/run", *sources(".sh")]
    code, text = run(["shellcheck", *scripts], "shellcheck", 120)
    return Outcome.of(code == 0, f"shellcheck\n{text}")


def tidy():
    # The list of files to compile must be that of the tree as it is now.
    code, text = run([str(TOP / "dev"), "configure", "release"], "configure-release", 900)
    if code != 0:
        return Outcome(failed=1, faults=[f"configure release {why(code, 900)}\n{tail(text)}"])
    code, text = run([sys.executable, "test/tidy.py"], "tidy", 1800)
    last = re.search(r"^(\d+) passed, (\d+) failed.*\s*\Z", text, re.M)
    if not last:
        return Outcome(failed=1, faults=[f"clang-tidy {why(code, 1800)}\n{tail(text)}"])
    passed, failed = int(last.group(1)), int(last.group(2))
    return Outcome(passed, failed, 0, [text.strip()] if failed else [])


def fuzz_smoke():
    """Runs each fuzz target over its seeds and a few thousand inputs made of them: it must build, start and hold."""
    names = sorted(path.stem for path in (TOP / "src").glob("*/*_fuzz.cc"))
    if not names:
        return Outcome()
    outcome = build("asan", names)
    code, text = run([sys.executable, "test/fuzz.py", "--preset", "asan", "--runs", "2000", "--seconds", "20"], "fuzz-smoke", 900)
    passed, failed = len(re.findall(r" clean$", text, re.M)), len(re.findall(r" (FINDING|missing)$", text, re.M))
    outcome.add(Outcome(passed, failed, 0, [f"fuzz smoke\n{text}"] if failed else []))
    return outcome if passed + failed == len(names) else outcome.add(Outcome(failed=1, faults=[f"fuzz {why(code, 900)}\n{tail(text)}"]))


STEPS = {
    "layers": lambda: python_tests(["layers"]),
    "style": style,
    "format": format_check,
    "shellcheck": shellcheck,
    "unit": lambda: unit_tests("release"),
    "e2e": end_to_end,
    "asan": lambda: unit_tests("asan"),
    "fuzz-smoke": fuzz_smoke,
    "tsan": lambda: unit_tests("tsan", THREADED_ROOMS),
    "tidy": tidy,
}
QUICK = ["layers", "unit"]
NEEDS_TOOLS = {"format", "shellcheck", "tidy", "e2e"}
NEEDS_CLIENTS = {"e2e", "mail_doors"}


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="NAME", help=f"only these: {', '.join(STEPS)}; or the name of a test/NAME_test.py")
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}")
    parser.add_argument("--list", action="store_true", help="print the steps")
    parser.add_argument("--python-test", nargs=2, metavar=("FILE", "COUNTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.python_test:
        return run_python_test(*arguments.python_test)
    if arguments.list:
        print("\n".join(STEPS))
        return 0
    names = arguments.steps or (QUICK if arguments.quick else list(STEPS))
    for name in names:
        if name not in STEPS and not (TOP / "test" / f"{name}_test.py").is_file():
            parser.error(f"no step '{name}', expected one of {', '.join(STEPS)}, or NAME of a test/NAME_test.py")
    if NEEDS_TOOLS & set(names):
        subprocess.run([str(TOP / "dev"), "require-checks"], check=True)
    if NEEDS_CLIENTS & set(names):
        subprocess.run([str(TOP / "dev"), "clients", "quiet"], check=False)
    if any(name == "e2e" or name not in STEPS for name in names):
        subprocess.run([str(TOP / "dev"), "require-tests"], check=True)

    total, start = Outcome(), time.monotonic()
    for name in names:
        print(f"----- {name}", flush=True)
        began = time.monotonic()
        try:
            outcome = STEPS[name]() if name in STEPS else python_tests([name])
        except Exception as error:  # a broken step must not hide what the others say
            outcome = Outcome(failed=1, faults=[f"step {name}: {type(error).__name__}: {error}"])
        for fault in outcome.faults:
            print(fault, flush=True)
        skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
        print(f"      {name}: {outcome.passed} passed, {outcome.failed} failed{skipped} in {time.monotonic() - began:.0f} s", flush=True)
        total.add(outcome)
    if total.failed:
        print("----- failed\n" + "\n".join(f"  {fault.splitlines()[0]}" for fault in total.faults))
    skipped = f" ({total.skipped} skipped)" if total.skipped else ""
    print(f"----- {time.monotonic() - start:.0f} s{skipped}, logs in build/test/")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
