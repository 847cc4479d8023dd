#!/usr/bin/python3
"""One look at how well the detectors of account abuse do on many scenarios at once, so that what helps one kind and
hurts another is seen.

  sweep.py [--given DIR] [--seeds 101-104] [--injected 201-203] [--unusual 301] [--logins 101-102] [--work DIR] [--head FILE] [--json FILE]

Makes the scenarios of these seeds (scenarios.py; inject.py and unusual.py put campaigns among the people of
DIR/dev-signup, unusual.py honest look-alikes, too), once, in
--work; runs detect_accounts over them and over DIR/dev-signup and DIR/dev-login, and prints: signups as they came and in
hindsight by scenario, recall by kind, honest classes pooled over all, sleepers caught within a day of waking, logins and
sessions by kind. Choose constants on some seeds, report others. Needs nothing but Python."""
import argparse
import bisect
import collections
import concurrent.futures
import csv
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
from unusual import LOOK_ALIKES  # noqa: E402
from run import DAY, adjusted_rand, average_precision, label_file, rows, share_above, threshold  # noqa: E402

HOUR = 3_600_000


def numbers(text):
    out = []
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        out += range(int(low), int(high or low) + 1)
    return out


def run_detectors(name, directory, work, program, head):
    out = {k: os.path.join(work, "out", name + "." + k) for k in ("decisions", "retro", "signups")}
    command = [program, "--intel", os.path.join(directory, "ip_intel.csv")]
    for option, path in out.items():
        command += ["--" + {"decisions": "out"}.get(option, option), path]
    if head:
        command += ["--head", head]
    seed = os.path.join(directory, "accounts_seed.jsonl")
    if os.path.exists(seed):
        command += ["--accounts", seed]
    subprocess.run([*command, os.path.join(directory, "events.jsonl")], check=True, stderr=subprocess.DEVNULL)
    return out


def read(path):
    with open(path) as file:
        return {str(o["id"]): o for o in map(json.loads, file)}


def judge_accounts(found, accounts, wake=None):
    """Figures of one list of scored accounts; sleepers, who show nothing at signup, stand apart."""
    bad, honest, sleepers, pairs = collections.defaultdict(list), collections.defaultdict(list), [], []
    for row in accounts:
        told = found.get(row["acct"], {"score": -1.0})
        if row["bad"] != "1":
            honest[row["group"]].append(told["score"])
            continue
        if row["group"] == "sleepers":
            sleepers.append((told, row))
            if wake is None:
                continue
        else:
            bad[row["group"]].append(told["score"])
        cluster = told.get("cluster")
        pairs.append((row["campaign"], ("c", cluster) if cluster is not None else ("none", len(pairs))))
    # People who look like a campaign are not who sets the threshold; how many of them are above it is told by group.
    all_honest = [s for k, v in honest.items() if k not in LOOK_ALIKES for s in v]
    all_bad = [s for v in bad.values() for s in v]
    if not all_bad or not all_honest:
        return None
    limit = threshold(all_honest, 0.001)
    out = {"auc_pr": average_precision(all_bad, all_honest), "recall": share_above(all_bad, limit), "ari": adjusted_rand(pairs),
           "kinds": {k: share_above(v, limit) for k, v in bad.items()},
           "flagged": {k: (sum(s >= limit for s in v), len(v)) for k, v in honest.items()}}
    if wake is not None and sleepers:
        woken = [(told, wake[row["acct"]]) for told, row in sleepers if row["acct"] in wake]
        caught = [told["score"] >= limit and told["at"] is not None and told["at"] - at <= DAY for told, at in woken]
        out["woken"] = (sum(caught), len(caught))
    return out


def judge_logins(events, decisions, truth, bad_accounts):
    honest, bad = collections.defaultdict(list), collections.defaultdict(list)
    begin = None
    with open(events) as file:
        for e in map(json.loads, file):
            begin = begin or e["t"]
            if e["type"] not in ("login", "session") or e["t"] < begin + 7 * DAY or (e["type"] == "login" and not e["ok"]):
                continue
            told, score = truth.get(str(e["id"])), decisions[str(e["id"])]["score"]
            if told is not None:
                if told["phase"] in ("takeover", "ato_session", "hijack"):
                    bad[e["type"] + ", " + told["type"]].append(score)
            elif e["acct"] not in bad_accounts:
                honest[e["type"]].append(score)
    out = {}
    for kind, scores in sorted(bad.items()):
        scores.sort()
        usual = sorted(honest[kind.partition(",")[0]])
        least = [scores[int(part * (len(scores) - 1))] for part in (0.10, 0.05, 0.01)]
        out[kind] = (len(scores), [(len(usual) - bisect.bisect_left(usual, s)) / len(usual) for s in least])
    return out


def judge(job):
    name, directory, options = job
    out = run_detectors(name, directory, options.work, options.detectors, options.head)
    accounts = rows(label_file(directory, "labels_accounts.csv"))
    truth = {r["event_id"]: r for r in rows(label_file(directory, "labels_events.csv"))}
    result = {}
    if name[0] != "l":
        wake = {}
        sleepers = {r["acct"] for r in accounts if r["group"] == "sleepers"}
        if sleepers:
            with open(os.path.join(directory, "events.jsonl")) as file:
                for e in map(json.loads, file):
                    if e["type"] != "signup" and e["acct"] in sleepers:
                        wake.setdefault(e["acct"], e["t"])
        result["causal"] = judge_accounts(read(out["signups"]), accounts)
        result["hindsight"] = judge_accounts(read(out["retro"]), accounts, wake)
    if name[0] == "l" or "login" in name:
        bad = {r["acct"] for r in accounts if r["bad"] == "1"}
        result["logins"] = judge_logins(os.path.join(directory, "events.jsonl"), read(out["decisions"]), truth, bad)
    return name, result


def prepare(options):
    jobs = []
    os.makedirs(os.path.join(options.work, "out"), exist_ok=True)

    def made(name, command):
        directory = os.path.join(options.work, name)
        if not os.path.exists(os.path.join(directory, "labels_events.csv")):
            subprocess.run([sys.executable, *command, "--out", directory], check=True)
        jobs.append((name, directory, options))

    signups = os.path.join(HERE, "scenarios.py")
    if options.given:
        jobs += [(name, os.path.join(options.given, name), options) for name in options.scenarios.split(",")
                 if os.path.isdir(os.path.join(options.given, name))]
        for seed in numbers(options.injected):
            made(f"i{seed}", [os.path.join(HERE, "inject.py"), os.path.join(options.given, "dev-signup"), "--seed", str(seed)])
        for seed in numbers(options.unusual):
            made(f"u{seed}", [os.path.join(HERE, "unusual.py"), os.path.join(options.given, "dev-signup"), "--seed", str(seed)])
    for seed in numbers(options.seeds):
        made(f"s{seed}", [signups, "--seed", str(seed)])
    for seed in numbers(options.logins):
        made(f"l{seed}", [signups, "--seed", str(seed), "--kind", "login", "--days", "18", "--per-day", "500"])
    return jobs


def print_signups(results):
    names = [n for n, r in results.items() if r.get("causal")]
    if not names:
        return
    for view in ("causal", "hindsight"):
        print(f"\nsignups, {view}" + ("" if view == "causal" else "; woken sleepers caught within a day"))
        kinds = collections.defaultdict(list)
        flagged = collections.defaultdict(lambda: [0, 0])
        for name in names:
            r = results[name][view]
            cells = "  ".join(f"{k[7:]} {100 * hit / max(1, n):.2f}" for k, (hit, n) in sorted(r["flagged"].items()))
            woken = f"  woken {r['woken'][0] / max(1, r['woken'][1]):.2f}" if "woken" in r else ""
            print(f"  {name:10s} AUC-PR {r['auc_pr']:.3f}  recall {r['recall']:.3f}  ARI {r['ari']:.3f}{woken}   flagged %: {cells}")
            for kind, recall in r["kinds"].items():
                kinds[kind].append((name, recall))
            for kind, (hit, n) in r["flagged"].items():
                flagged[kind][0] += hit
                flagged[kind][1] += n
        for kind, found in sorted(kinds.items()):
            print(f"  {kind:22s} mean {sum(v for _, v in found) / len(found):.2f}  " + " ".join(f"{n}:{v:.2f}" for n, v in found))
        print("  flagged over all: " + ", ".join(f"{k[7:]} {100 * hit / n:.3f} % of {n}" for k, (hit, n) in sorted(flagged.items())))
        mean = lambda what: sum(results[n][view][what] for n in names) / len(names)
        low = sum(v < 0.5 for found in kinds.values() for _, v in found), sum(len(found) for found in kinds.values())
        print(f"  mean: AUC-PR {mean('auc_pr'):.4f}  recall {mean('recall'):.4f}  ARI {mean('ari'):.4f}; kinds under 0.5: {low[0]} of {low[1]}")


def print_logins(results):
    names = [n for n, r in results.items() if r.get("logins")]
    if names:
        print("\nlogins and sessions: false positives to find 90 / 95 / 99 %, in %")
    kinds = collections.defaultdict(list)
    for name in names:
        for kind, figures in results[name]["logins"].items():
            kinds[kind].append((name, *figures))
    for kind, found in sorted(kinds.items()):
        print(f"  {kind:32s} " + "   ".join(f"{name}({n}): " + " / ".join(f"{100 * r:.3f}" for r in rates) for name, n, rates in found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--given", help="the directory of dev-signup and dev-login")
    parser.add_argument("--scenarios", default="dev-signup,dev-login", help="which of the given ones")
    parser.add_argument("--seeds", default="101-104")
    parser.add_argument("--injected", default="201-203")
    parser.add_argument("--unusual", default="")
    parser.add_argument("--logins", default="101-102")
    parser.add_argument("--work", default=os.path.join(TOP, "build", "accounts-sweep"))
    parser.add_argument("--detectors", default=os.path.join(TOP, "build", "release", "detect_accounts"))
    parser.add_argument("--head", help="trees beside the detector")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    jobs = prepare(options)
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        results = dict(pool.map(judge, jobs))
    print_signups(results)
    print_logins(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
