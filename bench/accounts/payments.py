#!/usr/bin/env python3
"""What policies/accounts does to payments: made-up honest people of every class of network, with what is hard to tell from card
testing, and testers of several kinds among them.

  payments.py [--seeds 1-3] [--policy DIR] [--only KIND,...] [--rules]     (--only '': people alone)

Each kind of tester has a stream of its own, among the same sort of people, so that one does not give away the other; honest
counter-cases are in all. Prints, by kind, what share of payments was asked for one more step or refused; of honest people by class
of network and by case. --rules says by which rules. Needs nothing but Python."""
import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = 1_772_409_600_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
DAYS, FROM_DAY = 24, 10
PEOPLE = 5000
# Class of network: share of the people, share of their payments that is declined.
CLASSES = {"res": (0.55, 0.06), "mob": (0.2, 0.08), "vpn": (0.12, 0.1), "tor": (0.05, 0.18), "biz": (0.06, 0.05), "dc": (0.02, 0.1)}
RANGES = [400_000 + 371 * n for n in range(200)]
DECLINED = ["do_not_honor", "insufficient_funds", "expired_card", "incorrect_cvc"]
TESTED = ["do_not_honor", "incorrect_cvc", "pickup_card", "stolen_card", "invalid_number", "insufficient_funds"]
AMOUNTS = [100, 300, 499, 499, 999, 999, 1299, 4788, 4788, 11988]


class Payments:
    """Honest people with their cards, as a list of events; `kind` says of each payment what it is."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.events, self.kind, self.number = [], {}, 0
        self.popular = [f"p{n:03d}" for n in range(60)]
        self.exits = {"vpn": self.addresses(40), "tor": self.addresses(60), "mob": self.addresses(80), "biz": self.addresses(50)}
        self.people = [self.somebody() for _ in range(PEOPLE)]
        for who in self.people:
            self.habits(who)

    def addresses(self, n):
        return [self.address() for _ in range(n)]

    def address(self):
        r = self.r
        return f"{r.randrange(2, 5)}.{r.randrange(256)}.{r.randrange(256)}.{1 + r.randrange(254)}"

    def name(self):
        return f"{self.r.getrandbits(40):010x}"

    def somebody(self, net=None):
        """An account with a client of its own. Most phones and browsers share a fingerprint, Tor Browser three."""
        r = self.r
        net = net or r.choices(list(CLASSES), [share for share, _ in CLASSES.values()])[0]
        shared = r.choices(self.popular, [1 / (n + 1) for n in range(60)])[0] if r.random() < 0.6 else "d" + self.name()
        device = f"tor{r.randrange(3)}" if net == "tor" else shared
        return {"acct": self.name(), "card": self.name(), "bin": r.choices(RANGES, [1 / (n + 3) for n in range(200)])[0], "client": {
            "ip": r.choice(self.exits[net]) if net in self.exits else self.address(), "asn": 64510 + r.randrange(40), "cc": "DE", "net": net,
            "ua": "agent " + device[:2], "fp": device, "tls": "t" + device[:2], "lang": "de-DE", "tz": "Europe/Berlin", "rtt": r.randrange(20, 200),
            "cookie": self.name()}}

    def pay(self, who, t, ok, kind, cents=None, code=None, **more):
        r = self.r
        self.number += 1
        self.kind[self.number] = kind
        code = "approved" if ok else code or r.choice(DECLINED)
        self.events.append({"id": self.number, "t": int(t), "type": "payment", **who["client"], "acct": who["acct"], "purpose": "plan", "bin": who["bin"],
                            "card": who["card"], "ccc": "DE", "cents": cents or r.choice(AMOUNTS), "ok": ok, "code": code, **more})

    def habits(self, who):
        """Pays now and then; what is declined is mostly tried again, with the same card or with another."""
        r = self.r
        t, share = START + r.random() * DAYS * DAY, CLASSES[who["client"]["net"]][1]
        for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
            ok, kind = r.random() > share, "honest " + who["client"]["net"]
            cents = r.choice(AMOUNTS)
            self.pay(who, t, ok, kind, cents)
            while not ok and r.random() < 0.6:
                t += r.randrange(1, 9) * MINUTE
                if r.random() < 0.3:
                    who = {**who, "card": self.name(), "bin": r.choice(RANGES)}
                ok = r.random() < 0.6
                self.pay(who, t, ok, kind, cents)
            t += r.expovariate(1 / (6 * DAY))
            if t > START + DAYS * DAY:
                break

    # What is honest and looks like testing.

    def case_kiosk(self):
        """A counter: one browser, a card and an account of a customer each."""
        for _ in range(3):
            at = self.somebody("biz")
            for day in range(12):
                for n in range(25):
                    who = {**self.somebody("biz"), "client": at["client"]}
                    t = START + (6 + day) * DAY + 9 * HOUR + n * 20 * MINUTE
                    ok = self.r.random() > 0.08
                    self.pay(who, t, ok, "case kiosk")
                    if not ok:
                        self.pay({**who, "card": self.name()}, t + 2 * MINUTE, self.r.random() < 0.8, "case kiosk")

    def case_treasurer(self):
        """Several cards of a school or club for many places; some are declined."""
        for _ in range(40):
            who, t = self.somebody("biz"), START + self.r.random() * DAYS * DAY
            for n in range(self.r.randrange(5, 10)):
                card = {**who, "card": self.name(), "bin": self.r.choice(RANGES)}
                ok = self.r.random() > 0.15
                self.pay(card, t + n * 6 * MINUTE, ok, "case treasurer", 4788)
                if not ok:
                    self.pay(card, t + n * 6 * MINUTE + MINUTE, self.r.random() < 0.5, "case treasurer", 4788)

    def case_own_cards(self):
        """Declined, with each of three own cards, some of them tried again; the next day one is taken."""
        for _ in range(100):
            who, t = self.somebody(), START + self.r.random() * DAYS * DAY
            cards = [{**who, "card": self.name(), "bin": self.r.choice(RANGES)} for _ in range(3)]
            for n, card in enumerate(cards):
                for again in range(self.r.choice([1, 1, 2])):
                    self.pay(card, t + (4 * n + again) * MINUTE, False, "case own cards", 999)
            self.pay(cards[0], t + DAY, True, "case own cards", 999)

    def outage(self, bins, day, hours, codes, kind):
        """Everybody's cards of these ranges are declined for a while, and tried again."""
        begin = START + day * DAY + 18 * HOUR
        for e in self.events:
            if e["type"] == "payment" and e["bin"] in bins and begin <= e["t"] < begin + hours * HOUR:
                e["ok"], e["code"] = False, self.r.choice(codes)
        for who in [p for p in self.people if p["bin"] in bins][:400]:
            if self.r.random() < 0.25:
                t = begin + self.r.random() * hours * HOUR
                for n in range(self.r.choice([1, 2, 3])):
                    self.pay(who, t + n * 3 * MINUTE, False, kind, code=self.r.choice(codes))

    def case_outage(self):
        self.outage(RANGES[:2], 14, 1, ["do_not_honor"], "case bank outage")

    def case_no_answer(self):
        self.outage(RANGES, 16, 1, ["issuer_unavailable", "processing_error"], "case no answer")

    def case_donors(self):
        """A crowd gives a little after an appeal, from everywhere."""
        for _ in range(600):
            who = self.somebody()
            share = CLASSES[who["client"]["net"]][1]
            self.pay(who, START + 13 * DAY + self.r.random() * 3 * HOUR, self.r.random() > 1.3 * share, "case donors", self.r.choice([100, 200, 500]), purpose="donation")

    def case_school(self):
        """A class pays from the machines of one room: one address, one make of machine, each with a card."""
        at = self.somebody("biz")["client"]
        for _ in range(150):
            who = self.somebody("biz")
            self.pay({**who, "client": {**at, "cookie": self.name()}}, START + 12 * DAY + self.r.random() * 2 * HOUR, self.r.random() > 0.1, "case school", 499)

    # Testers.

    def tester(self, who, t, kind, cents=(100, 150, 200), taken=0.15, **more):
        self.pay({**who, "card": self.name(), "bin": more.pop("bin", None) or self.r.choice(RANGES)}, t, self.r.random() < taken, "tester " + kind,
                 self.r.choice(cents), self.r.choice(TESTED), **more)

    def tester_one_browser(self):
        """A new account for each card, twenty minutes."""
        at = self.somebody("res")["client"]
        for n in range(120):
            self.tester({**self.somebody(), "client": at}, START + 12 * DAY + n * 10_000, "one browser", taken=0.2, purpose="donation")

    def tester_one_browser_slow(self):
        at = self.somebody("res")["client"]
        for n in range(40):
            self.tester({**self.somebody(), "client": at}, START + FROM_DAY * DAY + n * 8 * HOUR, "one browser, slow", taken=0.2)

    def tester_one_address(self):
        """New cookies, fingerprints and accounts, one address."""
        ip = self.address()
        for n in range(60):
            who = self.somebody("res")
            self.tester({**who, "client": {**who["client"], "ip": ip, "fp": "d" + self.name()}}, START + 12 * DAY + n * 10 * MINUTE, "one address")

    def tester_one_device(self):
        """Accounts, cookies and addresses of others; one program, six days."""
        device = self.somebody("res")["client"]["fp"]
        for _ in range(150):
            who = self.somebody()
            self.tester({**who, "client": {**who["client"], "fp": device}}, START + (FROM_DAY + 6 * self.r.random()) * DAY, "one device", taken=0.25)

    def tester_tor(self):
        for _ in range(90):
            self.tester(self.somebody("tor"), START + (12 + 1.5 * self.r.random()) * DAY, "Tor donations", taken=0.2, purpose="donation")

    def tester_large(self):
        """One range of cards, 30 to 48 dollars, two days."""
        for _ in range(60):
            self.tester(self.somebody(), START + (12 + 2 * self.r.random()) * DAY, "one range, large", (2999, 4788), bin=455_701)

    def tester_sleepers(self):
        """Accounts with a client each that were made weeks before wake to pay, three times each within twelve hours."""
        for _ in range(120):
            who, t = self.somebody("res"), START + 12 * DAY + self.r.random() * 12 * HOUR
            who["client"]["fp"] = "d" + self.name()
            for n in range(3):
                self.tester(who, t + n * 7 * MINUTE, "sleepers", taken=0.2)

    def tester_rotating(self):
        """Nothing in common but small amounts and declines: 300 in six hours."""
        for _ in range(300):
            who = self.somebody("res")
            who["client"]["fp"] = "d" + self.name()
            self.tester(who, START + 12 * DAY + self.r.random() * 6 * HOUR, "all rotating")

    def tester_of_program(self):
        """As in the given kinds: few accounts, many cards."""
        for _ in range(10):
            who, t = self.somebody("vpn"), START + 12 * DAY + self.r.random() * 8 * HOUR
            for n in range(20):
                self.tester(who, t + n * 2 * MINUTE, "few accounts", taken=0.06)


TESTERS = [name[7:] for name in vars(Payments) if name.startswith("tester_")]
CASES = [name[5:] for name in vars(Payments) if name.startswith("case_")]


def make(seed, tester=None):
    payments = Payments(seed)
    for case in CASES:
        getattr(payments, "case_" + case)()
    if tester:
        getattr(payments, "tester_" + tester)()
    payments.events.sort(key=lambda e: (e["t"], e["id"]))
    return payments


def decide_all(events, policy, program):
    """Each event with its decision, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = os.path.join(folder, "events.jsonl"), os.path.join(folder, "decisions")
        with open(source, "w") as file:
            file.writelines(json.dumps(e) + "\n" for e in events)
        subprocess.run([program, "replay", "--policy", policy, "--out", out, "--quiet", source], check=True)
        with open(out) as file:
            told = {d["id"]: d for d in map(json.loads, file)}
    return [(e, told[str(e["id"])]) for e in events]


def numbers(text):
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seeds", default="1-3")
    ap.add_argument("--policy", default=os.path.join(TOP, "policies", "accounts"))
    ap.add_argument("--only")
    ap.add_argument("--rules", action="store_true")
    a = ap.parse_args()
    program = os.environ.get("TAMIS_BIN", os.path.join(TOP, "build", "release", "tamis"))
    table, rules = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)
    for seed in numbers(a.seeds):
        for tester in [None, *filter(None, a.only.split(",") if a.only is not None else TESTERS)]:
            payments = make(seed, tester)
            for e, d in decide_all(payments.events, a.policy, program):
                kind = payments.kind[e["id"]]
                kind = kind + (", beside testers" if tester and not kind.startswith("tester") else "")
                table[kind][d["verdict"]] += 1
                rules[kind].update(d["rules"])
    print(f"{'':34s}{'payments':>9s}{'challenged %':>14s}{'refused %':>11s}")
    for kind, verdicts in sorted(table.items()):
        n = sum(verdicts.values())
        print(f"{kind:34s}{n:9d}{100 * verdicts['challenge'] / n:14.3f}{100 * verdicts['refuse'] / n:11.3f}" + (f"   {dict(rules[kind])}" if a.rules else ""))


if __name__ == "__main__":
    sys.exit(main())
