"""Accounts, from the events to the action on a cluster: `tamis replay` with seeds and hindsight, findings in the archive, clusters
over HTTP and as a command, what people say of them, and the gate on what is done to honest people."""

import json
import math
import random
import re
import shutil
import unittest
from datetime import datetime, timedelta, timezone

import harness

START = 1_772_409_600_000
MINUTE = 60_000
AGENTS = ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
          "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
          "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1"]
PLACES = [("DE", "de-DE", "Europe/Berlin"), ("FR", "fr-FR", "Europe/Paris"), ("US", "en-US", "America/Chicago")]
NAMES = "anna bruno chidi dora emil fatima goran hana ivan jun karin lena marco nadia omar petra".split()
MACHINES_FROM = 500


def make_events(count):
    """Honest signups of many kinds; from MACHINES_FROM on every other one of a machine. Some send and sign in later."""
    r = random.Random(7)
    events, at = [], START
    for n in range(count):
        machine = n >= MACHINES_FROM and n % 2 == 0
        at += (1 if n >= MACHINES_FROM else 15) * MINUTE
        cc, lang, tz = ("NL", "en-US", "UTC") if machine else r.choice(PLACES)
        name = f"q{r.randrange(10000, 99999)}xz" if machine else r.choice(NAMES) + "." + r.choice(NAMES) + r.choice(["", str(r.randrange(100))])
        event = {"id": n, "t": at, "type": "signup", "acct": f"a{n}",
                 "ip": "203.0.113.7" if machine else f"198.{18 + r.randrange(2)}.{r.randrange(250)}.{1 + r.randrange(250)}",
                 "asn": 64500 if machine else 64510 + r.randrange(12), "cc": cc, "net": "res" if machine else r.choice(["res", "res", "mob", "tor"]),
                 "ua": AGENTS[1] if machine else r.choice(AGENTS), "fp": "d0" if machine else f"d{n}", "lang": lang, "tz": tz, "cookie": f"k{n}",
                 "local": name, "scr": "800x600" if machine else r.choice(["1920x1080", "390x844"]), "gpu": "soft" if machine else f"g{r.randrange(40)}",
                 "cores": 2 if machine else r.choice([4, 6, 8]), "cap": "pow" if machine else "img",
                 "cap_ms": 400 + r.randrange(9) if machine else 3000 + r.randrange(9000), "cap_tries": 1,
                 "fill_ms": 1700 + r.randrange(40) if machine else 9000 + r.randrange(60000), "paste": machine}
        events.append(event)
        if n % 9 == 3:
            events.append({"id": f"s{n}", "t": at + 1, "type": "send", "acct": f"a{n - n % 4}", "ip": event["ip"], "rcpts": 1, "new": 0,
                           "subj": "00ff00ff00ff00ff", "body": f"{n:016x}", "urls": []})
    return events


def make_campaigns(count, machines):
    """Honest signups, and among them a campaign from each of some machines, with truth of each account."""
    r = random.Random(11)
    events, truth, at = [], [], START
    for n in range(count):
        machine = r.randrange(machines) if n > count // 4 and r.random() < 0.3 else None
        at += 4 * MINUTE
        cc, lang, tz = r.choice(PLACES)
        name = r.choice(NAMES) + "." + r.choice(NAMES) + r.choice(["", str(r.randrange(100))])
        event = {"id": f"e{n}", "t": at, "type": "signup", "acct": f"a{n}", "ip": f"198.{18 + r.randrange(2)}.{r.randrange(250)}.{1 + r.randrange(250)}",
                 "asn": 64510 + r.randrange(12), "cc": cc, "net": r.choice(["res", "res", "mob", "tor"]), "ua": r.choice(AGENTS), "fp": f"d{n}", "lang": lang,
                 "tz": tz, "cookie": f"k{n}", "local": name, "scr": r.choice(["1920x1080", "390x844"]), "gpu": f"g{r.randrange(40)}",
                 "cores": r.choice([4, 6, 8]), "cap": "img", "cap_ms": 3000 + r.randrange(9000), "cap_tries": 1, "fill_ms": 9000 + r.randrange(60000), "paste": False}
        if machine is not None:
            event |= {"net": "res", "asn": 64600 + machine, "cc": "NL", "ip": f"203.0.{machine}.{1 + r.randrange(9)}", "fp": f"farm{machine}", "scr": f"{800 + machine}x600",
                      "gpu": f"soft{machine}", "lang": "en-US", "tz": "UTC", "local": "qwx"[machine % 3] * (1 + machine) + str(r.randrange(10000, 99999)),
                      "fill_ms": 1700 * (1 + machine) + r.randrange(40), "cap_ms": 400 * (1 + machine) + r.randrange(9), "paste": True}
        events.append(event)
        truth.append(("account", event["acct"], "good" if machine is None else "bad"))
    return events, truth


class Training(harness.TestCase):
    """A model trained from what a data folder has: its signups, and truth that people told."""

    def setUp(self):
        super().setUp()
        self.events, self.truth = make_campaigns(2200, 4)
        self.data = self.folder / "data"
        self.source = self.folder / "events.jsonl"
        self.source.write_text("".join(json.dumps(event) + "\n" for event in self.events))
        self.policy = self.folder / "policy"
        shutil.copytree(harness.READY_POLICY, self.policy)
        # Without the model that ships: what the trees do shows.
        detectors = (self.policy / "detectors.yaml").read_text()
        (self.policy / "detectors.yaml").write_text(detectors.replace("    model: model/signup.trees\n", ""))
        self.run_tamis("import", "--data", self.data, "--policy", self.policy, "--quiet", self.source)
        self.trees = self.folder / "own.trees"

    def train(self, *more, code=0):
        done = harness.tamis("train", "accounts", "--data", self.data, "--out", self.trees, "--rounds", 30, "--quiet", *more)
        if "needs the XGBoost library" in done.stderr:
            self.assertEqual((2, False), (done.returncode, self.trees.exists()))
            self.skipTest("the XGBoost library is not installed")
        self.assertEqual(code, done.returncode, done.stderr)
        return done

    def tell(self, rows):
        table = self.folder / "truth.csv"
        table.write_text("entity,value,label\n" + "".join(",".join(row) + "\n" for row in rows))
        self.run_tamis("truth", "import", "--data", self.data, table, "--source", "review")

    def test_too_little_truth_is_refused(self):
        refused = self.train(code=2).stderr
        self.assertRegex(refused, "of 2200 signups 0 are known to be bad, of 0 kinds .* 0 to be good; it takes 3 kinds and 1000 good")
        self.assertRegex(refused, "of 2200 nobody has told anything: .*--unknown-is-good")
        self.tell([row for row in self.truth if row[2] == "bad"][:40])
        self.assertRegex(self.train(code=2).stderr, "of 2200 signups 40 are known to be bad, of [1-4] kinds .* and 0 to be good")
        self.assertFalse(self.trees.exists())
        self.assertEqual(2, self.run_tamis("train", "accounts", "--out", self.trees, code=2).returncode)
        self.assertRegex(self.run_tamis("train", "accounts", "--out", self.trees, "--from", "1d", self.folder, code=2).stderr, "go with --data")

    def test_trained_from_truth_in_the_folder_and_used(self):
        bad = [value for _, value, label in self.truth if label == "bad"]
        good = [value for _, value, label in self.truth if label == "good"]
        # Of two campaigns through what their accounts share, of the others by account.
        farm = {e["acct"]: e["fp"] for e in self.events if e["fp"].startswith("farm")}
        rows = [("device", name, "bad") for name in ("farm0", "farm1")]
        rows += [("account", a, "bad") for a in bad if farm[a] not in ("farm0", "farm1")]
        rows += [("account", a, "good") for a in good[:1200]]
        self.tell(rows)
        told = json.loads(self.train("--json").stdout)
        self.assertEqual((2200, len(bad), 1200, len(good) - 1200, 0), (told["signups"], told["bad"], told["good"], told["untold"], told["gone"]))
        self.assertEqual(told["used"], told["bad"] + told["good"])
        kinds = {kind["kind"]: kind for kind in told["kinds"]}
        self.assertEqual({"residential", "mobile", "tor"}, {kind for kind, k in kinds.items() if not k["bad"]})
        self.assertGreaterEqual(sum(k["bad"] for k in kinds.values()), 3)
        first = self.trees.read_text()
        self.assertIn("tamis-trees", first)
        # In a window, with everybody else taken for honest, and by a server that holds the folder: the same way.
        with harness.Server(self.policy, self.data, "--deadline-ms", "10000"):
            table = self.train("--unknown-is-good").stdout
            self.assertRegex(table, rf"used +2 200: {len(bad)} bad, \d+ {len(good) % 1000:03d} good")
            self.assertRegex(table, r"\| residential \| \d+ \|")
        self.assertRegex(self.train("--from", "1d", "--unknown-is-good", code=2).stderr, "of 36[01] signups")
        # The policy takes it, and scores with it: what is bad is at least as suspect as before, and some of it more.
        plain, scores = self.scores(self.policy), None
        (self.policy / "model" / "signup.trees").write_text(first)
        detectors = (self.policy / "detectors.yaml").read_text()
        (self.policy / "detectors.yaml").write_text(detectors.replace("    on: [signup, login", "    model: model/signup.trees\n    on: [signup, login"))
        scores = self.scores(self.policy)
        self.assertTrue(all(scores[i] >= plain[i] - 1e-9 for i in plain))
        # (Nearly all of these were sure before, and cannot rise much.)
        raised = {True: [], False: []}
        for i in plain:
            raised[("a" + i[1:]) in farm].append(scores[i] - plain[i])
        self.assertGreaterEqual(sum(more > 0.001 for more in raised[True]), 3)
        self.assertLess(max(raised[False]), 0.01)

    def test_what_is_forgotten_is_told(self):
        self.tell(self.truth)
        later = datetime.fromtimestamp(self.events[-1]["t"] / 1000, timezone.utc) + timedelta(days=80)
        self.run_tamis("retain", "--data", self.data, "--now", later.strftime("%Y-%m-%dT%H:%M:%SZ"))
        refused = self.train(code=2).stderr
        self.assertRegex(refused, "of 2200 signups 0 are known to be bad.*; 2200 with truth cannot be used, since values that the detector reads "
                                  "are not kept any more \\(.*ip.*\\)")

    def test_a_backtest_tells_whom_it_hits(self):
        self.tell(self.truth)
        rule = ("backtest", "--data", self.data, "--policy", self.policy, "--rule", "signup-of-cluster", "--quiet")
        told = json.loads(self.run_tamis(*rule, "--json").stdout)
        self.assertEqual("ip_class", told["class"])
        rows = {row["class"]: row for row in told["per_class"]}
        self.assertEqual({"res", "mob", "tor"}, set(rows))
        for name, row in rows.items():
            mine = [e for e in self.events if e["net"] == name]
            bad = sum(e["fp"].startswith("farm") for e in mine)
            self.assertEqual((len(mine) - bad, bad), (row["good"], row["bad"]), name)
            self.assertLess(row["false_positives"], 0.02)
            self.assertLessEqual(row["false_positives_interval"][0], row["false_positives"])
            self.assertGreater(row["false_positives_interval"][1], row["false_positives"])
        self.assertGreater(rows["res"]["matched_bad"], 100)
        self.assertEqual(told["truth"]["good"], sum(row["good"] for row in told["per_class"]))
        self.assertRegex(self.run_tamis(*rule).stdout, r"signup +tor +\d+ +0 +0\.000 %   \(95 %: 0\.000 to \d+\.\d+\) +0 +0")
        by_country = json.loads(self.run_tamis(*rule, "--json", "--class", "country").stdout)
        self.assertEqual({"DE", "FR", "US", "NL"}, {row["class"] for row in by_country["per_class"]})

    def scores(self, policy):
        out = self.folder / "scored"
        self.run_tamis("replay", "--policy", policy, "--out", out, "--quiet", self.source)
        return {d["id"]: d["score"] for d in map(json.loads, out.read_text().splitlines())}


class Accounts(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.events = make_events(700)
        self.source = self.folder / "events.jsonl"
        self.source.write_text("".join(json.dumps(event) + "\n" for event in self.events))
        self.data = self.folder / "data"

    def lines(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def replay(self):
        (self.folder / "seed.jsonl").write_text('{"acct":"old1","age_days":300,"paid":true}\n{"acct":"old2","age_days":20,"paid":false}\n')
        (self.folder / "intel.csv").write_text("prefix,tag\n198.18.0.0/24,vpn\n")
        self.run_tamis("replay", "--policy", harness.READY_POLICY, "--intel", self.folder / "intel.csv", "--accounts", self.folder / "seed.jsonl",
                       "--out", self.folder / "decisions", "--retro", self.folder / "retro", "--findings", self.folder / "findings", "--quiet", self.source)

    def test_the_forms_of_the_replay(self):
        self.replay()
        decisions = self.lines("decisions")
        self.assertEqual([str(e["id"]) for e in self.events], [d["id"] for d in decisions])
        for event, decision in zip(self.events, decisions):
            self.assertEqual((event["type"], event["acct"]), (decision["type"], decision["acct"]))
            self.assertTrue(0 <= decision["score"] <= 1)
        machines = [d for d in decisions if d["type"] == "signup" and d.get("cluster") and d["verdict"] != "allow"]
        self.assertGreater(len(machines), 60)
        self.assertEqual([], [d["id"] for d in machines if int(d["id"]) < MACHINES_FROM or int(d["id"]) % 2 == 1])
        retro = {line["id"]: line for line in self.lines("retro")}
        self.assertEqual({e["acct"] for e in self.events if e["type"] == "signup"}, set(retro))
        # Most people were never acted on; whoever was, not before the first decision that said so, or the cluster that was found.
        never = [a for a, line in retro.items() if line["at"] is None]
        self.assertGreater(len(never), 500)
        self.assertEqual([], [a for a in never if retro[a]["score"] >= 0.9])
        acted = {}
        for event, decision in zip(self.events, decisions):
            if decision["verdict"] not in ("allow", "notify"):
                acted.setdefault(decision["acct"], event["t"])
        self.assertGreater(len(acted), 60)
        for account, at in acted.items():
            self.assertLessEqual(retro[account]["at"], at)
        caught = [a for a, line in retro.items() if line["score"] >= 0.5]
        self.assertGreater(len(caught), 80)
        for account in caught:
            self.assertIsInstance(retro[account]["cluster"], int)
            self.assertGreaterEqual(retro[account]["at"], START)
        self.assertIn("cluster-to-look-at", {rule for finding in self.lines("findings") for rule in finding["rules"]})

    def test_a_bad_line_of_a_table_takes_nothing_from_the_others(self):
        seed, intel = self.folder / "seed.jsonl", self.folder / "intel.csv"
        run = ("replay", "--policy", harness.READY_POLICY, "--intel", intel, "--accounts", seed, "--out", self.folder / "decisions", "--json", self.source)
        seed.write_text('{"acct":"old1","age_days":300}\n{"acct":"old2"\n[7]\n{"acct":"old3","paid":true}\n')
        intel.write_text("prefix,tag\n198.18.0.0/24,vpn\nnonsense,x\n" + "300.0.0.0/8,x\n" * 40 + "198.19.0.0/16,dc\n")
        done = self.run_tamis(*run, code=1)
        self.assertIn(f'{intel}:3: expected a network like 192.0.2.0/24, found "nonsense"', done.stderr)
        self.assertEqual(20, done.stderr.count("expected a network"))  # enough to see what is wrong
        self.assertIn("41 lines of --intel are passed over", done.stderr)
        self.assertRegex(done.stderr, rf"{seed}:2: not valid JSON.*\n{seed}:3: expected a JSON object")
        told = json.loads(done.stderr.splitlines()[-1])
        self.assertEqual((len(self.events), 2, 41, 2), tuple(told[k] for k in ("decided", "refused", "intel_refused", "accounts")))
        self.assertEqual(len(self.events), len(self.lines("decisions")))
        # The rest of both is used.
        intel.write_text("prefix,tag\n198.18.0.0/24,vpn\n198.19.0.0/16,dc\n")
        seed.write_text('{"acct":"old1","age_days":300}\n{"acct":"old3","paid":true}\n')
        first = (self.folder / "decisions").read_bytes()
        self.run_tamis(*run)
        self.assertEqual(first, (self.folder / "decisions").read_bytes())
        # A wrong header, or nothing of use, is no table.
        for text, why in [("prefix,tagg\n198.18.0.0/24,vpn\n", 'intel.csv:1: unknown column "tagg"'), ("prefix,tag\nx,y\n", "intel.csv:2: expected a network"),
                          ("prefix,tag\n", "intel.csv: expected lines with networks"), ("", "expected a header line")]:
            intel.write_text(text)
            self.assertIn(why, self.run_tamis(*run, code=2).stderr)
        intel.write_text("prefix,tag\n198.18.0.0/24,vpn\n")
        for text in ("", '{"acct":1.5\n'):
            seed.write_text(text)
            self.assertIn("seed.jsonl: there is no account in it", self.run_tamis(*run, code=2).stderr)

    def test_a_server_uses_what_is_good_of_a_table(self):
        intel = self.folder / "intel.csv"
        intel.write_text("prefix,tag\n198.18.0.0/24,vpn\nnonsense,x\n")
        for _ in range(2):  # and again from what the data folder kept
            with harness.Server(harness.READY_POLICY, self.data, "--intel", str(intel)) as server:
                self.assertEqual(200, server.post("/v1/decide", self.source.read_bytes()).status)
                self.assertIn(f"{intel}:3: expected a network", server.output())
                self.assertIn("1 lines of --intel are passed over", server.output())
        self.run_tamis("replay", "--data", self.data, "--out", self.folder / "replayed", "--quiet")

    def test_a_bad_line_of_truth_takes_nothing_from_the_others(self):
        truth = self.folder / "truth.csv"
        truth.write_text("entity,value,label\naccount\n" + "".join(f"account,{e['acct']},good\n" for e in self.events if e["type"] == "signup") + "account,,bad\n")
        done = self.run_tamis("eval", "--policy", harness.READY_POLICY, "--truth", truth, "--types", "signup", "--json", "-q", self.source)
        self.assertEqual((2, 700), (json.loads(done.stdout)["truth_refused"], sum(cell["honest"] for cell in json.loads(done.stdout)["all"].values())))
        self.assertIn(f"{truth}:2: has 1 of 3 columns", done.stderr)
        self.run_tamis("import", "--data", self.data, "--policy", harness.READY_POLICY, "-q", self.source)
        done = self.run_tamis("backtest", "--data", self.data, "--policy", harness.READY_POLICY, "--rule", "signup-of-cluster", "--truth", truth, "--json", "-q")
        self.assertEqual((2, 700), (json.loads(done.stdout)["truth"]["refused"], json.loads(done.stdout)["truth"]["good"]))
        self.assertIn(f"{truth}:2: has 1 of 3 columns", done.stderr)
        truth.write_text("entity,value,label\naccount\n")
        self.run_tamis("eval", "--policy", harness.READY_POLICY, "--truth", truth, "-q", self.source, code=2)

    def test_seeds_need_their_event_type(self):
        policy = self.write_policy({"p.yaml": "event: signup\nfields: {acct: account}\nid: id\ntime: {at: t, format: ms}\n"})
        done = self.run_tamis("replay", "--policy", policy, "--accounts", self.source, self.source, code=2)
        self.assertRegex(done.stderr, "no event type \"account\"")
        done = self.run_tamis("replay", "--policy", policy, "--retro", self.folder / "r", "--out", self.folder / "o", self.source)

    def test_live_equals_replay_and_a_cluster_is_acted_on(self):
        body = self.source.read_bytes()
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            live = server.post("/v1/decide", body).body
            listed = server.get("/v1/clusters?actionable=1").json()
            self.assertGreater(len(listed["clusters"]), 0)
            cluster = listed["clusters"][0]["id"]
            page = server.get(f"/v1/clusters/{cluster}").json()
            self.assertGreater(len(page["members"]), 50)
            self.assertGreater(max(s["observed"] / max(s["expected"], 0.01) for s in page["shared"]), 5)
            members = {m["account"] for m in page["members"]}
            self.assertTrue(all(int(a[1:]) % 2 == 0 for a in members))
            self.assertEqual(len(members), sum(day["members"] for day in page["growth"]))
            self.assertEqual([len(members)], page["parts"])
            self.assertEqual(8, len(page["exemplars"]))
            self.assertTrue(set(page["exemplars"]) <= members)
            # Two sentences that give away nothing of what the members share.
            self.assertEqual(2, page["say"].count("."), page["say"])
            self.assertNotRegex(page["say"], "(?i)device|network|name|captcha|cluster|score")
            rule = server.get(f"/v1/clusters/{cluster}/rule").json()
            self.assertEqual(0, rule["beyond_members"])
            self.assertEqual(rule["all_members"], rule["members"])
            self.assertEqual(0, rule["others"], rule)
            self.assertEqual(rule["members"], rule["backtest"]["matched"])
            for path, body in [("act", {"label": "looked-at", "for": "0d"}), ("verdict", {"say": "refuted", "for": "0h"})]:
                refused = server.post(f"/v1/clusters/{cluster}/{path}", body)
                self.assertEqual(400, refused.status, refused)
                self.assertIn('"for": expected a duration longer than nothing', refused.json()["message"])
            preview = server.post(f"/v1/clusters/{cluster}/act", {"label": "looked-at", "for": "7d"}).json()
            self.assertIsNone(preview["batch"])
            self.assertEqual(len(members), preview["fresh"])
            done = server.post(f"/v1/clusters/{cluster}/act", {"label": "looked-at", "for": "7d", "apply": True}).json()
            self.assertEqual(len(members), done["batch"]["changed"])
            self.assert_adds_up(page)
            self.assert_explained(server, json.loads(live.splitlines()[-1])["id"])
            self.assertEqual(404, server.get("/v1/clusters/999999").status)
            self.assertEqual(400, server.post(f"/v1/clusters/{cluster}/verdict", {"say": "perhaps"}).status)
        out = self.folder / "replayed"
        self.run_tamis("replay", "--data", self.data, "--out", out, "--quiet")
        self.assertEqual(live, out.read_bytes())
        found = self.run_tamis("query", "--data", self.data, "SELECT count(*) AS n FROM finding WHERE finding = 'actionable'", "--json").stdout
        self.assertGreater(json.loads(found)["rows"][0][0] if found.startswith("{") else json.loads(found.splitlines()[0])["n"], 0)
        self.run_tamis("undo", "--data", self.data, done["batch"]["id"])
        shown = self.run_tamis("clusters", "show", "--data", self.data, cluster).stdout
        self.assertRegex(shown, r"observed +expected")
        held = next(d for d in map(json.loads, live.splitlines()) if d["verdict"] == "hold" and d["acct"] in members)
        waits = "We could not set up this account right away"
        for who in (("account", held["acct"]), ("event:signup", held["id"])):
            self.assertIn(waits, self.run_tamis("why", "--data", self.data, *who, "--customer").stdout)
        refuted = self.run_tamis("clusters", "refute", "--data", self.data, cluster, "--for", "30d", "--reason", "a school").stdout
        self.assertIn(f"{len(members)} members", refuted)
        page = json.loads(self.run_tamis("clusters", "show", "--data", self.data, "--json", cluster).stdout)
        self.assertEqual(len(members), page["truth"]["good"])
        self.assertIsNotNone(page["cleared_until"])
        self.assertIn("nothing is held against it", page["say"])
        # The label that a rule had set on a member does not lock it any more.
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            member = held["acct"]
            labels = server.get(f"/v1/why/account/{member}").json()["labels"]
            self.assertIn("bulk", {label["name"] for label in labels})
            send = {"id": "after", "t": self.events[-1]["t"] + MINUTE, "type": "send", "acct": member, "ip": "203.0.113.7", "rcpts": 1, "new": 0,
                    "subj": "00ff00ff00ff00ff", "body": "1", "urls": []}
            self.assertEqual("allow", server.post("/v1/decide", json.dumps(send)).json()["verdict"])
            # Nor is it told that it has to wait.
            words = " ".join(server.get(f"/v1/why/account/{member}?for=customer").json()["words"])
            self.assertIn("At present nothing is in force on this account.", words)
            self.assertIn("found it in order", words)
            self.assertNotIn(waits, words)
            signup = next(str(e["id"]) for e in self.events if e["type"] == "signup" and e["acct"] == member)
            words = " ".join(server.get(f"/v1/why/event:signup/{signup}?for=customer").json()["words"])
            self.assertIn("held it back. The account was looked at since", words)
            self.assertNotIn(waits, words)

    def test_a_rule_is_made_of_what_says_something(self):
        """Of addresses their networks, of random fingerprints and cookies nothing, of names their make."""
        r = random.Random(3)
        for version, address in (("v4", lambda: f"203.0.113.{1 + r.randrange(250)}"), ("v6", lambda: f"2001:db8:7:{r.randrange(0x100, 0x200):x}::{r.randrange(9999):x}")):
            events = json.loads(json.dumps(self.events))
            # Of everything else that the machine shows some honest people have the same.
            machines = [event for event in events if event.get("gpu") == "soft"]
            machine = dict(machines[0])
            shown = ["asn", "cc", "tz", "local", "scr", "cores", "gpu", "cap", "cap_ms"]
            for n, event in enumerate(events):
                if event["type"] == "signup" and event not in machines and n % 4 == 0:
                    event[shown[n // 4 % len(shown)]] = machine[shown[n // 4 % len(shown)]]
            for event in machines:
                event |= {"ip": address(), "fp": f"{r.randrange(16**12):012x}", "cookie": f"{r.randrange(16**12):012x}", "canvas": f"{r.randrange(16**12):012x}",
                          "fill_ms": r.randrange(9000, 60000)}
            self.source.write_text("".join(json.dumps(event) + "\n" for event in events))
            data = self.folder / version
            self.run_tamis("import", "--data", data, "--policy", harness.READY_POLICY, "--quiet", self.source)
            listed = json.loads(self.run_tamis("clusters", "ls", "--data", data, "--actionable", "--json").stdout)["clusters"]
            done = self.run_tamis("clusters", "rule", "--data", data, listed[0]["id"])
            rule = json.loads(self.run_tamis("clusters", "rule", "--data", data, listed[0]["id"], "--json").stdout)
            self.assertTrue(rule["actionable"])
            self.assertNotIn("has not proven", done.stderr)
            self.assertIn('ip.net24 == "203.0.113.0/24"' if version == "v4" else 'ip.net24 == "2001:db8:7:100::/56"', rule["when"])
            self.assertLessEqual(rule["others"], 3, rule["when"])
            self.assertEqual(rule["members"] + rule["others"], rule["backtest"]["matched"], rule["when"])
            self.assertEqual([], re.findall(r"\b(?:device|cookie|canvas|ip|account)\b(?:\.matches| in | ==)", rule["when"]))
            self.assertEqual(set(), set(re.findall(r"(\w+)\.matches", rule["when"])) - {"local"})
            # It can be put into the policy as it stands.
            whole = self.folder / f"with-{version}"
            shutil.copytree(harness.READY_POLICY, whole)
            (whole / "proposed.yaml").write_text(done.stdout)
            self.run_tamis("check", whole)

    def test_a_preview_tells_who_has_the_label_already(self):
        self.run_tamis("import", "--data", self.data, "--policy", harness.READY_POLICY, "--quiet", self.source)
        cluster = json.loads(self.run_tamis("clusters", "ls", "--data", self.data, "--actionable", "--json").stdout)["clusters"][0]["id"]
        listed = self.run_tamis("label", "ls", "--data", self.data, "--on", "account", "--name", "bulk", "--json").stdout
        labels = [json.loads(line) for line in listed.splitlines()]
        members = {m["account"] for m in json.loads(self.run_tamis("clusters", "show", "--data", self.data, "--json", cluster).stdout)["members"]}
        have = len(members & {label["value"] for label in labels})
        self.assertGreater(have, 10)
        self.assertLess(have, len(members))
        act = ("clusters", "act", "--data", self.data, cluster)
        shown = self.run_tamis(*act, "--for", "900d").stdout
        self.assertIn(f"{len(members) - have} would be labelled bulk, {have} have the label already and would keep it for longer\n", shown)
        shown = self.run_tamis(*act, "--for", "1h").stdout
        self.assertIn(f"{len(members) - have} would be labelled bulk, {have} have it already for as long\n", shown)
        shown = self.run_tamis(*act, "--for", "900d", "--apply").stdout
        self.assertIn(f"{len(members) - have} were labelled bulk, {have} have the label already and keep it for longer\n", shown)

    def assert_adds_up(self, told):
        self.assertAlmostEqual(told["log_odds"], sum(f["log_odds"] for f in told["factors"]), delta=1e-3)
        self.assertEqual(told["factors"], sorted(told["factors"], key=lambda f: -abs(f["log_odds"])))

    def assert_explained(self, server, event):
        """What was decided just now is told factor by factor: to analysts, over HTTP and as a command."""
        kind = next(e["type"] for e in self.events if str(e["id"]) == event)
        told = server.get(f"/v1/decisions/{kind}/{event}").json()["decision"]
        self.assertEqual(told, server.get(f"/v1/decisions/*/{event}").json()["decision"])
        self.assertEqual(404, server.get("/v1/decisions/*/nothing").status)
        names = [said["detector"] for said in told["explanation"]]
        self.assertIn("signup_clusters", names)
        for said in told["explanation"]:
            self.assert_adds_up(said)
            self.assertAlmostEqual(said["score"], 1 / (1 + math.exp(-said["log_odds"] / said["score_of"])), delta=1e-3)
        by_command = json.loads(self.run_tamis("explain", "--data", self.data, "--json", event).stdout)
        self.assertEqual(told["explanation"], by_command["explanation"])
        words = self.run_tamis("explain", "--data", self.data, "--type", kind, event).stdout
        self.assertRegex(words, r"What signup_clusters says, score \d\.\d{3} for a bulk registration:")
        # The lines as printed add up, too, to the last digit.
        for block in words.split("What ")[1:]:
            part = block.split("How much it looks")[0]
            lines = [float(x) for x in re.findall(r"^ +([+-]\d+\.\d\d)  ", part, re.M)]
            total = re.search(r"= ([+-]\d+\.\d\d)  log-odds", part)
            if total:
                self.assertAlmostEqual(float(total[1]), sum(lines), delta=1e-6)
        self.assertNotIn("signup_clusters.score =", words)

    def test_support_is_not_told_what_gave_somebody_away(self):
        lines, names = "", {}
        for name, role in (("ann", "analyst"), ("sue", "support"), ("door", "decide")):
            made = self.run_tamis("token", name, role)
            lines += made.stdout
            names[name] = next(word for word in made.stderr.split() if word.startswith("tok_"))
        tokens = self.folder / "tokens"
        tokens.write_text(lines)
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000", "--tokens", tokens) as server:
            server.post("/v1/decide", self.source.read_bytes(), token=names["door"])
            path = f"/v1/decisions/signup/{self.events[0]['id']}"
            told = server.get(path, token=names["ann"]).json()["decision"]
            self.assertEqual("signup_clusters", told["explanation"][0]["detector"])
            kept = server.get(path, token=names["sue"]).json()["decision"]
            self.assertNotIn("explanation", kept)
            self.assertEqual({key: value for key, value in told.items() if key != "explanation"}, kept)

    def test_what_batches_did_is_told_and_taken_back_with_a_refutation(self):
        self.run_tamis("import", "--data", self.data, "--policy", harness.READY_POLICY, "--quiet", self.source)
        everybody = self.folder / "everybody"
        shutil.copytree(harness.READY_POLICY, everybody)
        (everybody / "all.yaml").write_text("rules:\n  - {id: everybody, on: signup, when: fill_ms > 0, then: {label: {on: account, name: seen, for: 9d}}, mode: shadow}\n")
        wide = json.loads(self.run_tamis("act", "--data", self.data, "--policy", everybody, "--rule", "everybody", "--since", "90d", "--apply", "--json").stdout)["batch"]
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            cluster = server.get("/v1/clusters?actionable=1").json()["clusters"][0]["id"]
            members = [m["account"] for m in server.get(f"/v1/clusters/{cluster}").json()["members"]]
            done = server.post(f"/v1/clusters/{cluster}/act", {"label": "bulk", "for": "200d", "apply": True, "reason": "machines"}).json()
            self.assertEqual((len(members), 0), (done["members"], done["known_good"]))
            batch = done["batch"]["id"]
            fresh = self.labelled(server, members)
            self.assertGreater(len(fresh), 0)
            member = fresh[0]
            self.assertEqual("lock", self.send(server, "before", member)["verdict"])
            # Told of, and left: but whom people have found to be good, the label does not lock any more.
            verdict = f"/v1/clusters/{cluster}/verdict"
            self.assertEqual(400, server.post(verdict, {"say": "confirmed", "undo": True}).status)
            told = server.post(verdict, {"say": "refuted", "for": "1h", "reason": "a school"}).json()["batches"]
            self.assertEqual([batch, wide["id"]], [b["id"] for b in told])
            self.assertEqual((["bulk"], len(members), 0, "applied"), tuple(told[0][k] for k in ("labels", "members", "others", "state")))
            signups = sum(e["type"] == "signup" for e in self.events)
            self.assertEqual((["seen"], len(members), signups - len(members)), tuple(told[1][k] for k in ("labels", "members", "others")))
            self.assertEqual(fresh, self.labelled(server, members))
            self.assertEqual("allow", self.send(server, "told", member)["verdict"])
            # Also when the refutation is over.
            over = {"on": "cluster", "value": str(cluster), "label": "refuted", "reason": "it is over"}
            self.assertEqual(200, server.post("/v1/release", over).status)
            later = self.send(server, "later", member, 2 * MINUTE)
            self.assertEqual(("allow", []), (later["verdict"], later["rules"]))
            # Whom people know to be good is no more acted on.
            again = server.post(f"/v1/clusters/{cluster}/act", {"label": "bulk", "apply": True}).json()
            self.assertEqual((0, len(members), None), (again["members"], again["known_good"], again["batch"]))
        said = self.run_tamis("clusters", "refute", "--data", self.data, cluster, "--reason", "a school").stdout
        self.assertIn(f"tamis undo --data {self.data} {batch}", said)
        said = self.run_tamis("clusters", "refute", "--data", self.data, cluster, "--reason", "a school", "--undo", code=1).stdout
        self.assertRegex(said, f"batch {batch} .*: undone, {len(members)} marks taken back, 0 kept")
        self.assertRegex(said, f"batch {wide['id']} .* has acted on {len(members)} members and {signups - len(members)} others\n +and still stands: it has acted on others")
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            self.assertEqual([], self.labelled(server, members))
            info = server.get(f"/v1/batches/{batch}").json()["batch"]
            self.assertEqual(("undone", "a school"), (info["state"], info["undo_reason"]))
            told = server.post(verdict, {"say": "refuted", "undo": True}).json()["batches"]
            self.assertEqual([wide["id"]], [b["id"] for b in told])
            self.assertIn("others than members", told[0]["why_not"])
            audit = server.get("/v1/audit?what=cluster.refute").json()["lines"]
            self.assertTrue(any(batch in line.get("detail", "") for line in audit), audit)
        digest = self.run_tamis("digest", "--data", self.data).stdout
        self.assertEqual(digest, self.run_tamis("digest", "--data", self.data, "--from-start").stdout)

    def labelled(self, server, accounts):
        """Those that have the label of the batch."""
        labels = server.get("/v1/labels?on=account&name=bulk&limit=1000").json()["labels"]
        return sorted(label["value"] for label in labels if label.get("reason") == "machines" and label["value"] in accounts)

    def send(self, server, name, account, later=MINUTE):
        at = self.events[-1]["t"] + later
        event = {"id": name, "t": at, "type": "send", "acct": account, "ip": "203.0.113.7", "rcpts": 1, "new": 0, "subj": "00ff00ff00ff00ff", "body": "1", "urls": []}
        return server.post("/v1/decide", json.dumps(event)).json()

    def test_the_gate_for_honest_people(self):
        truth = self.folder / "truth.csv"
        truth.write_text("entity,value,label\n" + "".join(
            f"account,{e['acct']},{'bad' if e['fp'] == 'd0' else 'good'}\n" for e in self.events if e["type"] == "signup"))
        arguments = ("eval", "--policy", harness.READY_POLICY, "--truth", truth, "--types", "signup", "--quiet")
        done = self.run_tamis(*arguments, "--fpr-max", "tor=0.5%", "--json", self.source)
        told = json.loads(done.stdout)
        self.assertGreater(told["all"]["tor"]["honest"], 50)
        self.assertEqual(0, told["all"]["tor"]["harmed"])
        self.assertGreater(told["all"]["res"]["caught"], 60)
        # Turned round, the machines are the honest ones, and the gate closes.
        truth.write_text(truth.read_text().replace("bad", "x").replace("good", "bad").replace(",x\n", ",good\n"))
        done = self.run_tamis(*arguments, "--fpr-max", "res=1%", self.source, code=1)
        self.assertRegex(done.stderr, r"res: \d+\.\d+ % of honest events are treated harshly, at most 1\.000 % may be")
        self.assertRegex(self.run_tamis(*arguments, "--fpr-max", "moon=1%", self.source, code=1).stderr, "moon: there are no honest events")
        self.run_tamis(*arguments, "--fpr-max", "tor", self.source, code=2)


if __name__ == "__main__":
    unittest.main()
