#!/usr/bin/python3
"""Made-up account events with kinds of abuse and of honest people, for judging the detectors on what they were not
tuned on: other seeds give other people, other campaigns and other volumes.

  scenarios.py --seed N --out DIR [--kind signup|login] [--days 28] [--per-day 600] [--only KIND,...]

Writes events.jsonl, ip_intel.csv, labels_accounts.csv and labels_events.csv, in the form that detect_accounts and the
scorer of account events read. Everybody, every address, name and domain is invented. Needs nothing but Python."""
import argparse
import bisect
import json
import math
import os
import random

T0 = 1772409600000
HOUR, DAY = 3600_000, 86_400_000
COUNTRIES = [("US", "en-US", ["America/New_York", "America/Chicago", "America/Los_Angeles"], 20, 110),
             ("DE", "de-DE", ["Europe/Berlin"], 18, 25), ("FR", "fr-FR", ["Europe/Paris"], 12, 30),
             ("GB", "en-GB", ["Europe/London"], 11, 35), ("IN", "en-IN", ["Asia/Kolkata"], 9, 160),
             ("BR", "pt-BR", ["America/Sao_Paulo"], 8, 200), ("ES", "es-ES", ["Europe/Madrid"], 6, 45),
             ("IT", "it-IT", ["Europe/Rome"], 6, 35), ("PL", "pl-PL", ["Europe/Warsaw"], 5, 40),
             ("NL", "nl-NL", ["Europe/Amsterdam"], 5, 28), ("SE", "sv-SE", ["Europe/Stockholm"], 3, 45),
             ("CH", "de-CH", ["Europe/Zurich"], 4, 22), ("JP", "ja-JP", ["Asia/Tokyo"], 4, 240),
             ("MX", "es-MX", ["America/Mexico_City"], 3, 150), ("CA", "en-CA", ["America/Toronto"], 4, 115)]
CV = ("b c d f g h j k l m n p r s t v w z br ch cr dr fr gr kl pr sch st tr".split(), "a e i o u ai ei ou y".split())


def word(r, syllables, end=True):
    s = "".join(r.choice(CV[0]) + r.choice(CV[1]) for _ in range(syllables))
    return s + r.choice(["", "n", "r", "s", "l", "t"]) if end else s


def hexa(r, n):
    return "".join(r.choice("0123456789abcdef") for _ in range(n))


class World:
    """What is out there: countries, providers, devices, names, mail domains."""

    def __init__(self, seed):
        r = self.r = random.Random(seed)
        self.firsts = [word(r, r.choice([1, 2, 2, 3])) for _ in range(700)]
        self.lasts = [word(r, r.choice([2, 2, 3])) for _ in range(1500)]
        self.words = [word(r, r.choice([1, 2, 2])) for _ in range(1200)]
        self.asns = {}
        self.intel = []
        octets = [(a, b) for a in range(20, 200) if a not in (127, 100, 169, 172, 192) for b in range(256)]
        r.shuffle(octets)
        for country in COUNTRIES:
            for net, count in (("res", 6), ("mob", 3), ("biz", 5), ("dc", 3)):
                self.asns[country[0], net] = [(r.randrange(1000, 65000), [octets.pop() for _ in range(4)])
                                              for _ in range(count)]
        self.vpns = []
        for _ in range(14):
            country = r.choice(COUNTRIES)
            self.vpns.append((country[0], r.randrange(1000, 65000), [octets.pop() + (r.randrange(256),) for _ in range(8)]))
        self.exits = [(r.choice("DE NL US FR SE CH".split()), r.randrange(1000, 65000), octets.pop() + (r.randrange(256), r.randrange(256)))
                      for _ in range(160)]
        for _, _, nets in self.vpns:
            self.intel += ["%d.%d.%d.0/24,vpn" % n for n in nets if r.random() < 0.9]
        self.intel += ["%d.%d.%d.%d/32,tor" % e[2] for e in self.exits]
        self.devices = [self.device(i) for i in range(2500)]
        self.device_cdf = []
        total = 0
        for i in range(len(self.devices)):
            total += 1 / (i + 8) ** 0.9
            self.device_cdf.append(total)
        self.mails = [word(r, 2) + ".example" for _ in range(400)]

    def device(self, i):
        r = self.r
        kind = r.choices(["win", "mac", "linux", "iphone", "android"], [34, 14, 5, 22, 25])[0]
        version = 140 + min(int(r.expovariate(0.6)), 12)
        chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0" % version
        if kind == "iphone":
            v = r.choice(["17_6", "18_1", "18_5", "18_7", "26_1"])
            ua = "Mozilla/5.0 (iPhone; CPU iPhone OS %s like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%s Mobile/15E148 Safari/604.1" % (v, v.replace("_", "."))
            tls, scr, cores, gpu = "t13d_sf", r.choice(["390x844", "393x852", "430x932", "375x812"]), r.choice([4, 6]), "Apple GPU"
        elif kind == "android":
            ua = "Mozilla/5.0 (Linux; Android %d; K) %s Mobile Safari/537.36" % (r.choice([12, 13, 14, 15, 16]), chrome)
            tls, scr, cores = "t13d_ch", r.choice(["360x800", "393x873", "412x915", "384x854"]), 8
            gpu = "Adreno %d" % r.choice([610, 619, 642, 650, 730, 740]) if r.random() < 0.6 else "Mali-G%d" % r.choice([52, 57, 68, 76, 78])
        else:
            system = {"win": "Windows NT 10.0; Win64; x64", "mac": "Macintosh; Intel Mac OS X 10_15_7", "linux": "X11; Linux x86_64"}[kind]
            if r.random() < 0.25:
                ua, tls = "Mozilla/5.0 (%s; rv:%d.0) Gecko/20100101 Firefox/%d.0" % (system, version, version), "t13d_ff"
            elif r.random() < 0.2 and kind == "win":
                ua, tls = "Mozilla/5.0 (%s) %s Safari/537.36 Edg/%d.0.0.0" % (system, chrome, version), "t13d_ch"
            else:
                ua, tls = "Mozilla/5.0 (%s) %s Safari/537.36" % (system, chrome), "t13d_ch"
            scr = r.choice(["1920x1080", "1366x768", "1536x864", "2560x1440", "1440x900", "3840x2160", "1680x1050"])
            cores = r.choice([2, 4, 4, 8, 8, 12, 16])
            gpu = r.choice(["Intel UHD 620", "Intel Iris Xe", "GTX 1650", "RTX 3060", "RTX 4070", "Radeon 680M", "Apple M1", "Apple M2", "RX 6600", "Intel HD 530"])
        return {"ua": ua, "tls": tls + "_" + str(version // 4), "scr": scr, "cores": cores, "gpu": gpu, "canvas": hexa(r, 8), "kind": kind}

    def any_device(self, r):
        d = dict(self.devices[bisect.bisect(self.device_cdf, r.random() * self.device_cdf[-1])])
        # About half of all devices carry something of their own into the fingerprint.
        d["fp"] = hexa(random.Random(d["canvas"] + d["ua"] + d["scr"]), 12) if r.random() < 0.45 else hexa(r, 12)
        return d

    def country(self, r):
        return r.choices(COUNTRIES, [c[3] for c in COUNTRIES])[0]

    def network(self, r, net, country):
        """An address of the class, from the country: its owner's place in it is drawn anew each time."""
        if net == "vpn":
            cc, asn, nets = r.choice(self.vpns)
            n = r.choice(nets)
            return {"ip": "%d.%d.%d.%d" % (*n, r.randrange(1, 255)), "asn": asn, "cc": cc, "net": "vpn"}
        if net == "tor":
            cc, asn, ip = r.choice(self.exits)
            return {"ip": "%d.%d.%d.%d" % ip, "asn": asn, "cc": cc, "net": "tor"}
        asns = self.asns[country[0], net]
        asn, nets = r.choices(asns, [1 / (i + 1) for i in range(len(asns))])[0]
        a, b = r.choice(nets)
        third = r.randrange(24) if net == "mob" else r.randrange(256)
        return {"ip": "%d.%d.%d.%d" % (a, b, third, r.randrange(1, 255)), "asn": asn, "cc": country[0], "net": net}

    def rtt(self, r, country, net):
        extra = {"mob": 35, "vpn": 30, "tor": 320, "dc": 0}.get(net, 8)
        return int((country[4] + extra) * math.exp(r.gauss(0, 0.25))) + 3

    def human_name(self, r):
        f, l, w = r.choice(self.firsts), r.choice(self.lasts), r.choice(self.words)
        k = r.random()
        d2, d4 = "%02d" % r.randrange(100), str(r.choice([r.randrange(1955, 2012), r.randrange(1000, 10000)]))
        if k < 0.2: return f + "." + l
        if k < 0.32: return f + l
        if k < 0.42: return f + l + d2
        if k < 0.5: return f + "." + l + d2
        if k < 0.57: return f + "." + l + d4
        if k < 0.64: return f + d4
        if k < 0.7: return f[0] + l
        if k < 0.75: return f[0] + "." + l
        if k < 0.8: return f + "_" + l
        if k < 0.86: return w + r.choice(self.words)
        if k < 0.91: return w + d2
        if k < 0.95: return w + "-" + r.choice(self.words) + str(r.randrange(10))
        return w + str(r.randrange(1000))


class Signups:
    def __init__(self, args):
        self.r, self.world = random.Random(args.seed * 7919 + 1), World(args.seed)
        self.args, self.events, self.accounts, self.bad_events = args, [], [], []
        self.number = 0

    def account(self):
        self.number += 1
        return "%010x" % (random.Random(self.args.seed * 1000003 + self.number).getrandbits(40))

    def person(self, r, t, net):
        w = self.world
        country = w.country(r)
        e = {"t": int(t), "type": "signup", "acct": self.account(), **w.network(r, net, country)}
        d = w.any_device(r)
        if net == "tor" and r.random() < 0.9:
            d.update(ua="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", tls="t13d_tb", fp="70b1a3c5d7e9",
                     scr="1400x900", cores=2, gpu="none", canvas="ffffffff")
        lang, zone = country[1], r.choice(country[2])
        if net == "tor": lang, zone = "en-US", "UTC"
        elif r.random() < 0.1: lang = r.choice(COUNTRIES)[1]
        if net != "tor" and r.random() < 0.04: zone = r.choice(r.choice(COUNTRIES)[2])
        rec = None
        if r.random() < 0.45:
            rec = w.human_name(r) + "@" + (r.choice(w.mails[:6]) if r.random() < 0.8 else r.choice(w.mails))
        # People differ in their pace; each of them fills one form and solves one challenge.
        pace = math.exp(r.gauss(0, 0.5))
        cap = r.choices(["pow", "img", "email"], [60, 25, 15])[0]
        cap_ms = {"pow": 2500, "img": 14000, "email": 60000}[cap] * math.exp(r.gauss(0, 0.55)) * pace ** 0.5
        phone = d["kind"] in ("iphone", "android")
        e.update(ua=d["ua"], fp=d["fp"], tls=d["tls"], lang=lang, tz=zone, rtt=w.rtt(r, country, net), cookie=hexa(r, 12),
                 local=w.human_name(r), domain="mail.example", scr=d["scr"], cores=d["cores"], gpu=d["gpu"], canvas=d["canvas"],
                 rec=rec, cap=cap, cap_tries=1 + (r.random() < 0.12) + (r.random() < 0.02), cap_ms=int(cap_ms),
                 fill_ms=int((38000 if phone else 30000) * pace * math.exp(r.gauss(0, 0.35))), paste=r.random() < 0.05)
        return e

    def put(self, e, group, campaign=None):
        self.events.append(e)
        self.accounts.append((e["acct"], campaign, group, e["t"]))
        if campaign: self.bad_events.append((e, campaign, group, "signup"))

    def day_time(self, r):
        """A moment with day, night and weekends."""
        while True:
            t = r.random() * self.args.days
            hour = t % 1 * 24
            if r.random() < (0.35 + 0.65 * max(0, math.sin((hour - 5) / 24 * 2 * math.pi))) * (0.8 if int(t) % 7 > 4 else 1):
                return T0 + t * DAY

    def honest(self):
        r, a = self.r, self.args
        for _ in range(a.days * a.per_day):
            net = r.choices(["res", "mob", "biz", "vpn", "tor"], [52, 25, 9, 9, 5])[0]
            group = {"vpn": "honest_vpn", "tor": "honest_tor", "mob": "honest_mobile"}.get(net, "honest_plain")
            self.put(self.person(r, self.day_time(r), net), group)
        # A day in the news: many from one country, through VPN and Tor more than usual.
        for _ in range(2):
            day, country = r.uniform(4, a.days - 2), self.world.country(r)
            for _ in range(a.per_day):
                e = self.person(r, T0 + (day + min(r.expovariate(3), 1.5)) * DAY, r.choices(["res", "mob", "vpn", "tor"], [40, 20, 28, 12])[0])
                if e["net"] in ("res", "mob"):
                    e.update(self.world.network(r, e["net"], country), lang=country[1], tz=r.choice(country[2]), rtt=self.world.rtt(r, country, e["net"]))
                self.put(e, "honest_surge")
        for _ in range(12):
            # An organisation: its people at one address within an hour or two, partly with machines of one purchase.
            t, country = T0 + r.uniform(2, a.days - 1) * DAY, self.world.country(r)
            office = self.world.network(r, "biz", country)
            machine, common, style = self.world.any_device(r), r.random(), r.random()
            for _ in range(r.randrange(30, 60)):
                e = self.person(r, t + r.random() * 1.5 * HOUR, "biz")
                e.update(office, lang=country[1], tz=country[2][0], rtt=self.world.rtt(r, country, "biz"))
                if r.random() < common: e.update({k: machine[k] for k in ("ua", "fp", "tls", "scr", "cores", "gpu", "canvas")})
                if style < 0.6: e["local"] = r.choice(self.world.firsts) + "." + r.choice(self.world.lasts)
                self.put(e, "honest_org")

    # Kinds of campaign. Each gets its number, its own randomness and how many accounts it makes.
    def spread(self, r, days):
        first = r.uniform(3, max(3.5, self.args.days - days - 0.5))
        return lambda: T0 + (first + r.random() * days) * DAY

    def machine(self, r, e, fill=None, cap=None, sharp=0.12):
        """Form and challenge by a program or a service: fast or slow, but always alike."""
        e["fill_ms"] = int((fill or 11000) * math.exp(r.gauss(0, sharp)))
        e["cap_ms"] = int((cap or 18000) * math.exp(r.gauss(0, 2.5 * sharp)))
        e["cap"], e["cap_tries"] = "img", 1

    def generator(self, r):
        """A way to make names."""
        w = self.world
        return r.choice([
            lambda: r.choice(w.firsts) + r.choice(w.lasts) + str(r.randrange(1000, 9999)),
            lambda: r.choice(w.firsts) + "." + r.choice(w.lasts) + "%02d" % r.randrange(10, 99),
            lambda: word(r, 3, False) + str(r.randrange(100, 999)),
            lambda: word(r, 4, False),
            lambda: r.choice(w.words) + r.choice(w.words) + "%03d" % r.randrange(1000),
            lambda: "".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(11)),
            lambda: "".join(r.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(12)),
            lambda: r.choice(w.lasts) + "_" + r.choice(w.firsts) + str(r.randrange(1950, 2006)),
            lambda: r.choice(w.words)[:5] + str(r.randrange(10)) + r.choice(w.words)[:4] + str(r.randrange(10)),
            lambda: r.choice(w.firsts) + "." + r.choice("abcdefghijkmnprst") + "." + r.choice(w.lasts)])

    def campaign(self, kind, number):
        r = random.Random(self.args.seed * 104729 + number)
        w, country = self.world, self.world.country(self.r)
        name, farm = self.generator(r), [w.any_device(r) for _ in range(6)]
        fill, cap = r.uniform(5000, 25000), r.uniform(9000, 40000)
        own = [word(r, 3) + ".example" for _ in range(3)]
        n, days, net = {"mobile_hidden": (280, 14, "mob"), "residential_slow": (170, 21, "res"), "name_generator": (150, 10, "vpn"),
                        "vpn_few_devices": (200, 16, "vpn"), "changed_fingerprints": (220, 6, "res"), "tor_machine": (160, 8, "tor"),
                        "solver_people": (200, 7, "res"), "hosting_burst": (250, 0.4, "dc"), "sleepers": (250, 10, "res")}[kind]
        when = self.spread(r, min(days, self.args.days - 5))
        jars = [hexa(r, 12) for _ in range(n // 7)]
        for _ in range(n):
            e = self.person(r, when(), net)
            if net in ("res", "mob", "dc") and kind != "sleepers" and r.random() < 0.7:
                e.update(w.network(r, net, country), lang=country[1], tz=country[2][0], rtt=w.rtt(r, country, net))
            if kind == "mobile_hidden":
                e["local"] = name()
                self.machine(r, e, fill, cap)
            elif kind == "residential_slow":
                e["local"] = name()
                e["rec"] = w.human_name(r) + "@" + r.choice(own)
                self.machine(r, e, fill, cap, 0.2)
            elif kind == "name_generator":
                e["local"] = name()
                e.update({k: farm[r.randrange(3)][k] for k in ("ua", "fp", "tls", "scr", "cores", "gpu", "canvas")})
            elif kind == "vpn_few_devices":
                e.update({k: r.choice(farm)[k] for k in ("ua", "fp", "tls", "scr", "cores", "gpu", "canvas")})
                e["rec"] = w.human_name(r) + "@" + r.choice(own)
            elif kind == "changed_fingerprints":
                e.update(gpu=farm[0]["gpu"], cores=farm[0]["cores"], scr=farm[0]["scr"], fp=hexa(r, 12), canvas=hexa(r, 8), tls="t13d_auto")
                e["cookie"] = r.choice(jars) if r.random() < 0.5 else e["cookie"]
                self.machine(r, e, fill, cap, 0.2)
            elif kind == "tor_machine":
                e["local"] = name()
                self.machine(r, e, fill, cap)
            elif kind == "solver_people":
                # People who are paid: their own pace at the form, one service at the challenge, one way of making names.
                e["local"] = name()
                e.update(cap="img", cap_tries=1, cap_ms=int(cap * 1.5 * math.exp(r.gauss(0, 0.2))), lang="en-US", paste=True)
            elif kind == "hosting_burst":
                e["local"] = name()
                self.machine(r, e, fill, cap)
                e.update({k: farm[0][k] for k in ("ua", "tls", "scr", "cores", "gpu", "canvas")})
            self.put(e, kind, number)
        if kind == "sleepers": self.wake(r, number)

    def mail(self, t, e, new, links, body, rcpts):
        return {"t": int(t), "type": "send", "acct": e["acct"], "ip": e["ip"], "asn": e["asn"], "cc": e["cc"], "net": e["net"],
                "cookie": e["cookie"], "msg": hexa(self.r, 8), "via": "web", "rcpts": rcpts, "new": new, "rdom": "x.example",
                "subj": "%016x" % self.r.getrandbits(64), "body": "%016x" % body, "urls": links, "bytes": 2000}

    def wake(self, r, number):
        mine = [e for e in self.events if e["type"] == "signup" and any(e["acct"] == a[0] for a in self.accounts[-250:])]
        t, body, link = T0 + (self.args.days - 1.6) * DAY, r.getrandbits(64), word(r, 3) + ".example"
        for e in mine:
            if r.random() > 0.9: continue
            at = t + r.random() * 14 * HOUR
            for k in range(3):
                m = self.mail(at + k * 300_000, e, 18, [link], body ^ (1 << r.randrange(64)), 20)
                self.events.append(m)
                self.bad_events.append((m, number, "sleepers", "send"))

    def mail_of_people(self):
        r = self.r
        links = [word(r, 2) + ".example" for _ in range(3000)]
        for acct, campaign, group, t in list(self.accounts):
            if campaign or r.random() < 0.4: continue
            e = next_event[acct]
            for _ in range(r.randrange(1, 5)):
                at = t + r.expovariate(1 / (4 * DAY))
                if at > T0 + self.args.days * DAY: continue
                k = 1 + int(r.expovariate(0.8))
                url = [links[min(int(r.expovariate(0.003)), 2999)]] if r.random() < 0.3 else []
                self.events.append(self.mail(at, e, r.randrange(k + 1), url, r.getrandbits(64), k))

    def run(self):
        self.honest()
        kinds = ["mobile_hidden", "residential_slow", "name_generator", "name_generator", "vpn_few_devices", "changed_fingerprints",
                 "tor_machine", "solver_people", "hosting_burst", "mobile_hidden", "name_generator", "sleepers"]
        if self.args.only: kinds = [k for k in kinds if k in self.args.only.split(",")]
        for number, kind in enumerate(kinds, 1): self.campaign(kind, number)
        global next_event
        next_event = {e["acct"]: e for e in self.events if e["type"] == "signup"}
        self.mail_of_people()


class Logins(Signups):
    """People who come back, and those who come in their place."""

    def session(self, t, owner, kind="login", **more):
        e = {k: owner[k] for k in ("acct", "ip", "asn", "cc", "net", "ua", "fp", "tls", "lang", "tz", "rtt", "cookie")}
        e.update(t=int(t), type=kind, **more)
        if kind == "login" and "ok" not in more: e["ok"] = True
        return e

    def moved(self, r, o):
        """The owner somewhere else or with something new: what honest people do, too."""
        w, e, k = self.world, dict(o), r.random()
        if k < 0.45: e.update(w.network(r, "mob", o["home"]), rtt=w.rtt(r, o["home"], "mob"))
        elif k < 0.65: e.update(w.network(r, "vpn", o["home"]), rtt=o["rtt"] + 40)
        elif k < 0.72: e.update(w.network(r, "res", w.country(r)))
        elif k < 0.76: e.update({f: v for f, v in w.any_device(r).items() if f in ("ua", "fp", "tls")}, cookie=hexa(r, 12))
        elif k < 0.8:
            e.update(w.network(r, "tor", o["home"]), ua="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                     tls="t13d_tb", fp="70b1a3c5d7e9", lang="en-US", tz="UTC", rtt=400, cookie=hexa(r, 12))
        elif k < 0.9: e["cookie"] = hexa(r, 12)
        else:  # a new version of the same browser
            e["fp"] = hexa(r, 12)
        return e

    def run(self):
        r, a = self.r, self.args
        owners = []
        for _ in range(a.per_day * 5):
            o = self.person(r, T0 - DAY, r.choices(["res", "mob", "biz", "vpn", "tor"], [58, 20, 12, 6, 4])[0])
            o["home"] = next(c for c in COUNTRIES if c[1] == o["lang"] or c[0] == o["cc"])
            o["mfa"] = r.random() < 0.3
            owners.append(o)
            self.accounts.append((o["acct"], None, "honest", o["t"]))
            rate, t = r.choice([0.2, 0.5, 1, 2]), T0 + r.random() * DAY
            while True:
                t += r.expovariate(rate / DAY)
                if t > T0 + a.days * DAY: break
                e = self.moved(r, o) if r.random() < 0.12 else o
                if e is not o and r.random() < 0.35 and e["fp"] != o["fp"]: o.update({f: e[f] for f in ("ua", "fp", "tls", "cookie")})
                if r.random() < 0.55: self.events.append(self.session(t, e, "session"))
                else:
                    if r.random() < 0.05: self.events.append(self.session(t - 20_000, e, ok=False, why="bad_pw"))
                    self.events.append(self.session(t, e, **({"mfa": "totp"} if o["mfa"] else {})))
        victims = r.sample(owners, min(len(owners), 900))
        take = lambda n: [victims.pop() for _ in range(min(n, len(victims)))]
        for number, kind in enumerate(["relayed_phishing", "geo_matched", "stuffing_distributed", "session_theft", "geo_matched", "relayed_phishing"], 1):
            self.attack(kind, number, take, random.Random(a.seed * 15485863 + number))

    def bad(self, e, number, kind, phase):
        self.events.append(e)
        self.bad_events.append((e, number, kind, phase))

    def attack(self, kind, number, take, r):
        w, a = self.world, self.args
        start = T0 + r.uniform(8, a.days - 3) * DAY
        when = lambda days: start + r.random() * days * DAY
        kit = [w.network(r, "dc", w.country(r)) for _ in range(r.randrange(2, 5))]
        tools = [w.any_device(r) for _ in range(r.randrange(3, 8))]
        if kind == "relayed_phishing":
            for o in take(60):
                # The victim's own browser shows through the relay; address, way to us and TLS client are the relay's.
                e = {**o, **r.choice(kit), "tls": "t13d_go", "rtt": o["rtt"] + 45, "cookie": hexa(r, 12)}
                t = when(1.5)
                self.bad(self.session(t, e, **({"mfa": "totp"} if o["mfa"] else {})), number, kind, "takeover")
                thief = {**e, **w.network(r, "vpn", o["home"]), **{k: r.choice(tools)[k] for k in ("ua", "fp", "tls")}}
                self.bad(self.session(t + 2 * HOUR, thief, "session"), number, kind, "ato_session")
        elif kind == "geo_matched":
            for o in take(90):
                # A proxy of the owner's provider, a browser set to the owner's language and zone: one of a few profiles.
                d = r.choice(tools)
                asn = next((x for x in w.asns.get((o["cc"], "res"), []) if x[0] == o["asn"]), None)
                net = w.network(r, "res", o["home"])
                if asn: net = {"ip": "%d.%d.%d.%d" % (*r.choice(asn[1]), r.randrange(256), r.randrange(1, 255)), "asn": asn[0], "cc": o["cc"], "net": "res"}
                e = {**o, **net, "ua": d["ua"], "fp": d["fp"] if r.random() < 0.5 else hexa(r, 12), "tls": d["tls"], "cookie": hexa(r, 12), "rtt": o["rtt"] + 60}
                t = when(3)
                self.bad(self.session(t, e), number, kind, "takeover")
                self.bad(self.session(t + HOUR, e, "session"), number, kind, "ato_session")
        elif kind == "stuffing_distributed":
            right = take(120)
            for i in range(3000):
                d, ok = r.choice(tools), i < len(right)
                o = right[i] if ok else self.person(r, T0, "res")
                e = {**o, **w.network(r, r.choice(["res", "dc", "vpn"]), w.country(r)), "ua": d["ua"], "fp": d["fp"], "tls": d["tls"],
                     "lang": "en-US", "tz": "UTC", "cookie": hexa(r, 12)}
                self.bad(self.session(when(2), e, ok=ok, **({} if ok else {"why": r.choice(["bad_pw", "no_user"])})), number, kind, "takeover" if ok else "attempt")
        else:
            for o in take(60):
                d = r.choice(tools)
                e = {**o, **w.network(r, r.choice(["vpn", "dc", "res"]), w.country(r)), "ua": d["ua"], "fp": d["fp"], "tls": d["tls"]}
                self.bad(self.session(when(5), e, "session"), number, kind, "hijack")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seed", type=int, required=True)
    ap.add_argument("--out", required=True)
    ap.add_argument("--kind", choices=["signup", "login"], default="signup")
    ap.add_argument("--days", type=int, default=28)
    ap.add_argument("--per-day", type=int, default=600)
    ap.add_argument("--only", default="", help="kinds of campaign, comma-separated")
    a = ap.parse_args()
    s = (Signups if a.kind == "signup" else Logins)(a)
    s.run()
    os.makedirs(a.out, exist_ok=True)
    s.events.sort(key=lambda e: e["t"])
    for i, e in enumerate(s.events, 1): e["id"] = i
    with open(a.out + "/events.jsonl", "w") as f:
        for e in s.events:
            f.write(json.dumps({"id": e["id"], **{k: v for k, v in e.items() if k != "id"}}, separators=(",", ":")) + "\n")
    with open(a.out + "/ip_intel.csv", "w") as f: f.write("prefix,tag\n" + "\n".join(s.world.intel) + "\n")
    with open(a.out + "/labels_accounts.csv", "w") as f:
        f.write("acct,bad,campaign,group,created_ms\n")
        for acct, campaign, group, t in s.accounts: f.write("%s,%d,%s,%s,%d\n" % (acct, bool(campaign), campaign or "", group, t))
    with open(a.out + "/labels_events.csv", "w") as f:
        f.write("event_id,campaign,type,phase\n")
        for e, campaign, kind, phase in s.bad_events: f.write("%d,%s,%s,%s\n" % (e["id"], campaign, kind, phase))


if __name__ == "__main__":
    main()
