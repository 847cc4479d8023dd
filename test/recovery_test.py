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


# Features of every type that a decision can show, and all that a rule can do.
KINDS = """
event: login
fields:
  account: account
  ip: ip
  n: int
  u: uint
  x: double
  when: timestamp
  took: duration
  raw: bytes
  tags: list(string)
---
features:
  ips: {set: ip, of: login, by: account, over: 1d}
  top: {top_k: ip, of: login, by: account, over: 1d}
  lu: {last: u, of: login, by: account, over: 1d}
  lx: {min: x, of: login, by: account, over: 1d}
  lw: {last: when, of: login, by: account, over: 1d}
  lt: {last: took, of: login, by: account, over: 1d}
  lr: {last: raw, of: login, by: account, over: 1d}
  seen: {first_seen: login, by: account}
lists:
  odd: {managed: true}
rules:
  - id: all
    on: login
    mode: live
    when: has(top) && has(ips) && has(lu) && has(lx) && has(lw) && has(lt) && has(lr) && has(seen)
    value: "{'w': lw, 'r': lr}"
    then:
      verdict: challenge
      label: [{on: account, name: one, for: 1h}, {on: ip.net24, name: two, for: 1h}]
      list: {add: odd, value: account, for: 1h}
    reason: "since {seen}"
"""


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

    def test_a_repeated_delivery_gets_the_same_bytes_whatever_they_hold(self):
        policy = self.folder / "kinds"
        policy.mkdir()
        (policy / "policy.yaml").write_text(KINDS)
        events = [{"type": "login", "id": f"k{i}", "account": "anna", "ip": f"192.0.2.{i}", "n": i, "u": 1 << 63, "x": -i / 8,
                   "when": f"2026-01-01T00:00:0{i}.25+01:00", "took": "1h1.5s", "raw": "aGVs\u002fw==", "tags": ["a", "b"]}
                  for i in range(4)]
        lines = [json.dumps(event).encode() + b"\n" for event in events]
        with self.serve(policy=policy) as server:
            live = self.live(server, lines)
            self.assertIn("labels", json.loads(live[-1]))
            self.assertEqual(["192.0.2.0", "192.0.2.1", "192.0.2.2"], json.loads(live[-1])["features"]["ips"])
        with self.serve(policy=policy) as server:
            self.assert_same(live, self.live(server, lines))
        # What the policy of now reads does not matter.
        (policy / "policy.yaml").write_text(KINDS.replace("has(top) && ", ""))
        with self.serve(policy=policy) as server:
            self.assert_same(live, self.live(server, lines))
            stored = server.get("/v1/decisions/login/k3").json()
            explained = self.replay_journal("--explain")[0]
        whole = json.loads(explained[3])
        self.assertEqual(["has(top)", "has(ips)"], [part["when"] for part in whole["conditions"]][:2])
        self.assertEqual(whole, {key: value for key, value in stored["decision"].items() if key != "effects"})
        self.assertEqual((events[3]["tags"], "2025-12-31T23:00:03.25Z", "3601.5s", 3),
                         tuple(stored["event"][name] for name in ("tags", "when", "took", "n")))

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
        # A replay decides what was decided; that it leaves the others out is told.
        backtest = self.run_tamis("backtest", "--data", self.data, "--policy", self.policy, "--replay", "--json").stdout
        self.assertEqual((3000, 100), tuple(json.loads(backtest)[key] for key in ("events", "events_gone")))
        # Neither twice, nor what was decided in its time.
        source.write_bytes(source.read_bytes() + b"".join(events[:50]))
        done = self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--archive-only", "--json", source)
        self.assertEqual((0, 150), tuple(json.loads(done.stdout)[what] for what in ("imported", "repeated")))
        self.assertEqual([[3100, 3100]], self.query("SELECT count(*), count(DISTINCT (type, id)) FROM events"))
        # Sums beyond 64 bits are no numbers for readers of JSON.
        self.assertEqual([["123456789012345678901", 7]], self.query("SELECT 123456789012345678901::HUGEINT, 7::HUGEINT"))

    def test_an_import_that_was_killed_is_done_again(self):
        source = self.folder / "events.jsonl"
        events = [{**json.loads(line), "t": 1_700_000_000_000 + 60_000 * i} for i, line in enumerate(self.demo_events(30_000))]
        events = [json.dumps(event).encode() + b"\n" for event in events]
        source.write_bytes(b"".join(events))
        command = [harness.binary(), "import", "--data", self.data, "--policy", self.policy, "--quiet", source]
        running = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
        while running.poll() is None and sum(file.stat().st_size for file in self.segments()) < 100_000:
            time.sleep(0.001)
        running.kill()
        running.wait()
        # What the archive did not have yet when the plug was pulled is as old as what it had.
        done = self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--json", source, code=1)
        self.assertEqual(len(events), sum(json.loads(done.stdout).values()))
        self.assertEqual([[len(events)] * 2], self.query("SELECT count(*), count(DISTINCT (type, id)) FROM events"))
        self.assert_same(self.replay_file(events), self.replay_journal()[0])

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

    def retain(self, days):
        """Forgets what is too old in so many days from now."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86_400))
        return json.loads(self.run_tamis("retain", "--data", self.data, "--now", when, "--json").stdout)

    def import_past(self, events):
        source = self.folder / "events.jsonl"
        source.write_bytes(b"".join(events))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", source)

    NEW = ("features:\n  per_account: {count: login, by: account, over: 90d}\n  per_ip: {count: login, by: ip, over: 90d}\n"
           "rules:\n  - {id: reads-account, on: login, when: per_account >= 0, mode: live}\n"
           "  - {id: reads-ip, on: login, when: per_ip >= 0, mode: live}\n")

    def logins(self, events, key):
        counts = {}
        for event in map(json.loads, events):
            if event["type"] == "login":
                counts[event[key]] = counts.get(event[key], 0) + 1
        return counts

    def test_a_new_feature_knows_what_only_the_archive_has(self):
        """The journal ends where it was trimmed; what is older comes from the archive, as far as that still holds it."""
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 90d")
        now = int(time.time() * 1000)
        old = self.demo_events(2_000, start_ms=now - 20 * 86_400_000)
        self.import_past(old)
        self.assertGreater(self.retain(2)["segments_removed"], 0)
        new = [event.replace(b'{"id":', b'{"id":7000') for event in self.demo_events(1_000, seed=1, start_ms=now - 60_000)]
        more = self.demo_events(300, seed=1, start_ms=now - 1_000)
        with self.serve() as server:
            live = self.live(server, new)
            (self.policy / "more.yaml").write_text(self.NEW)
            answer = server.post("/v1/policy/reload", {})
            self.assertEqual(200, answer.status, answer)
            told = [d["message"] for d in answer.json()["diagnostics"]]
            gone = sum(self.logins(old, "ip").values())
            self.assertEqual([f"feature per_ip: {gone} older events could not be counted, their ip is not kept any more"], told)
            live += self.live(server, more)
        self.check_counts(old, new, more, live)
        # Kept, so that replays come to the same, whatever is forgotten later.
        filled = list((self.data / "snapshots").glob("*.filled"))
        self.assertEqual(1, len(filled))
        self.assert_same(live, self.replay_journal()[0])
        self.assertEqual(self.digest("--from-start"), self.digest())
        self.retain(80)
        self.assertEqual(self.digest("--from-start"), self.digest())

    def check_counts(self, old, new, more, live):
        accounts, ips = self.logins(old + new, "acct"), self.logins(new, "ip")
        checked = 0
        for event, decision in zip(map(json.loads, more), map(json.loads, live[len(new):])):
            if event["type"] != "login" or decision.get("late"):
                continue
            self.assertEqual(accounts.get(event["acct"], 0), decision["features"]["per_account"], event)
            self.assertEqual(ips.get(event["ip"], 0), decision["features"]["per_ip"], event)
            for counts, key in ((accounts, "acct"), (ips, "ip")):
                counts[event[key]] = counts.get(event[key], 0) + 1
            checked += 1
        self.assertGreater(checked, 20)

    def test_killed_right_after_features_were_filled(self):
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 90d")
        now = int(time.time() * 1000)
        self.import_past(self.demo_events(2_000, start_ms=now - 20 * 86_400_000))
        self.retain(2)
        with self.serve() as server:
            (self.policy / "more.yaml").write_text(self.NEW)
            self.assertEqual(200, server.post("/v1/policy/reload", {}).status)
            digest = server.get("/v1/digest").json()["digest"]
            server.kill()
        # With the state that was kept, and without: then it is filled again.
        self.assertEqual(digest, self.digest("--from-start"))
        for filled in (self.data / "snapshots").glob("*.filled"):
            filled.unlink()
        self.assertEqual(digest, self.digest())

    def test_a_replay_over_an_activation_whose_past_was_trimmed(self):
        """The journal still has the activation, and not any more all that its features were filled from."""
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 90d")
        now = int(time.time() * 1000)
        self.import_past(self.demo_events(1_000, start_ms=now - 4 * 86_400_000))
        with self.serve() as server:
            server.post("/v1/checkpoint", "")
            (self.policy / "more.yaml").write_text(self.NEW)
            self.assertEqual(200, server.post("/v1/policy/reload", {}).status)
            live = self.live(server, [e.replace(b'{"id":', b'{"id":7000') for e in self.demo_events(500, start_ms=now)])
            server.post("/v1/labels", {"on": "account", "value": "a", "name": "b"})  # waits for the disk
            digest = server.get("/v1/digest").json()["digest"]
            server.kill()  # the snapshot before the activation stays the newest
        report = self.retain(0)
        self.assertGreater(report["segments_removed"], 0)
        self.assert_same(live, self.replay_journal()[0][-len(live):])
        self.assertEqual(digest, self.digest("--from-start"))
        # Without the state that was kept a replay can only come close, and says so.
        for filled in (self.data / "snapshots").glob("*.filled"):
            filled.unlink()
        told = self.replay_journal()[1]
        self.assertRegex(told, r"\.filled is gone: the features that are new with record \d+ are filled from what is left")

    def test_a_backtest_of_a_new_feature_knows_what_only_the_archive_has(self):
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 90d")
        now = int(time.time() * 1000)
        old = self.demo_events(2_000, start_ms=now - 20 * 86_400_000)
        self.import_past(old)
        self.retain(2)
        (self.policy / "more.yaml").write_text(self.NEW.replace("per_account >= 0", "per_account >= 2").replace("per_ip >= 0", "per_ip >= 2"))
        counts, expected = {}, 0
        for event in map(json.loads, old):
            if event["type"] == "login":
                expected += counts.get(event["acct"], 0) >= 2
                counts[event["acct"]] = counts.get(event["acct"], 0) + 1
        self.assertGreater(expected, 0)
        logins = sum(counts.values())

        def backtest(rule):
            done = self.run_tamis("backtest", "--data", self.data, "--policy", self.policy, "--rule", rule, "--json")
            return json.loads(done.stdout)
        account = backtest("reads-account")
        self.assertEqual((logins, 0, expected), (account["events"], account["events_gone"], account["matched"]))
        ip = backtest("reads-ip")
        self.assertEqual((0, logins), (ip["events"], ip["events_gone"]))

    def test_support_finds_decisions_on_an_address_that_is_only_a_token(self):
        self.edit("events.yaml", "keep: 365d", "raw: 1d\nkeep: 90d")
        now = int(time.time() * 1000)
        old = self.demo_events(2_000, start_ms=now - 5 * 86_400_000)
        self.import_past(old)
        address = max(self.logins(old, "ip").items(), key=lambda item: item[1])[0]

        def why():
            return json.loads(self.run_tamis("why", "--data", self.data, "ip", address, "--reason", "ticket 1", "--json").stdout)
        before = why()
        self.assertGreater(before["events"], 0)
        self.assertGreater(self.retain(2)["values_tokened"], 0)
        self.assertEqual(0, self.query(f"SELECT count(*) FROM session WHERE ip = '{address}'")[0][0])
        after = why()
        self.assertEqual((before["events"], before["intervened"]), (after["events"], after["intervened"]))
        self.assertEqual([d["id"] for d in before["decisions"]], [d["id"] for d in after["decisions"]])
        # Without the keys nobody can tell any more.
        for key in (self.data / "keys").glob("*.key"):
            key.unlink()
        self.assertEqual(0, why()["events"])

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
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 + 3 * 86_400))
        report = json.loads(self.run_tamis("retain", "--data", self.data, "--now", when, "--json").stdout)
        self.assertGreater(report["values_tokened"], 0)
        self.assertGreater(report["segments_removed"], 0)
        self.assertEqual([before[0], 0, before[0]], self.query(count)[0])
        self.assertNotIn(planted.encode(), b"".join(subprocess.run(["zstd", "-dc", path], capture_output=True).stdout
                                                    for path in self.segments()))
        self.assertEqual(self.digest(), self.digest("--from-start"), "a replay begins with the snapshot")
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000 + 40 * 86_400))
        report = json.loads(self.run_tamis("retain", "--data", self.data, "--now", later, "--json").stdout)
        self.assertEqual(0, self.query("SELECT count(*) FROM events")[0][0])
        self.assertGreater(report["keys_destroyed"], 0)


if __name__ == "__main__":
    unittest.main()
