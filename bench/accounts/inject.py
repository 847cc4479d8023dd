#!/usr/bin/python3
"""Made-up campaigns among the people of a given scenario: its bad accounts go, others of kinds that it does not have
come in. So the honest people stay as they are there, and the campaigns are new.

  inject.py DIR --seed N --out DIR2 [--only KIND,...]

Each campaign starts from signups of honest people and changes what the campaign's makers control. Labels as those of
scenarios.py. Needs nothing but Python."""
import argparse
import collections
import csv
import json
import math
import os
import random
import shutil

HOUR, DAY = 3600_000, 86_400_000
DEVICE = ("ua", "fp", "tls", "scr", "cores", "gpu", "canvas")
NETWORK = ("ip", "asn", "cc", "net")


def hexa(r, n):
    return "".join(r.choice("0123456789abcdef") for _ in range(n))


def word(r, syllables):
    return "".join(r.choice("b c d f g h k l m n p r s t v z ch st tr".split()) + r.choice("a e i o u ai".split())
                   for _ in range(syllables))


class Injection:
    def __init__(self, directory, seed):
        self.r = random.Random(seed * 7919 + 13)
        inside = os.path.join(directory, "labels")
        labels = inside if os.path.isdir(inside) else directory
        with open(os.path.join(labels, "labels_accounts.csv")) as f:
            rows = list(csv.DictReader(f))
        bad = {row["acct"] for row in rows if row["bad"] == "1"}
        with open(os.path.join(labels, "labels_events.csv")) as f:
            bad_events = {row["event_id"] for row in csv.DictReader(f)}
        self.rows = [row for row in rows if row["bad"] != "1"]
        self.events, self.people = [], {}
        with open(os.path.join(directory, "events.jsonl")) as f:
            for event in map(json.loads, f):
                if event["acct"] in bad or str(event["id"]) in bad_events:
                    continue
                self.events.append(event)
                if event["type"] == "signup":
                    self.people.setdefault(event["net"], []).append(event)
        first, last = self.events[0]["t"], self.events[-1]["t"]
        self.begin, self.days = first, (last - first) / DAY
        everyone = [e for people in self.people.values() for e in people]
        plain = [e["local"] for e in everyone if e["local"].isascii()]
        self.locals = plain
        self.firsts = [n.split(".")[0] for n in plain if n.count(".") == 1 and n.replace(".", "").isalpha()]
        self.lasts = [n.split(".")[1] for n in plain if n.count(".") == 1 and n.replace(".", "").isalpha()]
        self.times = {k: collections.Counter(e.get(k) for e in everyone) for k in ("fp", "canvas")}
        self.next_id = max(e["id"] for e in self.events) + 1
        self.truth = []

    def number(self):
        self.next_id += 1
        return self.next_id

    def device(self, r, net):
        return self.own({k: v for k, v in r.choice(self.people[net]).items() if k in DEVICE}, r)

    def own(self, e, r):
        """Without what is that one person's own: what nobody else has is drawn anew."""
        for key, size in (("fp", 12), ("canvas", 8)):
            if self.times[key][e.get(key)] == 1:
                e[key] = hexa(r, size)
        if e.get("rec"):
            e["rec"] = r.choice(self.locals) + "@" + e["rec"].split("@")[-1]
        if e.get("net") in ("res", "biz") and "ip" in e:
            parts = e["ip"].split(":" if ":" in e["ip"] else ".")
            if ":" in e["ip"]:
                e["ip"] = ":".join([*parts[:2], hexa(r, 4), *parts[3:]])
            else:
                e["ip"] = "%s.%s.%d.%d" % (*parts[:2], r.randrange(256), r.randrange(1, 255))
        return e

    def name(self, r):
        """A way to make names."""
        first, last = (lambda: r.choice(self.firsts)), (lambda: r.choice(self.lasts))
        return r.choice([
            lambda: first() + "." + last(), lambda: first() + last() + "%02d" % r.randrange(100),
            lambda: first() + "_" + word(r, 2), lambda: word(r, 3) + "%03d" % r.randrange(1000),
            lambda: first()[0] + "." + last() + str(r.randrange(1960, 2006)), lambda: word(r, 2) + "-" + word(r, 2),
            lambda: last() + "." + first() + str(r.randrange(10)), lambda: word(r, 4),
            lambda: "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(10))])

    def place(self, r, net, country=None):
        people = self.people[net]
        chosen = [e for e in people if e["cc"] == country] if country else people
        e = r.choice(chosen or people)
        return self.own({**{k: e[k] for k in NETWORK}, "lang": e["lang"], "tz": e["tz"], "rtt": e["rtt"]}, r)

    def machine(self, r, e, fill, cap, sharp):
        e.update(fill_ms=int(fill * math.exp(r.gauss(0, sharp))), cap_ms=int(cap * math.exp(r.gauss(0, 2 * sharp))), cap_tries=1)

    def campaign(self, kind, number, seed):
        r = random.Random(seed * 104729 + number)
        n, days, net = {"mobile_names": (250, 12, "mob"), "tor_form": (140, 3, "tor"), "vpn_devices": (200, 15, "vpn"),
                        "noise_canvas": (200, 9, "res"), "typists": (200, 8, "res"), "one_browser": (220, 10, "res"),
                        "long_drip": (150, 24, "res"), "phone_shelf": (240, 9, "mob"), "vpn_people": (160, 12, "vpn"),
                        "sleepers": (250, 10, "res")}[kind]
        days = min(days, self.days - 4)
        start = self.begin + r.uniform(2.5, max(2.6, self.days - days - 1)) * DAY
        name, fill, cap = self.name(r), r.uniform(4000, 25000), r.uniform(4000, 30000)
        country = r.choice(self.people[net])["cc"]
        devices = [self.device(r, net) for _ in range({"phone_shelf": 24, "vpn_devices": 5}.get(kind, 3))]
        own, jars, kinds = [word(r, 3) + ".example" for _ in range(3)], [hexa(r, 12) for _ in range(25)], r.choice(["img", "pow"])
        mine = []
        for _ in range(n):
            e = self.own(dict(r.choice(self.people[net])), r)
            e.update(self.place(r, net, country if net in ("res", "mob") and r.random() < 0.6 and kind != "sleepers" else None))
            e.update(t=int(start + r.random() * days * DAY), acct=hexa(r, 10), id=self.number(), cookie=hexa(r, 12))
            e["local"] = r.choice(self.locals)
            if kind == "mobile_names":  # the shapes of names and a program at the form; all else is people's
                e.update(local=name(), cap=kinds, paste=False)
                self.machine(r, e, fill, cap, 0.18)
            elif kind == "tor_form":
                e.update(local=name(), rec=None, cap=kinds)
                self.machine(r, e, fill, cap, 0.15)
            elif kind == "vpn_devices":
                e.update(r.choice(devices), rec=word(r, 3) + "@" + r.choice(own))
            elif kind == "noise_canvas":
                e.update(devices[0], fp=hexa(r, 12), canvas=hexa(r, 8), cookie=r.choice(jars))
                self.machine(r, e, fill, cap, 0.3)
            elif kind == "typists":  # people who are paid: one service of captchas, one way of making names
                e.update(local=name(), lang="en-US", cap="img", paste=True, cap_ms=int(cap * math.exp(r.gauss(0, 0.25))))
            elif kind == "one_browser":  # one automated browser behind rotating addresses, people's names
                e.update({k: devices[0][k] for k in ("ua", "tls", "scr", "cores", "gpu")}, fp=hexa(r, 12), canvas=hexa(r, 8))
                self.machine(r, e, fill, cap, 0.25)
            elif kind == "long_drip":
                e.update(local=name(), rec=word(r, 3) + "@" + own[0])
                self.machine(r, e, fill, cap, 0.3)
            elif kind == "phone_shelf":  # a shelf of phones at one carrier, people at them
                e.update(r.choice(devices), **self.place(r, "mob", country))
                e.update(cap="img", paste=True)
            elif kind == "vpn_people":
                e.update(local=name(), lang="en-US", tz="UTC", rec=None, paste=True, cap=kinds)
                self.machine(r, e, fill, cap, 0.3)
            mine.append(e)
            self.events.append(e)
            self.rows.append({"acct": e["acct"], "bad": "1", "campaign": str(number), "group": kind, "created_ms": str(e["t"])})
            self.truth.append((e["id"], number, kind, "signup"))
        if kind == "sleepers":
            self.wake(r, number, mine)

    def wake(self, r, number, mine):
        begin, link, body = self.begin + (self.days - 1.6) * DAY, word(r, 3) + ".example", r.getrandbits(64)
        for e in mine:
            at = begin + r.random() * 14 * HOUR
            if r.random() > 0.85 or at < e["t"] + 4 * DAY:
                continue
            for k in range(3):
                text = body
                for b in r.sample(range(64), 2):
                    text ^= 1 << b
                self.events.append({"id": self.number(), "t": int(at + k * 400_000), "type": "send", "acct": e["acct"],
                                    **{f: e[f] for f in NETWORK}, "cookie": e["cookie"], "msg": hexa(r, 8), "via": "web", "rcpts": 15,
                                    "new": 14, "rdom": "x.example", "subj": "%016x" % r.getrandbits(64), "body": "%016x" % text,
                                    "urls": [link], "bytes": 2000})
                self.truth.append((self.next_id, number, "sleepers", "send"))

    def write(self, directory, out):
        """Events and labels, beside what else the given scenario has."""
        os.makedirs(out, exist_ok=True)
        self.events.sort(key=lambda e: e["t"])
        with open(os.path.join(out, "events.jsonl"), "w") as f:
            for e in self.events:
                f.write(json.dumps(e, separators=(",", ":")) + "\n")
        with open(os.path.join(out, "labels_accounts.csv"), "w") as f:
            writer = csv.DictWriter(f, ["acct", "bad", "campaign", "group", "created_ms"])
            writer.writeheader()
            writer.writerows(self.rows)
        with open(os.path.join(out, "labels_events.csv"), "w") as f:
            f.write("event_id,campaign,type,phase\n")
            for row in self.truth:
                f.write("%d,%d,%s,%s\n" % row)
        for name in ("ip_intel.csv", "accounts_seed.jsonl"):
            if os.path.exists(os.path.join(directory, name)):
                shutil.copy(os.path.join(directory, name), out)


KINDS = ["mobile_names", "tor_form", "vpn_devices", "noise_canvas", "typists", "one_browser", "long_drip", "phone_shelf",
         "vpn_people", "mobile_names", "typists", "sleepers"]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("directory")
    ap.add_argument("--seed", type=int, required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--only", default="", help="kinds of campaign, comma-separated")
    a = ap.parse_args()
    injection = Injection(a.directory, a.seed)
    for number, kind in enumerate(KINDS, 1):
        if not a.only or kind in a.only.split(","):
            injection.campaign(kind, number, a.seed)
    injection.write(a.directory, a.out)


if __name__ == "__main__":
    main()
