#!/usr/bin/env python3
"""Decisions over HTTP: `tamis serve` on one core, the load on another, beside a bare epoll loop that decides nothing.

Three loads, each on a fresh server with the 100 rules and 650-byte events of `./dev bench rules`:
  saturation   wrk posts single events as fast as they are answered: decisions per CPU second of the server
  half         an open-loop load at half of that rate: p50 and p99 from when each request was due
  stream       NDJSON, 500 events a request: decisions per CPU second of the server
CPU seconds are those of the server's process, from /proc. All on the loopback; everything started is stopped.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rules"), str(HERE.parent.parent / "test")]
import harness  # noqa: E402
from measure import (BUILD, RELEASE, Missing, call, compile_cpp, cores, cpu_seconds, last_json, note, number, pinned,  # noqa: E402
                     resident_bytes, table)
from prepared import prepare, typed_events  # noqa: E402

FOLDER = BUILD / "http"
STREAM_BATCH = 500


class Contestant:
    """A server that can be started anew for each load."""

    def __init__(self, name, start):
        self.name, self.start, self.figures, self.missing, self.wrong = name, start, {}, None, None


def bare_server(core):
    return harness.Process(pinned(core, [FOLDER / "bare"]), FOLDER / "bare.log")


def tamis_server(core, policy):
    data = FOLDER / "data"
    shutil.rmtree(data, ignore_errors=True)
    os.environ["TAMIS_BIN"] = str(RELEASE / "tamis")
    return harness.Server(policy, data, prefix=pinned(core, []))


def check_decisions(server, events, reference):
    """The rules that the server names for the first events must be those of the reference."""
    for event, expected in zip(events[:200], reference):
        answer = server.post("/v1/decide/event", event)
        if answer.status != 200:
            return f"HTTP {answer.status}: {answer.text()[:200]}"
        found = sorted(int(name[1:]) for name in answer.json()["rules"])
        if found != expected:
            return f"rules {found}, expected {expected}"
    return None


def measured(server, command, seconds):
    """Runs a load; returns its figures and the CPU seconds that the server used meanwhile."""
    before = cpu_seconds(server.pid)
    figures = last_json(*call(command, seconds + 30))
    return figures, cpu_seconds(server.pid) - before


def saturate(contestant, arguments, events):
    with contestant.start() as server:
        command = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "-s", HERE / "post.lua", server.url, "--",
                   events, "/v1/decide/event"]
        figures, cpu = measured(server, pinned(arguments.load_core, command), arguments.seconds)
        if figures["not_2xx"] or figures["socket_errors"]:
            contestant.wrong = f"{figures['not_2xx']} answers not 2xx, {figures['socket_errors']} socket errors"
        return {"per_s": figures["requests"] / figures["seconds"], "per_cpu_s": figures["requests"] / cpu,
                "rss_bytes": resident_bytes(server.pid)}


def load(contestant, arguments, events, extra):
    with contestant.start() as server:
        command = [FOLDER / "load", "--port", server.port, "--events", events, "--seconds", arguments.seconds, *extra]
        figures, cpu = measured(server, pinned(arguments.load_core, command), arguments.seconds)
        if figures["refused"] or figures["failed"] or figures["unanswered"]:
            contestant.wrong = f"{figures['refused']} refused, {figures['failed']} failed, {figures['unanswered']} unanswered"
        return {**figures, "cpu_s": cpu}


def run_one(contestant, arguments, folder, events, reference):
    is_ours = contestant.name == "tamis"
    if is_ours:
        with contestant.start() as server:
            lines = [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()[:200]]
            contestant.wrong = check_decisions(server, lines, reference)
        if contestant.wrong:
            return
    note(f"{contestant.name}: saturation")
    saturation = saturate(contestant, arguments, folder / "events.ndjson")
    contestant.figures["saturation"] = saturation
    note(f"{contestant.name}: half load")
    contestant.figures["half"] = load(contestant, arguments, folder / "events.ndjson", [
        "--path", "/v1/decide/event", "--rate", int(saturation["per_s"] / 2), "--connections", arguments.connections])
    if is_ours:
        note(f"{contestant.name}: stream")
        stream = load(contestant, arguments, events, [
            "--path", "/v1/decide", "--type", "application/x-ndjson", "--batch", STREAM_BATCH, "--connections", 4])
        sent = stream["answers"] * STREAM_BATCH
        if stream["lines"] != sent:
            contestant.wrong = f"the stream answered {stream['lines']} lines for {sent} events"
        contestant.figures["stream"] = {**stream, "per_cpu_s": stream["lines"] / stream["cpu_s"]}


def report(contestants, as_json):
    if as_json:
        print(json.dumps({c.name: {**c.figures, "missing": c.missing, "wrong": c.wrong} for c in contestants}))
    else:
        rows = []
        for c in contestants:
            if "half" not in c.figures:
                continue
            saturation, half, stream = c.figures["saturation"], c.figures["half"], c.figures.get("stream")
            rows.append([c.name, number(saturation["per_cpu_s"]), number(saturation["per_s"]), number(half["per_s"]),
                         f"{half['p50_us']:.0f}", f"{half['p99_us']:.0f}", f"{half['p999_us']:.0f}",
                         number(stream["per_cpu_s"]) if stream else "-", f"{saturation['rss_bytes'] / 2**20:.0f}"])
        table(["server", "decisions/CPU-s", "per second", "half load/s", "p50 us", "p99 us", "p99.9 us", "stream/CPU-s", "MiB"], rows)
    for c in contestants:
        if c.missing:
            note(f"not measured: {c.name}: {c.missing}")
        if c.wrong:
            note(f"WRONG: {c.name}: {c.wrong}")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench http", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100, help="how many rules (default 100)")
    parser.add_argument("--seconds", type=int, default=6, help="how long each load lasts (default 6)")
    parser.add_argument("--connections", type=int, default=64, help="connections of the single-event loads (default 64)")
    parser.add_argument("--core", type=int, default=cores()[0], help="the server's core (default: the first)")
    parser.add_argument("--load-core", type=int, default=cores()[-1], help="the load's core (default: the last)")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    arguments = parser.parse_args()
    if arguments.core == arguments.load_core:
        note("warning: server and load share one core; latencies mean little")
    folder, _, reference = prepare(arguments.rules, 50000)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("load", "bare"):
        compile_cpp(HERE / f"{name}.cc", FOLDER / name, [], HERE)
    contestants = [Contestant("bare epoll loop", lambda: bare_server(arguments.core)),
                   Contestant("tamis", lambda: tamis_server(arguments.core, folder / "policy"))]
    for contestant in contestants:
        try:
            if contestant.name == "tamis" and not (RELEASE / "tamis").is_file():
                raise Missing("build/release/tamis is not built")
            run_one(contestant, arguments, folder, typed_events(folder), reference)
        except (Missing, RuntimeError, OSError) as error:
            contestant.missing = str(error)
    report(contestants, arguments.json)
    return 1 if any(c.wrong for c in contestants) or contestants[-1].missing else 0


if __name__ == "__main__":
    sys.exit(main())
