#!/usr/bin/env python3
"""What policies/accounts does to sends: people who write to those they know and to a few strangers, what they share honestly, and
campaigns from their accounts.

  sends.py [--seeds 1-3] [--policy DIR] [--rules]

Each campaign has a stream of its own; the honest cases are in all. Prints, by kind, what share of messages was held or locked, and what
only told somebody (notify). Needs nothing but Python."""
import argparse
import collections
import os
import random
import sys

from payments import DAY, HOUR, MINUTE, START, TOP, decide_all, numbers

PEOPLE, DAYS = 1200, 24
CLASSES = ["res", "res", "res", "mob", "vpn", "tor", "biz", "dc"]


class Sends:
    """People and what they send, as a list of events; `kind` says of each message what it is."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.events, self.kind, self.number = [], {}, 0
        self.people = [self.somebody() for _ in range(PEOPLE)]
        for who in self.people:
            self.habits(who)

    def text(self):
        return self.r.getrandbits(64)

    def nearly(self, text):
        return text ^ (1 << self.r.randrange(64))

    def somebody(self):
        r = self.r
        return {"acct": f"{r.getrandbits(40):010x}", "ip": f"2.{r.randrange(256)}.{r.randrange(256)}.{1 + r.randrange(254)}", "asn": 64510 + r.randrange(40),
                "cc": "DE", "net": r.choice(CLASSES), "cookie": f"{r.getrandbits(48):012x}"}

    def send(self, who, t, kind, recipients, strangers, text=None, links=()):
        self.number += 1
        self.kind[self.number] = kind
        self.events.append({"id": self.number, "t": int(t), "type": "send", **who, "msg": f"m{self.number}", "via": "web", "rcpts": recipients, "new": strangers,
                            "rdom": "mail.example", "subj": f"{self.text():016x}", "body": f"{text or self.text():016x}", "urls": list(links), "bytes": 2400})

    def habits(self, who):
        """Mostly to people they know; some links are on everybody's mind."""
        r, t = self.r, START + self.r.random() * DAY
        while t < START + DAYS * DAY:
            recipients = r.choice([1, 1, 1, 2, 3, 5])
            strangers = r.randrange(1, recipients + 1) if r.random() < 0.15 else 0
            links = [f"site{min(int(r.expovariate(0.2)), 40)}.example"] if r.random() < 0.3 else []
            self.send(who, t, "honest " + who["net"], recipients, strangers, links=links)
            t += r.expovariate(1 / (2 * DAY))

    # What is honest and looks like a campaign.

    def case_petition(self):
        text = self.text()
        for who in self.r.sample(self.people, 60):
            self.send(who, START + 14 * DAY + self.r.random() * DAY, "case petition", 6, self.r.randrange(3, 6), self.nearly(text), ["petition.example"])

    def case_team(self):
        """Five who sell write the same to twenty strangers a day each; after the first days that is what they do."""
        text, team = self.text(), [self.somebody() for _ in range(5)]
        for day in range(20):
            for who in team:
                for n in range(5):
                    kind = "case team" if day >= 5 else "case team, first days"
                    self.send(who, START + day * DAY + (9 + n) * HOUR, kind, 4, 4, self.nearly(text))

    def case_news(self):
        """Everybody sends a link to friends, some to strangers."""
        for who in self.r.sample(self.people, 300):
            strangers = self.r.random() < 0.3
            self.send(who, START + 16 * DAY + self.r.random() * DAY, "case news", 4, 3 if strangers else 0, links=["news.example"])

    def case_applicant(self):
        for who in self.r.sample(self.people, 20):
            text, t = self.text(), START + (8 + 9 * self.r.random()) * DAY
            for n in range(30):
                self.send(who, t + n * 5 * MINUTE, "case applicant", 1, 1, self.nearly(text), ["jobs.example"])

    # Campaigns, from accounts of others.

    def campaign_drip(self):
        """One account after the other, twelve hours apart; the links change."""
        text = self.text()
        for n, who in enumerate(self.r.sample(self.people, 24)):
            for m in range(6):
                self.send(who, START + 8 * DAY + n * 12 * HOUR + m * 5 * MINUTE, "campaign drip", 20, 19, self.nearly(text), [f"l{self.text():x}.example"])

    def campaign_link(self):
        """One link, ever new texts, three messages each."""
        for who in self.r.sample(self.people, 40):
            t = START + 12 * DAY + self.r.random() * DAY
            for m in range(3):
                self.send(who, t + m * 15 * MINUTE, "campaign link", 8, 7, links=["bargain.example"])

    def campaign_text(self):
        text = self.text()
        for who in self.r.sample(self.people, 40):
            t = START + 12 * DAY + self.r.random() * DAY
            for m in range(3):
                self.send(who, t + m * 15 * MINUTE, "campaign text", 8, 7, self.nearly(text))

    def campaign_text_and_link(self):
        text = self.text()
        for who in self.r.sample(self.people, 40):
            t = START + 12 * DAY + self.r.random() * DAY
            for m in range(5):
                self.send(who, t + m * 5 * MINUTE, "campaign text and link", 12, 11, self.nearly(text), ["bargain.example"])


    def campaign_contacts(self):
        """Answers are turned away from the owner, who then writes to whom he knows, as it seems."""
        text = self.text()
        for who in self.r.sample(self.people, 20):
            t = START + (8 + 6 * self.r.random()) * DAY
            self.events.append({"id": f"c{who['acct']}", "t": int(t), "type": "change", **who, "what": "forward_rule"})
            for m in range(20):
                self.send(who, t + HOUR + m * MINUTE, "campaign contacts", 4, 0, self.nearly(text), ["share.example"])


CAMPAIGNS = [name[9:] for name in vars(Sends) if name.startswith("campaign_")]
CASES = [name[5:] for name in vars(Sends) if name.startswith("case_")]


def make(seed, campaign=None):
    sends = Sends(seed)
    for case in CASES:
        getattr(sends, "case_" + case)()
    if campaign:
        getattr(sends, "campaign_" + campaign)()
    sends.events.sort(key=lambda e: (e["t"], str(e["id"])))
    return sends


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seeds", default="1-3")
    ap.add_argument("--policy", default=os.path.join(TOP, "policies", "accounts"))
    ap.add_argument("--rules", action="store_true")
    a = ap.parse_args()
    program = os.environ.get("TAMIS_BIN", os.path.join(TOP, "build", "release", "tamis"))
    table, rules = collections.defaultdict(collections.Counter), collections.defaultdict(collections.Counter)
    for seed in numbers(a.seeds):
        for campaign in [None, *CAMPAIGNS]:
            stream = make(seed, campaign)
            for e, d in decide_all(stream.events, a.policy, program):
                kind = stream.kind.get(e["id"], "change")
                if kind != "change" and (campaign is None or kind.startswith("campaign")):
                    table[kind][d["verdict"]] += 1
                    rules[kind].update(d["rules"])
    print(f"{'':34s}{'messages':>9s}{'held %':>9s}{'told %':>9s}")
    for kind, verdicts in sorted(table.items()):
        n = sum(verdicts.values())
        print(f"{kind:34s}{n:9d}{100 * (verdicts['hold'] + verdicts['lock']) / n:9.3f}{100 * verdicts['notify'] / n:9.3f}" + (f"   {dict(rules[kind])}" if a.rules else ""))


if __name__ == "__main__":
    sys.exit(main())
