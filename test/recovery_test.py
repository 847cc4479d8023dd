"""Pulling the plug: a server that is killed at any moment comes back to where it was. Nothing that was acknowledged to a
person is lost, no event is lost or doubled, and the state equals that of a fold of the whole journal."""

import json
import os
import random
import subprocess
import threading
import time
import unittest

import harness
from replay_equals_live_test import ReplayCase

CRASHES = int(os.environ.get("TAMIS_CRASHES", "6"))
SEED = int(os.environ.get("TAMIS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


class Load(threading.Thread):
    """Streams events and sets labels until the server is gone; keeps what was acknowledged."""

    def __init__(self, server, events, seed):
        super().__init__()
        self.server, self.events = server, events
        self.random = random.Random(seed)
        self.decisions, self.labels = [], []

    def run(self):
        acts = threading.Thread(target=self.act)
        acts.start()
        try:
            with self.server.stream("/v1/decide", seconds=5) as stream:
                while self.events:
                    batch = [self.events.pop() for _ in range(min(100, len(self.events)))]
                    stream.send(b"".join(batch))
                    for _ in batch:
                        line = stream.read()
                        if not line.endswith(b"\n"):
                            return
                        self.decisions.append(line)
        except (OSError, ValueError, AttributeError):
            pass  # the plug was pulled
        finally:
            acts.join()

    def act(self):
        try:
            while True:
                name = f"seen{self.random.randrange(1 << 40)}"
                body = {"on": "account", "value": f"a{self.random.randrange(50)}", "name": name, "reason": "test"}
                if self.server.post("/v1/labels", body, seconds=5).status == 200:
                    self.labels.append((body["value"], name))
                time.sleep(self.random.random() / 50)
        except (OSError, ValueError, harness.http.client.HTTPException):
            pass


class Recovery(ReplayCase):
    def digest(self, *arguments):
        return self.run_tamis("digest", "--data", self.data, *arguments).stdout.strip()

    def query(self, sql):
        return json.loads(self.run_tamis("query", "--data", self.data, "--json", sql).stdout)["rows"]

    def check_archive(self, decisions):
        """What the archive has is what the journal gives, each once."""
        rows = self.query("SELECT count(*), count(DISTINCT n) FROM events")[0]
        self.assertEqual([len(decisions)] * 2, rows)
        verdicts = {}
        for line in decisions:
            decision = json.loads(line)
            key = (decision["type"], decision["verdict"])
            verdicts[key] = verdicts.get(key, 0) + 1
        stored = {(t, v): n for t, v, n in self.query("SELECT type, verdict, count(*) FROM events GROUP BY ALL")}
        self.assertEqual(verdicts, stored)

    def test_kill_at_any_moment(self):
        print(f"seed {SEED} (TAMIS_SEED), {CRASHES} crashes (TAMIS_CRASHES)")
        rng = random.Random(SEED)
        events = self.demo_events(2000 + 20_000 * CRASHES, seed=SEED % 1000)[::-1]
        acknowledged, labels = [], []
        for crash in range(CRASHES):
            server = self.serve("--checkpoint-records", str(rng.choice([500, 5_000, 1_000_000])))
            with server:
                load = Load(server, events, rng.random())
                load.start()
                time.sleep(rng.random() * 0.8)
                server.kill()
                load.join()
            acknowledged += load.decisions
            labels += load.labels
        self.assertEqual(self.digest("--from-start"), self.digest(), f"seed {SEED}")
        replayed, _ = self.replay_journal()
        # Every decision that was answered and whose record is on disk is the same again; those of the last moments
        # before a kill may be lost, which the sync interval bounds.
        by_id = {json.loads(line)["id"]: line for line in replayed}
        lost = [line for line in acknowledged if by_id.get(json.loads(line)["id"]) is None]
        self.assertLess(len(lost), 3_000 * CRASHES)
        for line in acknowledged:
            again = by_id.get(json.loads(line)["id"])
            if again is not None:
                self.assertEqual(line, again)
        self.check_archive(replayed)
        with self.serve() as server:
            for value, name in labels:
                found = server.get(f"/v1/labels/account/{value}").json()["labels"]
                self.assertIn(name, [label["name"] for label in found], f"seed {SEED}: an acknowledged label is lost")

    def test_a_clean_stop_needs_no_fold(self):
        events = self.demo_events(3_000)
        with self.serve() as server:
            live = self.live(server, events)
        with self.serve() as server:
            self.assertIn("and 0 records behind it", server.output())
            self.check_archive(live)
        self.assertEqual(self.digest("--from-start"), self.digest())

    def test_damaged_snapshot_is_told_and_passed_over(self):
        events = self.demo_events(3_000)
        with self.serve() as server:
            live = self.live(server, events[:1_500])
        with self.serve() as server:  # each clean stop leaves one
            live += self.live(server, events[1_500:])
        self.assertEqual(2, len(list((self.data / "snapshots").glob("*.snapshot"))))
        newest = sorted((self.data / "snapshots").glob("*.snapshot"))[-1]
        damaged = bytearray(newest.read_bytes())
        damaged[len(damaged) // 2] ^= 0x40
        newest.write_bytes(damaged)
        with self.serve() as server:
            self.assertIn(f"{newest.name}", server.output())
            self.assertIn("damaged", server.output())
        self.assertEqual(self.digest("--from-start"), self.digest())
        self.assert_same(live, self.replay_journal()[0])

    def test_a_repeated_delivery_gets_the_same_decision(self):
        events = self.demo_events(2_000)
        with self.serve() as server:
            live = self.live(server, events)
            digest = server.get("/v1/digest").json()
            self.assert_same(live, self.live(server, events))
            self.assertEqual(digest, server.get("/v1/digest").json())
        with self.serve() as server:  # from the archive: nothing is in memory any more
            again = [json.loads(line) for line in self.live(server, events[:50])]
        for a, b in zip(map(json.loads, live), again):
            self.assertEqual(a, b)

    def test_a_command_asks_the_server_that_holds_the_folder(self):
        with self.serve() as server:
            self.live(server, self.demo_events(500))
            self.assertEqual([[500]], self.query("SELECT count(*) FROM events"))
            self.assertEqual(server.get("/v1/digest").json()["digest"], self.digest())

    def test_import_then_serve_equals_live(self):
        events = self.demo_events(3_000)
        source = self.folder / "events.jsonl"
        source.write_bytes(b"".join(events))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", source)
        imported = self.replay_journal()[0]
        self.assert_same(self.replay_file(events), imported)
        self.check_archive(imported)
        # What is older than the newest is left out, and kept only if that is asked for.
        older = self.demo_events(100, seed=2, start_ms=1_600_000_000_000)
        source.write_bytes(b"".join(older).replace(b'{"id":', b'{"id":9000'))
        done = self.run_tamis("import", "--data", self.data, "--policy", self.policy, source, code=1)
        self.assertIn("--archive-only", done.stderr)
        digest = self.digest()
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--archive-only", source)
        self.assertEqual([[3100, 100]], self.query("SELECT count(*), count(*) FILTER (verdict IS NULL) FROM events"))
        self.assertEqual(digest, self.digest())

    def test_a_new_feature_knows_the_past(self):
        events = self.demo_events(3_000)
        with self.serve() as server:
            self.live(server, events[:2_000])
            new = "features:\n  logins_ever: {count: login, by: ip, over: 90d}\n"
            (self.policy / "more.yaml").write_text(
                new + "rules:\n  - id: reads-it\n    on: login\n    when: logins_ever >= 0\n")
            self.assertEqual(200, server.post("/v1/policy/reload", {}).status)
            live = [json.loads(line) for line in self.live(server, events[2_000:])]
        before = {}
        for event in map(json.loads, events[:2_000]):
            if event["type"] == "login":
                before[event["ip"]] = before.get(event["ip"], 0) + 1
        for event, decision in zip(map(json.loads, events[2_000:]), live):
            if event["type"] == "login":
                self.assertEqual(before.get(event["ip"], 0), decision["features"]["logins_ever"])
                before[event["ip"]] = before.get(event["ip"], 0) + 1
        self.assertEqual(self.digest("--from-start"), self.digest())

    def test_what_is_too_old_is_forgotten(self):
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 30d")
        now = int(time.time() * 1000)
        source = self.folder / "events.jsonl"
        source.write_bytes(b"".join(self.demo_events(2_000, start_ms=now - 3_600_000)))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", source)
        planted = json.loads(source.read_bytes().splitlines()[0])["ip"]
        count = f"SELECT count(*), count(*) FILTER (ip = '{planted}'), count(*) FILTER (ip LIKE 'tok:%') FROM session"
        before = self.query(count)[0]
        self.assertGreater(before[1], 0)
        digest = self.digest()
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 + 3 * 86_400))
        report = json.loads(self.run_tamis("retain", "--data", self.data, "--now", when, "--json").stdout)
        self.assertGreater(report["values_tokened"], 0)
        self.assertGreater(report["segments_removed"], 0)
        self.assertEqual([before[0], 0, before[0]], self.query(count)[0])
        self.assertNotIn(planted.encode(), b"".join(subprocess.run(["zstd", "-dc", path], capture_output=True).stdout
                                                    for path in self.segments()))
        self.assertEqual(digest, self.digest(), "the state is another thing")
        self.assertEqual(digest, self.digest("--from-start"), "a replay begins with the snapshot")
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 + 40 * 86_400))
        report = json.loads(self.run_tamis("retain", "--data", self.data, "--now", later, "--json").stdout)
        self.assertEqual(0, self.query("SELECT count(*) FROM events")[0][0])
        self.assertGreater(report["keys_destroyed"], 0)


if __name__ == "__main__":
    unittest.main()
