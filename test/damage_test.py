"""Damage and disks that may only be read: a flipped bit anywhere in a data folder is told, and never an answer."""

import json
import os
import random
import shutil
import stat
import subprocess
import unittest

import harness

SEED = int(os.environ.get("TAMIS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
FLIPS = int(os.environ.get("TAMIS_FLIPS", "12"))
NOBODY = 65534


def flip(path, byte, bit):
    with open(path, "r+b") as file:
        file.seek(byte)
        before = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([before ^ (1 << bit)]))


class Case(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.data, self.policy = self.folder / "data", self.folder / "policy"
        shutil.copytree(harness.POLICY, self.policy)  # since the checkout may lie where nobody else may look
        self.demo_events(3_000)
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", self.folder / "events-1.jsonl")
        self.run_tamis("label", "--data", self.data, "set", "account", "anna", "vip", "--reason", "test")

    def questions(self):
        """Commands that ask the past, each in another way; none changes anything."""
        return [("query", "--data", self.data, "--json", "--rows", "100000", "SELECT * FROM events ORDER BY n"),
                ("query", "--data", self.data, "--json", "SELECT type, count(*), count(DISTINCT id) FROM events GROUP BY ALL ORDER BY ALL"),
                ("find", "--data", self.data, "account != ''", "--rows", "50", "--json"),
                ("backtest", "--data", self.data, "--policy", self.policy, "--json", "--quiet")]

    def ask(self, question):
        done = harness.tamis(*question)
        if question[0] == "query" or done.returncode != 0:
            return done.returncode, done.stdout, done.stderr
        answer = json.loads(done.stdout)
        measured = ("second", "cost", "_us", "_ms")
        answer = {key: value for key, value in answer.items() if not any(word in key for word in measured)}
        return done.returncode, json.dumps(answer, sort_keys=True), done.stderr


class Damage(Case):
    def test_a_flipped_bit_in_the_archive_is_never_an_answer(self):
        chance = random.Random(SEED)
        files = sorted((self.data / "archive").rglob("*.parquet"))
        expected = [self.ask(question) for question in self.questions()]
        self.assertEqual([0] * len(expected), [code for code, _, _ in expected], expected)
        told = 0
        for _ in range(FLIPS):
            file = chance.choice(files)
            byte, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
            with self.subTest(seed=SEED, file=str(file), byte=byte, bit=bit):
                flip(file, byte, bit)
                name = str(file.relative_to(self.data / "archive"))
                found = json.loads(self.run_tamis("verify", "--data", self.data, "--json", code=1).stdout)
                self.assertEqual((False, 1), (found["whole"], found["damaged"]))
                self.assertIn(name, found["damage"][0])
                for question, (_, right, _) in zip(self.questions(), expected):
                    code, answer, error = self.ask(question)
                    if code == 0:
                        self.assertEqual(right, answer, question)
                        continue
                    self.assertEqual(2, code, question)
                    self.assertIn(name, error)
                    told += 1
                flip(file, byte, bit)
        self.assertGreater(told, 0)
        self.assertEqual([right for _, right, _ in expected], [self.ask(question)[1] for question in self.questions()])

    def test_verify_tells_of_each_part(self):
        whole = json.loads(self.run_tamis("verify", "--data", self.data, "--json").stdout)
        self.assertEqual((True, 0, [], 0), (whole["whole"], whole["damaged"], whole["damage"], whole["archive"]["unverified"]))
        self.assertGreater(whole["journal"]["records"], 3_000)
        for part in ("journal", "snapshots", "archive", "policies"):
            self.assertGreater(whole[part]["files"], 0, part)
            self.assertGreater(whole[part]["bytes"], 0, part)
        self.assertGreater(whole["audit"]["lines"], 0)
        parts = ("journal/*.zst", "snapshots/*.snapshot", "policies/*.json", "audit/*.jsonl", "archive/*/*/*.parquet")
        damaged = [min(self.data.glob(part)) for part in parts]
        damaged.append(self.data / "archive" / "manifest.json")
        for count, file in enumerate(damaged, 1):
            flip(file, file.stat().st_size // 2, 3)
            done = self.run_tamis("verify", "--data", self.data, code=1).stdout
            # Without a manifest nobody knows what a file should be.
            self.assertEqual(min(count, len(damaged) - 1), done.count("damaged    "), done)
            for other in damaged[:count]:
                if count < len(damaged) or other.suffix != ".parquet":
                    self.assertIn(other.stem if "audit" not in str(other) else "audit trail", done)
        self.run_tamis("verify", "--data", self.folder / "nowhere", code=2)

    def test_verify_runs_beside_a_server(self):
        with harness.Server(harness.POLICY, self.data) as server:
            events = self.demo_events(500, seed=2, start_ms=1_800_000_000_000)
            for line in events[:100]:
                self.assertEqual(200, server.post("/v1/decide", line).status)
            self.run_tamis("verify", "--data", self.data, "--quiet")
            file = max((self.data / "archive").rglob("*.parquet"), key=lambda path: path.stat().st_size)
            flip(file, 200, 1)
            self.assertIn(file.name, self.run_tamis("verify", "--data", self.data, code=1).stdout)
            answer = server.post("/v1/query", {"sql": "SELECT * FROM events"})
            self.assertEqual(503, answer.status)
            self.assertIn(file.name, answer.text())
            # It is no reason to take no events.
            self.assertEqual(200, server.get("/readyz").status)
            flip(file, 200, 1)
            self.assertEqual(200, server.post("/v1/query", {"sql": "SELECT * FROM events"}).status)


class ReadOnly(Case):
    def questions(self):
        return [*super().questions(), ("why", "--data", self.data, "account", "anna", "--json"), ("digest", "--data", self.data),
                ("batches", "--data", self.data, "--json"), ("verify", "--data", self.data, "--json")]

    def files(self):
        return {str(path.relative_to(self.data)): (path.stat().st_size, path.stat().st_mtime_ns) for path in self.data.rglob("*")}

    def check(self, run):
        before = self.files()
        for question in self.questions():
            right = harness.tamis(*question)
            self.assertEqual(0, right.returncode, (question, right.stderr))
        before = self.files()
        temporary = self.folder / "temporary"
        temporary.mkdir()
        temporary.chmod(0o777)
        for question in self.questions():
            done = run(question, temporary)
            self.assertEqual(0, done.returncode, (question, done.stderr))
            if question[0] == "query":
                self.assertEqual(self.ask(question)[1] if os.access(self.data, os.W_OK) else done.stdout, done.stdout)
                self.assertIn("may only be read", done.stderr)
            self.assertTrue(done.stdout.strip(), question)
        self.assertEqual([], list(temporary.iterdir()), "what was put aside is gone again")
        changed = run(("label", "--data", self.data, "set", "account", "bert", "vip", "--reason", "test"), temporary)
        self.assertEqual(2, changed.returncode, changed.stdout)
        return before

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
    def test_a_folder_that_one_may_only_read(self):
        for path in [self.folder, *self.folder.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH | (0o111 if path.is_dir() else 0))

        # A copy of it, too.
        program = self.folder / "tamis"
        shutil.copy(harness.binary(), program)
        for library in (harness.TOP / "build/third_party").rglob("libduckdb.so"):
            shutil.copy(library, self.folder)
        program.chmod(0o755)

        def run(question, temporary):
            return subprocess.run([str(program), *map(str, question)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                                  user=NOBODY, group=NOBODY, extra_groups=[], env={**os.environ, "TMPDIR": str(temporary)})
        self.check(run)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "needs root, to mount")
    def test_a_read_only_mount(self):
        def run(question, temporary):
            script = 'mount -o bind "$0" "$0" && mount -o remount,bind,ro "$0" && shift 0 && exec "$@"'
            return subprocess.run(["unshare", "--mount", "sh", "-c", script, str(self.data), str(harness.binary()), *map(str, question)],
                                  capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                                  env={**os.environ, "TMPDIR": str(temporary)})
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            self.skipTest("no mount of one's own here")
        before = self.check(run)
        # A folder that was never locked, and one that somebody holds.
        for name in ("data/lock", "data/journal/lock", "data/audit/lock"):
            (self.folder / name).unlink(missing_ok=True)
        done = run(("query", "--data", self.data, "SELECT count(*) FROM events"), self.folder / "temporary")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("without a lock", done.stderr)
        self.assertEqual({name for name in before if "lock" not in name}, {name for name in self.files() if "lock" not in name})
        with harness.Server(harness.POLICY, self.data):
            done = run(("query", "--data", self.data, "SELECT count(*) FROM events"), self.folder / "temporary")
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertNotIn("may only be read", done.stderr, "the server is asked")


class ImportedTypes(harness.TestCase):
    POLICY = ("event: login\nfields:\n  account: {type: string, entity: account, private: no}\n", "event: signup\nfields:\n  account: {type: string, entity: account, private: no}\n")

    def test_of_tables_that_do_not_say(self):
        policy = self.write_policy({"head.yaml": "policy: test\ntype: {at: type}\nid: {at: id}\ntime: {at: t, format: ms}\nverdicts: [accept, reject]\n",
                                    "login.yaml": self.POLICY[0], "signup.yaml": self.POLICY[1]})
        table = self.folder / "events.csv"
        table.write_text("id,t,account\n1,1700000000000,anna\n2,1700000001000,bert\n")
        command = ("import", "--data", self.folder / "data", "--policy", policy, "--json")
        done = self.run_tamis(*command, table, code=1)
        self.assertIn("does not name its type", done.stderr)
        done = self.run_tamis(*command, "--type", "logn", table, code=2)
        self.assertIn("login, signup", done.stderr)
        self.assertEqual(2, json.loads(self.run_tamis(*command, "--type", "login", table).stdout)["imported"])
        lines = self.folder / "events.jsonl"
        lines.write_text('{"id":"3","t":1700000002000,"account":"cleo","type":"login"}\n')
        self.run_tamis(*command, "--type", "signup", lines)
        table.write_text("id,t,account\n4,1600000000000,dora\n")
        self.run_tamis(*command, "--type", "signup", "--archive-only", table)
        query = ("query", "--data", self.folder / "data", "--csv", "SELECT type, id FROM events ORDER BY id")
        self.assertEqual("type,id\nlogin,1\nlogin,2\nsignup,3\nsignup,4\n", self.run_tamis(*query).stdout)
        # The journal knows it, too.
        digest = self.run_tamis("digest", "--data", self.folder / "data").stdout
        self.assertEqual(digest, self.run_tamis("digest", "--data", self.folder / "data", "--from-start").stdout)


if __name__ == "__main__":
    unittest.main()
