"""What support agents, analysts and auditors do with a server and with a folder that no server holds: why, release, truth,
labels, lists, versions of the policy, audit, changes, erasure. Every answer is held against docs/openapi.json."""

import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest

import harness
import openapi

EVENTS = """
event: signup
fields: {account: account, ip: ip, device: device}
verdicts: [accept, challenge, reject]
---
event: login
fields: {account: account, ip: ip}
verdicts: [accept, reject]
"""
RULES = """
lists:
  blocked: {kind: string, managed: true}
  bad_networks: {kind: network, values: [198.51.100.0/24], managed: true}
features:
  signups_per_net: {count: signup, by: ip.net24, over: 1h}
  accounts_of_ip: {set: account, of: signup, by: ip, over: 1d}
rules:
  - id: signup-burst
    on: signup
    when: signups_per_net >= 2
    then: {verdict: challenge, label: [{on: ip.net24, name: burst, for: 6h}, {on: account, name: hurried, for: 7d}]}
    reason: "{signups_per_net} signups from {ip.net24} within an hour"
    say: Please confirm your mail address.
    mode: live
  - {id: known-bad, on: signup, when: account in list.blocked || ip in list.bad_networks, then: reject, reason: known, mode: live}
  - {id: crowd, on: signup, when: 'size(accounts_of_ip) > 90', then: reject, reason: known, mode: live}
"""


def signup(number, account, ip="192.0.2.7"):
    return {"id": f"s-{number}", "account": account, "ip": ip, "device": f"dev-{number}"}


class Case(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write_policy({"events.yaml": EVENTS, "rules.yaml": RULES})
        self.data = self.folder / "data"

    def serve(self, *arguments):
        return harness.Server(self.policy, self.data, *arguments)

    def call(self, server, method, path, body=None, status=200, **options):
        answer = server.request(method, path, body, **options)
        self.assertEqual(status, answer.status, answer)
        openapi.check(method, path, answer)
        return answer.json()

    def get(self, server, path, **options):
        return self.call(server, "GET", path, **options)

    def post(self, server, path, body, **options):
        return self.call(server, "POST", path, body, **options)

    def sign_up(self, server, count=4, account="anna"):
        for number in range(count):
            self.post(server, "/v1/decide/signup", signup(number, account if number == count - 1 else f"other-{number}"))


class OddNames(harness.TestCase):
    def test_types_and_fields_that_are_named_like_tables_and_columns(self):
        """The archive calls them otherwise; whoever asks about an entity or an event need not know."""
        text = ("event: truth\nfields: {late: account, Owner: account, owner: string}\n---\n"
                "rules: [{id: r, on: truth, when: 'true', then: challenge, reason: x, mode: live}]\n")
        with harness.Server(self.write_policy({"a.yaml": text}), self.folder / "data") as server:
            event = {"id": "t-1", "late": "anna", "Owner": "bert", "owner": "carl"}
            self.assertEqual(200, server.post("/v1/decide/truth", event).status)
            for kind, value in (("account", "anna"), ("account", "bert"), ("event:truth", "t-1")):
                why = server.get(f"/v1/why/{kind}/{value}").json()
                self.assertEqual((1, ["t-1"]), (why["events"], [d["id"] for d in why["decisions"]]), (kind, why))
            stored = server.get("/v1/decisions/truth/t-1").json()
            self.assertEqual(["anna", "bert", "carl"], [stored["event"][name] for name in ("late", "Owner", "owner")])


class Why(Case):
    def test_three_depths(self):
        with self.serve() as server:
            self.sign_up(server)
            self.post(server, "/v1/labels", {"on": "account", "value": "anna", "name": "watched", "reason": "ticket 7"})
            self.post(server, "/v1/lists/blocked", {"value": "anna", "for": "30d", "reason": "ticket 8"})
            analyst = self.get(server, "/v1/why/account/anna")
            self.assertEqual({"hurried", "watched"}, {mark["name"] for mark in analyst["labels"]})
            self.assertEqual([("blocked", "run_time")], [(e["list"], e["of"]) for e in analyst["entries"]])
            self.assertEqual(["challenge"], [d["verdict"] for d in analyst["decisions"]])
            self.assertIn("signups from", analyst["decisions"][0]["reasons"][0])
            support = self.get(server, "/v1/why/account/anna?for=support")
            self.assertNotIn("reasons", support["decisions"][0])
            self.assertNotIn("points", support["decisions"][0])
            self.assertNotIn("rules", support["decisions"][0])
            customer = self.get(server, "/v1/why/account/anna?for=customer")
            self.assertEqual({"on", "value", "words"}, customer.keys())
            words = " ".join(customer["words"])
            self.assertIn("Please confirm your mail address.", words)
            for secret in ("burst", "hurried", "watched", "blocked", "ticket", "192.0.2", "other-", "signup-"):
                self.assertNotIn(secret, words)

    def test_an_address_is_seen_with_its_network(self):
        with self.serve() as server:
            self.sign_up(server)
            why = self.get(server, "/v1/why/ip/192.0.2.7")
            self.assertIn(("network", "192.0.2.0/24", "burst"), [(m["on"], m["value"], m["name"]) for m in why["around"]])
            self.assertEqual(4, why["events"])
            listed = self.get(server, "/v1/why/ip/198.51.100.9")
            self.assertEqual("policy", listed["entries"][0]["of"])

    def test_a_kind_that_is_none(self):
        with self.serve() as server:
            answer = self.get(server, "/v1/why/acount/anna", status=404)
            self.assertIn("did you mean account?", answer["message"])
            self.assertIn("is no internet address", self.get(server, "/v1/why/ip/banana", status=400)["message"])

    def test_release_takes_back_what_it_can_and_says_the_rest(self):
        with self.serve() as server:
            self.sign_up(server)
            self.post(server, "/v1/lists/blocked", {"value": "anna"})
            self.assertIn("reason", self.post(server, "/v1/release", {"on": "account", "value": "anna"}, status=400)["message"])
            done = self.post(server, "/v1/release", {"on": "account", "value": "anna", "reason": "known customer"})
            self.assertEqual({"hurried", "blocked"}, {mark.get("label", mark.get("list")) for mark in done["released"]})
            after = self.get(server, "/v1/why/account/anna")
            self.assertEqual([], after["labels"] + after["entries"])
            self.assertEqual({"label_clear", "list_remove"}, {a["act"] for a in after["acts"]} - {"list_add"})
            self.assertIn("nothing", self.post(server, "/v1/release", {"on": "account", "value": "anna", "reason": "x"}, status=404)["message"])
            kept = self.post(server, "/v1/release", {"on": "ip", "value": "198.51.100.9", "reason": "x"})
            self.assertIn("policy's own files", kept["kept"][0]["why"])
            self.assertEqual([], kept["released"])

    def test_the_commands_work_with_and_without_a_server(self):
        with self.serve() as server:
            self.sign_up(server)
            held = self.run_tamis("why", "--data", self.data, "account", "anna").stdout
        free = self.run_tamis("why", "--data", self.data, "account", "anna").stdout
        self.assertEqual(held, free)
        self.assertIn("label hurried", free)
        self.assertIn("by rule signup-burst", free)
        words = self.run_tamis("why", "--data", self.data, "account", "anna", "--customer").stdout
        self.assertIn("Please confirm", words)
        self.assertNotIn("hurried", words)
        self.assertIn("did you mean account", self.run_tamis("why", "--data", self.data, "acount", "anna", code=2).stderr)
        self.run_tamis("release", "--data", self.data, "account", "anna", "--reason", "a mistake")
        self.assertIn("nothing is in force", self.run_tamis("why", "--data", self.data, "account", "anna").stdout)


class Marks(Case):
    def test_labels_in_bulk_and_in_pages(self):
        lines = "".join(json.dumps({"on": "account", "value": f"a-{i}", "name": "seen"}) + "\n" for i in range(25))
        with self.serve() as server:
            done = self.post(server, "/v1/labels", lines + '{"on":"acount","value":"x","name":"y"}\n',
                             headers={"Content-Type": "application/x-ndjson"})
            self.assertEqual((25, 1), (done["done"], done["refused"]))
            self.assertEqual(26, done["errors"][0]["line"])
            values, after = [], "0"
            while after is not None:
                page = self.get(server, f"/v1/labels?limit=10&after={after}")
                values += [label["value"] for label in page["labels"]]
                after = page["next"]
            self.assertEqual({f"a-{i}" for i in range(25)}, set(values))
            self.assertEqual(25, len(values))
            self.assertEqual([], self.get(server, "/v1/labels?name=other")["labels"])

    def test_lists(self):
        with self.serve() as server:
            self.post(server, "/v1/lists/blocked", {"value": "eve", "for": "1d", "reason": "r"})
            lists = {entry["name"]: entry for entry in self.get(server, "/v1/lists")["lists"]}
            self.assertEqual(1, lists["blocked"]["run_time_entries"])
            self.assertEqual(1, lists["bad_networks"]["policy_entries"])
            self.assertEqual(["eve"], [e["value"] for e in self.get(server, "/v1/lists/blocked")["entries"]])
            self.assertEqual(["198.51.100.0/24"], [e["value"] for e in self.get(server, "/v1/lists/bad_networks?of=policy")["entries"]])
            self.assertIn("did you mean blocked", self.get(server, "/v1/lists/bloked", status=404)["message"])
        run = self.run_tamis
        run("list", "add", "--data", self.data, "blocked", "mallory", "--for", "2d", "--reason", "a case")
        self.assertIn("mallory", run("list", "--data", self.data, "show", "blocked").stdout)
        run("list", "remove", "--data", self.data, "blocked", "mallory")
        self.assertNotIn("mallory", run("list", "--data", self.data, "show", "blocked").stdout)
        self.assertIn("bad_networks", run("list", "ls", "--data", self.data).stdout)
        run("label", "set", "--data", self.data, "account", "bob", "vip", "--reason", "board member")
        self.assertIn("board member", run("label", "show", "--data", self.data, "account", "bob").stdout)
        run("label", "clear", "--data", self.data, "account", "bob", "vip")
        run("label", "show", "--data", self.data, "account", "bob", code=1)

    def test_truth(self):
        with self.serve() as server:
            self.sign_up(server)
            self.post(server, "/v1/truth", {"on": "account", "value": "anna", "label": "bad", "source": "chargebacks"})
            self.post(server, "/v1/truth", {"on": "account", "value": "anna", "label": "good", "reason": "looked again"})
            known = self.get(server, "/v1/truth/account/anna")
            self.assertEqual("good", known["label"])
            self.assertEqual(["good", "bad"], [t["label"] for t in known["history"]])
            self.assertEqual("chargebacks", known["history"][1]["source"])
            self.assertEqual("good", self.get(server, "/v1/why/account/anna")["truth"])
            self.assertIn("label", self.post(server, "/v1/truth", {"on": "account", "value": "x", "lable": "y"}, status=400)["message"])
        csv = self.folder / "truth.csv"
        csv.write_text("type,id,label\nsignup,s-1,bad\nsinup,s-2,bad\n")
        done = self.run_tamis("truth", "import", "--data", self.data, csv, "--source", "review", code=1)
        self.assertIn("1 taken, 1 refused", done.stdout)
        self.assertIn("line 3", done.stderr)
        self.assertIn("bad", self.run_tamis("truth", "show", "--data", self.data, "event:signup", "s-1").stdout)
        self.run_tamis("truth", "show", "--data", self.data, "event:signup", "s-2", code=1)


class Records(Case):
    def test_versions_of_the_policy(self):
        with self.serve() as server:
            first = self.get(server, "/v1/policy")["policy"]
            changed = RULES.replace(">= 2", ">= 3")
            self.post(server, "/v1/policy", {"files": {"events.yaml": EVENTS, "rules.yaml": changed}})
            versions = self.get(server, "/v1/policies")
            self.assertEqual(2, len(versions["policies"]))
            self.assertNotEqual(first, versions["current"])
            diff = self.get(server, f"/v1/policies/{first}/diff/current")
            self.assertEqual(["rules.yaml"], [f["name"] for f in diff["files"]])
            self.assertIn("-    when: signups_per_net >= 2\n+    when: signups_per_net >= 3\n", diff["files"][0]["diff"])
            self.assertEqual(EVENTS, self.get(server, f"/v1/policies/{first[:6]}")["files"]["events.yaml"])
            self.assertTrue(self.post(server, f"/v1/policies/{first}/activate", {"reason": "too mild"})["changed"])
            self.assertEqual(first, self.get(server, "/v1/policy")["policy"])
            self.get(server, "/v1/policies/0000000000000000", status=404)
            listed = self.run_tamis("policy", "ls", "--data", self.data).stdout
            self.assertIn(first, listed)
            self.assertIn("in force", listed)
        other = [p["version"] for p in versions["policies"] if p["version"] != first][0]
        self.assertIn("+    when: signups_per_net >= 3", self.run_tamis("policy", "diff", "--data", self.data, first, other, code=1).stdout)
        self.run_tamis("policy", "activate", "--data", self.data, other, "--reason", "again")
        self.assertIn("decides already", self.run_tamis("policy", "activate", "--data", self.data, other).stdout)

    def test_the_trail_has_changes_and_look_ups_with_who_and_why(self):
        tokens = self.folder / "tokens"
        names = {}
        lines = ""
        for name, role in (("ann", "analyst"), ("sue", "support"), ("root", "admin")):
            made = self.run_tamis("token", name, role)
            names[name] = next(word for word in made.stderr.split() if word.startswith("tok_"))
            lines += made.stdout
        tokens.write_text(lines)
        with self.serve("--tokens", tokens) as server:
            self.post(server, "/v1/labels", {"on": "account", "value": "anna", "name": "w", "author": "eve"}, token=names["ann"])
            self.get(server, "/v1/why/account/anna", token=names["sue"], headers={"Tamis-Reason": "ticket 12"})
            self.get(server, "/v1/why/account/anna?for=analyst", token=names["sue"], status=403)
            self.post(server, "/v1/erase", {"on": "account", "value": "anna", "reason": "x"}, token=names["ann"], status=403)
            self.get(server, "/v1/audit", token=names["ann"], status=403)
            label = self.get(server, "/v1/labels/account/anna", token=names["sue"])["labels"][0]
            self.assertEqual("ann", label["author"], "who asks is the author, whatever the body says")
            trail = self.get(server, "/v1/audit?value=anna", token=names["root"])["lines"]
            self.assertEqual([("sue", "label.look"), ("sue", "why.look"), ("ann", "label.set")],
                             [(line["who"], line["what"]) for line in trail])
            self.assertEqual("ticket 12", trail[1]["why"])
            self.assertEqual(["why.look"], [line["what"] for line in self.get(server, "/v1/audit?what=why.*&since=1d", token=names["root"])["lines"]])
            self.assertTrue(self.get(server, "/v1/audit/verify", token=names["root"])["good"])
        self.assertIn("the trail is whole", self.run_tamis("audit", "verify", "--data", self.data).stdout)
        self.assertIn("ticket 12", self.run_tamis("audit", "--data", self.data, "--who", "sue").stdout)
        trail = next((self.data / "audit").glob("*.jsonl"))
        trail.write_text(trail.read_text().replace("ticket 12", "ticket 13"))
        self.assertIn("broken", self.run_tamis("audit", "verify", "--data", self.data, code=1).stdout)

    def test_the_feed_of_changes_goes_on_where_it_stopped(self):
        with self.serve() as server:
            self.sign_up(server)
            self.post(server, "/v1/labels", {"on": "account", "value": "anna", "name": "a"})
            self.post(server, "/v1/labels", {"on": "event:signup", "value": "s-1", "name": "accept", "reason": "a mistake"})
            self.post(server, "/v1/lists/blocked", {"value": "eve"})
            first = self.get(server, "/v1/changes?limit=2")
            self.assertEqual(["label", "revision"], [c["change"] for c in first["changes"]])
            self.assertTrue(first["more"])
            rest = self.get(server, f"/v1/changes?after={first['next']}")
            self.assertEqual(["list"], [c["change"] for c in rest["changes"]])
            self.assertFalse(rest["more"])
            self.assertEqual([], self.get(server, f"/v1/changes?after={rest['next']}")["changes"])
            self.post(server, "/v1/release", {"on": "account", "value": "anna", "label": "a", "reason": "done"})
            again = self.get(server, f"/v1/changes?after={rest['next']}")["changes"]
            self.assertEqual([("anna", False)], [(c["value"], c["set"]) for c in again])
            revised = self.get(server, "/v1/why/event:signup/s-1")
            self.assertEqual("accept", revised["decisions"][0]["revised"])

    def test_an_address_is_one_in_any_spelling(self):
        with self.serve() as server:
            self.sign_up(server)
            self.post(server, "/v1/decide/signup", signup(9, "bert", ip="2001:db8::1"))
            self.post(server, "/v1/labels", {"on": "ip", "value": "2001:DB8:0::1", "name": "odd"})
            self.post(server, "/v1/labels", {"on": "network", "value": "192.0.2.77/24", "name": "odd"})
            self.post(server, "/v1/truth", {"on": "ip", "value": "2001:DB8:0::1", "label": "bad"})
            for value in ("2001:db8::1", "2001:DB8:0::1"):
                self.assertEqual(["odd"], [label["name"] for label in self.get(server, f"/v1/labels/ip/{value}")["labels"]])
                self.assertEqual("bad", self.get(server, f"/v1/truth/ip/{value}")["label"])
                why = self.get(server, f"/v1/why/ip/{value}")
                self.assertEqual((["odd"], "bad"), ([label["name"] for label in why["labels"]], why["truth"]))
            self.assertIn("odd", [label["name"] for label in self.get(server, "/v1/labels/network/192.0.2.0/24")["labels"]])
            self.post(server, "/v1/labels", {"act": "label_clear", "on": "ip", "value": "2001:DB8::1", "name": "odd"})
            self.assertEqual([], self.get(server, "/v1/labels/ip/2001:db8::1")["labels"])

    def test_queries_and_decisions_are_looked_up_in_the_open(self):
        with self.serve() as server:
            self.sign_up(server)
            self.get(server, "/v1/decisions/signup/s-3?reason=ticket+1")
            self.post(server, "/v1/query", {"sql": "SELECT count(*) FROM signup", "reason": "monthly report"})
            trail = self.get(server, "/v1/audit?limit=2")["lines"]
            self.assertEqual(["query.run", "decision.look"], [line["what"] for line in trail])
            self.assertIn("SELECT count", trail[0]["detail"])
            self.assertEqual("ticket 1", trail[1]["why"])


class Document(Case):
    def test_it_is_served(self):
        with self.serve() as server:
            self.assertEqual(openapi.DOCUMENT, server.get("/v1/openapi.json").json())

    def test_the_other_routes_fit_it(self):
        with self.serve() as server:
            self.sign_up(server)
            for path in ("/healthz", "/readyz", "/v1/policy", "/v1/stats", "/v1/jobs", "/v1/batches", "/v1/digest"):
                self.get(server, path)
            self.post(server, "/v1/checkpoint", "")
            self.post(server, "/v1/policy/validate", {"files": {"a.yaml": "event: x\nfields: {a: int}\n"}})
            self.post(server, "/v1/policy/reload", "")

    def test_the_validator_finds_faults(self):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
        self.assertEqual([], list(openapi.faults(schema, {"a": 1})))
        for bad in ({}, {"a": "1"}, {"a": True}, {"a": 1, "b": 2}, []):
            self.assertTrue(list(openapi.faults(schema, bad)), bad)
        self.assertTrue(list(openapi.faults({"enum": ["x"]}, "y")))
        self.assertTrue(list(openapi.faults({"type": "string", "format": "date-time"}, "yesterday")))


class Erase(Case):
    PLANTED = "planted-8c1f-person"

    def held(self):
        """Files of the data folder in which the value stands, with compressed ones opened."""
        found = []
        for path in sorted(self.data.rglob("*")):
            if not path.is_file():
                continue
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
            elif path.suffix in (".snapshot", ".filled"):
                head, rest = data.split(b"\n", 1)
                data = head
                while (size := int.from_bytes(rest[:4], "little")) > 0:
                    data += subprocess.run(["zstd", "-dc"], input=rest[4:4 + size], capture_output=True, check=True).stdout
                    rest = rest[4 + size:]
            if self.PLANTED.encode() in data:
                found.append(str(path.relative_to(self.data)))
        return found

    def archived_anywhere(self, server):
        """Rows of any table of the archive in which the value stands."""
        return sum(self.archived(server, f"SELECT count(*) FROM {table} t WHERE t::VARCHAR LIKE '%{self.PLANTED}%'")
                   for table in ("signup", "events", "acts"))

    def run_job(self, server, path, body):
        number = self.post(server, path, body, status=202)["job"]
        server.wait_for(lambda: self.get(server, f"/v1/jobs/{number}")["state"] != "running", "the job's end", seconds=60)
        job = self.get(server, f"/v1/jobs/{number}")
        self.assertEqual("done", job["state"], job)
        return job["result"]

    def act_on_the_past(self, server):
        """An action batch with the planted account among its items."""
        return self.run_job(server, "/v1/batches", {"rule": "signup-burst", "apply": True, "reason": "test"})["batch"]

    def channels(self):
        """A webhook to where nobody listens, so that notices wait in the outbox."""
        (self.folder / "secret").write_text("0123456789abcdef-secret\n")
        path = self.folder / "channels.yaml"
        path.write_text(json.dumps({"channels": [{"name": "ops", "url": "http://127.0.0.1:9/", "topics": ["*"], "allow_private": True,
                                                  "secret_file": str(self.folder / "secret")}]}))
        return ("--channels", path)

    def archived(self, server, sql):
        return self.post(server, "/v1/query", {"sql": sql})["rows"][0][0]

    def test_nothing_of_a_person_is_left_in_any_kind_of_file(self):
        """Batches, the outbox and states kept behind activations, beside what the next test looks at."""
        with self.serve(*self.channels()) as server:
            self.sign_up(server, account=self.PLANTED)
            batch = self.act_on_the_past(server)
            self.assertGreater(batch["done"], 0)
            self.post(server, "/v1/labels", {"on": "account", "value": self.PLANTED, "name": "w"})
            self.post(server, "/v1/checkpoint", "")
            (self.policy / "more.yaml").write_text("features:\n  of_account: {set: account, of: signup, by: device, over: 9d}\n"
                                                   "rules:\n  - {id: more, on: signup, when: size(of_account) > 9}\n")
            self.post(server, "/v1/policy/reload", "")
            before = self.held()
            kinds = {name.split("/")[0] for name in before} | {name.rsplit(".", 1)[-1] for name in before}
            self.assertLessEqual({"journal", "snapshots", "audit", "batches", "outbox", "filled"}, kinds, "the test would prove nothing")
            self.assertGreater(self.archived_anywhere(server), 0)
            report = self.post(server, "/v1/erase", {"on": "account", "value": self.PLANTED, "reason": "asked for it"})
            self.assertGreater(report["batch_items"], 0)
            self.assertGreater(report["notices"], 0)
            self.assertEqual([], self.held())
            self.assertEqual(0, self.archived_anywhere(server))
            # What is left of the batch can still be taken back.
            undone = self.run_job(server, f"/v1/batches/{batch['id']}/undo", {"reason": "test"})
            self.assertEqual("undone", undone["state"])

    def test_nothing_of_a_person_is_left(self):
        with self.serve() as server:
            self.sign_up(server, account=self.PLANTED)
            self.post(server, "/v1/labels", {"on": "account", "value": self.PLANTED, "name": "w"})
            self.post(server, "/v1/lists/blocked", {"value": self.PLANTED})
            self.post(server, "/v1/truth", {"on": "account", "value": self.PLANTED, "label": "bad"})
            self.get(server, f"/v1/why/account/{self.PLANTED}")
            self.post(server, "/v1/checkpoint", "")
            before = {name.split("/")[0] for name in self.held()}
            self.assertLessEqual({"journal", "snapshots", "audit"}, before, "the test would prove nothing")
            report = self.post(server, "/v1/erase", {"on": "account", "value": self.PLANTED, "reason": "asked for it"})
            self.assertEqual(4, report["journal_records"], report)
            self.assertEqual(4, report["archive_rows"], report)
            self.assertEqual((2, 1), (report["labels"], report["list_entries"]))
            self.assertGreaterEqual(report["feature_keys"] + report["others_keys"], 1)
            self.assertEqual(3, self.archived(server, "SELECT count(*) FROM signup"))
            self.assertEqual(0, self.archived(server, "SELECT count(*) FROM acts"))
            digest = self.get(server, "/v1/digest")
            self.assertEqual([], self.held())
            again = self.post(server, "/v1/erase", {"on": "account", "value": self.PLANTED, "reason": "once more"})
            self.assertEqual(0, again["journal_records"] + again["archive_rows"])
            self.assertTrue(self.get(server, "/v1/audit/verify")["good"])
            server.kill()
        with self.serve() as server:  # recovered from the new snapshot
            self.assertEqual(digest["digest"], self.get(server, "/v1/digest")["digest"])
            self.assertEqual(0, self.get(server, f"/v1/why/account/{self.PLANTED}")["events"])
            self.assertEqual([], [name for name in self.held() if not name.startswith("audit")])

    def test_a_kill_in_the_middle_leaves_no_half(self):
        """Whenever the plug is pulled, the next start serves the person whole, if nothing had begun, or not at all."""
        seed = int(os.environ.get("TAMIS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
        chance, finished = random.Random(seed), 0
        for turn in range(int(os.environ.get("TAMIS_CRASHES", "6"))):
            with self.subTest(seed=seed, turn=turn):
                begun = self.kill_an_erasure(chance, turn)
                finished += begun
                # As it is left by a kill while the note itself was being written.
                (self.data / "erasing.json.tmp.7.0").write_text(json.dumps({"on": "account", "value": self.PLANTED}))
                with self.serve() as server:
                    self.assertFalse((self.data / "erasing.json.tmp.7.0").exists())
                    self.assertFalse((self.data / "erasing.json").exists())
                    why = self.get(server, f"/v1/why/account/{self.PLANTED}")
                    rows = self.archived(server, f"SELECT count(*) FROM signup WHERE account = '{self.PLANTED}'")
                    held = [name for name in self.held() if not name.startswith("audit")]
                    if begun or not held:
                        self.assertEqual([], held)
                        self.assertEqual((0, 0), (why["events"], rows))
                    else:
                        self.assertEqual((3, 3), (why["events"], rows))
                    self.post(server, "/v1/erase", {"on": "account", "value": self.PLANTED, "reason": "once more"})
                    self.assertEqual([], [name for name in self.held() if not name.startswith("audit")])
                    self.assertTrue(self.get(server, "/v1/audit/verify")["good"])
        print(f"seed {seed}: {finished} erasures were finished by the next start", file=sys.stderr)

    def kill_an_erasure(self, chance, turn):
        """Whether the note of what is being erased was there when the server was gone."""
        with self.serve() as server:
            for number in range(3):
                self.post(server, "/v1/decide/signup", signup(f"{turn}-{number}", self.PLANTED))
            self.post(server, "/v1/decide/signup", signup(f"{turn}-other", "somebody"))
            self.act_on_the_past(server)
            self.post(server, "/v1/labels", {"on": "account", "value": self.PLANTED, "name": "w"})
            self.post(server, "/v1/checkpoint", "")

            def erase():
                try:
                    server.post("/v1/erase", {"on": "account", "value": self.PLANTED, "reason": "asked"}, seconds=20)
                except (OSError, ValueError, harness.http.client.HTTPException):
                    pass  # the plug was pulled

            asking = threading.Thread(target=erase)
            asking.start()
            # Half of the kills wait until it has begun, so that many hit the middle.
            note = self.data / "erasing.json"
            if chance.random() < 0.5:
                server.wait_for(lambda: note.exists() or not asking.is_alive(), "an erasure")
            time.sleep(chance.random() * 0.06)
            server.kill()
            asking.join()
        return note.exists()

    def test_the_command_wants_to_be_told_twice(self):
        with self.serve() as server:
            self.sign_up(server, account=self.PLANTED)
        command = ["erase", "--data", self.data, "account", self.PLANTED, "--reason", "asked"]
        self.assertIn("cannot be undone", self.run_tamis(*command, code=2).stderr)
        self.assertIn("rows of the archive", self.run_tamis(*command, "--yes").stdout)
        self.assertEqual([], self.held())


if __name__ == "__main__":
    unittest.main()
