#!/usr/bin/env python3
"""Backtests: one rule and 100 rules over the columns of an archive, a search, and a rule over new windows by a replay; and an
act on the past of 100 000 accounts: its preview, it, and its undo, each timed alone on a server (--act does only this).

The events are those of the rules benchmark with eight windows and 100 rules, decided by the engine and archived. `per core` is
rows times rules a second and core: by columns, with and without reading the archive, and by the evaluator of single
events over the same rows. The replay is of distinct events, imported into a data folder of their own.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rules"), str(HERE.parent / "archive"), str(HERE.parent.parent / "test")]
from measure import BUILD, RELEASE, Missing, call, cores, last_json, note, table  # noqa: E402
from prepared import prepare  # noqa: E402
from events import write_policy  # noqa: E402
import harness  # noqa: E402

FOLDER = BUILD / "backtest"
SEARCH = "country == 'BR' && spam_score > 0.8"
FRESH = """features:
  fresh_per_ip: {count: event, by: ip, over: 10m}
rules:
  - {id: fresh, on: event, when: fresh_per_ip > 1 && spam_score > 0.5, then: {verdict: challenge}}
"""


def make(arguments, source):
    """Archives `rows` rows, and imports the distinct events into a data folder."""
    shutil.rmtree(FOLDER / "rows", ignore_errors=True)
    shutil.rmtree(FOLDER / "data", ignore_errors=True)
    note(f"deciding and archiving {arguments.rows} events")
    last_json(*call([RELEASE / "archive_measure", FOLDER / "policy", source / "events.ndjson", arguments.rows, FOLDER / "rows"], 3600))
    note(f"importing {arguments.events} events")
    code, _, errors = call([RELEASE / "tamis", "import", "--quiet", "--data", FOLDER / "data", "--policy", FOLDER / "policy",
                            source / "events.ndjson"], 1800)
    if code != 0:
        sys.exit(f"backtest: the import failed: {errors.strip()[-300:]}")


ACT_POLICY = """
policy: act
time: {at: t, format: ms}
id: {at: id}
unique: 0s
---
event: signup
fields: {account: account, ip: ip, amount: int}
verdicts: [accept, reject]
---
rules:
  - {id: mark, on: signup, when: amount >= 0, then: {label: {on: account, name: seen, for: 30d}}, mode: shadow}
  - {id: turn, on: signup, when: amount % 33 == 0, then: reject, mode: shadow}
"""


def job(server, method, path, body):
    """Seconds from asking to the end of the job, and its result."""
    begin = time.monotonic()
    number = server.request(method, path, body).json()["job"]
    while (state := server.get(f"/v1/jobs/{number}").json())["state"] == "running":
        time.sleep(0.002)
    if state["state"] != "done":
        sys.exit(f"backtest: {path}: {state.get('error', state)}")
    return time.monotonic() - begin, state["result"]


def act(accounts):
    """An act on so many accounts: seconds of preview, plan and application, undo."""
    with tempfile.TemporaryDirectory(prefix="tamis-act-") as name:
        folder = Path(name)
        (folder / "policy").mkdir()
        (folder / "policy" / "p.yaml").write_text(ACT_POLICY)
        with (folder / "events.jsonl").open("w") as out:
            for i in range(accounts):
                out.write(json.dumps({"type": "signup", "id": f"s{i}", "t": 1_700_000_000_000 + i * 20, "account": f"a{i}",
                                      "ip": f"192.0.2.{i % 250}", "amount": i}) + "\n")
        harness.tamis("import", "--quiet", "--data", folder / "data", "--policy", folder / "policy", folder / "events.jsonl", seconds=600)
        with harness.Server(folder / "policy", folder / "data") as server:
            previews = [job(server, "POST", "/v1/batches", {"rule": "mark"}) for _ in range(3)]
            digest = server.get("/v1/digest").json()["digest"]
            entities = previews[0][1]["preview"]["entities"]
            kept = job(server, "POST", "/v1/batches", {"rule": "mark", "keep": True})[1]["batch"]
            number = kept.get("id") or kept["batch"]
            applied, _ = job(server, "POST", f"/v1/batches/{number}/apply", {})
            undone, _ = job(server, "POST", f"/v1/batches/{number}/undo", {"reason": "bench"})
            same = server.get("/v1/digest").json()["digest"] == digest
        return {"act_entities": entities, "preview_first_s": previews[0][0], "preview_s": min(took for took, _ in previews[1:]),
                "apply_s": applied, "undo_s": undone, "same_digest_after_undo": same}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench backtest", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="distinct events (default 200000)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows in the archive (default ten million)")
    parser.add_argument("--keep", action="store_true", help="keep the archive, and ask that of the last run where there is one")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--act", action="store_true", help="only the act on the past")
    parser.add_argument("--accounts", type=int, default=100_000, help="that the act is on (default 100000)")
    arguments = parser.parse_args()
    acted = act(arguments.accounts)
    if arguments.act:
        print(json.dumps(acted, indent=1))
        return
    source, _, _ = prepare(100, arguments.events)
    write_policy(source / "policy", FOLDER / "policy")
    (FOLDER / "fresh.yaml").write_text(FRESH)
    try:
        if not (arguments.keep and (FOLDER / "data").is_dir()):
            make(arguments, source)
        figures = last_json(*call([RELEASE / "replay_measure", FOLDER / "policy", FOLDER / "rows", "w_spam", SEARCH,
                                   FOLDER / "data", FOLDER / "fresh.yaml"], 3600))
    except Missing as why:
        sys.exit(f"backtest: {why}")
    if not arguments.keep:
        shutil.rmtree(FOLDER / "rows", ignore_errors=True)
        shutil.rmtree(FOLDER / "data", ignore_errors=True)
    figures.update(acted)
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    names = {"rule_cold_s": "one rule, files not in memory, s", "rule_again_s": "the same again, s",
             "policy_s": "the whole policy, s", "columnar_per_core": "by columns, rows x rules/s/core",
             "columnar_per_core_with_reading": "the same with reading", "scalar_per_core": "by single events, rows x rules/s/core",
             "find_p50_ms": "search with facets and histogram, p50 ms", "find_p95_ms": "the same, p95 ms",
             "replayed_per_s": "a rule over new windows, events/s", "replayed_per_core": "the same a core",
             "preview_first_s": f"preview of an act on {acted['act_entities']} accounts, first, s", "preview_s": "the same again, s",
             "apply_s": "the act, s", "undo_s": "its undo, s"}
    table(["backtest", "figure"], [[name, f"{figures[key]:,.2f}"] for key, name in names.items()])
    print(f"\n{figures['rows']:,} rows, {figures['rules']:.0f} rules, {len(cores())} cores")


if __name__ == "__main__":
    main()
