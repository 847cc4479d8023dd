#!/usr/bin/env python3
"""A soak: minutes at half of what the server can take, with state that is bounded; memory must be flat.

100 rules and eight windows of a minute over 650-byte events that come again and again, so after a minute there is
nothing new to remember; journal, archive and snapshots are written as always. The rate is half of a saturated run at
the start, which is long enough for the archive to take its share. Every second or two: resident memory and what the
features say they hold. Memory goes up and down with flushes and the joining of files; it is flat when neither its floor
(mean of the lowest quarter of samples) nor its peak in the last third is over that of the two thirds before by more than
--grow percent. The first minute does not count (with it, a server that starts at 20 MiB and stays at 200 has a floor
that grows). Exit code 1 if it is not flat, or if anything was refused.
"""

import argparse
import importlib.util
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / name) for name in ("http", "features", "rules", "")] + [str(HERE.parent.parent / "test")]
import run as http  # noqa: E402  (bench/http/run.py)
from measure import BUILD, compile_cpp, cores, note, pinned, resident_bytes, table  # noqa: E402
from prepared import prepare  # noqa: E402

FOLDER = BUILD / "soak"
MIB = 2**20


def write_policy(rules_policy):
    """That of the features benchmark, by arrival and over a minute: as if each event were new."""
    spec = importlib.util.spec_from_file_location("features_run", HERE.parent / "features" / "run.py")
    features = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(features)
    features.write_policy(rules_policy, FOLDER / "policy")
    for path in (FOLDER / "policy").glob("*.yaml"):
        text = re.sub(r"(?m)^time: .*\n", "", path.read_text())
        path.write_text(re.sub(r"\bn_(\w+)_1h\b", r"n_\1_1m", text).replace("over: 1h", "over: 1m"))
    return FOLDER / "policy"


def figures(server):
    stats = server.get("/v1/stats").json()
    held = {what: sum(feature[what] for feature in stats["features"]) for what in ("bytes", "keys")}
    return {"rss_bytes": resident_bytes(server.pid), "feature_bytes": held["bytes"], "keys": held["keys"]}


def soak(arguments, server, events, rate):
    seconds = arguments.minutes * 60
    command = pinned(arguments.load_core, [
        BUILD / "http" / "load", "--port", server.port, "--events", events, "--seconds", seconds, "--path", "/v1/decide/event",
        "--rate", rate, "--connections", 64])
    samples, began = [], time.monotonic()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as load:
        try:
            while load.poll() is None:
                samples.append({"second": round(time.monotonic() - began), **figures(server)})
                last = samples[-1]
                if len(samples) % 5 == 1:
                    note(f"{last['second']:4} of {seconds} s: {last['rss_bytes'] / MIB:.0f} MiB resident, "
                         f"{last['keys']} keys in {last['feature_bytes'] / MIB:.0f} MiB")
                time.sleep(min(2, max(1, seconds / 150)))
        except KeyboardInterrupt:
            load.kill()
            raise
        return json.loads(load.stdout.read().strip().splitlines()[-1]), samples


def floor_and_peak(samples):
    """The mean of the lowest quarter, and the highest."""
    sizes = sorted(s["rss_bytes"] for s in samples)
    return statistics.mean(sizes[:max(1, len(sizes) // 4)]), sizes[-1]


def verdict(samples, load, grow):
    samples = [s for s in samples if s["second"] >= min(60, samples[-1]["second"] / 5)]
    third = len(samples) // 3
    (floor, peak), (last_floor, last_peak) = floor_and_peak(samples[:-third]), floor_and_peak(samples[-third:])
    growth = [round(100 * (last / before - 1), 1) for last, before in ((last_floor, floor), (last_peak, peak))]
    return {"floor_bytes": floor, "last_floor_bytes": last_floor, "peak_bytes": peak, "last_peak_bytes": last_peak,
            "growth_percent": growth, "flat": max(growth) <= grow,
            "lost": load["refused"] + load["failed"] + load["unanswered"]}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long (default 10)")
    parser.add_argument("--rate", type=int, help="events a second (default: half of a saturated run of 60 s)")
    parser.add_argument("--grow", type=float, default=10, help="percent by which memory may differ (default 10)")
    parser.add_argument("--core", type=int, default=cores()[0], help="the server's core (default: the first)")
    parser.add_argument("--load-core", type=int, default=cores()[-1], help="the load's core (default: the last)")
    parser.add_argument("--json", action="store_true", help="print all samples as one line of JSON")
    arguments = parser.parse_args()
    arguments.seconds, arguments.connections = 60, 64
    (BUILD / "http").mkdir(parents=True, exist_ok=True)
    folder, _, _ = prepare(100, 50000)
    events = folder / "events.ndjson"
    compile_cpp(http.HERE / "load.cc", BUILD / "http" / "load", [], http.HERE)
    policy = write_policy(folder / "policy")
    tamis = http.Contestant("tamis", lambda: http.tamis_server(arguments.core, policy))
    rate = arguments.rate or int(http.saturate(tamis, arguments, events)["per_s"] / 2)
    note(f"{rate} events a second for {arguments.minutes:g} minutes")
    with tamis.start() as server:
        load, samples = soak(arguments, server, events, rate)
    shutil.rmtree(http.FOLDER / "data", ignore_errors=True)
    found = verdict(samples, load, arguments.grow)
    if arguments.json:
        print(json.dumps({"rate": rate, **found, "load": load, "samples": samples}))
    else:
        mib = [f"{found[what] / MIB:.0f}" for what in ("floor_bytes", "last_floor_bytes", "peak_bytes", "last_peak_bytes")]
        table(["events", "per second", "p50 us", "p99 us", "p99.9 us", "MiB floor", "last floor", "peak", "last peak", "lost"],
              [[str(load["answers"]), f"{load['per_s']}", *(f"{load[what]:.0f}" for what in ("p50_us", "p99_us", "p999_us")), *mib,
                str(found["lost"])]])
        if load["stalled_at_s"]:
            note(f"an answer took over 100 ms in seconds {load['stalled_at_s']}; the load itself was held up {load['own_gap_us'] / 1000:.0f} ms at most")
    if not found["flat"]:
        note(f"floor and peak of memory grew by {found['growth_percent']} %, more than {arguments.grow:g}")
    return 0 if found["flat"] and not found["lost"] else 1


if __name__ == "__main__":
    sys.exit(main())
