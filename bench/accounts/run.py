#!/usr/bin/env python3
"""How well and how fast policies/accounts finds abuse of accounts, on labelled scenarios of account events.

  ./dev bench accounts DIR [DIR...] [--out DIR] [--policy DIR] [--json FILE]

A scenario DIR has events.jsonl, ip_intel.csv, accounts_seed.jsonl (the last two may be missing) and, in it or in
labels/, labels_accounts.csv (acct,bad,campaign,group,created_ms) and labels_events.csv (event_id,campaign,type,phase).
For each it runs `tamis replay`, maps the decisions of signups to {id, score, cluster, at} by account (--out keeps the
files), and prints: signups as they came (causal) and in hindsight, logins, sessions, what the rules did by network
class, and the speed. Needs nothing but Python."""
import argparse
import bisect
import collections
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TAMIS = os.environ.get("TAMIS", os.path.join(TOP, "build", "release", "tamis"))
DAY = 86_400_000
SHARES = (0.0001, 0.001, 0.01)
HARSH = {"challenge", "hold", "refuse", "lock", "reject"}


def label_file(scenario, name):
    inside = os.path.join(scenario, "labels", name)
    return inside if os.path.exists(inside) else os.path.join(scenario, name)


def rows(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def lines(path):
    with open(path) as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def threshold(honest, share):
    """The smallest score at which at most this share of the honest ones would be flagged."""
    if not honest:
        return 0.0
    place = int(share * len(honest))
    descending = sorted(honest, reverse=True)
    return float("-inf") if place >= len(descending) else descending[place] + 1e-15


def average_precision(bad, honest):
    scored = sorted([(s, 1) for s in bad] + [(s, 0) for s in honest], reverse=True)
    hits = seen = at = 0
    area = last = 0.0
    while at < len(scored):
        end = at
        while end < len(scored) and scored[end][0] == scored[at][0]:
            hits += scored[end][1]
            end += 1
        seen = end
        recall = hits / max(1, len(bad))
        area += (recall - last) * hits / seen
        last, at = recall, end
    return area


def adjusted_rand(pairs):
    """Of (true, found) pairs."""
    both, left, right = collections.Counter(pairs), collections.Counter(), collections.Counter()
    for (a, b), n in both.items():
        left[a] += n
        right[b] += n
    choose = lambda counts: sum(n * (n - 1) / 2 for n in counts.values())
    total = len(pairs) * (len(pairs) - 1) / 2
    expected = choose(left) * choose(right) / max(total, 1)
    most = (choose(left) + choose(right)) / 2
    return 1.0 if most == expected else (choose(both) - expected) / (most - expected)


def share_above(values, limit):
    return sum(v >= limit for v in values) / len(values) if values else float("nan")


def percent(value, digits=2):
    return "-" if value != value else f"{100 * value:.{digits}f} %"


class Table:
    """Scored things with what they really were: bad ones by kind, honest ones by class."""

    def __init__(self):
        self.bad = collections.defaultdict(list)
        self.honest = collections.defaultdict(list)
        self.clusters = []

    def add(self, score, bad, kind, cluster=None, campaign=None):
        (self.bad if bad else self.honest)[kind].append(score)
        if bad:
            self.clusters.append((campaign, ("c", cluster) if cluster is not None else ("none", len(self.clusters))))

    def report(self, title):
        bad = [s for kind in self.bad.values() for s in kind]
        honest = [s for kind in self.honest.values() for s in kind]
        if not bad or not honest:
            return {}
        out = {"bad": len(bad), "honest": len(honest), "auc_pr": average_precision(bad, honest)}
        print(f"\n{title}: {len(bad)} bad, {len(honest)} honest; AUC-PR {out['auc_pr']:.4f}", end="")
        if any(found[0] == "c" for _, found in self.clusters):
            out["ari_bad"] = adjusted_rand(self.clusters)
            print(f"; ARI over the bad {out['ari_bad']:.3f}", end="")
        print()
        for share in SHARES:
            out[f"recall_at_{share:g}"] = share_above(bad, threshold(honest, share))
        print("  recall at " + ", ".join(f"{percent(s)} false positives: {percent(out[f'recall_at_{s:g}'])}" for s in SHARES))
        limit = threshold(honest, 0.001)
        print(f"  {'kind':24s} {'n':>7s} {'at 0.1 %':>10s}   false positives to find 90 / 95 / 99 %")
        ordered = sorted(honest)
        out["kinds"] = {}
        for kind, scores in sorted(self.bad.items()):
            low = sorted(scores)
            rates = []
            for part in (0.10, 0.05, 0.01):
                least = low[int(part * (len(low) - 1))]
                rates.append((len(ordered) - bisect.bisect_left(ordered, least)) / len(ordered))
            out["kinds"][kind] = {"n": len(scores), "recall": share_above(scores, limit), "fpr": rates}
            print(f"  {kind:24s} {len(scores):7d} {percent(share_above(scores, limit)):>10s}   " + " / ".join(percent(r, 3) for r in rates))
        print(f"  {'honest':24s} {'n':>7s} {'flagged':>10s}   at the threshold of 0.1 % of all")
        out["classes"] = {}
        for kind, scores in sorted(self.honest.items()):
            out["classes"][kind] = {"n": len(scores), "fpr": share_above(scores, limit)}
            print(f"  {kind:24s} {len(scores):7d} {percent(share_above(scores, limit), 3):>10s}")
        return out


def replay(options, scenario, folder):
    decisions, retro = os.path.join(folder, "decisions.ndjson"), os.path.join(folder, "retro.ndjson")
    command = [TAMIS, "replay", "--policy", options.policy]
    for option, name in (("--intel", "ip_intel.csv"), ("--accounts", "accounts_seed.jsonl")):
        path = os.path.join(scenario, name)
        if os.path.exists(path):
            command += [option, path]
    command += ["--out", decisions, "--retro", retro, "--quiet"]  # behind --intel, which takes several files
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([*command, os.path.join(scenario, "events.jsonl")], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return decisions, retro, {"seconds": time.monotonic() - start, "cpu_seconds": cpu, "peak_mib": after.ru_maxrss / 1024}


def map_signups(decisions, events, path):
    """DECISIONS of signups as predictions about accounts."""
    with open(path, "w") as out:
        for decision, event in zip(lines(decisions), lines(events)):
            if decision["type"] == "signup":
                mapped = {"id": decision["acct"], "score": decision["score"], "cluster": decision.get("cluster"), "at": event["t"]}
                out.write(json.dumps(mapped, separators=(",", ":")) + "\n")


def account_table(path, accounts):
    table = Table()
    known = {line["id"]: line for line in lines(path)}
    for row in accounts:
        found = known.get(row["acct"], {"score": -1.0})
        table.add(found["score"], row["bad"] == "1", row["group"], found.get("cluster"), row["campaign"])
    return table


def delays(path, accounts):
    """Minutes from the signup of a bad account to when it could be acted on."""
    known = {line["id"]: line for line in lines(path)}
    late = sorted((known[r["acct"]]["at"] - int(r["created_ms"])) / 60_000 for r in accounts
                  if r["bad"] == "1" and (known.get(r["acct"]) or {}).get("at") is not None)
    return (late[len(late) // 2], late[int(0.9 * (len(late) - 1))]) if late else None


def event_tables(decisions, events, truth, bad_accounts, warm_up_days):
    """Logins that succeeded and sessions, by what they were; and what the rules did to whom."""
    tables = {"login": Table(), "session": Table()}
    verdicts = collections.defaultdict(collections.Counter)
    begin = None
    for decision, event in zip(lines(decisions), lines(events)):
        begin = event["t"] if begin is None else begin
        told = truth.get(str(event["id"]))
        bad = told is not None or event["acct"] in bad_accounts
        kind = "bad" if bad else event.get("net", "-")
        verdicts[(event["type"], kind)]["harsh" if decision["verdict"] in HARSH else "mild"] += 1
        table = tables.get(event["type"])
        if table is None or event["t"] - begin < warm_up_days * DAY or (event["type"] == "login" and not event["ok"]):
            continue
        if told is None and not bad:
            table.add(decision["score"], False, event.get("net", "-"))
        elif told is not None and told["phase"] in ("takeover", "ato_session", "hijack", "attempt", "session"):
            table.add(decision["score"], True, told["type"])
    return tables, verdicts


def print_verdicts(verdicts):
    print("\nwhat the rules did: share of events that were challenged, held, refused or locked")
    types = sorted({kind for kind, _ in verdicts})
    classes = sorted({of for _, of in verdicts} - {"bad"}) + ["bad"]
    print(f"  {'type':12s}" + "".join(f"{of:>12s}" for of in classes))
    for kind in types:
        cells = []
        for of in classes:
            counts = verdicts.get((kind, of))
            cells.append("-" if not counts else percent(counts["harsh"] / sum(counts.values()), 3))
        print(f"  {kind:12s}" + "".join(f"{cell:>12s}" for cell in cells))


def judge(options, scenario, folder):
    print(f"\n=== {os.path.basename(os.path.normpath(scenario))}")
    events = os.path.join(scenario, "events.jsonl")
    decisions, retro, speed = replay(options, scenario, folder)
    mapped = os.path.join(folder, "signups.ndjson")
    map_signups(decisions, events, mapped)
    accounts = rows(label_file(scenario, "labels_accounts.csv"))
    truth = {row["event_id"]: row for row in rows(label_file(scenario, "labels_events.csv"))}
    count = sum(1 for _ in lines(decisions))
    result = {"events": count, **speed, "events_per_cpu_second": count / speed["cpu_seconds"]}
    print(f"{count} events in {speed['cpu_seconds']:.1f} s of CPU time: {result['events_per_cpu_second']:.0f} a second; "
          f"peak {speed['peak_mib']:.0f} MiB, reading and writing files included")
    result["signups"] = account_table(mapped, accounts).report("signups as they came")
    result["hindsight"] = account_table(retro, accounts).report("accounts in hindsight")
    if late := delays(retro, accounts):
        print(f"  could be acted on {late[0]:.0f} minutes after the signup (median), {late[1]:.0f} (90 %)")
    bad_accounts = {row["acct"] for row in accounts if row["bad"] == "1"}
    tables, verdicts = event_tables(decisions, events, truth, bad_accounts, options.warm_up)
    result["logins"] = tables["login"].report(f"logins that succeeded, from day {options.warm_up:g}")
    result["sessions"] = tables["session"].report(f"sessions, from day {options.warm_up:g}")
    print_verdicts(verdicts)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+", metavar="DIR")
    parser.add_argument("--policy", default=os.path.join(TOP, "policies", "accounts"))
    parser.add_argument("--out", help="keep decisions, hindsight and mapped signups here, by scenario")
    parser.add_argument("--warm-up", type=float, default=7, help="days before logins are judged (default 7)")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    results = {}
    for scenario in options.scenarios:
        if not os.path.exists(os.path.join(scenario, "events.jsonl")):
            sys.exit(f"{scenario}: there is no events.jsonl")
        name = os.path.basename(os.path.normpath(scenario))
        with tempfile.TemporaryDirectory() as temporary:
            folder = os.path.join(options.out, name) if options.out else temporary
            os.makedirs(folder, exist_ok=True)
            results[name] = judge(options, scenario, folder)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
