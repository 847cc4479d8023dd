"""The heart of the engine: what a running server decided is what a replay of its journal, or of the same file, decides,
byte for byte; over reloads, acts of people, crashes and damage."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
import unittest
from pathlib import Path

import harness

SHARED = Path(os.environ.get("TAMIS_SHARED", harness.TOP.parent / "shared"))
CORPUS = SHARED / "data" / "accounts" / "account-events-dev.tar.zst"


class ReplayCase(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.policy = self.folder / "policy"
        shutil.copytree(harness.POLICY, self.policy)
        self.data = self.folder / "data"

    def serve(self, *arguments, policy=None):
        # No decision is given up for want of time, however busy the machine: those are not in the journal.
        return harness.Server(policy or self.policy, self.data, "--deadline-ms", "10000", *arguments)

    def live(self, server, events, size=200):
        """Sends events as one stream; returns the decisions as lines."""
        with server.stream("/v1/decide") as stream:
            out = stream.exchange(b"".join(events[i:i + size]) for i in range(0, len(events), size))
        self.assertEqual(len(events), len(out))
        return out

    def replay_journal(self, *arguments, code=0):
        out = self.folder / "replayed.ndjson"
        done = self.run_tamis("replay", "--data", self.data, "--out", out, "--quiet", *arguments, code=code)
        return out.read_bytes().splitlines(keepends=True), done.stderr

    def replay_file(self, events, policy=None):
        source, out = self.folder / "source.jsonl", self.folder / "decided.ndjson"
        source.write_bytes(b"".join(events))
        self.run_tamis("replay", "--policy", policy or self.policy, "--out", out, "--quiet", source)
        return out.read_bytes().splitlines(keepends=True)

    def assert_same(self, live, replayed):
        """As assertEqual, but says where the first difference is instead of showing megabytes."""
        for number, (a, b) in enumerate(zip(live, replayed), 1):
            self.assertEqual(a, b, f"line {number}")
        self.assertEqual(len(live), len(replayed))

    def segments(self):
        return sorted((self.data / "journal").glob("*.zst"))

    def edit(self, name, old, new):
        text = (self.policy / name).read_text()
        self.assertIn(old, text)
        (self.policy / name).write_text(text.replace(old, new))


class Same(ReplayCase):
    def check_policy(self, policy, events):
        """Live, file and journal; by one stream, by pieces on several connections, and explained."""
        from_file = self.replay_file(events, policy)
        with self.serve(policy=policy) as server:
            live = self.live(server, events[:-300])
            for i in range(len(events) - 300, len(events) - 50, 50):
                live += server.post("/v1/decide", b"".join(events[i:i + 50])).body.splitlines(keepends=True)
            for event in events[-50:]:
                answer = server.post(f"/v1/decide/{json.loads(event)['type']}", event)
                live.append(answer.body.rstrip() + b"\n")
        self.assert_same(from_file, live)
        self.assert_same(live, self.replay_journal()[0])
        return [json.loads(line) for line in live]

    def test_the_policy_of_the_tests(self):
        decisions = self.check_policy(self.policy, self.demo_events(5000))
        # The events are such that something happens: rules, labels, lists, shadow, canary.
        acted = {rule for decision in decisions for rule in decision["rules"]}
        self.assertLessEqual({"signup-burst", "signup-marked-network", "signup-hurried", "login-stuffing", "send-many", "cards",
                              "blocked-device", "queue"}, acted)
        shadow = {rule for decision in decisions for rule in decision.get("shadow", [])}
        self.assertLessEqual({"signup-hurried", "login-failed", "send-longer-than-usual"}, shadow)
        self.assertEqual({"accept", "challenge", "reject"}, {decision["verdict"] for decision in decisions})

    def test_the_ready_policy(self):
        decisions = self.check_policy(harness.READY_POLICY, self.demo_events(5000, seed=2))
        acted = {rule for decision in decisions for rule in decision["rules"]}
        self.assertLessEqual({"send-over-quota", "login-stuffing-from-address", "payment-many-cards-of-account"}, acted)

    def test_events_without_id_or_time(self):
        """Then the server's clock and count stand in, and both are in the journal."""
        with self.serve() as server:
            body = "".join('{"type":"login","acct":"a","ip":"192.0.2.1","ok":false}\n' for _ in range(40))
            live = server.post("/v1/decide", body).body
            time.sleep(0.05)
            live += server.post("/v1/decide", body).body
        self.assert_same(live.splitlines(keepends=True), self.replay_journal()[0])

    def test_what_the_server_refuses_is_not_in_the_journal(self):
        events = self.demo_events(200)
        with self.serve() as server:
            live = [line for event in events
                    for line in server.post("/v1/decide", event + b'garbage\n{"type":"nope"}\n{"type":"login"}\n').body
                    .splitlines(keepends=True) if b'"error"' not in line]
        self.assertEqual(200, len(live))
        self.assert_same(live, self.replay_journal()[0])
        self.assert_same(live, self.replay_file(events))

    def test_events_taken_without_an_answer(self):
        events = self.demo_events(1000)
        with self.serve() as server:
            self.assertEqual(202, server.post("/v1/events", b"".join(events)).status)
            server.wait_for(lambda: server.get("/v1/stats").json()["decided"] == 1000, "all are decided")
        self.assert_same(self.replay_file(events), self.replay_journal()[0])

    def test_events_taken_and_then_stopped(self):
        """What was accepted is decided, also when the server is asked to end at once."""
        events = self.demo_events(10_000)
        with self.serve() as server:
            self.assertEqual(202, server.post("/v1/events", b"".join(events)).status)
        self.assert_same(self.replay_file(events), self.replay_journal()[0])

    def test_late_events_count_for_nothing(self):
        now = 1_700_000_000_000
        login = {"type": "login", "acct": "a", "ip": "192.0.2.1", "ok": False}
        times = [now, now + 1000, now - 2 * 3_600_000, now - 600_000 + 3000, now + 2000]
        events = [json.dumps({**login, "id": str(i), "t": t}).encode() + b"\n" for i, t in enumerate(times)]
        with self.serve() as server:
            live = self.live(server, events)
            self.assertEqual(1, server.get("/v1/stats").json()["late"])
        decisions = [json.loads(line) for line in live]
        self.assertEqual([False, False, True, False, False], [d.get("late", False) for d in decisions])
        # The third is two hours late, and not there for the fifth; the fourth is out of order, and there.
        self.assertEqual([0, 1, 0, 0, 3], [d["features"]["failures_per_ip_10m"] for d in decisions])
        self.assert_same(live, self.replay_journal()[0])
        self.assert_same(live, self.replay_file(events))

    def test_events_of_the_future_are_of_now(self):
        with self.serve() as server:
            ahead = int(time.time() * 1000) + 3_600_000
            live = server.post("/v1/decide", json.dumps({"type": "login", "ip": "192.0.2.1", "ok": False, "t": ahead}) + "\n"
                               + json.dumps({"type": "login", "ip": "192.0.2.1", "ok": False})).body.splitlines(keepends=True)
        self.assertEqual([0, 1], [json.loads(line)["features"]["failures_per_ip_10m"] for line in live])
        self.assertNotIn(b"late", b"".join(live))
        self.assert_same(live, self.replay_journal()[0])

    @unittest.skipUnless(CORPUS.is_file() and shutil.which("zstd"), "only where the event corpus is")
    def test_a_corpus(self):
        command = f"zstd -dc --long=27 '{CORPUS}' | tar xOf - account-events-dev/dev-signup/events.jsonl | head -n 30000"
        events = subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL).stdout.splitlines(keepends=True)
        known = re.compile(rb'"type":\s*"(signup|login|session|change|send|bounce|complaint|payment)"')
        decisions = self.check_policy(harness.READY_POLICY, [event for event in events if known.search(event)])
        self.assertGreater(len(decisions), 10_000)


class Reload(ReplayCase):
    def change(self):
        self.edit("rules.yaml", "when: form_ms < 1500", "when: form_ms < 730")
        self.edit("features.yaml", "failures_per_ip_10m: {count: login, by: ip, where: \"!success\", over: 10m}",
                  "failures_per_ip_10m: {count: login, by: ip.net24, where: \"!success\", over: 10m}")

    def test_between_two_streams(self):
        events = self.demo_events(4000)
        with self.serve() as server:
            live = self.live(server, events[:2000])
            self.change()
            self.assertEqual(200, server.post("/v1/policy/reload").status)
            live += self.live(server, events[2000:])
        versions = [json.loads(line)["policy"] for line in live]
        self.assertEqual(2, len(set(versions)))
        self.assertNotEqual(versions[1999], versions[2000])
        self.assert_same(live, self.replay_journal()[0])
        # A replay with one policy is a what-if: as if it had been in force all the time.
        what_if, _ = self.replay_journal("--policy", self.policy)
        self.assertEqual({versions[-1]}, {json.loads(line)["policy"] for line in what_if})
        self.assert_same(self.replay_file(events), what_if)

    def test_over_a_restart(self):
        events = self.demo_events(3000)
        with self.serve() as server:
            live = self.live(server, events[:1500])
        self.change()
        with self.serve() as server:
            self.assertIn("snapshot of record 1501 and 0 records behind it recovered", server.output())
            # What did not change is still known: the count of signups of a network goes on.
            signup = [json.loads(event) for event in events[:1500] if b'"type":"signup"' in event][-1]
            live += self.live(server, [json.dumps({**signup, "id": "one-more"}).encode() + b"\n"])
            self.assertGreater(json.loads(live[-1])["features"]["signups_per_net_1h"], 0)
            live += self.live(server, events[1500:])
        self.assert_same(live, self.replay_journal()[0])

    def test_in_the_middle_of_a_stream_with_acts_of_people(self):
        events = self.demo_events(6000, seed=3)
        accounts = sorted({json.loads(event)["acct"] for event in events})
        original = (self.policy / "rules.yaml").read_text()
        with self.serve("--threads", "2") as server:
            stop = threading.Event()
            reloads = []

            def disturb():
                dice = random.Random(1)
                while not stop.is_set():
                    (self.policy / "rules.yaml").write_text(
                        original.replace("form_ms < 1500", f"form_ms < {700 + 10 * (len(reloads) % 9)}"))
                    reloads.append(server.post("/v1/policy/reload").status)
                    for _ in range(20):
                        server.post("/v1/labels", {"on": "account", "value": dice.choice(accounts), "name": "watched", "for": "1h"})
                    server.post("/v1/lists/none", {"value": "x"})  # refused, and the same in the replay
                    stop.wait(0.05)

            disturber = threading.Thread(target=disturb)
            disturber.start()
            try:
                with server.stream("/v1/decide") as stream:
                    def batches():
                        for i in range(0, len(events), 40):
                            yield b"".join(events[i:i + 40])
                            time.sleep(0.008)
                    live = stream.exchange(batches())
            finally:
                stop.set()
                disturber.join()
        self.assertEqual({200}, set(reloads))
        self.assertGreater(len({json.loads(line)["policy"] for line in live}), 2)
        self.assertIn("login-watched", {rule for line in live for rule in json.loads(line)["rules"]})
        self.assert_same(live, self.replay_journal()[0])


class Crash(ReplayCase):
    def test_killed_in_the_middle_of_a_stream(self):
        events = self.demo_events(6000, seed=4)
        answered = []
        with self.serve() as server:
            with server.stream("/v1/decide") as stream:
                def read():
                    try:
                        for line in iter(stream.read, b""):
                            answered.append(line)
                    except (OSError, harness.http.client.HTTPException):
                        pass  # the server is gone
                reader = threading.Thread(target=read)
                reader.start()
                for i in range(0, 3000, 20):
                    stream.send(b"".join(events[i:i + 20]))
                    time.sleep(0.003)
                server.kill()
                reader.join(10)
        if answered and not answered[-1].endswith(b"\n"):
            answered.pop()
        self.assertGreater(len(answered), 500)
        before, _ = self.replay_journal()
        # Not all that was answered need be on the disk, and not all on the disk was answered; what is in both is the same.
        self.assertGreater(len(before), len(answered) - 1000)
        common = min(len(answered), len(before))
        self.assert_same(answered[:common], before[:common])
        # It goes on from there as if nothing had been: state, counts and order.
        with self.serve() as server:
            self.assertIn(f"and {1 + len(before)} records behind it recovered", server.output())  # the first is the policy
            after = self.live(server, events[len(before):])
        self.assert_same(self.replay_file(events), before + after)
        self.assert_same(before + after, self.replay_journal()[0])

    def test_killed_again_and_again(self):
        events = self.demo_events(3000, seed=5)
        done = 0
        for round_number in range(4):
            with self.serve() as server:
                server.post("/v1/decide", b"".join(events[done:done + 400]))
                time.sleep(0.3 * (round_number % 2))  # in every other round the last sync has passed
                server.kill()
            done = len(self.replay_journal()[0])
        self.assertGreaterEqual(done, 800)
        self.assert_same(self.replay_file(events[:done]), self.replay_journal()[0])

    def fill(self, count=1500, kill=False):
        """Decides events; then the server stops, or is killed when all is on the disk: without a snapshot."""
        events = self.demo_events(count)
        with self.serve() as server:
            live = []
            for i in range(0, count, 100):  # several frames
                live += self.live(server, events[i:i + 100])
                time.sleep(0.01)
            if kill:
                server.wait_for(lambda: len(self.replay_journal()[0]) == count, "all is on the disk")
                server.kill()
        return live

    def test_a_torn_tail_is_told_and_survived(self):
        live = self.fill(kill=True)
        segment = self.segments()[-1]
        os.truncate(segment, segment.stat().st_size - 7)
        replayed, said = self.replay_journal()
        self.assertRegex(said, r"cut off by a crash; its \d+ bytes")
        self.assertLess(len(replayed), 1500)
        self.assertGreater(len(replayed), 1000)
        self.assert_same(live[:len(replayed)], replayed)
        with self.serve() as server:
            self.assertRegex(server.output(), r"a crash cut off; \d+ bytes were dropped")
            self.assertIn(f"and {1 + len(replayed)} records behind it recovered", server.output())
            self.assertEqual(200, server.post("/v1/decide/login", {"ok": True}).status)
        again, said = self.replay_journal()
        self.assertEqual("", said)
        self.assertEqual(len(replayed) + 1, len(again))

    def test_a_journal_that_ends_before_its_snapshot_is_refused(self):
        """No crash does that, since a snapshot waits for its journal: somebody took a part away."""
        self.fill()
        segment = self.segments()[-1]
        os.truncate(segment, segment.stat().st_size - 7)
        done = self.run_tamis("serve", "--policy", self.policy, "--data", self.data, "--listen", "127.0.0.1:0", code=2)
        self.assertRegex(done.stderr, r"\.snapshot covers records up to 1501, but the journal ends with record \d+: a part of the "
                         r"journal is missing")

    def test_damage_in_the_middle_is_an_error_that_says_where(self):
        self.fill()
        segment = self.segments()[0]
        content = bytearray(segment.read_bytes())
        place = len(content) // 2
        content[place] ^= 0x55
        segment.write_bytes(content)
        for arguments in (("replay", "--data", self.data, "--quiet", "--out", "/dev/null"),
                          ("serve", "--policy", self.policy, "--data", self.data, "--listen", "127.0.0.1:0")):
            done = self.run_tamis(*arguments, code=2)
            self.assertIn(segment.name, done.stderr)
            offset = int(re.search(r"(?:offset|byte) (\d+)", done.stderr).group(1))
            self.assertLessEqual(offset, place)
            self.assertGreater(offset, place - 200_000)

    def test_a_policy_that_the_journal_needs_is_gone(self):
        self.fill(100)
        for kept in (self.data / "policies").iterdir():
            kept.unlink()
        done = self.run_tamis("replay", "--data", self.data, "--quiet", code=2)
        self.assertRegex(done.stderr, r"policies/[0-9a-f]{16}\.json")

    def test_a_kept_policy_that_was_changed(self):
        self.fill(100)
        kept, = (self.data / "policies").iterdir()
        kept.write_text(kept.read_text().replace("form_ms < 1500", "form_ms < 1501"))
        done = self.run_tamis("replay", "--data", self.data, "--quiet", code=2)
        self.assertRegex(done.stderr, "was changed")


class DataFolder(ReplayCase):
    def test_two_servers_on_one_data_folder(self):
        with self.serve() as server:
            done = self.run_tamis("serve", "--policy", self.policy, "--data", self.data, "--listen", "127.0.0.1:0", code=2)
            self.assertRegex(done.stderr, re.escape(str(self.data)))
            self.assertRegex(done.stderr, "another|use|lock")
            self.assertEqual(200, server.get("/readyz").status)

    def test_a_replay_beside_a_running_server(self):
        events = self.demo_events(1000)
        with self.serve() as server:
            live = self.live(server, events[:500])
            server.wait_for(lambda: len(self.replay_journal()[0]) == 500, "all is on the disk")
            self.assert_same(live, self.replay_journal()[0])
            live += self.live(server, events[500:])
        self.assert_same(live, self.replay_journal()[0])

    def test_no_data_folder(self):
        done = self.run_tamis("replay", "--data", self.folder / "none", code=2)
        self.assertIn("none", done.stderr)

    def test_records_are_readable(self):
        """The journal is for people too: zstd -dc SEGMENT shows a JSON object a record."""
        if not shutil.which("zstd"):
            self.skipTest("no zstd here")
        with self.serve() as server:
            server.post("/v1/decide/login", '{"id":"x",\n "ok":true}')
            server.post("/v1/labels", {"on": "account", "value": "a", "name": "b"})
        text = subprocess.run(["zstd", "-dc", *map(str, self.segments())], check=True, capture_output=True).stdout
        records = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([1, 2, 3], [record["n"] for record in records])
        self.assertEqual(["policy", "event", "act"], [record["k"] for record in records])
        self.assertEqual({"id": "x", "ok": True}, records[1]["e"])


if __name__ == "__main__":
    unittest.main()
