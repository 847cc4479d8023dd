"""Backtests, searches and actions on the past over HTTP: requests and answers are what docs/openapi.json says."""

import time
import unittest

import openapi
from support_test import EVENTS, RULES, Case

TRUTH = "type,id,label\nsignup,s-3,bad\nsignup,s-0,good\n"
SCHEMAS = openapi.DOCUMENT["components"]["schemas"]


class Past(Case):
    def job(self, server, path, body, schema, state="done"):
        """Runs a job to its end; its result, which fits `schema`."""
        number = self.post(server, path, body, status=202)["job"]
        deadline = time.monotonic() + 60
        while (job := self.get(server, f"/v1/jobs/{number}"))["state"] == "running" and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(state, job["state"], job)
        if state == "done":
            self.assertEqual([], list(openapi.faults(SCHEMAS[schema], job["result"])))
        return job.get("result", job.get("error"))

    def test_backtests_searches_and_batches(self):
        with self.serve() as server:
            self.sign_up(server)
            backtest = self.job(server, "/v1/backtests", {"rule": "signup-burst", "truth": TRUTH}, "Backtest")
            self.assertEqual((4, 2, 0), (backtest["events"], backtest["matched"], backtest["events_gone"]))
            self.assertEqual(1.0, backtest["precision"])
            replayed = self.job(server, "/v1/backtests", {"replay": True, "from": "1d", "samples": 0}, "Backtest")
            self.assertFalse(replayed["columnar"])
            found = self.job(server, "/v1/find", {"expression": "account == 'anna'", "types": ["signup"], "facets": ["device"]}, "Found")
            self.assertEqual((1, True), (found["count"], found["columnar"]))
            self.job(server, "/v1/find", {"expression": "labels(account).size() > 0", "types": "signup"}, "Found")
            preview = self.job(server, "/v1/batches", {"rule": "signup-burst", "keep": True}, "Acted")
            batch = preview["batch"]["id"]
            self.assertEqual("planned", self.get(server, f"/v1/batches/{batch}")["batch"]["state"])
            self.job(server, f"/v1/batches/{batch}/apply", {"cap": 100, "rate": 0, "reason": "test"}, "BatchInfo")
            self.assertEqual("applied", self.get(server, f"/v1/batches/{batch}")["batch"]["state"])
            undone = self.job(server, f"/v1/batches/{batch}/undo", "", "BatchInfo")
            self.assertEqual("undone", undone["state"])
            applied = self.job(server, "/v1/batches", {"rule": "known-bad", "apply": True}, "Acted")
            self.assertNotIn("batch", applied, "it matches nothing")
            self.assertEqual(1, len(self.get(server, "/v1/batches")["batches"]))
            self.get(server, "/v1/jobs")

    def test_the_preview_of_a_verdict_tells_whom_it_hits(self):
        with self.serve() as server:
            self.sign_up(server, 6)
            policy = {"events.yaml": EVENTS, "rules.yaml": RULES + "  - {id: all, on: signup, when: 'account != \"other-1\"', then: reject}\n"}
            body = {"rule": "all", "files": policy, "truth": "type,id,label\nsignup,s-0,good\nsignup,s-5,bad\nsignup,s-1,good\n"}
            seen = self.job(server, "/v1/batches", body, "Acted")["preview"]
            self.assertEqual((6, 5, 1, 1, 0.5), tuple(seen[key] for key in ("events", "matched", "matched_good", "matched_bad", "matched_good_share")))
            self.assertEqual((5, 5), (seen["entities"], seen["revisions"]))
            self.assertEqual("other-0", seen["oldest"][0]["value"])
            self.assertEqual((5, 5, 5), (len(seen["most_trusted"]), len(seen["samples"]), len(seen["revised"])))
            revised = {event["id"]: (event["was"], event["becomes"], event["truth"]) for event in seen["revised"]}
            self.assertEqual({("accept", "reject", "good"), ("challenge", "reject", "bad")}, {revised["s-0"], revised["s-5"]})
            body["truth"] = "entity,value,label\naccount,anna,good\n"
            seen = self.job(server, "/v1/batches", body, "Acted")["preview"]
            self.assertEqual((1, 0, 1, 0), tuple(seen[key] for key in ("matched_good", "matched_bad", "known_good", "known_bad")))
            self.assertEqual(("anna", "good"), tuple(seen["most_trusted"][0][key] for key in ("value", "truth")))
            error = self.job(server, "/v1/batches", {"rule": "signup-brust"}, None, state="failed")
            self.assertIn("did you mean \"signup-burst\"", error)

    def test_who_takes_a_batch_back_is_told(self):
        with self.serve() as server:
            self.sign_up(server)
            rule = "  - {id: all, on: signup, when: 'account != \"\"', then: {label: {on: account, name: bulk, for: 1d}}}\n"
            body = {"rule": "all", "files": {"events.yaml": EVENTS, "rules.yaml": RULES + rule}, "apply": True}
            batch = self.job(server, "/v1/batches", body, "Acted")["batch"]
            after = self.get(server, "/v1/changes")["next"]
            self.job(server, f"/v1/batches/{batch['id']}/undo", {"reason": "ticket 9"}, "BatchInfo")
            changes = [change for change in self.get(server, f"/v1/changes?after={after}")["changes"] if not change["set"]]
            self.assertTrue(changes)
            self.assertEqual({batch["author"]}, {change["by"] for change in changes})

    def test_jobs_that_fail(self):
        with self.serve() as server:
            self.sign_up(server)
            for path, body in (("/v1/backtests", {"rule": "none"}), ("/v1/backtests", {"truth": "a,b\n"}),
                               ("/v1/backtests", {"files": {"a.yaml": "event: 7"}}), ("/v1/backtests", {"from": "1d", "to": "2d"}),
                               ("/v1/find", {"expression": "acount == ''"}), ("/v1/find", {}), ("/v1/batches", {}),
                               ("/v1/batches", {"rule": "signup-burst", "cap": 0})):
                self.assertTrue(self.job(server, path, body, None, state="failed"), (path, body))

    def test_bad_requests_are_answered_at_once(self):
        with self.serve() as server:
            for path, body in (("/v1/backtests", {"rulez": "x"}), ("/v1/backtests", "[]"), ("/v1/backtests", "{"), ("/v1/find", {"row": 1})):
                self.post(server, path, body, status=400)
            self.post(server, "/v1/batches/none/apply", {"rate": 1}, status=404)
            self.post(server, "/v1/batches/none/apply", {"rate": -1}, status=400)
            self.get(server, "/v1/batches/none", status=404)
            self.get(server, "/v1/jobs/77", status=404)

    def test_the_examples_fit_their_schemas(self):
        checked = 0
        for where, schema, example in openapi.examples(SCHEMAS, "schemas"):
            self.assertEqual([], list(openapi.faults(schema, example)), where)
            checked += 1
        self.assertGreater(checked, 20)
        for path in ("/v1/backtests", "/v1/find", "/v1/batches"):
            media = openapi.DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            for name, example in media["examples"].items():
                self.assertEqual([], list(openapi.faults(media["schema"], example["value"])), (path, name))


if __name__ == "__main__":
    unittest.main()
