"""Card testing at a pace of a few a day, over weeks, with an account, a device and an address of its own for each try, among honest
payments: what the ready policy does to the one and to the others."""

import json
import random
import unittest

import harness
from accounts_test import AGENTS, NAMES, PLACES

START = 1_772_409_600_000
MINUTE, DAY = 60_000, 86_400_000
DAYS, FROM_DAY = 30, 8
RANGES = [400_000 + 37 * n for n in range(40)]


class Stream:
    """Honest people with their cards; a tester among them."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.events, self.kind = [], {}
        for n in range(1000):
            self.person(n)

    def put(self, who, t, kind, **more):
        event = {"id": f"{kind}{len(self.events)}", "t": int(t), "type": kind, **who["client"], "acct": who["acct"], **more}
        self.events.append(event)
        return event["id"]

    def somebody(self, name):
        r = self.r
        cc, lang, tz = r.choice(PLACES)
        return {"acct": name, "cc": cc, "client": {
            "ip": f"198.{18 + r.randrange(2)}.{r.randrange(250)}.{1 + r.randrange(250)}", "asn": 64510 + r.randrange(12), "cc": cc,
            "net": r.choice(["res", "res", "mob", "vpn", "tor"]), "ua": r.choice(AGENTS), "fp": f"d{name}{r.randrange(10**6)}", "tls": f"t{r.randrange(5)}",
            "lang": lang, "tz": tz, "rtt": r.randrange(20, 200), "cookie": f"k{name}{r.randrange(10**6)}"}}

    def sign_up(self, who, t, **more):
        r = self.r
        first, last, number = r.choice(NAMES), r.choice(NAMES), str(r.randrange(10 ** r.randrange(1, 5)))
        name = r.choice([first + "." + last, first + last + number, first[0] + last, first + "_" + number, last + "." + first + number, first + last])
        form = {"local": name, "scr": f"{r.choice([1920, 1366, 390, 412, 1536, 2560])}x{r.randrange(700, 1440)}", "gpu": f"g{r.randrange(400)}",
                "cores": r.choice([2, 4, 6, 8, 12]), "cap": r.choice(["img", "pow"]), "cap_ms": int(r.lognormvariate(9, 0.7)), "cap_tries": 1,
                "fill_ms": int(r.lognormvariate(10.3, 0.6)), "paste": False}
        self.put(who, t, "signup", **{**form, **more})

    def pay(self, who, t, card, bin_, cents, ok, kind):
        number = self.put(who, t, "payment", card=card, bin=bin_, ccc=who["cc"], cents=cents, ok=ok, code="" if ok else "do_not_honor")
        self.kind[number] = kind

    def person(self, n):
        """Pays for a plan or gives a little, now and then; one payment in seventeen is declined, and mostly tried again."""
        r, who = self.r, self.somebody(f"h{n}")
        t = START + r.random() * 20 * DAY
        self.sign_up(who, t)
        bin_ = r.choices(RANGES, [1 / (i + 2) for i in range(len(RANGES))])[0]
        card = f"card-h{n}"
        for _ in range(r.randrange(1, 6)):
            t += r.expovariate(1 / (4 * DAY))
            cents = r.choice([100, 300, 499, 499, 999, 999, 4799])
            ok = r.random() > 0.06
            if t < START + DAYS * DAY:
                self.pay(who, t, card, bin_, cents, ok, "honest")
                if not ok and r.random() < 0.6:
                    self.pay(who, t + 3 * MINUTE, card, bin_, cents, r.random() < 0.6, "honest")

    def tests(self, a_day=4):
        """When the tester tries a card."""
        t = START + FROM_DAY * DAY
        while t < START + DAYS * DAY:
            t += self.r.expovariate(a_day / DAY)
            yield t

    def one_range(self, bin_):
        for n, t in enumerate(self.tests()):
            who = self.somebody(f"x{n}")
            self.sign_up(who, t - self.r.random() * 6 * DAY)
            self.pay(who, t, f"card-x{n}", bin_, self.r.choice([100, 150, 200]), self.r.random() < 0.18, "tester")

    def accounts_of_a_program(self):
        """Ranges as people have them; the accounts were made by one program, days before."""
        r, times = self.r, list(self.tests())
        for n, t in enumerate(times):
            who = self.somebody(f"x{n}")
            made = START + (4 + 3 * n / len(times)) * DAY
            self.sign_up({**who, "client": who["client"] | {"ua": AGENTS[1], "tls": "t-tool", "lang": "en-US", "tz": "UTC"}}, made, scr="800x600", gpu="soft",
                         cores=2, local=f"q{r.randrange(10000, 99999)}xz", fill_ms=1700 + r.randrange(40), cap_ms=400 + r.randrange(9), paste=True)
            self.pay(who, t, f"card-x{n}", r.choice(RANGES), r.choice([100, 150, 200]), r.random() < 0.18, "tester")

    def one_account(self):
        who = self.somebody("x")
        self.sign_up(who, START + 5 * DAY)
        for n, t in enumerate(self.tests(a_day=0.5)):
            who = {**who, "client": self.somebody("x")["client"]}
            self.pay(who, t, f"card-x{n}", self.r.choice(RANGES), 100, self.r.random() < 0.18, "tester")


class SlowCardTesting(harness.TestCase):
    def decide(self, stream):
        source, out = self.folder / "events.jsonl", self.folder / "decisions"
        events = sorted(stream.events, key=lambda e: e["t"])
        source.write_text("".join(json.dumps(e) + "\n" for e in events))
        self.run_tamis("replay", "--policy", harness.READY_POLICY, "--out", out, "--quiet", source)
        verdicts = {d["id"]: d["verdict"] for d in map(json.loads, out.read_text().splitlines())}
        paid = [(e, verdicts[e["id"]]) for e in events if e["type"] == "payment"]
        honest = [(e, v) for e, v in paid if stream.kind[e["id"]] == "honest"]
        tester = [(e, v) for e, v in paid if stream.kind[e["id"]] == "tester"]
        self.assertGreater(len(honest), 2000)
        return honest, tester

    def stopped(self, payments):
        return [e for e, v in payments if v != "allow"]

    def check_range(self, bin_, seed, share):
        stream = Stream(seed)
        stream.one_range(bin_)
        honest, tester = self.decide(stream)
        self.assertGreater(len(tester), 60)
        # The first tries look like anybody's; from the second week on nearly all are stopped.
        late = [(e, v) for e, v in tester if e["t"] > START + (FROM_DAY + 7) * DAY]
        self.assertGreaterEqual(len(self.stopped(late)), share * len(late), f"{len(self.stopped(tester))} of {len(tester)}")
        # Nobody with another range of cards is asked, and nobody whose card was taken before.
        seen = set()
        for e, v in honest:
            if v != "allow":
                self.assertEqual(bin_, e["bin"])
                self.assertNotIn(e["card"], seen)
            if e["ok"]:
                seen.add(e["card"])
        asked = self.stopped(honest)
        self.assertLess(len(asked), 0.02 * len(honest))
        return len(asked), len(honest)

    def test_a_range_of_cards_that_few_people_have(self):
        for seed in (1, 2, 3):
            self.check_range(RANGES[25], seed, 0.95)

    def test_a_range_that_people_have(self):
        """Twice as many payments of honest people: declines are rare among all, not among small amounts."""
        for seed in (4, 5, 6):
            self.check_range(RANGES[6], seed, 0.9)

    def test_accounts_that_one_program_has_made(self):
        stream = Stream(7)
        stream.accounts_of_a_program()
        honest, tester = self.decide(stream)
        self.assertEqual([], self.stopped(honest))
        self.assertGreater(len(self.stopped(tester)), 0.9 * len(tester))

    def test_one_account_with_ever_new_cards(self):
        stream = Stream(8)
        stream.one_account()
        honest, tester = self.decide(stream)
        self.assertEqual([], self.stopped(honest))
        self.assertEqual(len(tester) - 6, len([1 for e, v in tester[6:] if v == "refuse"]))

    def test_people_alone_are_left_alone(self):
        for seed in (9, 10):
            honest, tester = self.decide(Stream(seed))
            self.assertEqual([], tester)
            self.assertEqual([], self.stopped(honest))


if __name__ == "__main__":
    unittest.main()
