"""Proof of work: a challenge is issued, solved here as a browser would, verified once, and told to the policy. The files for
browsers are served, and the worker among them finds what the server takes (with Node, where it is installed)."""

import hashlib
import json
import shutil
import subprocess
import unittest

import harness


def solve(issued):
    """The numbers that the challenge asks for."""
    solution = []
    for i in range(issued["count"]):
        n = 0
        while int.from_bytes(hashlib.sha256(f"{issued['challenge']}:{i}:{n}".encode()).digest(), "big") >> (256 - issued["bits"]):
            n += 1
        solution.append(n)
    return solution


class Challenge(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.server = harness.Server(harness.READY_POLICY, self.folder / "data")
        self.server.__enter__()
        self.addCleanup(self.server.kill)

    def issue(self, **what):
        answer = self.server.post("/v1/challenges", what)
        self.assertEqual(200, answer.status, answer)
        return answer.json()

    def verify(self, issued, solution, **what):
        answer = self.server.post("/v1/challenges/verify", {"challenge": issued["challenge"], "solution": solution, **what})
        self.assertEqual(200, answer.status, answer)
        return answer.json()

    def test_work_is_told_to_the_policy(self):
        what = {"on": "account", "value": "a1", "type": "login", "id": "7"}
        issued = self.issue(**what, risk=0.1)
        solution = solve(issued)
        self.assertEqual("other", self.verify(issued, solution, **{**what, "value": "a2"})["outcome"])
        self.assertEqual("wrong", self.verify(issued, solution[:-1], **what)["outcome"])
        done = self.verify(issued, solution, **what, event={"ip": "192.0.2.1", "passed": False})
        self.assertEqual((True, "passed"), (done["passed"], done["outcome"]))
        self.assertEqual("challenge", done["decision"]["type"])
        self.assertEqual([], done["decision"]["rules"])  # the features worked_... count it for this address
        self.assertEqual("repeated", self.verify(issued, solution, **what)["outcome"])
        labels = lambda: [label["name"] for label in self.server.get("/v1/labels/account/a1").json()["labels"]]
        self.assertEqual([], labels())
        issued = self.issue(**what, risk=0.1)
        self.assertEqual(["challenge-worked"], self.verify(issued, solve(issued), **what)["decision"]["rules"])
        self.assertEqual(["worked"], labels())
        self.server.stop()
        rows = self.run_tamis("query", "--data", self.folder / "data", "SELECT account, ip, passed, proves FROM challenge ORDER BY time, passed DESC", "--csv").stdout.split()
        self.assertIn("a1,192.0.2.1,true,work", rows)
        self.assertEqual(3, sum(row.endswith("false,work") for row in rows), rows)

    def test_risk_is_work(self):
        bits = [self.issue(on="ip", value="192.0.2.1", risk=risk)["bits"] for risk in (0, 0.5, 1)]
        self.assertEqual(sorted(set(bits)), bits)

    def test_what_is_refused(self):
        for body in ({}, {"on": "account"}, {"on": "account", "value": "a", "risk": 2}, {"on": "account", "value": "a" * 600}, {"on": "a", "value": "b", "rsk": 1}):
            self.assertEqual(400, self.server.post("/v1/challenges", body).status, body)
        for body in ({"on": "a", "value": "b"}, {"on": "a", "value": "b", "challenge": "x", "solution": [-1]}, {"on": "a", "value": "b", "challenge": "x", "solution": "7"},
                     {"on": "a", "value": "b", "challenge": "x", "solution": [], "event": 7}):
            self.assertEqual(400, self.server.post("/v1/challenges/verify", body).status, body)
        for text in ("x", "tamis1.1.1.9999999999999.00.00.00"):
            self.assertEqual("foreign", self.verify({"challenge": text}, [1], on="a", value="b")["outcome"])

    def test_a_client_that_cannot_be_used_is_told_before_the_work_is_spent(self):
        what = {"on": "account", "value": "a1"}
        issued = self.issue(**what, risk=0)
        solution = solve(issued)
        for client, said in [({"ip": "garbage"}, '"ip": expected an IP address'), ({"ip": ""}, '"ip"'), ({"ip": 7}, '"ip"'), ({"ip": ["192.0.2.1"]}, '"ip"'), ({"ip": "192.0.2.1:443"}, '"ip"'),
                             ({"cookie": ""}, '"cookie": expected text'), ({"cookie": 7}, '"cookie"'), ({"cookie": {"a": 1}}, '"cookie"'), ({"cookie": "c" * 600}, '"cookie"'),
                             ("192.0.2.1", '"event": expected an object'), ([], '"event"')]:
            answer = self.server.post("/v1/challenges/verify", {"challenge": issued["challenge"], "solution": solution, **what, "event": client})
            self.assertEqual(400, answer.status, (client, answer))
            self.assertIn(said, answer.json()["message"])
        self.assertEqual([], self.server.get("/v1/labels/account/a1").json()["labels"])
        self.assertEqual("passed", self.verify(issued, solution, **what, event={"ip": "2001:db8::1", "cookie": None})["outcome"])
        for value in ("garbage", "192.0.2", "é" * 100):
            answer = self.server.post("/v1/challenges", {"on": "ip", "value": value})
            self.assertEqual(400, answer.status, value)
            self.assertIn("expected an IP address", answer.json()["message"])

    def test_what_browsers_load(self):
        page = self.server.get("/v1/challenges/challenge.html")
        self.assertIn("text/html", page.headers["Content-Type"])
        self.assertIn("<noscript>", page.text())
        self.assertIn('lang="en"', page.text())
        script = self.server.get("/v1/challenges/challenge.js")
        self.assertIn("text/javascript", script.headers["Content-Type"])
        for needed in ('"button"', '"role", "status"', '"aria-live", "polite"', "progress"):
            self.assertIn(needed, script.text())
        self.assertEqual(200, self.server.get("/v1/challenges/challenge_worker.js").status)

    @unittest.skipUnless(shutil.which("node"), "not installed: node")
    def test_the_worker_finds_what_the_server_takes(self):
        what = {"on": "account", "value": "a9"}
        issued = self.issue(**what, risk=0)
        worker = self.folder / "worker.js"
        worker.write_text("globalThis.self = globalThis; globalThis.crypto ??= require('crypto').webcrypto; globalThis.postMessage = (m) => "
                          "{ if (m.solution) console.log(JSON.stringify(m.solution)); };\n"
                          + self.server.get("/v1/challenges/challenge_worker.js").text().replace("self.postMessage", "globalThis.postMessage")
                          + "\nself.onmessage({ data: " + json.dumps(issued) + " });\n")
        done = subprocess.run(["node", str(worker)], capture_output=True, text=True, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("passed", self.verify(issued, json.loads(done.stdout), **what)["outcome"])


if __name__ == "__main__":
    unittest.main()
