"""Private values after their raw days: planted in every kind of field and as the entity of everything that people and rules
do, they are in no byte of any file of the data folder any more, and what is left goes on to work."""

import json
import subprocess
import time

import harness
import support_test

POLICY = """
policy: privacy
raw: 2d
keep: 90d
time: {at: t, format: ms}
---
event: signup
fields:
  account: account
  ip: ip
  mail: email
  device: device
  note: {type: string, private: token}
  phone: {type: int, private: token, entity: phone}
verdicts: [accept, challenge]
---
event: login
fields: {account: account, ip: ip}
---
features:
  last_ip: {last: ip, of: signup, by: account, over: 90d}
  last_ip_of_device: {last: ip, of: signup, by: device, over: 1d}
  mails: {set: mail, of: signup, by: device, over: 90d}
  notes: {top_k: note, of: signup, by: device, over: 30d}
  parts: {set: mail.local, of: signup, by: ip.net24, over: 1h}
  high: {max: phone, of: signup, by: device, over: 60d}
  low: {min: phone, of: signup, by: account, over: 1h}
  notes_said: {last: 'note + "!"', of: signup, over: 3d}
  per_ip: {count: signup, by: ip, over: 90d}
  ips: {distinct: ip, of: signup, by: account, over: 90d}
lists:
  seen_ips: {kind: network, managed: true}
  seen_notes: {kind: string, managed: true}
rules:
  - id: marks
    on: signup
    when: >-
      ip.net24 != "" && (size(mails) >= 0 && size(notes) >= 0 && size(parts) >= 0 && (has(last_ip) || has(last_ip_of_device)
      || has(high) || has(low) || has(notes_said) || per_ip >= 0 && ips >= 0)) && !(ip in list.seen_ips) && !(note in list.seen_notes)
    then:
      verdict: challenge
      label: [{on: ip, name: hot, for: 1h}, {on: mail, name: warm, for: 1h}, {on: phone, name: rings, for: 1h}]
      list: [{add: seen_ips, value: ip, for: 1h}, {add: seen_notes, value: note, for: 1h}]
      notify: {channel: ops, message: "{ip} {mail} {note} {phone}"}
    reason: "{ip} with {mail}, {note} and {phone}"
    mode: live
"""
DAY_MS = 86_400_000


class Case(support_test.Case):
    IP, MAIL, NOTE, PHONE = "198.51.100.213", "planted-5e1f@planted.example", "planted-note-77aa", 4901234598765
    NET, LOCAL = "198.51.100.0/24", "planted-5e1f"
    PLANTED = (IP, MAIL, NOTE, str(PHONE), NET, LOCAL)

    def setUp(self):
        harness.TestCase.setUp(self)
        self.policy = self.write_policy({"policy.yaml": POLICY})
        self.data = self.folder / "data"

    def event(self, number, account="anna", device="dev-a", planted=True, **more):
        event = {"id": f"s-{number}", "account": account, "device": device, "ip": self.IP, "mail": self.MAIL, "note": self.NOTE,
                 "phone": self.PHONE}
        if not planted:
            event |= {"ip": f"192.0.2.{number % 250}", "mail": f"u{number}@our.example", "note": f"said {number}", "phone": 7 + number}
        return event | more

    def retain(self, days, server=None):
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86_400))
        if server is not None:
            return self.post(server, "/v1/retain", {"now": when})
        return json.loads(self.run_tamis("retain", "--data", self.data, "--now", when, "--json").stdout)

    def content(self, path):
        """The bytes of a file, and of whatever is compressed in it."""
        data = path.read_bytes()
        if path.suffix == ".zst":
            return data + subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
        if path.suffix in (".parquet", ".snapshot", ".filled"):
            out, at = data, 0
            while (at := data.find(b"\x28\xb5\x2f\xfd", at)) >= 0:
                # What follows a frame is none, which zstd tells when it has written the frame.
                out += subprocess.run(["zstd", "-dcq"], input=data[at:], capture_output=True).stdout
                at += 4
            return out
        return data

    def held(self, planted=PLANTED):
        """Files in which a planted value stands, with the values."""
        found = {}
        for path in sorted(self.data.rglob("*")):
            # The policy's own files and the note of what they say are the policy's.
            if not path.is_file() or path.parent.name in ("policies", "keys"):
                continue
            data = self.content(path).lower()
            phones = self.PHONE.to_bytes(8, "little")
            values = [value for value in planted if value.lower().encode() in data or value == str(self.PHONE) and phones in data]
            if values:
                found[str(path.relative_to(self.data))] = values
        return found

    def kinds(self, held):
        return {name.split("/")[0] for name in held} | {name.rsplit(".", 1)[-1] for name in held}

    def digest(self, *arguments):
        return self.run_tamis("digest", "--data", self.data, *arguments).stdout.strip()

    def run_job(self, server, path, body):
        return support_test.Erase.run_job(self, server, path, body)

    def plant(self, server):
        """The values everywhere where they can get."""
        for number in range(6):
            self.post(server, "/v1/decide/signup", self.event(number))
            self.post(server, "/v1/decide/signup", self.event(100 + number, f"b-{number}", "dev-b", planted=False))
        soon = {"for": "1h", "reason": f"he said {self.MAIL} is his"}
        self.post(server, "/v1/labels", {"on": "ip", "value": self.IP, "name": "watched", **soon})
        self.post(server, "/v1/labels", {"on": "email", "value": self.MAIL, "name": "watched", **soon})
        self.post(server, "/v1/labels", {"on": "phone", "value": str(self.PHONE), "name": "watched", **soon})
        self.post(server, "/v1/lists/seen_ips", {"value": self.NET, **soon})
        self.post(server, "/v1/lists/seen_notes", {"value": self.MAIL, **soon})
        self.post(server, "/v1/truth", {"on": "ip", "value": self.IP, "label": "bad", "reason": f"from {self.IP}"})
        for kind, value in (("ip", self.IP), ("email", self.MAIL), ("phone", str(self.PHONE))):
            self.get(server, f"/v1/why/{kind}/{value}", headers={"Tamis-Reason": f"ticket of {self.MAIL}"})
        self.post(server, "/v1/query", {"sql": f"SELECT count(*) FROM signup WHERE note = '{self.NOTE}' OR ip = '{self.IP}'"})
        self.run_job(server, "/v1/find", {"expression": f"mail == '{self.MAIL}' && note != 'a'", "types": ["signup"]})
        self.post(server, "/v1/checkpoint", "")


class AfterTheRawDays(Case):
    def channels(self):
        return support_test.Erase.channels(self)

    def test_planted_values_are_in_no_file(self):
        with self.serve(*self.channels()) as server:
            self.plant(server)
            batch = self.run_job(server, "/v1/batches", {"rule": "marks", "apply": True, "reason": "test"})["batch"]
            self.assertGreater(batch["done"], 0)
            (self.policy / "more.yaml").write_text("features:\n  ips_of_all: {set: ip, of: signup, over: 5d}\nrules:\n"
                                                   "  - {id: more, on: signup, when: size(ips_of_all) > 99}\n")
            self.post(server, "/v1/policy/reload", "")
            self.post(server, "/v1/decide/signup", self.event(500))
            self.post(server, "/v1/checkpoint", "")
            digest = self.get(server, "/v1/digest")["digest"]
            before = self.held()
            self.assertLessEqual({"journal", "snapshots", "audit", "batches", "outbox", "archive", "filled", "parquet"},
                                 self.kinds(before), "the test would prove nothing")
            told = self.retain(5, server)  # nothing comes meanwhile: an idle server forgets as well
            self.assertEqual({}, self.held())
            for key in ("values_tokened", "state_keys", "audit_lines", "batch_items", "notices", "segments_removed",
                        "snapshots_removed"):
                self.assertGreater(told[key], 0, (key, told))
            self.assertTrue(self.get(server, "/v1/audit/verify")["good"])
            # What is left works: numbers that name nobody were kept, and nobody was forgotten in them.
            one = self.post(server, "/v1/decide/signup", self.event(900))
            features = one["features"]
            self.assertEqual((7, 1), (features["per_ip"], features["ips"]))
            self.assertEqual(([], [], []), (features["mails"], features["notes"], features["parts"]))
            self.assertEqual(set(), {"last_ip", "last_ip_of_device", "high", "low", "notes_said"} & {k for k, v in features.items() if v is not None})
            self.post(server, "/v1/labels", {"on": "account", "value": "a", "name": "b"})  # waits for the disk
            after = self.get(server, "/v1/digest")["digest"]
            self.assertNotEqual(digest, after)
            server.kill()
        # Live equals replay, and what was killed equals what was not.
        self.assertEqual(after, self.digest())
        self.assertEqual(after, self.digest("--from-start"))

    def test_a_second_retention_finds_nothing_to_do(self):
        with self.serve() as server:
            self.plant(server)
        self.retain(5)
        self.assertEqual({}, self.held())
        again = self.retain(5)
        for key in ("values_tokened", "state_keys", "audit_lines", "batch_items", "snapshots_removed", "segments_removed"):
            self.assertEqual(0, again[key], (key, again))
        self.assertEqual(self.digest("--from-start"), self.digest())

    def test_values_stay_while_their_days_last(self):
        with self.serve() as server:
            self.plant(server)
        before = self.held()
        self.retain(1)
        self.assertEqual(before.keys(), self.held().keys())
        with self.serve() as server:
            told = self.post(server, "/v1/decide/signup", self.event(901))
            self.assertEqual((self.IP, [self.MAIL]), (told["features"]["last_ip"], told["features"]["mails"]))

    def test_why_still_finds_what_was_decided(self):
        with self.serve() as server:
            self.plant(server)
            before = self.get(server, f"/v1/why/ip/{self.IP}")
            self.retain(5, server)
            after = self.get(server, f"/v1/why/ip/{self.IP}")
            self.assertEqual(6, before["events"])
            self.assertEqual((before["events"], before["intervened"]), (after["events"], after["intervened"]))

    def test_a_batch_is_undone_after_the_raw_days(self):
        self.policy = self.write_policy({"policy.yaml": POLICY.replace("for: 1h", "for: 60d").replace("mode: live", "mode: shadow")})
        with self.serve() as server:
            for number in range(6):
                self.post(server, "/v1/decide/signup", self.event(number, planted=number > 3))
            # One mark lay there before, shorter, and comes back; one is changed by somebody else, and stays.
            self.post(server, "/v1/labels", {"on": "ip", "value": self.IP, "name": "hot", "for": "20d", "reason": f"of {self.IP}"})
            self.post(server, "/v1/lists/seen_ips", {"value": "192.0.2.2", "for": "20d", "reason": "mine"})
            batch = self.run_job(server, "/v1/batches", {"rule": "marks", "apply": True, "reason": "test"})["batch"]
            self.assertGreater(batch["changed"], 10)
            self.post(server, "/v1/labels", {"on": "email", "value": "u3@our.example", "name": "warm", "reason": "I know"})
            self.assertIn(f"batches/{batch['id']}.jsonl", self.held())
            report = self.retain(5, server)
            self.assertGreater(report["batch_items"], 10)
            held = self.held()
            self.assertEqual({"snapshots"}, {name.split("/")[0] for name in held}, "what is in force, and nothing else")
            undone = self.run_job(server, f"/v1/batches/{batch['id']}/undo", {"reason": "test"})
            self.assertEqual(("undone", 0, 1), (undone["state"], undone["gone"], undone["kept"]), undone)
            self.assertEqual(batch["changed"], undone["restored"] + undone["removed"] + undone["kept"])
            labels = self.get(server, f"/v1/why/ip/{self.IP}")["labels"]
            self.assertEqual([("hot", f"of {self.IP}")], [(mark["name"], mark["reason"]) for mark in labels])
            entries = self.get(server, "/v1/lists/seen_ips")["entries"]
            self.assertEqual(["192.0.2.2/32"], [entry["value"].removesuffix("/32") + "/32" for entry in entries])
            self.assertTrue(self.get(server, "/v1/audit/verify")["good"])

    def test_old_events_that_are_imported_have_no_raw_days_left(self):
        now = int(time.time() * 1000)
        def old(days, first):
            lines = [json.dumps({"type": "signup", "t": now - days * DAY_MS + n, **self.event(first + n)}) for n in range(50)]
            path = self.folder / f"old-{days}.jsonl"
            path.write_text("\n".join(lines) + "\n")
            return path
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", old(40, 0))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", "--archive-only", old(50, 100))
        self.assertLessEqual({"journal", "archive"}, self.kinds(self.held()))
        digest = self.digest()
        told = self.retain(0)
        self.assertEqual({}, self.held())
        self.assertEqual(50, told["past_records"])
        self.assertNotEqual(digest, self.digest())
        self.assertEqual(self.digest("--from-start"), self.digest())
        count = self.run_tamis("query", "--data", self.data, "--json", "SELECT count(*), count(DISTINCT ip) FROM signup").stdout
        self.assertEqual([100, 2], json.loads(count)["rows"][0])


class KilledRetention(Case):
    def test_a_retention_that_is_killed_is_done_by_the_next(self):
        """Whenever the plug is pulled: the next one ends where one does that was not killed."""
        with self.serve() as server:
            self.plant(server)
        whole = self.folder / "whole"
        subprocess.run(["cp", "-a", str(self.data), str(whole)], check=True)
        first, self.data = self.data, whole
        self.retain(5)
        expected = self.digest()
        self.data = first
        for turn in range(4):
            with self.serve() as server:
                try:
                    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5 * 86_400))
                    server.post("/v1/retain", {"now": when}, seconds=0.01 + 0.04 * turn)
                except (OSError, ValueError, harness.http.client.HTTPException):
                    pass
                server.kill()
            self.assertEqual(self.digest(), self.digest("--from-start"))
        self.retain(5)
        self.assertEqual({}, self.held())
        self.assertEqual(expected, self.digest())
        self.assertEqual(expected, self.digest("--from-start"))


class EraseReachesOthers(Case):
    def test_a_private_value_under_another_key_goes_with_the_person(self):
        # Marks on an address are the address's, and asked for by themselves: the rule sets none here.
        self.policy = self.write_policy({"policy.yaml": POLICY.replace("mode: live", "mode: shadow")})
        with self.serve() as server:
            self.post(server, "/v1/decide/signup", self.event(1, "anna", "dev-a"))
            self.post(server, "/v1/decide/signup", self.event(2, "berta", "dev-b", planted=False))
            self.post(server, "/v1/checkpoint", "")
            report = self.post(server, "/v1/erase", {"on": "account", "value": "anna", "reason": "asked for it"})
            self.assertGreaterEqual(report["others_keys"], 4, report)
            held = self.held((self.IP, self.MAIL, self.NOTE))
            self.assertEqual({"archive"}, {name.split("/")[0] for name in held}, "what another's event read, until its raw days are over")
            told = self.post(server, "/v1/decide/signup", self.event(3, "carla", "dev-a", planted=False))["features"]
            self.assertEqual(([], []), (told["mails"], told["notes"]))
            told = self.post(server, "/v1/decide/signup", self.event(4, "carla", "dev-b", planted=False))["features"]
            self.assertEqual((["u2@our.example"], ["said 2"]), (told["mails"], told["notes"]))


class StateKey(support_test.Case):
    """What detectors know of accounts is kept under keys/state.key: without it, nobody has it, and the rest is as it was."""

    def setUp(self):
        harness.TestCase.setUp(self)
        self.policy = harness.TOP / "policies/accounts"
        self.data = self.folder / "data"
        self.at = int(time.time() * 1000) - 40 * 3_600_000

    def login(self, server, account):
        self.at += 3_600_000
        event = {"id": f"l{self.at}", "t": self.at, "type": "login", "acct": account, "ip": "198.51.100.7", "asn": 64500, "cc": "DE", "net": "res", "fp": "dev-1",
                 "ua": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "lang": "de-DE", "tz": "Europe/Berlin", "cookie": "k1", "ok": True}
        return self.post(server, "/v1/decide/login", event)["score"]

    def test_profiles_go_with_the_key_and_with_the_account(self):
        with self.serve() as server:
            first = [self.login(server, "anna") for _ in range(8)]
            self.assertLess(first[-1], first[0] / 2, "her place is known by now")
            [self.login(server, "berta") for _ in range(8)]
            self.post(server, "/v1/checkpoint", "")
        key = self.data / "keys/state.key"
        self.assertEqual((0o600, 16), (key.stat().st_mode & 0o777, key.stat().st_size))
        with self.serve() as server:
            known = self.login(server, "anna")
            self.assertLess(known, first[0] / 2)
            self.post(server, "/v1/erase", {"on": "account", "value": "anna", "reason": "asked for it"})
            self.assertGreater(self.login(server, "anna"), 2 * known)
            self.assertLess(self.login(server, "berta"), first[0] / 2)
        key.unlink()
        with self.serve() as server:
            self.assertIn("keys/state.key was not there", (self.folder / "data.log").read_text())
            self.assertGreater(self.login(server, "berta"), 2 * known)
            self.post(server, "/v1/checkpoint", "")
        self.assertEqual(16, key.stat().st_size)
        key.write_bytes(b"another folder's")
        with self.serve() as server:
            told = (self.folder / "data.log").read_text()
            self.assertIn("the detector login_risk begins anew", told)
            self.assertIn("it was kept under another", told)
        key.write_bytes(b"short")
        refused = self.run_tamis("serve", "--policy", self.policy, "--data", self.data, "--listen", "127.0.0.1:0", code=2)
        self.assertIn("keys/state.key: expected 16 bytes, found 5", refused.stderr)
