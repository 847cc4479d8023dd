"""What leaves: signed webhooks of decisions and acts, through crashes, dead receivers and dead letters."""

import hashlib
import hmac
import http.server
import json
import threading
import time
import unittest

import harness

SECRET = "0123456789abcdef-secret"
POLICY = """
event: login
fields:
  account: account
  ok: bool
verdicts: [accept, reject]
---
lists:
  blocked: {kind: string, managed: true}
---
rules:
  - id: tell-failure
    on: login
    when: "!ok"
    mode: live
    then:
      notify: {channel: ops, message: "failed login of {account}"}
"""


class Receiver:
    """Takes webhooks, checks their signatures, and answers with `status`; 0 closes the connection without an answer."""

    def __init__(self):
        self.status, self.came, self.forged = 200, [], 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.headers, body)
                if receiver.status == 0:
                    self.close_connection = True
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, headers, body):
        parts = [part.split("=", 1) for part in headers["Tamis-Signature"].split(",")]
        stamp = next(value for name, value in parts if name == "t")
        expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        good = any(name == "v1" and value == expected for name, value in parts) and abs(time.time() - int(stamp)) < 300
        self.forged += not good
        self.came.append((headers["Idempotency-Key"], headers["Tamis-Topic"], json.loads(body), int(headers["Tamis-Attempt"])))

    def keys(self):
        return [key for key, *_ in self.came]

    def of(self, topic):
        return [body for _, name, body, _ in self.came if name == topic]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Outbox(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write_policy({"policy.yaml": POLICY})
        self.data = self.folder / "data"
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        (self.folder / "secret").write_text(SECRET + "\n")
        self.channels = self.folder / "channels.yaml"
        self.write_channels()

    def write_channels(self, **more):
        channel = {"name": "ops", "url": f"http://127.0.0.1:{self.receiver.server.server_port}/hook", "secret_file": "secret",
                   "topics": ["*"], "allow_private": True, "backoff_first": "20ms", "backoff_max": "100ms", **more}
        self.channels.write_text(json.dumps({"channels": [channel]}))

    def serve(self, *arguments):
        return harness.Server(self.policy, self.data, "--deadline-ms", "5000", "--channels", self.channels, *arguments)

    def login(self, server, number, ok=False):
        answer = server.post("/v1/decide/login", {"id": f"l{number}", "account": f"a{number}", "ok": ok})
        self.assertEqual(200, answer.status, answer)
        return answer.json()

    def outbox(self, *arguments, code=0):
        return self.run_tamis("outbox", "--data", self.data, *arguments, code=code)

    def test_decisions_and_acts_are_told(self):
        with self.serve() as server:
            self.login(server, 1)
            self.login(server, 2, ok=True)
            for path, act in [("/v1/labels", {"on": "account", "value": "a1", "name": "locked", "author": "eve", "reason": "calls"}),
                              ("/v1/labels", {"act": "label_clear", "on": "account", "value": "a1", "name": "locked"}),
                              ("/v1/lists/blocked", {"value": "x"}),
                              ("/v1/lists/blocked", {"act": "list_remove", "value": "x"}),
                              ("/v1/labels", {"on": "event:login", "value": "l1", "name": "reject"}),
                              ("/v1/labels", {"act": "label_clear", "on": "event:login", "value": "l1", "name": "reject"}),
                              ("/v1/truth", {"on": "account", "value": "a1", "label": "bad"})]:
                self.assertEqual(200, server.post(path, act).status)
            server.wait_for(lambda: len(self.receiver.came) == 7, "seven notices")
            time.sleep(0.1)
            self.assertEqual(7, len(self.receiver.came))
            stats = server.get("/v1/outbox").json()
            self.assertEqual((7, 0, 0), tuple(stats["channels"][0][key] for key in ("delivered", "queued", "dead")))
            self.assertIn('tamis_outbox_delivered_total{channel="ops"} 7', server.get("/metrics").text())
        self.assertEqual(0, self.receiver.forged)
        [told] = self.receiver.of("notify.ops")
        self.assertEqual(("login", "l1", "tell-failure", "failed login of a1", "accept"),
                         tuple(told[key] for key in ("type", "id", "rule", "message", "verdict")))
        self.assertEqual({"time", "policy", "record", "topic"}, set(told) - {"type", "id", "rule", "message", "verdict"})
        self.assertEqual(("locked", "eve", "calls"), tuple(self.receiver.of("label.set")[0][k] for k in ("name", "author", "reason")))
        self.assertEqual("a1", self.receiver.of("label.cleared")[0]["value"])
        self.assertEqual("x", self.receiver.of("list.added")[0]["value"])
        self.assertEqual("blocked", self.receiver.of("list.removed")[0]["list"])
        changed = sorted(self.receiver.of("decision.changed"), key=lambda body: body["record"])
        self.assertEqual(["reject", None], [body["verdict"] for body in changed])
        self.assertEqual(["revision_set", "revision_cleared"], [body["change"] for body in changed])
        self.assertEqual(7, len(set(self.receiver.keys())))

    def test_killed_between_decision_and_delivery(self):
        self.receiver.status = 503
        with self.serve() as server:
            for number in range(20):
                self.login(server, number)
            # An act is durable when it is answered, with all that came before it.
            self.assertEqual(200, server.post("/v1/labels", {"on": "account", "value": "a1", "name": "x"}).status)
            server.wait_for(lambda: self.receiver.came, "an attempt")
            server.kill()
        before = dict((body.get("id"), key) for key, _, body, _ in self.receiver.came)
        # The worst case: the crash came before the outbox had committed anything.
        for path in (self.data / "outbox").iterdir():
            path.unlink()
        self.receiver.came.clear()
        self.receiver.status = 200
        with self.serve() as server:
            server.wait_for(lambda: len(self.receiver.came) == 21, "all notices again")
        after = dict((body.get("id"), key) for key, _, body, _ in self.receiver.came)
        self.assertEqual({f"l{number}" for number in range(20)} | {None}, set(after))
        for event, key in before.items():
            self.assertEqual(key, after[event])
        with self.serve() as server:  # a clean stop leaves nothing to tell
            self.login(server, 99)
            server.wait_for(lambda: len(self.receiver.came) == 22, "the new one")
        self.assertEqual(22, len(set(self.receiver.keys())))
        self.assertEqual(0, self.receiver.forged)

    def test_a_dead_receiver_backs_off_and_comes_back(self):
        self.receiver.status = 0
        with self.serve() as server:
            self.login(server, 1)
            server.wait_for(lambda: server.get("/v1/outbox").json()["channels"][0]["failed"] >= 3, "three failures")
            channel = server.get("/v1/outbox").json()["channels"][0]
            self.assertEqual(1, channel["queued"])
            self.assertNotEqual("", channel["last_error"])
            attempts = len(self.receiver.came)
            self.assertLess(attempts, 40)
            self.assertIn("1 waiting, 0 dead", self.outbox("ls").stdout)
            self.receiver.status = 204
            server.wait_for(lambda: server.get("/v1/outbox").json()["channels"][0]["queued"] == 0, "the delivery", 20)
        self.assertEqual(1, len(set(self.receiver.keys())))
        self.assertEqual(sorted(one[3] for one in self.receiver.came), [one[3] for one in self.receiver.came])

    def test_dead_letters_are_shown_and_tried_again(self):
        self.receiver.status = 410
        with self.serve() as server:
            for number in range(3):
                self.login(server, number)
            server.wait_for(lambda: server.get("/v1/outbox").json()["channels"][0]["dead"] == 3, "three dead letters")
            items = server.get("/v1/outbox/items?dead=1&bodies=1").json()["items"]
            self.assertEqual([410] * 3, [item["last_status"] for item in items])
            self.assertEqual("account:a0", items[0]["order"])
            self.assertEqual("l0", items[0]["body"]["id"])
            self.assertEqual([], server.get("/v1/outbox/items").json()["items"])
            self.assertRegex(self.outbox("ls", "--dead", "--bodies").stdout, r"dead .*notify\.ops  account:a0\n.*HTTP 410")
            for body in ({}, {"ids": "x"}, {"ids": [1], "all": True}, {"idz": [1]}):
                self.assertEqual(400, server.post("/v1/outbox/retry", body).status, body)
            self.assertEqual(400, server.get("/v1/outbox/items?limit=9999999").status)
            self.assertIn("needs ids", self.outbox("retry", code=2).stderr)
            self.assertEqual({"count": 1}, server.post("/v1/outbox/drop", {"ids": [items[2]["id"], 999]}).json())
            self.receiver.status = 200
            self.assertEqual("1 will be tried again\n", self.outbox("retry", items[0]["id"]).stdout)
            server.wait_for(lambda: server.get("/v1/outbox").json()["channels"][0]["delivered"] == 1, "the delivery")
        # The last one without a server: it leaves with the next.
        done = self.outbox("retry", "--all")
        self.assertIn("1 will be tried again", done.stdout)
        self.assertIn("serve --channels", done.stderr)
        self.assertIn("not delivered: no server runs with this channel", self.outbox("ls").stdout)
        self.receiver.came.clear()
        with self.serve() as server:
            server.wait_for(lambda: len(self.receiver.came) == 1, "the last one")
        self.assertEqual("l1", self.receiver.came[0][2]["id"])

    def test_an_import_tells_nothing_and_commands_are_told_later(self):
        with self.serve() as server:
            self.login(server, 1)
            server.wait_for(lambda: self.receiver.came, "the notice")
        now = int(time.time() * 1000)
        past = self.folder / "past.jsonl"
        past.write_text("".join(json.dumps({"id": f"p{i}", "type": "login", "time": now + i, "account": "a", "ok": False}) + "\n"
                                for i in range(5)))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", past)
        done = self.run_tamis("act", "--data", self.data, "--policy", self.policy_that_rejects(), "--rule", "tell-failure",
                              "--since", "1d", "--apply", "--json", "--quiet")
        self.assertEqual(6, json.loads(done.stdout)["batch"]["changed"])
        with self.serve() as server:
            server.wait_for(lambda: len(self.receiver.of("decision.changed")) == 6, "what the command did")
            time.sleep(0.1)
        self.assertEqual(["l1"], [body["id"] for body in self.receiver.of("notify.ops")])
        self.assertEqual({"reject"}, {body["verdict"] for body in self.receiver.of("decision.changed")})
        # Taken back, the decisions are in force as they were made.
        self.run_tamis("undo", "--data", self.data, "--quiet", json.loads(done.stdout)["batch"]["id"])
        self.receiver.came.clear()
        with self.serve() as server:
            server.wait_for(lambda: len(self.receiver.of("decision.changed")) == 6, "what the undo did")
        undone = self.receiver.of("decision.changed")
        self.assertEqual({("revision_cleared", "accept")}, {(body["change"], body["verdict"]) for body in undone})

    def policy_that_rejects(self):
        return self.write_files("rejects", {"policy.yaml": POLICY.replace("    then:\n", "    then:\n      verdict: reject\n")})

    def test_faults_of_channels_are_told(self):
        self.write_channels(topics=["decision.change"])
        done = self.run_tamis("serve", "--policy", self.policy, "--data", self.data, "--channels", self.channels, code=2)
        self.assertRegex(done.stderr, r"channels\.yaml:1:\d+: error: `decision.change` is no topic")
        self.write_channels(secret_file="nowhere")
        done = self.run_tamis("serve", "--policy", self.policy, "--data", self.data, "--channels", self.channels, code=2)
        self.assertIn('channel "ops"', done.stderr)
        self.assertIn("nowhere", done.stderr)
        with harness.Server(self.policy, self.folder / "other") as server:
            self.assertEqual(404, server.get("/v1/outbox").status)
            self.assertIn("--channels", server.get("/v1/outbox").json()["message"])


if __name__ == "__main__":
    unittest.main()
