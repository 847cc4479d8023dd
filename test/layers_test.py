"""The layers of the house: a room of src/ includes only rooms that src/LAYERS places on earlier lines, and a third-party
header stays in the rooms that may know it, in .cc files only. test_this_tree checks the tree; the rest checks the check."""

import re
import unittest
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"

# Who may include a third-party library: a pattern for what stands between < and >, the rooms (or room/name for the files
# of a room whose name begins so; "*" for all), and whether headers may include it too.
THIRD_PARTY = {
    r"simdjson\.h": ({"event", "cel/conformance", "cel/tagged_value", "detect/account_json"}, False),
    r"re2/.*": ({"cel", "state"}, False),
    r"yaml-cpp/.*": ({"policy"}, False),
    # TLS and tokens; signatures and chains of hashes; digests of files; the random keys of days.
    r"openssl/.*": ({"net", "action", "archive", "replay/keys", "mail", "learn/day_keys"}, False),
    r"duckdb\.h": ({"archive"}, True),  # plain C, in the room's private headers only
    r"zstd(_errors)?\.h": ({"journal", "replay", "model", "archive/pages", "door/rspamd_wire"}, False),
    r"zlib\.h": ({"door/spamd_request"}, False),
    r"sqlite3\.h": ({"action"}, False),
    r"xxhash\.h": ({"base"}, False),
    r"iconv\.h": ({"mail"}, False),
    r"libpsl\.h": ({"event"}, False),
    r"ares\.h": ({"net/resolver"}, False),
    r"absl/.*": ({"cel"}, False),
    r"CLI/.*": ({"app"}, False),
    r"fmt/core\.h": ({"*"}, True),  # small, and checks format strings where they stand
    r"fmt/.*": ({"*"}, False),
    r"tl/expected\.hpp": ({"*"}, True),
}
TEST_ONLY = r"gtest/.*|gmock/.*|rapidcheck.*|benchmark/.*"
# Of the C library and the system: a lower-case path ending in .h under these folders, or a plain name.
SYSTEM = (
    r"(sys|netinet|arpa|net|linux)/[a-z_0-9]+\.h"
    r"|(fcntl|unistd|dlfcn|signal|poll|pthread|sched|dirent|termios|errno|time|pwd|netdb|stdlib|string|stdio|ctype|"
    r"[a-z]mmintrin|x86intrin|cpuid|arm_neon|malloc|getopt|execinfo|ifaddrs|fnmatch|glob|syslog|spawn|cxxabi)\.h"
)
STANDARD = r"[a-z_0-9]+"  # <vector>: C++ standard headers have neither dot nor slash

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def read_ranks(layers_text):
    """The rank of each room, from the text of src/LAYERS."""
    lines = [line for line in layers_text.splitlines() if line.strip() and not line.startswith("#")]
    return {room: rank for rank, line in enumerate(lines) for room in line.split()}


def is_test_file(name):
    """Whether a file is no part of the product: thing_test.cc, thing_bench_data.h, thing_fuzz.cc."""
    return re.search(r"_(test|bench|fuzz)[._]", name) is not None


def third_party_fault(room, name, header):
    if re.fullmatch(STANDARD, header) or re.fullmatch(SYSTEM, header):
        return None
    if re.fullmatch(TEST_ONLY, header):
        return None if is_test_file(name) else f"<{header}> belongs in tests and benchmarks only"
    for pattern, (rooms, in_headers) in THIRD_PARTY.items():
        if not re.fullmatch(pattern, header):
            continue
        if is_test_file(name):
            return None
        if not any(place in ("*", room) or f"{room}/{name}".startswith(place + "_") or f"{room}/{name}" == place + ".cc"
                   for place in rooms):
            return f"<{header}> may be included only in {', '.join(sorted(rooms))}"
        if not in_headers and not name.endswith(".cc"):
            return f"<{header}> may be included only in .cc files"
        return None
    return f'<{header}> is no library that we chose: list it in test/layers_test.py and docs/DEPENDENCIES.md'


def faults_of_file(room, name, text, ranks):
    """Faults of one file as (line, sentence)."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        own, other = match.groups()
        if other is not None:
            fault = third_party_fault(room, name, other)
        else:
            target = own.split("/")[0]
            if "/" not in own or target not in ranks:
                fault = f'"{own}" is not of the form "room/thing.h" with a room of src/LAYERS'
            elif target != room and ranks[target] >= ranks[room]:
                fault = f'{room} must not know {target}: it includes "{own}", which src/LAYERS does not place below'
            else:
                fault = None
        if fault:
            yield number, fault


def faults_of_tree(src):
    ranks = read_ranks((src / "LAYERS").read_text())
    for folder in sorted(path for path in src.iterdir() if path.is_dir()):
        if folder.name not in ranks:
            yield f"src/{folder.name}: no room of src/LAYERS"
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".h", ".cc"):
                for line, fault in faults_of_file(folder.name, path.name, path.read_text(), ranks):
                    yield f"src/{path.relative_to(src)}:{line}: {fault}"


class Layers(unittest.TestCase):
    RANKS = {"base": 0, "event": 1, "cel": 2, "state": 2, "app": 3}

    def faults(self, room, name, text):
        return [fault for _, fault in faults_of_file(room, name, text, self.RANKS)]

    def test_this_tree(self):
        if faults := list(faults_of_tree(SRC)):
            self.fail("\n".join(faults))

    def test_reads_ranks(self):
        self.assertEqual({"base": 0, "cel": 1, "state": 1}, read_ranks("# words\nbase\n\ncel state\n"))

    def test_lower_rooms_and_own_room_are_fine(self):
        text = '#include "cel/ast.h"\n#include "event/value.h"\n#include "base/arena.h"\n#include <vector>\n'
        self.assertEqual([], self.faults("cel", "plan.cc", text))

    def test_higher_room_is_refused(self):
        self.assertEqual(1, len(self.faults("event", "value.cc", '#include "cel/ast.h"\n')))

    def test_room_of_the_same_rank_is_refused(self):
        self.assertEqual(1, len(self.faults("cel", "plan.cc", '  #  include "state/list.h"\n')))

    def test_tests_follow_the_layers_too(self):
        self.assertEqual(1, len(self.faults("base", "arena_test.cc", '#include "app/main.h"\n')))

    def test_include_without_room_is_refused(self):
        self.assertEqual(1, len(self.faults("cel", "plan.cc", '#include "ast.h"\n')))

    def test_library_in_its_room_only(self):
        self.assertEqual([], self.faults("cel", "regex.cc", "#include <re2/re2.h>\n"))
        self.assertEqual(1, len(self.faults("event", "type.cc", "#include <re2/re2.h>\n")))

    def test_library_in_some_files_of_a_room(self):
        self.assertEqual([], self.faults("cel", "conformance.cc", "#include <simdjson.h>\n"))
        self.assertEqual([], self.faults("cel", "conformance_test.cc", "#include <simdjson.h>\n"))
        self.assertEqual(1, len(self.faults("cel", "plan.cc", "#include <simdjson.h>\n")))

    def test_library_in_source_files_only(self):
        self.assertEqual(1, len(self.faults("cel", "regex.h", "#include <re2/re2.h>\n")))
        self.assertEqual([], self.faults("base", "result.h", "#include <tl/expected.hpp>\n"))

    def test_test_libraries_in_tests_only(self):
        self.assertEqual([], self.faults("cel", "ast_test.cc", "#include <gtest/gtest.h>\n#include <rapidcheck.h>\n"))
        self.assertEqual(1, len(self.faults("cel", "ast.cc", "#include <gtest/gtest.h>\n")))

    def test_tests_may_use_what_the_project_has(self):
        self.assertEqual([], self.faults("base", "arena_test.cc", "#include <simdjson.h>\n"))
        self.assertEqual(1, len(self.faults("base", "arena_test.cc", "#include <boost/json.hpp>\n")))

    def test_unknown_library_is_refused(self):
        self.assertEqual(1, len(self.faults("cel", "ast.cc", "#include <boost/json.hpp>\n")))

    def test_system_headers_are_fine(self):
        self.assertEqual([], self.faults("base", "a.cc", "#include <sys/epoll.h>\n#include <unistd.h>\n#include <cmath>\n"))


if __name__ == "__main__":
    unittest.main()
