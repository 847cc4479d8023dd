"""The server as its callers and its operator meet it: routes, errors, reloads, lists and labels, tokens, TLS, limits."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

import harness

# Without ids: each is an event of its own, however often it is sent. One with an id is the same event when it comes again.
SIGNUP = {"acct": "a1", "ip": "192.0.2.1", "fp": "d1", "fill_ms": 9000}
LOGIN = {"acct": "a1", "ip": "192.0.2.1", "fp": "d1", "ok": True}


def lines(*events):
    return "".join((event if isinstance(event, str) else json.dumps(event)) + "\n" for event in events)


class ServerCase(harness.TestCase):
    """One server for the tests of a class that do not disturb each other."""

    arguments = ("--deadline-ms", "5000")  # of a machine that is busy with other things, too

    def setUp(self):
        super().setUp()
        self.policy = self.folder / "policy"
        shutil.copytree(harness.POLICY, self.policy)

    def serve(self, *arguments, data="data", **options):
        return harness.Server(self.policy, self.folder / data, *self.arguments, *arguments, **options)

    def edit(self, name, old, new):
        path = self.policy / name
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))

    def version(self):
        return json.loads(self.run_tamis("check", "--json", self.policy).stdout)["policy"]

    def assert_error(self, answer, status, word, message):
        self.assertEqual((status, word), (answer.status, answer.json()["error"]), answer)
        self.assertRegex(answer.json()["message"], message)


class Decide(ServerCase):
    def test_the_decision_object(self):
        with self.serve() as server:
            answer = server.post("/v1/decide/signup", {**SIGNUP, "id": "s1"})
            self.assertEqual(200, answer.status)
            self.assertEqual("application/json", answer.headers["Content-Type"])
            self.assertEqual({"id": "s1", "type": "signup", "verdict": "accept", "points": 0.0, "score": 0.0, "rules": ["queue"],
                              "features": {"signups_per_net_1h": 0}, "policy": self.version(), "values": {"queue": "default"}},
                             answer.json())
            for number in range(1, 5):
                answer = server.post("/v1/decide/signup", {**SIGNUP, "acct": f"b{number}", "ip": f"192.0.2.{number}"})
                self.assertEqual(number, answer.json()["features"]["signups_per_net_1h"])
            sixth = server.post("/v1/decide/signup?explain=1", SIGNUP).json()
            self.assertEqual(("challenge", 50.0, 0.5), (sixth["verdict"], sixth["points"], sixth["score"]))
            self.assertEqual(["signup-burst", "queue"], sixth["rules"])
            self.assertEqual(["5 signups from 192.0.2.0/24 within an hour"], sixth["reasons"])
            self.assertEqual([{"on": "network", "value": "192.0.2.0/24", "name": "burst"}], sixth["labels"])
            self.assertIn({"rule": "signup-burst", "when": "signups_per_net_1h >= 5", "read": {"signups_per_net_1h": 5}},
                          sixth["conditions"])
            # Not asked for, not made; and the label of the sixth is there for the seventh.
            seventh = server.post("/v1/decide/signup?explain=0", SIGNUP).json()
            self.assertNotIn("conditions", seventh)
            self.assertEqual(80.0, seventh["points"])
            self.assertEqual(["signup-burst", "signup-marked-network", "queue"], seventh["rules"])

    def test_answers_end_their_line(self):
        with self.serve() as server:
            for method, path, body in [("POST", "/v1/decide/login", LOGIN), ("POST", "/v1/decide/login", "x"), ("GET", "/healthz", None),
                                       ("GET", "/readyz", None), ("GET", "/v1/policy", None), ("POST", "/v1/policy/reload", None),
                                       ("GET", "/v1/stats", None), ("POST", "/v1/events", "x"), ("GET", "/v1/labels/account/a", None),
                                       ("POST", "/v1/lists/blocked_devices", {"value": "x"})]:
                answer = server.request(method, path, body)
                self.assertRegex(answer.text(), r"^\{[^\n]*\}\n$", path)

    def test_shadow_rules_only_watch(self):
        with self.serve() as server:
            answer = server.post("/v1/decide/login", {**LOGIN, "ok": False}).json()
            self.assertEqual(("accept", 0.0, []), (answer["verdict"], answer["points"], answer["rules"]))
            self.assertEqual(["login-failed"], answer["shadow"])

    def test_an_event_without_id_and_time(self):
        with self.serve() as server:
            first = server.post("/v1/decide/session", {"acct": "a"}).json()
            second = server.post("/v1/decide/session", {"acct": "a"}).json()
            self.assertEqual(("n1", "n2"), (first["id"], second["id"]))

    def test_errors(self):
        with self.serve() as server:
            self.assert_error(server.post("/v1/decide/signups", SIGNUP), 404, "not_found", 'no event type "signups".*signup')
            self.assert_error(server.post("/v1/decide/login", {"ok": "yes"}), 400, "invalid",
                              r'field "success" \(at "ok"\): expected bool, found string "yes"')
            self.assert_error(server.post("/v1/decide/login", {}), 400, "invalid", r'"success" \(at "ok"\) is required')
            self.assert_error(server.post("/v1/decide/login", '{"ok": tru'), 400, "invalid", "not valid JSON at byte")
            self.assert_error(server.post("/v1/decide/login", "[]"), 400, "invalid", "expected a JSON object")
            self.assert_error(server.post("/v1/decide/login", ""), 400, "invalid", ".")
            self.assert_error(server.post("/v1/decide/login", "{" + " " * (2 << 20) + "}"), 413, "too_large", ".")
            self.assert_error(server.get("/v1/decide/login"), 405, "method_not_allowed", "POST")
            self.assert_error(server.get("/v1/nothing"), 404, "not_found", ".")
            # None of these counted as a decision, and the server goes on.
            stats = server.get("/v1/stats").json()
            self.assertEqual((0, 6), (stats["decided"], stats["refused"]))
            self.assertEqual(200, server.post("/v1/decide/login", LOGIN).status)

    def test_a_bad_line_in_a_stream_harms_no_other(self):
        with self.serve() as server:
            body = lines({**LOGIN, "type": "login", "id": "l1"}, "garbage", "", {"type": "nope"}, {"type": "login"}, "[1]", "x" * 2_000_000,
                         {**SIGNUP, "type": "signup", "id": "s1"}).rstrip("\n")
            answer = server.post("/v1/decide", body)
            self.assertEqual((200, "application/x-ndjson"), (answer.status, answer.headers["Content-Type"]))
            out = answer.lines()
            self.assertEqual(7, len(out))  # the empty line is none
            self.assertEqual(["l1", "s1"], [out[0]["id"], out[6]["id"]])
            self.assertEqual([2, 4, 5, 6, 7], [line["line"] for line in out[1:6]])
            for line, message in zip(out[1:6], ["not valid JSON", 'no event type "nope"', '"success" (at "ok") is required',
                                                "expected a JSON object", "too long"]):
                self.assertIn(message, line["message"])

    def test_a_stream_gets_its_explanations(self):
        with self.serve() as server:
            out = server.post("/v1/decide?explain=1", lines({"type": "login", "ok": False}))
            self.assertEqual([{"rule": "login-failed", "when": "!success", "read": {"success": False}}],
                             out.lines()[0]["conditions"])

    def test_a_long_stream_takes_constant_memory(self):
        # Without a data folder, which keeps up to checkpoint_records events and their decisions for the archive.
        command = [harness.binary(), "serve", "--policy", self.policy, "--listen", "127.0.0.1:0", *self.arguments]
        with harness.Process(command, self.folder / "serve.log") as server:
            event = json.dumps({"type": "session", "acct": "a", "ip": "192.0.2.1", "ua": "x" * 150}).encode() + b"\n"
            with server.stream("/v1/decide") as stream:
                stream.exchange([event * 100] * 20)
            before = server.memory_kib()
            with server.stream("/v1/decide") as stream:
                out = stream.exchange([event * 100] * 1000)
            self.assertEqual(100_000, len(out))
            self.assertEqual("n2001", json.loads(out[0])["id"])
            self.assertEqual("n102000", json.loads(out[-1])["id"])
            self.assertLess(server.memory_kib() - before, 24 * 1024)

    def test_events_are_taken_now_and_counted_soon(self):
        with self.serve() as server:
            answer = server.post("/v1/events", lines(*({**SIGNUP, "type": "signup", "id": f"{n}"} for n in range(4)), "x"))
            self.assertEqual(202, answer.status)
            self.assertEqual({"accepted": 4, "refused": 1}, {key: answer.json()[key] for key in ("accepted", "refused")})
            self.assertEqual(5, answer.json()["errors"][0]["line"])
            self.assertEqual(202, server.post("/v1/events/signup", SIGNUP).status)
            server.wait_for(lambda: server.get("/v1/stats").json()["decided"] == 5, "five events decided")
            decision = server.post("/v1/decide/signup", SIGNUP).json()
            self.assertEqual(5, decision["features"]["signups_per_net_1h"])
            self.assertEqual("challenge", decision["verdict"])
            self.assertEqual(400, server.post("/v1/events", "garbage").status)
            self.assertEqual(400, server.post("/v1/events/nope", "{}").status)

    def test_a_full_intake_says_when_to_come_again(self):
        with self.serve("--intake-bytes", "1000") as server:
            answer = server.post("/v1/events", lines(*({**SIGNUP, "type": "signup", "id": f"{n}"} for n in range(2000))))
            self.assertEqual((503, "1"), (answer.status, answer.headers.get("Retry-After")))
            self.assertEqual(2000, answer.json()["accepted"] + answer.json()["refused"])
            self.assertIn("the intake is full", answer.json()["errors"][0]["message"])


class Operator(ServerCase):
    SAMPLE = re.compile(r'^(?P<name>[a-z_]+)(?:\{(?P<labels>[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*)\})? '
                        r'(?P<value>[0-9.e+-]+|[+-]Inf|NaN)$')

    def test_health_and_readiness(self):
        with self.serve() as server:
            self.assertEqual({"ok": True}, server.get("/healthz").json())
            self.assertEqual({"ready": True, "policy": self.version()}, server.get("/readyz").json())

    def test_metrics_are_well_formed(self):
        with self.serve() as server:
            server.post("/v1/decide", lines({**LOGIN, "type": "login"}, {**LOGIN, "type": "login", "ok": False}, "bad"))
            answer = server.get("/metrics")
            self.assertRegex(answer.headers["Content-Type"], r"^text/plain; version=0\.0\.4")
            self.assertTrue(answer.text().endswith("\n"))
            helped, typed, values = set(), {}, {}
            for line in answer.text().splitlines():
                if match := re.match(r"^# HELP ([a-z_]+) (\S.*)$", line):
                    self.assertNotIn(match[1], helped)
                    helped.add(match[1])
                elif match := re.match(r"^# TYPE ([a-z_]+) (counter|gauge|histogram)$", line):
                    self.assertNotIn(match[1], typed)
                    typed[match[1]] = match[2]
                else:
                    match = self.SAMPLE.match(line)
                    self.assertTrue(match, line)
                    family = re.sub(r"_(bucket|sum|count)$", "", match["name"])
                    family = family if typed.get(family) == "histogram" else match["name"]
                    self.assertIn(family, typed, line)
                    key = (match["name"], match["labels"])
                    self.assertNotIn(key, values)
                    values[key] = float(match["value"])
            self.assertEqual(helped, set(typed))
            self.assertEqual(2, values["tamis_decisions_total", None])
            self.assertEqual(1, values["tamis_events_refused_total", None])
            self.assertEqual(2, values["tamis_verdicts_total", 'type="login",verdict="accept"'])
            self.assertEqual(1, values["tamis_rule_matches_total", 'type="login",rule="login-failed",outcome="shadow"'])
            self.assertEqual(2, values["tamis_decision_seconds_count", None])
            self.assertEqual(2, values["tamis_decision_seconds_bucket", 'le="+Inf"'])
            self.assertEqual(1, values["tamis_feature_keys", 'feature="failures_per_ip_10m"'])

    def test_statistics(self):
        with self.serve() as server:
            server.post("/v1/decide/signup", SIGNUP)
            stats = server.get("/v1/stats").json()
            self.assertEqual((1, 0, 0, 0, 1), tuple(stats[k] for k in ("decided", "refused", "overload", "late", "reloads")))
            self.assertEqual(self.version(), stats["policy"])
            self.assertIn({"type": "signup", "verdict": "accept", "count": 1}, stats["verdicts"])
            self.assertIn({"type": "signup", "id": "queue", "matched": 1, "shadow": 0, "errors": 0}, stats["rules"])
            self.assertEqual(1, {f["name"]: f["keys"] for f in stats["features"]}["signups_per_net"])
            page = self.run_tamis("top", "--once", "--url", server.url).stdout
            self.assertRegex(page, r"decisions 1 ")
            self.assertRegex(page, r"queue \(signup\) +1\b")
            self.assertEqual(1, json.loads(self.run_tamis("top", "--once", "--json", "--url", server.url).stdout)["decided"])

    def test_demo_sends_its_stream(self):
        with self.serve() as server:
            out = self.run_tamis("demo", "--url", server.url, "--count", 600, "--rate", 100000).stdout
            self.assertIn("600 events sent", out)
            self.assertEqual(600, server.get("/v1/stats").json()["decided"])

    def test_the_port_file(self):
        port_file = self.folder / "port"
        with self.serve("--port-file", port_file) as server:
            server.wait_for(lambda: port_file.exists() and port_file.read_text() == f"{server.port}\n", "the port file")

    def test_a_port_in_use(self):
        with self.serve() as server:
            done = self.run_tamis("serve", "--policy", self.policy, "--listen", f"127.0.0.1:{server.port}", code=2)
            self.assertRegex(done.stderr, rf"127\.0\.0\.1:{server.port}.*in use")

    def test_a_network_needs_tls_and_tokens(self):
        for listen in ("0.0.0.0:0", "[::]:0", ":0"):
            done = self.run_tamis("serve", "--policy", self.policy, "--listen", listen, code=2)
            self.assertRegex(done.stderr, "needs --tls-cert and --tls-key and --tokens, or --insecure")
        with self.serve("--insecure", listen="0.0.0.0:0") as server:
            self.assertEqual(200, harness.ask("127.0.0.1", server.port, "GET", "/healthz").status)

    def test_wrong_settings(self):
        for arguments, message in [
            (("--listen", "127.0.0.1:99999"), "99999"),
            (("--listen", "here"), "expected HOST:PORT or unix:PATH"),
            (("--listen", "127.0.0.1:0", "--tokens", self.folder / "none"), "none"),
            (("--listen", "127.0.0.1:0", "--tls-cert", self.folder / "none", "--tls-key", self.folder / "none"),
             "none: No such file or directory"),
            (("--listen", "127.0.0.1:0", "--tls-cert", __file__, "--tls-key", __file__), "serve_test.py: no start line"),
            (("--listen", "127.0.0.1:0", "--threads", "0"), "--threads"),
            (("--listen", "127.0.0.1:0", "--data", "/proc/none"), "/proc/none"),
        ]:
            done = self.run_tamis("serve", "--policy", self.policy, *arguments, code=2)
            self.assertIn(message, done.stderr)
        done = self.run_tamis("serve", "--policy", self.folder / "none", code=2)
        self.assertIn("cannot open folder", done.stderr)

    def test_a_unix_socket(self):
        path = self.folder / "tamis.sock"
        with self.serve(listen=f"unix:{path}"):
            connection = harness.UnixConnection(str(path))
            connection.request("POST", "/v1/decide/login", json.dumps(LOGIN))
            answer = connection.getresponse()
            self.assertEqual((200, "accept"), (answer.status, json.loads(answer.read())["verdict"]))
            connection.close()
        with self.serve(listen=f"unix:{path}"):  # also where the one before left its socket
            pass

    def test_stops_gracefully_in_the_middle_of_a_stream(self):
        server = self.serve()
        with server, server.stream("/v1/decide") as stream:
            events = [lines({**LOGIN, "type": "login", "id": f"l{number}"}).encode() for number in range(4)]
            stream.send(events[0])
            self.assertEqual("l0", json.loads(stream.read())["id"])
            server.process.send_signal(signal.SIGTERM)
            server.wait_for(lambda: "stopping" in server.output(), "it says that it stops")
            with self.assertRaises(OSError):  # nobody new comes in
                server.get("/healthz")
            stream.send(b"".join(events[1:]))
            stream.finish()
            self.assertEqual(["l1", "l2", "l3"], [json.loads(line)["id"] for line in stream.read_all()])
            self.assertEqual(0, server.process.wait(10))
        replayed = self.run_tamis("replay", "--data", self.folder / "data").stdout.splitlines()
        self.assertEqual(4, len(replayed))

    def test_a_stream_without_end_does_not_hold_the_stop(self):
        with self.serve("--drain-ms", "300") as server, server.stream("/v1/decide") as stream:
            stream.send(lines({**LOGIN, "type": "login"}).encode())
            stream.read()
            begin = time.monotonic()
            self.assertEqual(0, server.stop())
            self.assertLess(time.monotonic() - begin, 5)

    def test_overload_answers_as_declared(self):
        with self.serve("--rate-max", "1") as server:
            out = server.post("/v1/decide", lines(*[{**SIGNUP, "type": "signup"}, {**LOGIN, "type": "login", "id": "l1"}] * 20)).lines()
            over = [line for line in out if line.get("overload")]
            self.assertGreaterEqual(len(over), 36)
            self.assertEqual({("signup", "challenge"), ("login", "accept")}, {(line["type"], line["verdict"]) for line in over})
            self.assertEqual({"id": "l1", "type": "login", "verdict": "accept", "points": 0.0, "score": 0.0, "rules": [],
                              "features": {}, "policy": self.version(), "overload": True},
                             next(line for line in over if line["type"] == "login"))
            stats = server.get("/v1/stats").json()
            self.assertEqual((len(over), 40 - len(over)), (stats["overload"], stats["decided"]))


class Policies(ServerCase):
    BAD = "event: x\nfields:\n  ip: ip\n---\nrules:\n  - id: r\n    on: x\n    when: ipp == '1'\n"

    def test_validate_says_what_is_wrong_and_changes_nothing(self):
        with self.serve() as server:
            version = self.version()
            answer = server.post("/v1/policy/validate", self.BAD)
            self.assertEqual((422, False), (answer.status, answer.json()["ok"]))
            first = answer.json()["diagnostics"][0]
            self.assertEqual(("error", "policy.yaml", 8, 11), (first["severity"], first["file"], first["line"], first["column"]))
            self.assertIn("ipp", first["message"])
            self.assertIn("ip", first["hint"])
            self.assertEqual("    when: ipp == '1'", first["source"])
            good = server.post("/v1/policy/validate", self.BAD.replace("ipp", "ip"))
            self.assertEqual((200, True), (good.status, good.json()["ok"]), good)
            self.assertEqual(version, server.get("/readyz").json()["policy"])
            self.assert_error(server.post("/v1/policy/validate", {"file": 1}), 400, "invalid", "expected {\"files\"")

    def test_activate(self):
        with self.serve() as server:
            old = server.get("/readyz").json()["policy"]
            bad = server.post("/v1/policy", {"files": {"a.yaml": self.BAD}})
            self.assertEqual((422, "a.yaml"), (bad.status, bad.json()["diagnostics"][0]["file"]))
            self.assertEqual(old, server.get("/v1/policy").json()["policy"])
            good = server.post("/v1/policy", {"files": {"a.yaml": self.BAD.replace("ipp", "string(ip)")}})
            self.assertEqual(200, good.status, good)
            now = server.get("/v1/policy").json()
            self.assertEqual(good.json()["policy"], now["policy"])
            self.assertEqual([{"name": "x", "verdicts": ["accept"], "rules": [
                {"id": "r", "mode": "shadow", "when": "string(ip) == '1'", "owner": "", "file": "a.yaml", "line": 6}]}],
                [{**t, "verdicts": t["verdicts"][:1]} for t in now["types"]])
            self.assertEqual(200, server.post("/v1/decide/x", {"ip": "192.0.2.1"}).status)
            self.assertEqual(404, server.post("/v1/decide/login", LOGIN).status)

    def test_a_bad_policy_leaves_the_old_one_running(self):
        with self.serve() as server:
            old = self.version()
            self.edit("rules.yaml", "form_ms < 1500", "form_mss < 1500")
            answer = server.post("/v1/policy/reload")
            self.assertEqual(422, answer.status)
            self.assertEqual(["form_ms"], re.findall(r"form_ms\b", answer.json()["diagnostics"][0]["hint"]))
            self.assertEqual(old, server.post("/v1/decide/login", LOGIN).json()["policy"])
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(lambda: "the one before goes on" in server.output(), "it says why it goes on with the old one")
            self.assertRegex(server.output(), r"rules\.yaml:\d+:\d+: error: .*form_mss")
            self.assertEqual(old, server.get("/readyz").json()["policy"])
            self.assertEqual((1, 2), tuple(server.get("/v1/stats").json()[k] for k in ("reloads", "reload_failures")))
            self.edit("rules.yaml", "form_mss < 1500", "form_ms < 1600")
            server.process.send_signal(signal.SIGHUP)
            new = self.version()
            self.assertNotEqual(old, new)
            server.wait_for(lambda: server.get("/readyz").json()["policy"] == new, "the new policy decides")
            self.assertEqual(new, server.post("/v1/decide/login", LOGIN).json()["policy"])

    def test_a_reload_without_change_does_nothing(self):
        with self.serve() as server:
            self.assertEqual(200, server.post("/v1/policy/reload").status)
            self.assertEqual(1, server.get("/v1/stats").json()["reloads"])

    def test_state_over_a_reload(self):
        with self.serve() as server:
            for _ in range(3):
                server.post("/v1/decide/signup", SIGNUP)
                server.post("/v1/decide/send", {"acct": "a1", "rcpts": 7})
            server.post("/v1/labels", {"on": "account", "value": "a1", "name": "watched"})
            server.post("/v1/lists/blocked_devices", {"value": "d9"})
            # The feature of signups stays; that of recipients is another one now, filled from the journal.
            self.edit("features.yaml", "recipients_per_account_10m: {sum: recipients, of: send, by: account, over: 10m}",
                      "recipients_per_account_20m: {sum: recipients, of: send, by: account, over: 20m}")
            self.edit("rules.yaml", "recipients_per_account_10m", "recipients_per_account_20m")
            self.assertEqual(200, server.post("/v1/policy/reload").status)
            self.assertEqual({"signups_per_net_1h": 3}, server.post("/v1/decide/signup", SIGNUP).json()["features"])
            send = server.post("/v1/decide/send", {"acct": "a1", "rcpts": 7}).json()["features"]
            self.assertEqual(21, send["recipients_per_account_20m"])
            self.assertEqual(28, server.post("/v1/decide/send", {"acct": "a1"}).json()["features"]["recipients_per_account_20m"])
            self.assertEqual("reject", server.post("/v1/decide/login", LOGIN).json()["verdict"])
            self.assertEqual("reject", server.post("/v1/decide/signup", {**SIGNUP, "fp": "d9"}).json()["verdict"])


class ActsOfPeople(ServerCase):
    def test_lists(self):
        with self.serve() as server:
            self.assertEqual("accept", server.post("/v1/decide/signup", SIGNUP).json()["verdict"])
            self.assertEqual(200, server.post("/v1/lists/blocked_devices", {"value": "d1", "reason": "x"}).status)
            self.assertEqual("reject", server.post("/v1/decide/signup", SIGNUP).json()["verdict"])
            self.assertEqual(200, server.post("/v1/lists/blocked_devices", {"act": "list_remove", "value": "d1"}).status)
            self.assertEqual("accept", server.post("/v1/decide/signup", SIGNUP).json()["verdict"])
            self.assert_error(server.post("/v1/lists/none", {"value": "d1"}), 404, "not_found", 'no list "none"')
            self.assert_error(server.post("/v1/lists/blocked_devices", {}), 400, "invalid", '"value" is missing')
            self.assert_error(server.post("/v1/lists/blocked_devices", {"value": "d1", "for": "1 week"}), 400, "invalid", "duration")
            for span in ("0d", "0", 0, "0h0m", ""):  # over before it began, or for good by a slip
                self.assert_error(server.post("/v1/lists/blocked_devices", {"value": "d1", "for": span}), 400, "invalid", '"for": expected a duration')
                label = {"on": "account", "value": "a1", "name": "watched", "for": span}
                self.assert_error(server.post("/v1/labels", label), 400, "invalid", '"for": expected a duration')
            self.assert_error(server.post("/v1/lists/blocked_devices", {"act": "list_remove", "value": "d1"}), 404,
                              "not_found", "no run-time entry")
            self.assert_error(server.post("/v1/lists/offices", {"value": "not a network"}), 400, "invalid", "not an address")

    def test_a_slip_in_an_act_is_refused(self):
        with self.serve() as server:
            self.assert_error(server.post("/v1/labels", {"on": "account", "value": "a1", "name": "watched", "fro": "1h"}), 400,
                              "invalid", 'unknown key "fro"; did you mean "for"')
            self.assert_error(server.post("/v1/labels", {"on": "account", "value": ["a1"], "name": "watched"}), 400, "invalid",
                              '"value" must be a string')
            self.assert_error(server.post("/v1/lists/offices", {"act": "label_set", "on": "account", "value": "a1", "name": "watched"}),
                              400, "invalid", "expected list_add or list_remove")
            self.assertEqual("accept", server.post("/v1/decide/login", LOGIN).json()["verdict"])

    def test_a_list_entry_expires(self):
        with self.serve() as server:
            server.post("/v1/lists/blocked_devices", {"value": "d1", "for": "700ms"})
            self.assertEqual("reject", server.post("/v1/decide/signup", SIGNUP).json()["verdict"])
            server.wait_for(lambda: server.post("/v1/decide/signup", {**SIGNUP, "ip": "198.51.100.1"}).json()["verdict"] == "accept",
                            "the entry is gone")

    def test_labels(self):
        with self.serve() as server:
            answer = server.post("/v1/labels", {"on": "account", "value": "a1", "name": "watched", "author": "eve",
                                                "reason": "ticket 7", "for": "1h"})
            self.assertEqual(200, answer.status, answer)
            decision = server.post("/v1/decide/login", LOGIN).json()
            self.assertEqual(("reject", ["the account a1 is watched"]), (decision["verdict"], decision["reasons"]))
            label, = server.get("/v1/labels/account/a1").json()["labels"]
            self.assertEqual(("watched", "eve", "ticket 7"), (label["name"], label["author"], label["reason"]))
            self.assertLess(label["since"], label["expires"])
            self.assertEqual({"labels": []}, server.get("/v1/labels/account/a2").json())
            clear = {"act": "label_clear", "on": "account", "value": "a1", "name": "watched"}
            self.assertEqual(200, server.post("/v1/labels", clear).status)
            self.assertEqual({"labels": []}, server.get("/v1/labels/account/a1").json())
            self.assertEqual("accept", server.post("/v1/decide/login", LOGIN).json()["verdict"])
            self.assert_error(server.post("/v1/labels", clear), 404, "not_found", 'no label "watched" on account a1')
            self.assert_error(server.post("/v1/labels", {"on": "account", "value": "a1"}), 400, "invalid", '"name" is missing')
            self.assert_error(server.post("/v1/labels", {"act": "x", "value": "a1"}), 400, "invalid", "expected list_add")

    def test_labels_of_a_value_with_slashes(self):
        with self.serve() as server:
            for _ in range(6):
                server.post("/v1/decide/signup", SIGNUP)
            label, = server.get("/v1/labels/network/192.0.2.0/24").json()["labels"]
            self.assertEqual(("burst", "rule:signup-burst"), (label["name"], label["author"]))

    def test_a_label_expires(self):
        with self.serve() as server:
            server.post("/v1/labels", {"on": "account", "value": "a1", "name": "watched", "for": "700ms"})
            self.assertEqual("reject", server.post("/v1/decide/login", LOGIN).json()["verdict"])
            server.wait_for(lambda: server.post("/v1/decide/login", LOGIN).json()["verdict"] == "accept", "the label is gone")
            self.assertEqual({"labels": []}, server.get("/v1/labels/account/a1").json())

    def test_acts_survive_a_restart(self):
        with self.serve() as server:
            server.post("/v1/labels", {"on": "account", "value": "a1", "name": "watched"})
            server.post("/v1/lists/blocked_devices", {"value": "d1"})
            server.post("/v1/lists/blocked_devices", {"value": "d2"})
            server.post("/v1/lists/blocked_devices", {"act": "list_remove", "value": "d2"})
            server.kill()
        with self.serve() as server:
            self.assertEqual("reject", server.post("/v1/decide/login", LOGIN).json()["verdict"])
            self.assertEqual("reject", server.post("/v1/decide/signup", SIGNUP).json()["verdict"])
            self.assertEqual("accept", server.post("/v1/decide/signup", {**SIGNUP, "fp": "d2"}).json()["verdict"])


class Access(ServerCase):
    ROUTES = [  # method, path, body, roles that may
        ("POST", "/v1/decide/login", LOGIN, {"decide"}),
        ("POST", "/v1/decide", lines({**LOGIN, "type": "login"}), {"decide"}),
        ("POST", "/v1/events", lines({**LOGIN, "type": "login"}), {"decide", "ingest"}),
        ("GET", "/v1/policy", None, {"analyst", "support"}),
        ("POST", "/v1/policy/validate", Policies.BAD, {"analyst"}),
        ("POST", "/v1/policy/reload", None, {"analyst"}),
        ("POST", "/v1/lists/blocked_devices", {"value": "x"}, {"analyst"}),
        ("POST", "/v1/labels", {"on": "account", "value": "x", "name": "y"}, {"analyst"}),
        ("GET", "/v1/labels/account/x", None, {"analyst", "support"}),
        ("GET", "/v1/stats", None, {"analyst", "support"}),
        ("GET", "/metrics", None, {"metrics"}),
    ]

    def make_tokens(self, *roles):
        made = {role: self.run_tamis("token", f"the-{role}", role) for role in roles}
        (self.folder / "tokens").write_text("".join(done.stdout for done in made.values()))
        return {role: done.stderr.strip() for role, done in made.items()}

    def test_roles(self):
        roles = ("decide", "ingest", "analyst", "support", "metrics", "admin")
        tokens = self.make_tokens(*roles)
        for role, token in tokens.items():  # kept hashed
            self.assertNotIn(token.split("_", 2)[2], (self.folder / "tokens").read_text())
        with self.serve("--tokens", self.folder / "tokens") as server:
            for method, path, body, allowed in self.ROUTES:
                self.assertEqual(401, server.request(method, path, body).status, path)
                self.assertEqual(401, server.request(method, path, body, token=tokens["admin"][:-1] + "?").status, path)
                for role in roles:
                    status = server.request(method, path, body, token=tokens[role]).status
                    self.assertEqual(role not in allowed | {"admin"}, status == 403, f"{role} at {path}: {status}")
                    self.assertIn(status, (200, 202, 422, 403))
            for path in ("/healthz", "/readyz"):
                self.assertEqual(200, server.get(path).status)
            unknown = server.get("/v1/stats")
            self.assertIn("Bearer", unknown.headers["WWW-Authenticate"])
            page = self.run_tamis("top", "--once", "--url", server.url, "--token", tokens["support"]).stdout
            self.assertIn("decisions", page)
            self.run_tamis("top", "--once", "--url", server.url, code=2)

    def test_tokens_are_read_again_on_sighup(self):
        old = self.make_tokens("decide")["decide"]
        with self.serve("--tokens", self.folder / "tokens") as server:
            self.assertEqual(200, server.post("/v1/decide/login", LOGIN, token=old).status)
            new = self.make_tokens("decide")["decide"]
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(lambda: server.post("/v1/decide/login", LOGIN, token=new).status == 200, "the new token is known")
            self.assertEqual(401, server.post("/v1/decide/login", LOGIN, token=old).status)
            (self.folder / "tokens").write_text("nonsense\n")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(lambda: "the tokens before go on" in server.output(), "it says that the file is bad")
            self.assertEqual(200, server.post("/v1/decide/login", LOGIN, token=new).status)

    def test_tls(self):
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout",
                        str(key), "-out", str(certificate)], check=True, capture_output=True)
        tokens = self.make_tokens("decide", "support")
        token = tokens["decide"]
        with self.serve("--tls-cert", certificate, "--tls-key", key, "--tokens", self.folder / "tokens", listen="0.0.0.0:0",
                        certificate=certificate) as server:
            server.host = "127.0.0.1"
            self.assertEqual("https", harness.LISTENING.search(server.output())["scheme"])
            answer = server.post("/v1/decide/login", LOGIN, token=token)
            self.assertEqual((200, "accept"), (answer.status, answer.json()["verdict"]))
            self.assertEqual(401, server.post("/v1/decide/login", LOGIN).status)
            looks = ("top", "--once", "--url", f"https://127.0.0.1:{server.port}", "--token", tokens["support"])
            self.assertIn("decisions", self.run_tamis(*looks, "--ca", certificate).stdout)
            self.assertIn("certificate", self.run_tamis(*looks, code=2).stderr)
            with self.assertRaises(ssl.SSLError):  # a client that does not know the certificate
                harness.ask("127.0.0.1", server.port, "GET", "/healthz", context=ssl.create_default_context())
            with self.assertRaises((OSError, harness.http.client.HTTPException)):  # plain HTTP to the TLS port
                harness.ask("127.0.0.1", server.port, "GET", "/healthz", seconds=5)
            self.assertEqual(200, server.get("/healthz").status)


class Threads(ServerCase):
    def test_many_callers_at_once_are_counted_exactly(self):
        with self.serve("--threads", "2") as server:
            answers = []

            def call(number):
                body = lines(*({"type": "login", "acct": f"c{number}", "ip": "192.0.2.9", "ok": False} for _ in range(200)))
                answers.append(server.post("/v1/decide", body).lines())

            callers = [threading.Thread(target=call, args=(n,)) for n in range(8)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join(60)
            counts = sorted(line["features"]["failures_per_ip_10m"] for answer in answers for line in answer)
            self.assertEqual(1600, len(counts))
            # Each decision saw all that came before it: the first sixteen are exact, beyond that one bucket may miss.
            self.assertEqual(list(range(16)), counts[:16])
            live = {line["id"] for answer in answers for line in answer}
            self.assertEqual(1600, len(live))


if __name__ == "__main__":
    unittest.main()
