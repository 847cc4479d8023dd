"""The command line as a person meets it: help, exit codes, errors that say what to do, and what each command prints."""

import json
import re
import shutil
import subprocess
import unittest

import harness

COMMANDS = ("serve", "check", "test", "replay", "backtest", "find", "query", "import", "explain", "act", "batches", "undo", "digest",
            "why", "release", "label", "list", "truth", "policy", "clusters", "eval", "audit", "erase", "cel", "top", "demo", "token", "bench", "version",
            "completion", "outbox", "retain", "mail", "train", "verify")
CASES = harness.TOP / "test" / "data" / "cel_cases.json"


class Commands(harness.TestCase):
    def test_help(self):
        page = self.run_tamis("--help").stdout
        for command in COMMANDS:
            self.assertRegex(page, rf"(?m)^  {command} +[A-Z]\w")
            own = self.run_tamis(command, "--help")
            self.assertEqual("", own.stderr)
            self.assertRegex(own.stdout, rf"Usage: tamis {command}\b")
            for option in re.findall(r"(?m)^  (?:-\w,)?--[\w-]+[^\n]*?$(?!\n {20})", own.stdout):
                self.assertRegex(option, r"\S  +\S", f"tamis {command}: an option without an explanation")
        self.assertEqual(page, self.run_tamis("-h").stdout)
        for command in COMMANDS:
            self.assertIn(f"{command}", self.run_tamis("--help-all").stdout)

    def test_wrong_use_ends_with_2_and_says_how(self):
        for arguments, message in [((), "subcommand"), (("nothing",), "nothing"), (("check",), "POLICY"), (("check", "--nope", "x"), "--nope"),
                                   (("serve",), "--policy"), (("replay",), "--policy DIR and EVENTS"), (("explain",), "--policy DIR and EVENTS"),
                                   (("cel",), "EXPRESSION"), (("token", "x"), "ROLES"), (("bench",), "--policy"),
                                   (("completion", "tcsh"), "tcsh"), (("top", "--rows", "0"), "--rows"), (("demo", "--rate", "-1"), "--rate"),
                                   (("replay", "--data", "x", "y"), "do not go together")]:
            done = self.run_tamis(*arguments, code=2)
            self.assertEqual("", done.stdout, arguments)
            self.assertIn(message, done.stderr)

    def test_a_folder_in_which_no_policy_ever_decided(self):
        policy = self.write_policy({"policy.yaml": "event: signup\nfields: {ip: nothing}\n"})
        data = self.folder / "data"
        (self.folder / "events.jsonl").write_text('{"type":"signup"}\n')
        self.run_tamis("import", "--data", data, "--policy", policy, self.folder / "events.jsonl", code=2)
        self.run_tamis("digest", "--data", data)
        for question in (("find", "true"), ("why", "account", "anna"), ("list", "show", "x"), ("list", "add", "x", "y", "--reason", "test"),
                         ("label", "set", "account", "anna", "vip", "--reason", "test"), ("release", "account", "anna", "--reason", "test")):
            done = harness.tamis(question[0], "--data", data, *question[1:])
            self.assertEqual(2, done.returncode, (question, done.stdout))
            self.assertRegex(done.stderr, r"no policy|no detector|no list|not|required", question)
        for question in (("query", "SELECT count(*) FROM events"), ("batches",), ("audit",), ("verify",), ("label", "ls"), ("clusters", "ls"), ("policy", "ls"), ("outbox", "stats")):
            done = harness.tamis(question[0], "--data", data, *question[1:])
            self.assertIn(done.returncode, (0, 1, 2), (question, done.stderr))

    def test_version(self):
        self.assertRegex(self.run_tamis("version").stdout, r"^tamis \d+\.\d+\.\d+\n$")
        self.assertEqual(self.run_tamis("version").stdout, self.run_tamis("--version").stdout)
        self.assertEqual("tamis", json.loads(self.run_tamis("version", "--json").stdout)["name"])

    def test_completion(self):
        script = self.folder / "tamis.bash"
        script.write_text(self.run_tamis("completion", "bash").stdout)
        subprocess.run(["bash", "-n", str(script)], check=True)
        ask = f'source {script}; COMP_WORDS=(tamis "$1" "$2"); COMP_CWORD=$3; _tamis; echo "${{COMPREPLY[@]}}"'

        def complete(*words):
            words = [*words, ""][:2]
            place = "2" if words[1] else "1"
            return subprocess.run(["bash", "-c", ask, "x", *words, place], capture_output=True, text=True, check=True).stdout.split()

        self.assertEqual(["replay"], complete("rep"))
        self.assertEqual(set(COMMANDS), set(complete("")))
        self.assertEqual(["--policy", "--port-file"], complete("serve", "--po"))
        self.assertIn("complete -c tamis", self.run_tamis("completion", "fish").stdout)
        self.assertIn("#compdef tamis", self.run_tamis("completion", "zsh").stdout)

    def test_token(self):
        done = self.run_tamis("token", "mailer", "decide,ingest")
        self.assertRegex(done.stderr, r"^tok_[0-9a-f]{8}_[\w-]{43}\n$")
        self.assertRegex(done.stdout, r"^mailer:(decide,ingest|ingest,decide):v1\.[0-9a-f]{8}\.[0-9a-f]{32}\.[0-9a-f]{64}\n$")
        self.assertNotEqual(done.stderr, self.run_tamis("token", "mailer", "decide").stderr)
        self.assertRegex(self.run_tamis("token", "mailer", "decid", code=2).stderr, "`decid` is no role: expected ingest, decide")
        self.assertRegex(self.run_tamis("token", "a mailer", "decide", code=2).stderr, "no token name")

    def test_nobody_there(self):
        for arguments in (("top", "--once"), ("demo",)):
            done = self.run_tamis(*arguments, "--url", "http://127.0.0.1:1", code=2)
            self.assertRegex(done.stderr, r"cannot connect to 127\.0\.0\.1:1")
            self.assertRegex(self.run_tamis(*arguments, "--url", "here", code=2).stderr, "expected http://HOST:PORT")


class CheckAndTest(harness.TestCase):
    def broken(self, *changes):
        policy = self.folder / "broken"
        shutil.copytree(harness.POLICY, policy, dirs_exist_ok=True)
        for name, old, new in changes:
            text = (policy / name).read_text()
            self.assertIn(old, text)
            (policy / name).write_text(text.replace(old, new))
        return policy

    def test_a_good_policy(self):
        done = self.run_tamis("check", harness.POLICY)
        self.assertRegex(done.stdout, r"^policy [0-9a-f]{16} is good: 5 event types, 12 rules, 8 features, 2 lists\n$")
        self.assertEqual("", done.stderr)
        said = json.loads(self.run_tamis("check", "--json", harness.POLICY).stdout)
        self.assertEqual((True, []), (said["ok"], said["diagnostics"]))
        self.assertIn(said["policy"], done.stdout)

    def test_a_bad_policy_is_told_as_a_compiler_tells_it(self):
        policy = self.broken(("rules.yaml", "when: form_ms < 1500", "when: form_sm < 1500"),
                             ("rules.yaml", "recipients > 300", "recipients > 'x'"),
                             ("features.yaml", "by: ip.net24, over: [1m, 1h]", "by: ip.net25, over: [1m, 1h]"))
        done = self.run_tamis("check", policy, code=1)
        self.assertEqual("", done.stdout)
        rules = (policy / "rules.yaml").read_text().splitlines()
        line = next(i for i, text in enumerate(rules, 1) if "form_sm" in text)
        # File, line and column, the line itself, a caret under the name, the nearest name.
        self.assertRegex(done.stderr, rf"(?m)^\S*rules\.yaml:{line}:11: error: .*`form_sm`.*\n +when: form_sm < 1500\n +\^~~~~~~\n.*form_ms")
        caret = done.stderr.split("form_sm < 1500\n")[1].splitlines()[0]
        source = next(text for text in done.stderr.splitlines() if text.endswith("when: form_sm < 1500"))
        self.assertEqual(source.index("form_sm"), caret.index("^"))
        # All mistakes at once, and each begins a line.
        self.assertRegex(done.stderr, r"(?m)^\S*features\.yaml:\d+:\d+: error: .*net25")
        self.assertRegex(done.stderr, r"(?m)^\S*rules\.yaml:\d+:\d+: error: .*(>|int)")
        self.assertRegex(done.stderr, r"(?m)^\d errors$")
        said = json.loads(self.run_tamis("check", "--json", policy, code=1).stdout)
        self.assertFalse(said["ok"])
        self.assertIn(("rules.yaml", line, 11), [(d["file"].split("/")[-1], d["line"], d["column"]) for d in said["diagnostics"]])
        self.assertIn(rules[line - 1].strip(), [d["source"].strip() for d in said["diagnostics"]])

    def test_warnings_are_no_errors(self):
        policy = self.broken(("features.yaml", "features:\n", "features:\n  unread: {count: login, by: ip, over: 1h}\n"))
        done = self.run_tamis("check", policy)
        self.assertRegex(done.stderr, r"(?m)^\S*features\.yaml:2:3: warning: .*`unread`")
        self.assertTrue(done.stderr.endswith("\n"))
        self.assertIn("is good", done.stdout)

    def test_how_far_back_a_rule_can_look(self):
        (self.folder / "a.yaml").write_text(
            "policy: p\nkeep: 60d\nraw: 3d\n---\nevent: login\nfields: {account: account, mail: email, n: {type: int, keep: 9d}}\n"
            "---\nfeatures:\n  last_mail: {last: mail, of: login, by: account, over: 30d}\n"
            "  logins: {count: login, by: mail, over: 1d}\nrules:\n"
            + "".join(f"  - {{id: r{i}, on: login, when: \"{when}\", then: reject}}\n" for i, when in
                      enumerate(["logins > 1", "n > 1", "mail == 'a'", "last_mail == 'a'", "mail.domain == 'a'", "mail.local == 'a'"])))
        done = self.run_tamis("check", "--look-back", self.folder)
        told = done.stdout
        self.assertIn("the window is longer than values of `mail` of `login` are kept (raw: 3d)", done.stderr)
        days = [line.split(maxsplit=2)[2].strip() for line in told.splitlines()[2:]]
        self.assertEqual(["60 days", "9 days, then without n", "3 days, then without mail", "3 days, then without last_mail", "60 days",
                          "3 days, then without mail (its attributes that give it away, too)"], days)

    def test_no_policy(self):
        for command in ("check", "test"):
            self.assertRegex(self.run_tamis(command, self.folder / "none", code=1).stderr, "cannot open folder .*none: No such file")
            self.assertRegex(self.run_tamis(command, CASES, code=1).stderr, "Not a directory")

    def test_the_tests_of_a_policy(self):
        self.assertEqual("3 passed, 0 failed\n", self.run_tamis("test", harness.POLICY).stdout)
        policy = self.broken(("rules.yaml", "signups_per_net_1h >= 5 &&", "signups_per_net_1h >= 6 &&"))
        done = self.run_tamis("test", policy, code=1)
        self.assertRegex(done.stdout, r"(?m)^\S*rules\.yaml:\d+: FAILED .*signup-burst")
        self.assertTrue(done.stdout.endswith("\n1 passed, 2 failed\n"), done.stdout)
        said = json.loads(self.run_tamis("test", "--json", policy, code=1).stdout)
        self.assertEqual((False, 1, 2), (said["ok"], said["passed"], said["failed"]))
        self.assertEqual(3, len(said["tests"]))
        broken = self.broken(("rules.yaml", "form_ms < 1500", "form_sm < 1500"))
        self.assertRegex(self.run_tamis("test", broken, code=1).stderr, "form_sm")
        self.assertFalse(json.loads(self.run_tamis("test", "--json", broken, code=1).stdout)["ok"])

    def test_the_ready_policies(self):
        for policy in sorted((harness.TOP / "policies").iterdir()):
            self.run_tamis("check", policy)
            self.assertRegex(self.run_tamis("test", policy).stdout, r"^[1-9]\d* passed, 0 failed\n$")


class Replay(harness.TestCase):
    def replay(self, text, *arguments, code=0):
        return self.run_tamis("replay", "--policy", harness.POLICY, *arguments, "-", text=text, code=code)

    def test_one_line_an_event_in_order(self):
        events = self.demo_events(1000)
        half = self.folder / "a.jsonl", self.folder / "b.jsonl"
        half[0].write_bytes(b"".join(events[:500]))
        half[1].write_bytes(b"".join(events[500:])[:-1])  # the last line needs no end
        out = self.folder / "out.ndjson"
        done = self.run_tamis("replay", "--policy", harness.POLICY, "--out", out, *half)
        self.assertEqual("", done.stdout)
        decisions = [json.loads(line) for line in out.read_text().splitlines()]
        self.assertEqual([str(json.loads(event)["id"]) for event in events], [decision["id"] for decision in decisions])
        for decision in decisions:
            self.assertLessEqual({"id", "type", "verdict", "points", "score", "rules", "features", "policy"}, set(decision))
        self.assertRegex(done.stderr, r"1000 decided, 0 refused, 0 late; policy [0-9a-f]{16}\n")
        self.assertRegex(done.stderr, r"(?m)^  session: accept \d+$")
        # Again, from a pipe: the same bytes.
        piped = self.replay(b"".join(events).decode(), "--quiet")
        self.assertEqual((out.read_text(), ""), (piped.stdout, piped.stderr))

    def test_what_is_refused_is_told_with_its_line(self):
        done = self.replay('{"type":"session","id":"1"}\nbad\n\n{"type":"login"}\n{"type":"zzz"}\n{"type":"zzz"}\n{"type":"session","id":"2"}',
                           code=1)
        self.assertEqual(["1", "2"], [json.loads(line)["id"] for line in done.stdout.splitlines()])
        self.assertRegex(done.stderr, "(?m)^-:2: not valid JSON")
        self.assertRegex(done.stderr, '(?m)^-:4: field "success".* is required')
        self.assertRegex(done.stderr, "2 decided, 2 refused, 0 late")
        self.assertRegex(done.stderr, 'skipped 2: no event type "zzz" in the policy; it has: signup')
        done = self.replay('{"type":"session","id":"1"}\nbad\n', "--json", "--quiet", code=1)
        said = json.loads(done.stderr.splitlines()[-1])
        self.assertEqual((1, 1, 0, {"session": {"accept": 1}}), (said["decided"], said["refused"], said["late"], said["verdicts"]))

    def test_a_flood_of_bad_lines_is_told_in_short(self):
        done = self.replay("bad\n" * 1000, code=1)
        self.assertIn("0 decided, 1000 refused", done.stderr)
        self.assertLess(len(done.stderr.splitlines()), 40)

    def test_unknown_types_alone_are_no_fault(self):
        self.assertIn("skipped 1", self.replay('{"type":"zzz"}\n').stderr)

    def test_what_it_cannot_read_or_write(self):
        events = self.folder / "events.jsonl"
        events.write_bytes(b"".join(self.demo_events(50)))
        for arguments, message in [(("--out", "/dev/full", events), "/dev/full: No space left"), (("--out", "/none/x", events), "/none/x: No such file"),
                                   ((self.folder / "none",), "cannot open .*none: No such file"), ((self.folder,), "Is a directory")]:
            done = self.run_tamis("replay", "--policy", harness.POLICY, *arguments, code=2)
            self.assertRegex(done.stderr, message)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([str(harness.binary()), "replay", "--policy", str(harness.POLICY), str(events)], stdout=full,
                                  stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(2, done.returncode)
        self.assertIn(b"No space left", done.stderr)

    def test_what_it_reads_is_not_overwritten(self):
        events = self.folder / "same.jsonl"
        events.write_bytes(b"".join(self.demo_events(3)))
        (self.folder / "other.jsonl").symlink_to(events)
        for option in ("--out", "--findings", "--retro"):
            done = self.run_tamis("replay", "--policy", harness.POLICY, option, self.folder / "other.jsonl", events, code=2)
            self.assertIn("cannot be written", done.stderr)
        self.assertEqual(3, len(events.read_bytes().splitlines()))

    def test_a_line_without_end(self):
        done = self.replay('{"type":"session","acct":"' + "x" * (3 << 20) + '"}\n{"type":"session"}\n', code=1)
        self.assertRegex(done.stderr, "-:1: .*(larger|long|limit)")
        self.assertEqual(1, len(done.stdout.splitlines()))

    def test_explain_names_the_rule_that_decided(self):
        policy = self.folder / "deciding"
        policy.mkdir()
        (policy / "p.yaml").write_text(
            "event: order\nfields: {amount: int, who: string}\nverdicts: [accept, hold, reject]\noverride: accept\n"
            "thresholds: {hold: 10}\n---\nrules:\n"
            "  - {id: dear, on: order, when: 'amount > 100', then: {verdict: reject}, mode: live, reason: dear}\n"
            "  - {id: vip, on: order, when: 'who == \"v\"', then: {verdict: accept}, mode: live, reason: known}\n"
            "  - {id: a, on: order, when: 'amount > 10', then: {points: 6}, mode: live, reason: a}\n"
            "  - {id: b, on: order, when: 'amount > 20', then: {points: 6}, mode: live, reason: b}\n")
        events = self.folder / "orders.jsonl"
        for event, expected in (('{"amount":500,"who":"v"}', "The verdict is that of vip, which wins over the others."),
                                ('{"amount":500,"who":"x"}', "The verdict is that of dear, which wins over the others."),
                                ('{"amount":50,"who":"x"}', "None of them asks for hold by itself: it is what their points together come to.")):
            events.write_text(event + "\n")
            self.assertIn(expected, self.run_tamis("explain", "--policy", policy, events).stdout)

    def test_explained_decisions(self):
        done = self.replay('{"type":"login","ok":false}\n', "--explain", "-q")
        self.assertEqual([{"rule": "login-failed", "when": "!success", "read": {"success": False}}], json.loads(done.stdout)["conditions"])


class Explain(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.events = self.folder / "events.jsonl"
        lines = [{"type": "signup", "id": f"s{n}", "acct": f"a{n}", "ip": "192.0.2.7", "fp": f"d{n}", "fill_ms": 5000, "t": 1_700_000_000_000 + n}
                 for n in range(6)]
        self.events.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_in_words(self):
        said = self.run_tamis("explain", "--policy", harness.POLICY, "--id", "s5", self.events).stdout
        for words in ("signup s5 was decided: challenge.", "5 signups from 192.0.2.0/24 within an hour", "- signup-burst",
                      "because signups_per_net_1h >= 5   (signups_per_net_1h is 5)", "It set the label burst on network 192.0.2.0/24.",
                      "Points 50.0, score 0.5"):
            self.assertIn(words, said)
        self.assertIn("was decided: accept", self.run_tamis("explain", "--policy", harness.POLICY, "--id", "s4", self.events).stdout)
        self.assertIn("s5 was decided", self.run_tamis("explain", "--policy", harness.POLICY, self.events).stdout)  # the last
        decision = json.loads(self.run_tamis("explain", "--json", "--policy", harness.POLICY, self.events).stdout)
        self.assertEqual("s5", decision["id"])
        self.assertTrue(decision["conditions"])

    def test_a_decision_made_elsewhere(self):
        decisions = self.run_tamis("replay", "-q", "--explain", "--policy", harness.POLICY, self.events).stdout
        here = self.run_tamis("explain", "--policy", harness.POLICY, "--id", "s5", self.events).stdout
        self.assertEqual(here, self.run_tamis("explain", "--decision", "-", "--id", "s5", text=decisions).stdout)

    def test_what_is_not_there(self):
        self.assertRegex(self.run_tamis("explain", "--policy", harness.POLICY, "--id", "x", self.events, code=2).stderr, 'no event has the id "x"')
        self.assertRegex(self.run_tamis("explain", "--policy", harness.POLICY, "none", code=2).stderr, "cannot open none")
        self.assertRegex(self.run_tamis("explain", "--decision", self.events, code=2).stderr, "not a decision")


class Cel(harness.TestCase):
    def test_an_expression(self):
        for arguments, value in [(("1 + 2",), "3"), (("x * 2", "--vars", '{"x": 21}'), "42"), (("'a' + 'b'",), '"ab"'), (("[1, 2u, 3.5]",), "[1,2,3.5]"),
                                 (("{'a': timestamp('2024-01-01T00:00:00Z')}",), '{"a":"2024-01-01T00:00:00Z"}')]:
            self.assertEqual(value, re.sub(r"\.000Z", "Z", self.run_tamis("cel", *arguments).stdout.strip()))
        self.assertEqual("list(int)\n", self.run_tamis("cel", "--type", "[1, 2]").stdout)

    def test_errors(self):
        self.assertRegex(self.run_tamis("cel", "1 / 0", code=1).stderr, "error: division")
        done = self.run_tamis("cel", "1 + yy", code=1)
        self.assertRegex(done.stderr, r"error: undeclared .*`yy`\n  1 \+ yy\n      \^\^\n")
        self.assertRegex(self.run_tamis("cel", "x", "--vars", "[", code=2).stderr, "--vars: not valid JSON")
        self.assertRegex(self.run_tamis("cel", "x", "--vars", "[]", code=2).stderr, "--vars: expected a JSON object")
        self.assertRegex(self.run_tamis("cel", "(" * 5000, code=1).stderr, "error: ")

    def test_conformance(self):
        done = self.run_tamis("cel", "--conformance", CASES, code=1)
        lines = done.stdout.splitlines()
        cases = json.loads(CASES.read_text())["tests"]
        self.assertEqual([f"{c['file']}/{c['section']}/{c['name']}" for c in cases], [line.split()[1] for line in lines[:-1]])
        self.assertEqual(["pass"] * 4 + ["fail", "pass", "pass", "skip"], [line.split()[0] for line in lines[:-1]])
        self.assertRegex(lines[4], r"expected .*3.*got .*2")
        self.assertEqual("6 passed, 1 failed, 1 skipped", lines[-1])
        self.assertEqual(3, len(self.run_tamis("cel", "--quiet", "--conformance", CASES, code=1).stdout.splitlines()))
        good = self.folder / "good.json"
        good.write_text(json.dumps({"tests": [case for case in cases if case["section"] != "wrong"]}))
        self.assertTrue(self.run_tamis("cel", "--conformance", good).stdout.endswith("6 passed, 0 failed, 1 skipped\n"))
        self.assertRegex(self.run_tamis("cel", "--conformance", self.folder / "none", code=2).stderr, "cannot open .*none")
        (self.folder / "no.json").write_text("{}")
        self.assertRegex(self.run_tamis("cel", "--conformance", self.folder / "no.json", code=2).stderr, "no.json: .*`tests`")

    def test_batch(self):
        cases = json.loads(CASES.read_text())["tests"]
        text = "".join(json.dumps(case) + "\n" for case in cases) + "no case\n"
        out = [json.loads(line) for line in self.run_tamis("cel", "--batch", text=text).stdout.splitlines()]
        self.assertEqual({"value": {"t": "int", "v": "42"}}, out[0])
        self.assertEqual(["error"], list(out[1]))
        self.assertEqual({"value": {"t": "int", "v": "4"}}, out[2])
        self.assertEqual({"type": "list(int)"}, out[3])
        self.assertEqual({"value": {"t": "int", "v": "2"}}, out[4])
        self.assertEqual({"value": {"t": "bool", "v": True}}, out[5])
        self.assertEqual(["error"], list(out[8]))
        self.assertEqual(len(cases) + 1, len(out))

    def test_batch_answers_line_by_line(self):
        with subprocess.Popen([str(harness.binary()), "cel", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for number in range(3):
                process.stdin.write(b'{"expr": "%d"}\n' % number)
                process.stdin.flush()
                self.assertEqual({"value": {"t": "int", "v": str(number)}}, json.loads(process.stdout.readline()))
            process.stdin.close()
            self.assertEqual(0, process.wait(10))


class DemoAndBench(harness.TestCase):
    def test_demo_events_are_always_the_same(self):
        first = self.demo_events(800)
        self.assertEqual(first, self.demo_events(800))
        self.assertNotEqual(first, self.demo_events(800, seed=2))
        events = [json.loads(line) for line in first]
        self.assertEqual({"session", "login", "send", "signup", "payment"}, {event["type"] for event in events})
        self.assertEqual(sorted(event["t"] for event in events), [event["t"] for event in events])
        self.assertEqual(800, len({event["id"] for event in events}))

    def test_newcomers_are_new(self):
        """An honest signup is of somebody who was not there before, and the signups are not all of one network."""
        signups = [event for event in map(json.loads, self.demo_events(4000)) if event["type"] == "signup" and not event["paste"]]
        self.assertGreater(len(signups), 50)
        self.assertEqual(len(signups), len({event["acct"] for event in signups}))
        self.assertGreater(len({event["ip"].rsplit(".", 1)[0] for event in signups}), len(signups) // 3)

    def test_demo_cannot_write(self):
        self.assertRegex(self.run_tamis("demo", "--out", "/none/x", "--count", 1, code=2).stderr, "cannot write /none/x")
        self.assertRegex(self.run_tamis("demo", "--out", "/dev/full", "--count", 10000, code=2).stderr, "cannot write /dev/full")

    def test_bench(self):
        events = self.folder / "events.jsonl"
        events.write_bytes(b"".join(self.demo_events(500)) + b"bad\n")
        done = self.run_tamis("bench", "--rounds", 1, "--policy", harness.POLICY, events)
        self.assertRegex(done.stdout, r"501 events, 1 refused")
        self.assertRegex(done.stdout, r"JSON in, hits out +\d+\n")
        said = json.loads(self.run_tamis("bench", "--rounds", 1, "--json", "--policy", harness.POLICY, events).stdout)
        self.assertEqual((501, 1), (said["events"], said["refused"]))
        decided = self.run_tamis("replay", "-q", "--policy", harness.POLICY, events, code=1).stdout.splitlines()
        matches = sum(len(d["rules"]) + len(d.get("shadow", [])) for d in map(json.loads, decided))
        self.assertEqual(matches, sum(said["hits"]))
        self.assertGreater(said["ev_per_cpu_s"], 1000)
        without = json.loads(self.run_tamis("bench", "--rounds", 1, "--json", "--no-index", "--policy", harness.POLICY, events).stdout)
        self.assertEqual(said["hits"], without["hits"])
        (self.folder / "none.jsonl").write_text("")
        self.assertRegex(self.run_tamis("bench", "--policy", harness.POLICY, self.folder / "none.jsonl", code=2).stderr, "no events")


if __name__ == "__main__":
    unittest.main()
