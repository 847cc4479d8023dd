#!/usr/bin/python3
"""What policies/accounts makes of mail clients: of thieves with the right password, and of honest people at home and on journeys.

  mail_thieves.py --given DIR [--seeds 1-3] [--people 800] [--named 0.7] [--tamis FILE] [--policy DIR] [--work DIR]

Makes thirty days of IMAP logins (each an attempt, the same once more with the right password, and how it ended) and of sessions on the web,
on networks of DIR (a scenario such as dev-login). Who is refused did not sign in: so the stream is decided again with those logins as
refused ones, until that changes nothing more. Prints the share of tries that were stopped. Needs nothing but Python."""
import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
from sweep import numbers  # noqa: E402

DAY, BEGIN = 86_400_000, 1_767_225_600_000
DAYS, WARM = 30, 12  # days; those before WARM are not counted
ROUNDS_MAX = 20
CLIENTS = [
    '"name" "iPhone Mail" "version" "21F{}" "os" "iOS"',
    '"name" "Thunderbird" "version" "128.{}"',
    '"name" "K-9 Mail" "version" "6.{}"',
    '"name" "Microsoft Outlook" "version" "16.{}"',
    '"name" "com.apple.mail" "version" "3774.{}"',
]
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
Try = collections.namedtuple("Try", "day account network client group")  # client: None for the web, "" says no name


class Networks:
    """Places to sign in from, as the given scenario has them."""

    def __init__(self, events, rng):
        self.rng, found = rng, collections.defaultdict(set)
        with open(events) as lines:
            for event in map(json.loads, lines):
                if "net" in event and "ip" in event:
                    found[event["net"]].add((event["ip"], event["asn"], event["cc"]))
        self.by_kind = {kind: sorted(places) for kind, places in found.items()}
        self.countries = sorted({cc for _, _, cc in self.by_kind["res"]})

    def pick(self, kind, country=None, elsewhere=()):
        places = [p for p in self.by_kind[kind] if p[2] not in elsewhere and country in (None, p[2])]
        if not places:
            places = self.by_kind[kind]
        ip, asn, cc = self.rng.choice(places)
        return self.moved({"ip": ip, "asn": asn, "cc": cc, "net": kind}) if kind not in ("vpn", "tor") else {"ip": ip, "asn": asn, "cc": cc, "net": kind}

    def moved(self, place):
        """Another address of the same network: a carrier's, or a neighbour's."""
        ip = place["ip"]
        return {**place, "ip": f"{ip.rsplit('.', 1)[0]}.{self.rng.randint(2, 250)}"} if "." in ip else place


class Person:
    def __init__(self, number, networks, rng, named):
        self.account, self.networks, self.rng = f"u{number}", networks, rng
        country = rng.choice(networks.countries)
        self.home, self.carrier = networks.pick("res", country), networks.pick("mob", country)
        self.kind = rng.choices(["mail", "both", "web", "vpn", "tor"], [3, 4, 2, 1, 0.4])[0]
        self.has_mail = self.kind in ("mail", "both") or (self.kind in ("vpn", "tor") and rng.random() < 0.6)
        self.client = rng.choice(CLIENTS).format(rng.randint(1, 9)) if rng.random() < named else ""
        self.journey = None
        if rng.random() < 0.3:
            kind = rng.choices(["res", "biz", "mob", "vpn", "tor"], [4, 2, 4, 2, 0.5])[0]
            self.journey = (15 + rng.random() * 12, networks.pick(kind, elsewhere=(country,)))
        self.mail_since = 0 if self.has_mail else DAYS
        if not self.has_mail and rng.random() < 0.35:
            self.mail_since = 14 + rng.random() * 14
        elif not self.has_mail and self.journey and rng.random() < 0.3:
            self.mail_since = self.journey[0] + 0.3
        self.new_client = (14 + rng.random() * 14, rng.choice(CLIENTS).format(rng.randint(1, 9))) if self.has_mail and self.client and rng.random() < 0.15 else None

    def is_away(self, day):
        return self.journey is not None and self.journey[0] < day < self.journey[0] + 3

    def place(self, day):
        if self.is_away(day):
            place = self.journey[1]
            return self.networks.moved(place) if place["net"] == "mob" else place
        if self.kind in ("vpn", "tor") and self.rng.random() < 0.65:
            return self.networks.pick(self.kind)
        return self.home if self.rng.random() < 0.55 else self.networks.moved(self.carrier)

    def days(self):
        for step in range(DAYS * 5):
            day = step / 5 + self.rng.random() * 0.15
            place, client, news = self.place(day), self.client, ""
            if self.new_client and day > self.new_client[0]:
                client, news = self.new_client[1], ", a new client" if day < self.new_client[0] + 3 else ""
            if not self.has_mail and day < self.mail_since + 3:
                news = ", the first client"
            where = "on a journey" if self.is_away(day) else "as usual"
            if day > self.mail_since:
                yield Try(day, self.account, place, client, f"honest {where}{news}")
            if self.kind != "mail" and self.rng.random() < 0.3:
                yield Try(day, self.account, place, None, "web")

    def thief(self, number):
        rng, kind = self.rng, ("res", "dc", "vpn", "tor", "same")[number % 5]
        day, away = 13 + 14 * rng.random(), (self.home["cc"], self.journey[1]["cc"] if self.journey else None)
        place = self.networks.pick("res", self.home["cc"]) if kind == "same" else self.networks.pick(kind, elsewhere=away)
        client = ("", rng.choice(CLIENTS).format(3), self.client)[number // 5 % 3]
        where = {"res": "abroad", "dc": "abroad", "vpn": "through an exit", "tor": "through an exit", "same": "in the country"}[kind]
        if self.mail_since > day:
            owner = "of an account without mail clients"
        elif not self.client:
            owner = "of clients without names"
        else:
            owner = "with the owner's client" if number // 5 % 3 == 2 else "with another client"
        for later in (0, 0.01, 0.3, 1, 2, 3.5, 5):
            yield Try(day + later, self.account, place, client, f"thief {where}, {owner}")


def tries_of(given, seed, people, named):
    rng = random.Random(seed)
    networks = Networks(os.path.join(given, "events.jsonl"), rng)
    out = []
    for number in range(people):
        person = Person(number, networks, rng, named)
        out += person.days()
        if number % 4 == 3:
            out += person.thief(number // 4)
    return sorted(out, key=lambda t: t.day)


def events_of(tries, refused):
    for number, t in enumerate(tries):
        event = {"acct": t.account, **t.network, "t": int(BEGIN + t.day * DAY)}
        if t.client is None:
            event.update(ua=AGENT, fp="b" + t.account, cookie="k" + t.account, lang="en-US", tz="Europe/Berlin")
            yield {**event, "id": f"w{number}", "type": "login", "ok": True}
            yield {**event, "id": f"s{number}", "type": "session"}
            continue
        event["protocol"] = "imap"
        if t.client:
            event["fp"] = t.client
        yield {**event, "id": f"a{number}", "type": "attempt"}
        yield {**event, "id": f"v{number}", "type": "attempt", "verified": True}
        ended = {"ok": False, "why": "policy"} if number in refused else {"ok": True}
        yield {**event, "id": f"l{number}", "type": "login", **ended}


def decide(options, tries, refused, work):
    """The tries that are stopped, and those of which the owner is told."""
    events, decisions = os.path.join(work, "events.jsonl"), os.path.join(work, "decisions.ndjson")
    with open(events, "w") as out:
        out.writelines(json.dumps(event) + "\n" for event in events_of(tries, refused))
    command = [options.tamis, "replay", "--policy", options.policy, "--intel", os.path.join(options.given, "ip_intel.csv"), "--out", decisions, "--quiet", events]
    subprocess.run(command, check=True)
    stopped, told = set(), set()
    with open(decisions) as lines:
        for decision in map(json.loads, lines):
            which, verdict = str(decision.get("id", "")), decision["verdict"]
            if which[:1] in ("a", "v") and verdict in ("hold", "refuse"):
                stopped.add(int(which[1:]))
            if which[:1] == "l" and verdict != "allow":
                told.add(int(which[1:]))
    return stopped, told


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--given", required=True)
    parser.add_argument("--seeds", default="1-3")
    parser.add_argument("--people", type=int, default=800)
    parser.add_argument("--named", type=float, default=0.7, help="share of people whose mail clients say their names")
    parser.add_argument("--tamis", default=os.path.join(TOP, "build", "release", "tamis"))
    parser.add_argument("--policy", default=os.path.join(TOP, "policies", "accounts"))
    parser.add_argument("--work")
    options = parser.parse_args()
    for seed in numbers(options.seeds):
        tries = tries_of(options.given, seed, options.people, options.named)
        refused = set()
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            for _ in range(ROUNDS_MAX):
                stopped, told = decide(options, tries, refused, work)
                if stopped == refused:
                    break
                refused = stopped
        groups = collections.defaultdict(lambda: [0, 0, 0, set(), set()])
        for number, t in enumerate(tries):
            if t.client is None or t.day < WARM:
                continue
            group = groups[t.group]
            group[0] += 1
            group[1] += number in refused
            group[2] += number in told
            group[3].add(t.account)
            if number in refused:
                group[4].add(t.account)
        print(f"seed {seed}\n{'':58} {'tries':>6} {'stopped':>7} {'%':>6} {'told':>6} {'people':>6} {'stopped':>7}")
        for name, (count, stopped, told, people, hit) in sorted(groups.items()):
            print(f"{name:58} {count:6} {stopped:7} {100 * stopped / count:6.2f} {told:6} {len(people):6} {len(hit):7}")


if __name__ == "__main__":
    main()
