#!/usr/bin/python3
"""Tables of what the detectors find in scenarios (scenarios.py), by kind of campaign and of honest people.

  tables.py signup DIR SCORES.ndjson        {"id": account, "score": ...} by line: causal or in hindsight
  tables.py login DIR DECISIONS.ndjson      takeovers among successful logins, hijacks among sessions; from day 7 on
"""
import collections
import csv
import json
import sys

T0, DAY = 1772409600000, 86_400_000


def read(path):
    return {str(o["id"]): o["score"] for o in map(json.loads, open(path))}


def threshold(honest, share):
    """The score that at most this share of the honest exceeds."""
    return sorted(honest, reverse=True)[int(share * len(honest))]


def above(scores, t):
    return sum(s > t for s in scores) / len(scores)


def signup(directory, scores):
    bad, honest = collections.defaultdict(list), collections.defaultdict(list)
    for r in csv.DictReader(open(directory + "/labels_accounts.csv")):
        if r["acct"] in scores: (bad if r["bad"] == "1" else honest)[r["group"]].append(scores[r["acct"]])
    t = threshold([s for v in honest.values() for s in v], 0.001)
    for kind, v in sorted(bad.items()): print("| %s | %d | %.2f |" % (kind, len(v), above(v, t)))
    for group, v in sorted(honest.items()): print("| %s | %d | %.2f %% |" % (group, len(v), 100 * above(v, t)))


def login(directory, scores):
    truth = {r["event_id"]: r for r in csv.DictReader(open(directory + "/labels_events.csv"))}
    for what, phases in (("login", ("takeover",)), ("session", ("hijack", "ato_session"))):
        honest, bad = [], collections.defaultdict(list)
        for e in map(json.loads, open(directory + "/events.jsonl")):
            if e["type"] != what or (what == "login" and not e["ok"]) or e["t"] < T0 + 7 * DAY: continue
            r = truth.get(str(e["id"]))
            if r is None: honest.append(scores[str(e["id"])])
            elif r["phase"] in phases: bad[r["type"]].append(scores[str(e["id"])])
        for kind, v in sorted(bad.items()):
            v.sort(reverse=True)
            rates = [100 * sum(h >= v[int(q * (len(v) - 1))] for h in honest) / len(honest) for q in (0.9, 0.95, 0.99)]
            print("| %s, %s | %d | %.2f / %.2f / %.2f |" % (what, kind, len(v), *rates))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("signup", "login"): sys.exit(__doc__)
    {"signup": signup, "login": login}[sys.argv[1]](sys.argv[2], read(sys.argv[3]))


main()
