"""Events with a field of another type than the policy says: the decision is not lost, the field is as if it had not been sent, and
that is told; live, in a stream, in replays, imports, the archive and over its columns the same."""

import json

import harness

POLICY = """
policy: odd
type: {at: type}
id: {at: id}
time: {at: t, format: ms}
---
event: pay
fields:
  account: {type: account, path: acct}
  rtt_ms: {type: int, path: net.rtt}
  bin: int
  cents: {type: int, default: 0}
  success: {type: bool, path: ok, required: true}
  note: {type: string, private: token}
---
event: audit
extends: pay
strict: true
---
features:
  pays_1h: {count: pay, by: account, over: 1h}
---
rules:
  - {id: slow, on: pay, when: rtt_ms > 100, then: {points: 1}, mode: live, reason: slow}
  - {id: card, on: pay, when: bin == 411111, then: challenge, mode: live, reason: card}
  - {id: often, on: pay, when: "pays_1h >= 2 && cents == 0", then: {points: 2}, mode: live, reason: often}
---
tests:
  - name: an odd field is not read
    steps:
      - {type: pay, event: '{"ok": true, "net": {"rtt": 12.5}}', expect: {verdict: accept, rules: [], dropped: [rtt_ms]}}
"""
START = 1_772_409_600_000
ODD = [  # what is sent, what is not read, the rules that match
    ({"net": {"rtt": 120.0}}, {}, ["slow"]),
    ({"net": {"rtt": 120.5}}, {"rtt_ms": "expected int, found double"}, []),
    ({"net": {"rtt": "fast, from secret"}}, {"rtt_ms": "expected int, found string"}, []),
    ({"net": "none"}, {"rtt_ms": "expected map, found string above it"}, []),
    ({"bin": "411111"}, {}, ["card"]),
    ({"bin": "0411111"}, {"bin": "expected int, found string"}, []),
    ({"bin": [411111], "net": {"rtt": 200}}, {"bin": "expected int, found list"}, ["slow"]),
    ({"acct": 77}, {}, []),
    ({"acct": "77", "cents": "much"}, {"cents": "expected int, found string"}, []),
    ({"acct": 77, "cents": None}, {}, ["often"]),
    ({"acct": {"name": "secret"}}, {"account": "expected string, found map"}, []),
    ({"note": 1e300}, {"note": "expected string, found double"}, []),
]


def events():
    return [{"type": "pay", "id": f"p{n}", "t": START + 1000 * n, "ok": True, **odd} for n, (odd, _, _) in enumerate(ODD)]


class OddFields(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write_policy({"p.yaml": POLICY})
        self.source = self.folder / "events.jsonl"
        self.source.write_text("".join(json.dumps(event) + "\n" for event in events()))
        self.data = self.folder / "data"

    def assert_decisions(self, decisions):
        self.assertEqual([f"p{n}" for n in range(len(ODD))], [d["id"] for d in decisions])
        for decision, (odd, dropped, rules) in zip(decisions, ODD):
            self.assertEqual((dropped, rules), (decision.get("dropped", {}), decision["rules"]), odd)
            self.assertNotIn("secret", json.dumps(decision))  # no value is told

    def counts(self):
        counts = {}
        for _, dropped, _ in ODD:
            for field in dropped:
                counts[field] = counts.get(field, 0) + 1
        return counts

    def test_live_and_replayed_the_same(self):
        with harness.Server(self.policy, self.data) as server:
            one = server.post("/v1/decide/pay", events()[0]).body
            live = server.post("/v1/decide", self.source.read_bytes()).body
            self.assertEqual(one, live.split(b"\n")[0] + b"\n")  # it came again
            decisions = [json.loads(line) for line in live.splitlines()]
            self.assert_decisions(decisions)
            again = server.post("/v1/decide/pay", events()[1])
            self.assertEqual((200, decisions[1]), (again.status, again.json()))
            stats = server.get("/v1/stats").json()
            self.assertEqual((len(ODD), 0), (stats["decided"], stats["refused"]))
            self.assertEqual(self.counts(), {d["field"]: d["count"] for d in stats["dropped"]})
            self.assertEqual({"pay"}, {d["type"] for d in stats["dropped"]})
            metrics = server.get("/metrics").text()
            self.assertIn('tamis_fields_dropped_total{type="pay",field="rtt_ms"} 3\n', metrics)
            top = self.run_tamis("top", "--once", "--interval", "0.1", "--url", server.url).stdout
            self.assertRegex(top, r"FIELD OF ANOTHER TYPE, NOT READ +TOTAL.*\n(pay \w+ +\d.*\n)*pay rtt_ms +3 ")
            # What must be there refuses as before, and so does a strict type.
            self.assertEqual((400, 'field "success" (at "ok"): expected bool, found string "yes"'), self.refusal(server, "pay", {"ok": "yes"}))
            self.assertEqual((400, 'the time at "t": expected a time (milliseconds since the epoch), found string "now"'),
                             self.refusal(server, "pay", {"ok": True, "t": "now"}))
            self.assertEqual((400, 'field "rtt_ms" (at "net.rtt"): expected int, found double 12.5'),
                             self.refusal(server, "audit", {"ok": True, "net": {"rtt": 12.5}}))
            self.assertEqual((400, 'field "bin": expected int, found string "411111"'), self.refusal(server, "audit", {"ok": True, "bin": "411111"}))
            accepted = server.post("/v1/events/pay", json.dumps({"id": "late", "t": START + 10**6, "ok": True, "bin": "x"}))
            self.assertEqual((202, 1, 0), (accepted.status, accepted.json()["accepted"], accepted.json()["refused"]))
        for source in (["--data", self.data], ["--policy", self.policy, self.source]):
            done = self.run_tamis("replay", "--out", self.folder / "replayed", "--json", *source)
            replayed = (self.folder / "replayed").read_bytes()
            self.assertEqual(live.splitlines(), replayed.splitlines()[:len(ODD)])
            told = json.loads(done.stderr.splitlines()[-1])["dropped"]["pay"]
            self.assertEqual({**self.counts(), "bin": self.counts()["bin"] + (source[0] == "--data")}, told)

    def refusal(self, server, kind, event):
        answer = server.post(f"/v1/decide/{kind}", event)
        return answer.status, answer.json()["message"]

    def test_after_a_restart_the_archive_says_the_same(self):
        with harness.Server(self.policy, self.data) as server:
            live = server.post("/v1/decide", self.source.read_bytes()).lines()
        with harness.Server(self.policy, self.data) as server:
            for event, decision in zip(events(), live):
                self.assertEqual(decision, server.post("/v1/decide/pay", event).json())
                looked_up = server.get(f"/v1/decisions/pay/{event['id']}").json()
                self.assertEqual(decision.get("dropped"), looked_up["decision"].get("dropped"))
                self.assertNotIn("dropped", json.dumps(looked_up["decision"].get("effects", [])))
            # What was not read has no value; what has a default has that.
            self.assertNotIn("rtt_ms", server.get("/v1/decisions/pay/p1").json()["event"])
            self.assertEqual(0, server.get("/v1/decisions/pay/p8").json()["event"]["cents"])
            self.assertEqual("77", server.get("/v1/decisions/pay/p7").json()["event"]["account"])

    def test_imported_and_over_columns_the_same(self):
        done = self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--json", self.source)
        self.assertEqual((len(ODD), 0, {"pay": self.counts()}), tuple(json.loads(done.stdout)[k] for k in ("imported", "refused", "dropped")))
        self.run_tamis("replay", "--data", self.data, "--out", self.folder / "replayed", "--quiet")
        self.assert_decisions([json.loads(line) for line in (self.folder / "replayed").read_text().splitlines()])
        for rule in ("slow", "card"):
            for how in ([], ["--replay"]):
                told = json.loads(self.run_tamis("backtest", "--data", self.data, "--policy", self.policy, "--rule", rule, "--json", "-q", *how).stdout)
                self.assertEqual((not how, sum(rule in rules for _, _, rules in ODD), 0, 0),
                                 (told["columnar"], told["matched"], told["gained"], told["lost"]), (rule, how))
        found = json.loads(self.run_tamis("find", "--data", self.data, "!has(rtt_ms) && cents == 0", "--json", "-q").stdout)
        self.assertEqual(sum("rtt_ms" in dropped or "net" not in odd for odd, dropped, _ in ODD), found["count"])

    def test_a_person_reads_why(self):
        told = self.run_tamis("explain", "--policy", self.policy, "--id", "p1", self.source).stdout
        self.assertIn("The field rtt_ms was not read, since its value has another type: expected int, found double.", told)

    def test_an_erased_person_is_found_where_no_field_was_read(self):
        with harness.Server(self.policy, self.data) as server:
            server.post("/v1/decide", self.source.read_bytes())
        self.run_tamis("erase", "--data", self.data, "account", "secret", "--reason", "asked", "--yes")
        kept = self.run_tamis("replay", "--data", self.data, "--quiet").stdout
        self.assertNotIn('"p10"', kept)
        self.assertIn('"p9"', kept)

    def test_tests_of_a_policy_notice_slips(self):
        self.assertIn("1 passed, 0 failed", self.run_tamis("test", self.policy).stdout)
        slip = self.write_files("slip", {"p.yaml": POLICY.replace(", dropped: [rtt_ms]", "")})
        self.assertIn("field rtt_ms is not read: expected int, found double", self.run_tamis("test", slip, code=1).stdout)
        other = self.write_files("other", {"p.yaml": POLICY.replace("dropped: [rtt_ms]", "dropped: [rtt]")})
        self.assertIn("`pay` has no field `rtt`", self.run_tamis("check", other, code=1).stderr)
        shown = self.write_files("strict", {"p.yaml": POLICY.replace("strict: true", "strict: maybe")})
        self.assertIn("strict", self.run_tamis("check", shown, code=1).stderr)


if __name__ == "__main__":
    import unittest

    unittest.main()
