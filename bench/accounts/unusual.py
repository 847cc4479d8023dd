#!/usr/bin/python3
"""Unusual campaigns, and honest people who look like one, among the people of a given scenario (inject.py does the same
with the campaigns that the example head was trained beside).

  unusual.py DIR --seed N --out DIR2 [--only KIND,...]

Campaigns: browsers' cookies carried from machine to machine, dotted, dated and leet names, recovery addresses under many
names of one domain, clients that are no browser, twelve small groups with a tool of their own. Honest: libraries,
evenings of a club, school classes, a helper who registers others, the release of an app, families, offices (behind a
VPN, too), customers of another provider on the day of its outage, fairs. Needs nothing but Python."""
import argparse
import math
import random

from inject import DAY, DEVICE, HOUR, Injection, hexa, word

MINUTE = 60_000
# kind: accounts, days, class of network
CAMPAIGNS = {"carried_cookies": (150, 9, "res"), "dotted_names": (110, 5, "tor"), "dated_names": (150, 6, "res"),
             "leet_names": (160, 8, "mob"), "two_words": (120, 8, "biz"), "counted_names": (90, 22, "res"),
             "own_subdomains": (140, 9, "res"), "no_browser": (150, 5, "dc"), "small_groups": (144, 20, "res"),
             "one_mailbox": (160, 9, "res"), "emulators": (200, 7, "mob"), "hurried_form": (160, 10, "vpn")}
LOOK_ALIKES = {"honest_" + group for group in
               ("library", "club", "class", "office", "helper", "family", "release", "outage", "fair")}


class Unusual(Injection):
    def person(self, r, net, country=None):
        people = [e for e in self.people[net] if e["cc"] == country] if country else []
        e = self.own(dict(r.choice(people or self.people[net])), r)
        e.update(cookie=hexa(r, 12), local=r.choice(self.locals))
        return e

    def put(self, e, t, group, campaign=""):
        e.update(t=int(t), acct=hexa(r_of(e, t), 10), id=self.number())
        self.events.append(e)
        bad = "1" if campaign else "0"
        self.rows.append({"acct": e["acct"], "bad": bad, "campaign": str(campaign), "group": group, "created_ms": str(e["t"])})
        if campaign:
            self.truth.append((e["id"], campaign, group, "signup"))

    def full_name(self, r):
        return r.choice(self.firsts) + "." + r.choice(self.lasts)

    def campaign(self, kind, number, seed):
        r = random.Random(seed * 15485863 + number)
        n, days, net = CAMPAIGNS[kind]
        if kind == "small_groups":
            for group in range(12):
                self.members(kind, 100 * number + group, r, 12, 1.5, net, days)
        else:
            self.members(kind, number, r, n, days, net, days)

    def members(self, kind, number, r, n, days, net, within):
        start = self.begin + r.uniform(3, max(3.1, self.days - within - 2)) * DAY
        if kind == "small_groups":
            start += r.random() * (within - days) * DAY
        fill, solve, name = r.uniform(4000, 25000), r.uniform(4000, 30000), self.name(r)
        device, domain = self.device(r, net), word(r, 3) + ".example"
        base, jars = r.choice(self.locals).rstrip("0123456789"), [hexa(r, 12) for _ in range(12)]
        for k in range(n):
            e = self.person(r, net)
            t = start + r.random() * days * DAY
            if kind == "carried_cookies":
                e["cookie"] = r.choice(jars)
            elif kind == "dotted_names":
                e["local"] = ".".join(r.choice(self.firsts))
                self.machine(r, e, fill, solve, 0.5)
            elif kind == "dated_names":
                e["local"] = "%s%02d%02d%02d" % (r.choice(self.firsts), r.randint(1, 28), r.randint(1, 12), r.randint(60, 99))
            elif kind == "leet_names":
                e["local"] = (r.choice(self.firsts) + r.choice(self.lasts)).translate(str.maketrans("aeiost", "431057"))
                self.machine(r, e, fill, solve, 0.3)
            elif kind == "two_words":
                e.update(local="%s_%02d_%s" % (word(r, 1), r.randrange(100), word(r, 2)), rec=None)
                self.machine(r, e, fill, solve, 0.4)
            elif kind == "counted_names":
                e["local"], t = base + str(100 + k), start + (k + r.random()) * days * DAY / n
                self.machine(r, e, fill, solve, 0.5)
            elif kind == "own_subdomains":
                e["rec"] = word(r, 2) + "@" + word(r, 2) + "." + domain
            elif kind == "no_browser":
                for field in ("fp", "canvas", "gpu", "scr", "cores", "cookie", "tz", "fill_ms", "paste"):
                    e.pop(field, None)
                e.update(ua="python-requests/2.32.3", rec=None)
            elif kind == "small_groups":
                e.update({f: device[f] for f in DEVICE}, local=name())
                self.machine(r, e, fill, solve, 0.3)
            elif kind == "one_mailbox":
                e["rec"] = base + "+" + word(r, 2) + "@gmail.com"
            elif kind == "emulators":
                e.update({f: device[f] for f in ("gpu", "scr", "cores", "tls")}, fp=hexa(r, 12), canvas=hexa(r, 8))
                self.machine(r, e, fill, solve, 0.35)
            elif kind == "hurried_form":
                e.update(fill_ms=int(3000 * math.exp(r.gauss(0, 0.2))), cap="pow", cap_ms=int(900 * math.exp(r.gauss(0, 0.2))), rec=None)
            self.put(e, t, kind, number)

    def honest(self, seed):
        r = random.Random(seed * 32452843 + 7)

        def start(days=1.0):
            return self.begin + r.uniform(4, self.days - days - 1) * DAY

        def machines(net, n):
            return [(self.device(r, net), hexa(r, 12)) for _ in range(n)]

        def at(place, net, **more):
            return {**self.person(r, net), **place, **more}

        for net in ("biz", "res", "vpn"):
            for _ in range(3):
                place, stock, t = self.place(r, net), machines(net, 4), start(10)
                for _ in range(40):
                    device, cookie = r.choice(stock)
                    self.put(at(place, net, **device, cookie=cookie), t + r.random() * 10 * DAY, "honest_library")
                place, stock, t = self.place(r, net), machines(net, 2), start()
                for _ in range(25):
                    device, cookie = r.choice(stock)
                    self.put(at(place, net, **device, cookie=cookie), t + r.random() * 2.5 * HOUR, "honest_club")
                place, stock, t, count = self.place(r, net), machines(net, 1), start(), r.randrange(10_000, 90_000)
                for k in range(30):
                    local = "s%d" % (count + k) if r.random() < 0.5 else r.choice(self.firsts) + ".class26"
                    self.put(at(place, net, **stock[0][0], local=local), t + r.random() * 15 * MINUTE, "honest_class")
                place, stock, t, domain = self.place(r, net), machines(net, r.choice([2, 6, 40])), start(), word(r, 3) + ".example"
                for _ in range(50):
                    more = {"rec": self.full_name(r) + "@" + domain} if net != "res" else {}
                    self.put(at(place, net, **r.choice(stock)[0], local=self.full_name(r), **more), t + r.random() * HOUR, "honest_office")
        for net in ("mob", "biz") * 2:
            place, (device, cookie), t, rec = self.place(r, net), machines(net, 1)[0], start(), "help@" + word(r, 3) + ".example"
            for k in range(25):
                e = at(place, net, **device, cookie=cookie, rec=rec, fill_ms=int(30_000 * math.exp(r.gauss(0, 0.5))))
                self.put(e, t + (8 * k + r.random()) * MINUTE, "honest_helper")
        for _ in range(60):
            net = r.choice(["res", "res", "mob"])
            place, stock, t, last, cookie = self.place(r, net), machines(net, 2), start(), r.choice(self.lasts), hexa(r, 12)
            for _ in range(5):
                e = at(place, net, **r.choice(stock)[0], local=r.choice(self.firsts) + "." + last, cookie=cookie)
                self.put(e, t + r.random() * 2 * HOUR, "honest_family")
        for _ in range(2):
            t, tls = start(3), "t13d1516h2_" + hexa(r, 8)
            for _ in range(300):
                e = self.person(r, r.choice(["mob", "mob", "res"]))
                self.put({**e, "ua": "OurMail/5.0 (Android 16)", "tls": tls}, t + r.random() * 3 * DAY, "honest_release")
            t, domain = start(2), word(r, 3) + ".example"
            for _ in range(250):
                e = self.person(r, r.choice(["res", "mob", "vpn", "res"]))
                e["rec"] = r.choice(self.locals) + "@" + domain
                self.put(e, t + min(2 * DAY, r.expovariate(1 / (8 * HOUR))), "honest_outage")
            country = r.choice(self.people["mob"])["cc"]
            t, hall = start(), self.place(r, "biz", country)
            for _ in range(200):
                e = self.person(r, "mob", country)
                self.put({**e, **hall} if r.random() < 0.5 else e, t + r.random() * 2.5 * HOUR, "honest_fair")


def r_of(e, t):
    return random.Random(str(sorted((k, str(v)) for k, v in e.items())) + str(t))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("directory")
    ap.add_argument("--seed", type=int, required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--only", default="", help="kinds of campaign, comma-separated; 'none': honest people alone")
    a = ap.parse_args()
    unusual = Unusual(a.directory, a.seed)
    for number, kind in enumerate(CAMPAIGNS, 1):
        if not a.only or kind in a.only.split(","):
            unusual.campaign(kind, number, a.seed)
    unusual.honest(a.seed)
    unusual.write(a.directory, a.out)


if __name__ == "__main__":
    main()
