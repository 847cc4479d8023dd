"""Refinement beside a running server: a small campaign comes with the tool of a large one, too thinly to be parted from it as it
goes on, and the server tells by itself that there are two, as findings in the journal that rules, pages and actions on a part alone
use; after a crash too."""

import json
import random
import time
import unittest

import accounts_test
import harness

MACHINES_FROM = 500
SECOND_EVERY = 48  # of the latest members of a cluster, too few are of the second campaign to part them as they come
OPTIONS = ("--deadline-ms", "10000", "--refine-seconds", "1")


def make_events(count, campaigns=2):
    """Honest signups; from MACHINES_FROM on every other one is of one machine, used by one campaign or by two."""
    r = random.Random(3)
    events, at = [], accounts_test.START
    for n in range(count):
        machine = n >= MACHINES_FROM and n % 2 == 0
        at += (1 if machine or n >= MACHINES_FROM else 15) * accounts_test.MINUTE
        cc, lang, tz = ("NL", "en-US", "UTC") if machine else r.choice(accounts_test.PLACES)
        name = r.choice(accounts_test.NAMES) + "." + r.choice(accounts_test.NAMES) + r.choice(["", str(r.randrange(100))])
        event = {"id": n, "t": at, "type": "signup", "acct": f"a{n}",
                 "ip": "203.0.113.7" if machine else f"198.{18 + r.randrange(2)}.{r.randrange(250)}.{1 + r.randrange(250)}",
                 "asn": 64500 if machine else 64510 + r.randrange(12), "cc": cc, "net": "res" if machine else r.choice(["res", "res", "mob", "tor"]),
                 "ua": accounts_test.AGENTS[1] if machine else r.choice(accounts_test.AGENTS), "fp": "d0" if machine else f"d{n}", "lang": lang, "tz": tz,
                 "cookie": f"k{n}", "local": f"q{r.randrange(10000, 99999)}xz" if machine else name,
                 "scr": "800x600" if machine else r.choice(["1920x1080", "390x844"]), "gpu": "soft" if machine else f"g{r.randrange(40)}",
                 "cores": 2 if machine else r.choice([4, 6, 8]), "cap": "pow" if machine else "img",
                 "cap_ms": 400 + r.randrange(9) if machine else 3000 + r.randrange(9000), "cap_tries": 1,
                 "fill_ms": 1700 + r.randrange(40) if machine else 9000 + r.randrange(60000), "paste": machine}
        if is_second(n) and campaigns == 2:
            event |= {"local": "shop_" + "".join(r.choice("bcdfgklmn") for _ in range(6)), "fill_ms": 5200 + r.randrange(300),
                      "cap_ms": 1500 + r.randrange(90)}
        events.append(event)
    return events


def is_second(n):
    return n >= MACHINES_FROM and n % SECOND_EVERY == 0


class Refinement(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"

    def body(self, events):
        return "".join(json.dumps(event) + "\n" for event in events).encode()

    def told(self, server, cluster, seconds=30):
        """What the cluster's page says that the server has told, waiting for it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            page = server.get(f"/v1/clusters/{cluster}").json()
            if page["told"]:
                return page["told"]
            time.sleep(0.2)
        return None

    def findings(self, what):
        rows = self.run_tamis("query", "--data", self.data, "--json",
                              f"SELECT id, cluster, parts, size, verdict FROM finding WHERE finding = '{what}' ORDER BY n").stdout
        return json.loads(rows)["rows"]

    def replayed(self, name):
        out = self.folder / name
        self.run_tamis("replay", "--data", self.data, "--out", out, "--quiet")
        return out.read_bytes()

    def test_two_campaigns_in_one_cluster_are_told_apart_by_the_server(self):
        events = make_events(MACHINES_FROM + 24 * SECOND_EVERY)
        with harness.Server(harness.READY_POLICY, self.data, *OPTIONS) as server:
            live = server.post("/v1/decide", self.body(events)).body.splitlines()
            cluster = server.get("/v1/clusters?actionable=1").json()["clusters"][0]["id"]
            told = self.told(server, cluster)
            self.assertEqual([0, 1], [part["part"] for part in told["parts"]])
            self.assertEqual([cluster, cluster + 10**12], [part["cluster"] for part in told["parts"]])
            for part in told["parts"]:
                self.assertIn("name_shape", part["shares"])
            self.assertAlmostEqual(24, told["parts"][1]["size"], delta=2)
            # One part alone is acted on, with a preview first, and taken back.
            members = {m["account"] for m in server.get(f"/v1/clusters/{cluster}").json()["members"]}
            second = {a for a in members if is_second(int(a[1:]))}
            act = {"label": "shops", "for": "7d", "part": 1}
            preview = server.post(f"/v1/clusters/{cluster}/act", act).json()
            self.assertIsNone(preview["batch"])
            self.assertAlmostEqual(len(second), preview["fresh"], delta=2)
            done = server.post(f"/v1/clusters/{cluster}/act", act | {"apply": True}).json()
            self.assertEqual(preview["fresh"], done["batch"]["changed"])
            def labelled(accounts):
                return {a for a in accounts if "shops" in {label["name"] for label in server.get(f"/v1/why/account/{a}").json()["labels"]}}
            some, others = sorted(second)[:4], sorted(members - second)[:4]
            self.assertEqual((set(some), set()), (labelled(some), labelled(others)))
            self.assertEqual(404, server.post(f"/v1/clusters/{cluster}/act", act | {"part": 2}).status)
            self.run_tamis("undo", "--data", self.data, done["batch"]["id"])
            self.assertEqual(set(), labelled(some))
            # Nothing has changed since: it is not told again.
            time.sleep(2.5)
            self.assertEqual(told, server.get(f"/v1/clusters/{cluster}").json()["told"])
            server.kill()
        # After a crash nothing is lost, and what was told is not told again.
        with harness.Server(harness.READY_POLICY, self.data, *OPTIONS) as server:
            self.assertEqual(told, self.told(server, cluster, 2))
            time.sleep(2.5)
            self.assertEqual(told, server.get(f"/v1/clusters/{cluster}").json()["told"])
        splits = self.findings("split")
        mine = [row for row in splits if row[1] == cluster]
        self.assertEqual([[told["look"], cluster, 2, "notify"]], [[row[0], row[1], row[2], row[4]] for row in mine])
        self.assertEqual(sum(row[2] for row in splits), len(self.findings("part")))
        # A replay reads what was found: the decisions of the events are those of then, and of the findings those of the archive.
        again = self.replayed("replayed").splitlines()
        self.assertEqual(live, [line for line in again if json.loads(line)["type"] != "finding"])
        found = [json.loads(line) for line in again if json.loads(line)["type"] == "finding"]
        self.assertEqual(len(splits) + len(self.findings("part")), len(found))
        self.assertEqual(b"\n".join(again) + b"\n", self.replayed("once_more"))
        self.run_tamis("verify", "--data", self.data)

    def test_one_campaign_stays_whole_and_nothing_is_said(self):
        with harness.Server(harness.READY_POLICY, self.data, *OPTIONS) as server:
            server.post("/v1/decide", self.body(make_events(800, campaigns=1)))
            cluster = server.get("/v1/clusters?actionable=1").json()["clusters"][0]["id"]
            self.assertIsNone(self.told(server, cluster, 4))
            self.assertEqual(404, server.post(f"/v1/clusters/{cluster}/act", {"part": 0}).status)
        self.assertEqual([], self.findings("split"))


if __name__ == "__main__":
    unittest.main()
