"""`tamis eval`: what a policy does to honest people, and the bound on it."""

import json
import unittest

import harness

START = 1_772_409_600_000

GATE_POLICY = """
policy: gate
type: {at: type}
id: {at: id}
time: {at: t, format: ms}
---
event: signup
verdicts: [allow, challenge, refuse]
fields: {account: {type: account, path: acct}, ip_class: {type: string, path: net}, odd: {type: bool, default: false}}
---
event: login
verdicts: [allow, challenge, hold]
fields: {account: {type: account, path: acct}, ip_class: {type: string, path: net}, odd: {type: bool, default: false}}
---
event: attempt
verdicts: [allow, ask]
fields: {account: {type: account, path: acct}, ip_class: {type: string, path: net}}
---
rules: [{id: odd, on: [signup, login], when: odd, then: challenge, mode: live}]
"""


class Gate(harness.TestCase):
    """The bound on what is done to honest people, for each event type by itself."""

    def setUp(self):
        super().setUp()
        self.policy = self.write_policy({"p.yaml": GATE_POLICY})
        self.events = self.folder / "events.jsonl"

    # The events of each type that are honest, and how many of them are harmed.
    def eval(self, honest, *arguments, code=0, json_out=True):
        lines = []
        for (kind, net), (count, harmed) in honest.items():
            lines += [{"id": f"{kind}{net}{n}", "t": START + n, "type": kind, "acct": f"a{n}", "net": net, "odd": n < harmed} for n in range(count)]
        self.events.write_text("".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["t"])))
        done = self.run_tamis("eval", "--policy", self.policy, "--unknown-is-good", "--quiet", *(["--json"] if json_out else []), *arguments,
                              self.events, code=code)
        return json.loads(done.stdout) if json_out else done

    def test_a_type_with_many_events_hides_none(self):
        honest = {("login", "tor"): (4000, 4), ("signup", "tor"): (100, 12)}
        # Together 0.39 %, which the bound would let pass.
        told = self.eval(honest, "--fpr-max", "tor=0.5%", code=1)
        self.assertEqual((4100, 16), (told["all"]["tor"]["honest"], told["all"]["tor"]["harmed"]))
        gate = {check["type"]: check for check in told["gate"]}
        self.assertEqual({"login": ("holds", True), "signup": ("exceeds", True)}, {t: (c["result"], c["sure"]) for t, c in gate.items()})
        self.assertEqual((0.12, 100, 12), (gate["signup"]["rate"], gate["signup"]["honest"], gate["signup"]["harmed"]))
        self.assertEqual({"allow": 88, "challenge": 12, "refuse": 0}, told["types"]["signup"]["tor"]["honest_verdicts"])
        self.assertEqual(1, len(told["over"]))
        done = self.eval(honest, "--fpr-max", "tor=0.5%", code=1, json_out=False)
        self.assertRegex(done.stderr, r"signup/tor: 12\.000 % of honest events are treated harshly, at most 0\.500 % may be \(12 of 100; 95 %: 6\.999 %")
        self.assertNotIn("login/tor", done.stderr)
        self.assertRegex(done.stdout, r"login/tor holds: 0\.100 % of 4000, at most 0\.500 % may be\n")
        self.assertRegex(done.stdout, r"signup +tor +100 +12 +12\.000 %.*challenge 12")
        self.assertIn("attempt is not looked at", done.stderr)
        self.assertEqual(["attempt"], told["left_out"])

    def test_a_bound_of_one_type(self):
        honest = {("login", "tor"): (4000, 4), ("signup", "tor"): (100, 12)}
        told = self.eval(honest, "--fpr-max", "login/tor=0.5%")
        self.assertEqual([("login", "holds")], [(c["type"], c["result"]) for c in told["gate"]])
        self.eval(honest, "--fpr-max", "signup/tor=5%", code=1)
        # It goes before the bound of all types.
        self.eval(honest, "--fpr-max", "tor=0.5%", "--fpr-max", "signup/tor=20%")
        self.assertIn("no honest events", self.eval(honest, "--fpr-max", "signup/vpn=5%", code=1)["over"][0])
        for wrong, why in [("tor=5", "at most 1, or 100%"), ("attempt/tor=1%", "not looked at"), ("signup/=1%", "expected CLASS=SHARE")]:
            self.assertIn(why, self.eval(honest, "--fpr-max", wrong, code=2, json_out=False).stderr)
        twice = self.eval(honest, "--fpr-max", "tor=1%", "--fpr-max", "tor=2%", code=2, json_out=False)
        self.assertIn("two bounds for tor", twice.stderr)

    def test_too_few_honest_events_are_told(self):
        honest = {("login", "tor"): (900, 0), ("signup", "tor"): (60, 0)}
        done = self.eval(honest, "--fpr-max", "tor=0.5%", json_out=False)
        self.assertRegex(done.stderr, r"signup/tor: 0\.000 % .* \(0 of 60; 95 %: 0\.000 % to 6\.\d+ %\); these are too few to tell, it may be more: "
                                      r"at this rate it takes 765")
        self.assertNotIn("login/tor", done.stderr)
        self.assertRegex(done.stdout, r"signup/tor holds: .*; too few to be sure\n")
        self.assertEqual([("login", True, None), ("signup", False, 765)],
                         [(c["type"], c["sure"], c["sure_from"]) for c in self.eval(honest, "--fpr-max", "tor=0.5%")["gate"]])
        told = self.eval(honest, "--fpr-max", "tor=0.5%", "--fpr-sure", code=1)
        self.assertEqual(1, len(told["over"]))
        self.eval(honest, "--fpr-max", "login/tor=0.5%", "--fpr-sure")

    def test_accounts_from_before_and_people_who_answer(self):
        policy = self.write_policy({"p.yaml": GATE_POLICY.replace("rules: [", """features:
  was_paid: {last: paid, of: account, by: account, over: 90d}
  proofs: {count: proof, by: account, over: 1d}
---
event: account
fields: {account: {type: account, path: acct}, paid: bool}
---
event: proof
fields: {account: {type: account, path: acct}, passed: bool}
---
rules:
  - {id: unpaid, on: signup, when: "!(has(was_paid) && was_paid)", then: challenge, reason: new, mode: live}
  - {id: again, on: login, when: odd && proofs == 0, then: hold, reason: odd, mode: live}
rules_of_before: [""").split("rules_of_before")[0]})
        lines = [{"id": f"s{n}", "t": START + n, "type": "signup", "acct": f"a{n}", "net": "tor"} for n in range(10)]
        lines += [{"id": f"l{n}", "t": START + 100 + n, "type": "login", "acct": "a1", "net": "tor", "odd": True, "why": "x"} for n in range(7)]
        self.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
        seed = self.folder / "seed.jsonl"
        seed.write_text("".join(f'{{"acct": "a{n}", "paid": true}}\n' for n in range(4)) + "[]\n")

        def harmed(*arguments, code=0):
            done = self.run_tamis("eval", "--policy", policy, "--unknown-is-good", "--quiet", "--json", *arguments, self.events, code=code)
            if code:
                return done.stderr
            told = json.loads(done.stdout)
            return {t: classes["tor"]["harmed"] for t, classes in told["types"].items()} | {k: told[k] for k in ("accounts_before", "accounts_refused", "answered") if k in told}
        self.assertEqual({"signup": 10, "login": 7}, harmed())
        self.assertEqual({"signup": 6, "login": 7, "accounts_before": 4, "accounts_refused": 1}, harmed("--accounts", seed))
        # Who is asked and answers is not asked again.
        self.assertEqual({"signup": 10, "login": 1, "answered": 1}, harmed("--answer", 'hold={"type": "proof", "passed": true}'))
        # Of those who are not honest nobody answers.
        truth = self.folder / "truth.csv"
        truth.write_text("entity,value,label\naccount,a1,bad\n")
        done = self.run_tamis("eval", "--policy", policy, "--truth", truth, "--unknown-is-good", "--quiet", "--json", "--answer",
                              'hold={"type": "proof", "passed": true}', self.events)
        self.assertEqual((7, 0), (json.loads(done.stdout)["types"]["login"]["tor"]["caught"], json.loads(done.stdout)["answered"]))
        self.assertIn('no event type has a verdict "halt"', harmed("--answer", "halt={}", code=2))
        self.assertIn("expected a JSON object", harmed("--answer", "hold=[]", code=2))
        self.assertIn("makes no event of the policy", harmed("--answer", 'hold={"type": "lunch"}', code=2))
        self.assertIn("there is no account in it", harmed("--accounts", truth, code=2))

    def test_lines_that_are_no_events_are_told(self):
        self.eval({("login", "tor"): (20, 0)})
        with self.events.open("a") as out:
            out.write('{"type":"login","t":"soon"}\n{"type":"lunch","id":"x"}\n')
        done = self.run_tamis("eval", "--policy", self.policy, "--unknown-is-good", "--quiet", "--json", self.events)
        self.assertEqual((1, 1), (json.loads(done.stdout)["refused"], json.loads(done.stdout)["skipped"]))
        self.assertIn(f"{self.events}:21: the time at \"t\"", done.stderr)


if __name__ == "__main__":
    unittest.main()
