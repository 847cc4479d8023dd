"""Style that neither the compiler nor clang-format sees. test_this_tree checks the tree; the rest checks the check."""

import os
import re
import subprocess
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LINES_MAX = 600

TEXT = {".h", ".cc", ".py", ".sh", ".md", ".yaml", ".yml", ".cmake", ".ts", ".tsx", ".js", ".mjs", ".css", ".html", ".txt",
        ".json", ".lua", ".go", ".tidy", ""}
CODE = {".h", ".cc", ".py", ".sh", ".ts", ".tsx", ".js", ".mjs", ".lua", ".go", ".cmake"}

# Written so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
# A place of somebody's machine: an absolute path in a home, or the usual mount points of a build machine.
HOME = re.compile(r"(?<![\w.\-/:%}])/(home|Users|root|work|mnt)/[\w.\-]+")
REGISTRY = re.compile(r"https?://[\w.\-]*(registry\.np[m]js|registry\.yarn[p]kg|files\.pythonh[o]sted|proxy\.gol[a]ng)")
SKIPPED_TEST = re.compile(r"\b(DISA[B]LED_\w+|EXPECT_TRUE\(tr[u]e\)|test\.on[l]y)")
FORBIDDEN_CPP = [
    (re.compile(r"^using namespace\b(?!\s+std::(string_view_|string_|chrono_)?literals)"), "no `using namespace` outside a function"),
    (re.compile(r"\bstd::(thread|jthread|async)\b"), "threads only in door, net, journal, action, archive, replay and app"),
    (re.compile(r"\b(std::rand|srand|std::random_device)\b"), "no randomness: chance is a hash of an id"),
]
THREAD_ROOMS = {"door", "net", "journal", "action", "archive", "replay", "app"}


def faults_of_file(name, text):
    """(line, sentence) for each fault; `name` is the path from the top of the tree."""
    path = Path(name)
    suffix = path.suffix
    lines = text.splitlines()
    cpp = suffix in (".h", ".cc")
    if cpp or suffix == ".py":
        for number, line in enumerate(lines, 1):
            if "\t" in line:
                yield number, "a tab"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield number, "a mark of unfinished work: finish it, or say it in an issue"
        if match := HOME.search(line):
            yield number, f"a path of somebody's machine: {match.group()}"
        if REGISTRY.search(line):
            yield number, "the address of a package registry"
        if suffix in CODE and SKIPPED_TEST.search(line):
            yield number, "a test that is skipped or cannot fail"
        if suffix in CODE and line != line.rstrip():
            yield number, "white space at the end of the line"
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end of the file"
    if cpp:
        yield from faults_of_cpp(path, lines)


def faults_of_cpp(path, lines):
    if path.suffix == ".h" and "#pragma once" not in lines:
        yield 1, "a header without #pragma once"
    if not re.fullmatch(r"[a-z0-9_]+\.(h|cc)", path.name):
        yield 1, "a file name that is not snake_case"
    room = path.parts[1] if len(path.parts) > 2 and path.parts[0] == "src" else ""
    is_test = path.name.endswith(("_test.cc", "_bench.cc", "_fuzz.cc"))
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        for pattern, sentence in FORBIDDEN_CPP:
            if not pattern.search(code):
                continue
            if sentence.startswith("threads") and (room in THREAD_ROOMS or is_test or str(path).endswith("src/base/thread.h")):
                continue
            if sentence.startswith("no ") and is_test:
                continue
            yield number, sentence
    if path.suffix == ".cc" and not is_test and room and not path.name.endswith("main.cc"):
        header = f'#include "{room}/{path.stem}.h"'
        includes = [line for line in lines if line.startswith("#include")]
        if header in includes and includes[0] != header:
            yield lines.index(header) + 1, "a file includes its own header first, so that the header stands on its own"


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP, check=True,
                            capture_output=True).stdout.decode()
    for name in sorted(filter(None, listed.split("\0"))):
        path = TOP / name
        if path.is_file() and not path.is_symlink() and path.suffix in TEXT:
            yield name, path


def read_text(path):
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8", "replace")


def long_files():
    for name, path in tracked_files():
        if path.suffix in CODE or name == "dev":
            count = path.read_bytes().count(b"\n")
            if count > LINES_MAX:
                yield name, count


class Style(unittest.TestCase):
    def faults(self, name, text):
        return [sentence for _, sentence in faults_of_file(name, text)]

    def test_this_tree(self):
        found = []
        checkout = str(TOP)
        for name, path in tracked_files():
            text = read_text(path)
            if text is None:
                continue
            found += [f"{name}:{line}: {sentence}" for line, sentence in faults_of_file(name, text)]
            if len(checkout) > 6 and checkout + "/" in text:
                found.append(f"{name}: the path of this checkout")
        if found:
            self.fail("\n".join(found))

    def test_programs_can_be_run(self):
        for name in ("dev", ".ci/run"):
            self.assertTrue(os.access(TOP / name, os.X_OK), f"{name} has no run bit")

    def test_finds_unfinished_work(self):
        self.assertEqual(1, len(self.faults("src/base/a.cc", "// TO" + "DO: later\n")))
        self.assertEqual([], self.faults("src/base/a.cc", "int todo_count = 0;\n"))

    def test_finds_machine_paths(self):
        self.assertEqual(1, len(self.faults("docs/a.md", "see /ho" + "me/anna/tamis\n")))
        self.assertEqual([], self.faults("docs/a.md", "GET https://example.org/ho" + "me/anna\n"))

    def test_finds_registries(self):
        self.assertEqual(1, len(self.faults("a.json", '"https://registry.np' + 'mjs.org/x"\n')))

    def test_finds_tests_that_cannot_fail(self):
        self.assertEqual(1, len(self.faults("src/base/a_test.cc", "EXPECT_TRUE(tr" + "ue);\n")))

    def test_header_needs_pragma_once(self):
        self.assertEqual(1, len(self.faults("src/base/a.h", "int f();\n")))
        self.assertEqual([], self.faults("src/base/a.h", "#pragma once\nint f();\n"))

    def test_threads_in_their_rooms_only(self):
        self.assertEqual(1, len(self.faults("src/engine/a.cc", "std::thread t;\n")))
        self.assertEqual([], self.faults("src/net/a.cc", "std::thread t;\n"))
        self.assertEqual([], self.faults("src/engine/a_test.cc", "std::thread t;\n"))

    def test_own_header_first(self):
        text = '#include <vector>\n#include "base/a.h"\n'
        self.assertEqual(1, len(self.faults("src/base/a.cc", text)))
        self.assertEqual([], self.faults("src/base/a.cc", '#include "base/a.h"\n#include <vector>\n'))

    def test_newline_at_the_end(self):
        self.assertEqual(1, len(self.faults("docs/a.md", "text")))


if __name__ == "__main__":
    for long_name, long_count in long_files():
        print(f"warning: {long_name} has {long_count} lines, over {LINES_MAX}: does it still have one subject?")
    unittest.main()
