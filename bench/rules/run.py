#!/usr/bin/env python3
"""Rules per event, ours and others: a line of JSON in, the rules that match out, events per CPU second.

Every engine runs on the same core, in interleaved rounds within one run, and its hits are compared with a reference
computed apart in Python, rule by rule. The figures are the best round of each engine; the spread is over its rounds.
An engine too slow for all events in its time is compared on those that it reached.

The set is that of ../shared/anchors/rules-bench where it is at hand, else one of our own of the same shape: 100 rules, 28
fields, 650 bytes an event. More rules (--rules 1000) add rules of the same kinds, each with one selective equality.
"""

import argparse
import json
import random
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from measure import BUILD, Missing, call, compile_cpp, cores, last_json, note, number, pinned, table  # noqa: E402
from prepared import ANCHORS, count_hits, hits_by_id, prepare, tamis_command  # noqa: E402

OURS = "tamis"


class Engine:
    """One contestant: `start` makes it ready or raises Missing, `once` runs it and returns its figures."""

    def __init__(self, name, start, command, cwd=None, read=None):
        self.name, self.start, self.command, self.cwd, self.read = name, start, command, cwd, read
        self.rounds, self.missing, self.differs = [], None, None

    def once(self, core, seconds, reference, rule_count):
        try:
            code, out, errors = call(pinned(core, self.command), seconds * 4 + 60, cwd=self.cwd)
            figures = last_json(code, out, errors)
        except (Missing, ValueError) as error:
            self.missing = str(error)
            return
        if self.read:
            self.read(figures, errors)
        expected = count_hits(reference, figures["events"], rule_count)
        if isinstance(figures["hits"], int):
            if figures["hits"] != sum(expected):
                self.differs = f"{figures['hits']} hits, expected {sum(expected)}"
        elif figures["hits"] != expected:
            wrong = [rule for rule, (seen, wanted) in enumerate(zip(figures["hits"], expected)) if seen != wanted]
            first = f": r{wrong[0]:05d} has {figures['hits'][wrong[0]]}, expected {expected[wrong[0]]}" if wrong else ""
            self.differs = f"{len(wrong) or 'all'} rules differ{first}"
        self.rounds.append(figures)


def engines(folder, original, rule_count, seconds):
    def need(*commands):
        def start():
            for command in commands:
                if not shutil.which(command):
                    raise Missing(f"{command} is not installed")
        return start

    ours = Engine(OURS, None, [], None, lambda figures, _: hits_by_id(figures))

    def start_ours():
        ours.command = tamis_command(folder / "policy", folder)

    ours.start = start_ours
    modules = BUILD / "node"

    def start_node():
        need("node", "npm")()
        lock = (HERE / "peers" / "package-lock.json").read_text()
        if (modules / "installed").is_file() and (modules / "installed").read_text() == lock:
            return
        modules.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "peers" / name, modules / name)
        code, _, errors = call(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], 300, cwd=modules)
        if code != 0:
            raise Missing(f"npm ci failed: {(errors.strip().splitlines() or ['?'])[-1][:160]}")
        (modules / "installed").write_text(lock)

    def start_compiled():
        if rule_count > 1000:
            raise Missing("not compiled for over 1 000 rules")
        compile_cpp(HERE / "peers" / "peer.cc", folder / "peer", ["-lsimdjson", "-lre2"], folder)

    def start_anchor():
        compile_cpp(ANCHORS / "bench_cpp.cpp", original / "bench_cpp", ["-lsimdjson", "-lre2"], original)

    def anchor_errors(figures, errors):
        if errors.strip():  # it names each rule whose count differs
            figures["hits"] = [-1]

    def node(engine):
        return ["node", HERE / "peers" / "peer.mjs", engine, folder, seconds]

    contestants = [ours]
    if original and rule_count == 100:
        contestants.append(Engine("compiled C++ (anchor)", start_anchor, [original / "bench_cpp"], original, anchor_errors))
    else:
        contestants.append(Engine("compiled C++", start_compiled, [folder / "peer", folder / "events.ndjson", seconds]))
    contestants += [
        Engine("JavaScript functions", start_node, node("functions"), modules),
        Engine("Lua 5.4, cjson, PCRE2", need("lua5.4"), ["lua5.4", HERE / "peers" / "peer.lua", folder, seconds]),
        Engine("Python lambdas", need("python3"), [sys.executable, HERE / "peers" / "peer.py", folder, seconds]),
        Engine("@marcbachmann/cel-js", start_node, node("marcbachmann"), modules),
        Engine("@bufbuild/cel", start_node, node("bufbuild"), modules),
    ]
    return contestants


def best_of(engine):
    return max(engine.rounds, key=lambda figures: figures["ev_per_cpu_s"])


def report(contestants, as_json, rule_count, event_count, hits_per_event):
    ours = next((best_of(engine) for engine in contestants if engine.name == OURS and engine.rounds), None)
    rows, results = [], []
    for engine in contestants:
        result = {"engine": engine.name, "missing": engine.missing, "hits_equal": engine.differs is None if engine.rounds else None}
        if engine.rounds:
            best, rates = best_of(engine), [figures["ev_per_cpu_s"] for figures in engine.rounds]
            result |= {key: best.get(key) for key in ("events", "ev_per_cpu_s", "cpu_p50_us", "cpu_p99_us")}
            result["slowest_round"] = min(rates)
            ratio = f"{ours['ev_per_cpu_s'] / best['ev_per_cpu_s']:.2f}x" if ours else "-"
            rows.append([engine.name, number(best["ev_per_cpu_s"]), f"{100 * (1 - min(rates) / max(rates)):.0f} %",
                         f"{best['cpu_p50_us']:.1f}", f"{best['cpu_p99_us']:.1f}", ratio, number(best["events"]),
                         "equal" if engine.differs is None else "DIFFER"])
        results.append(result)
    if as_json:
        print(json.dumps({"rules": rule_count, "events": event_count, "hits_per_event": hits_per_event, "engines": results}))
    else:
        print(f"{number(rule_count)} rules, {number(event_count)} events, {hits_per_event:.2f} hits an event")
        table(["engine", "events/CPU-s", "spread", "p50 us", "p99 us", "ours is", "events", "hits"], rows)
    for engine in contestants:
        if engine.missing:
            note(f"not measured: {engine.name}: {engine.missing}")
        if engine.differs:
            note(f"WRONG: {engine.name}: {engine.differs}")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench rules", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100, help="how many rules (default 100)")
    parser.add_argument("--events", type=int, default=50000, help="how many events (default 50000)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=5, help="CPU seconds an engine may take in a round (default 5)")
    parser.add_argument("--core", type=int, default=cores()[-1], help="the core that all run on (default: the last)")
    parser.add_argument("--only", help="only engines whose name has this in it, and ours")
    parser.add_argument("--own-set", action="store_true", help="our own set, also where the anchors are at hand")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    arguments = parser.parse_args()
    if not 1 <= arguments.rules <= 100000 or not 100 <= arguments.events <= 10000000:
        parser.error("expected 1 to 100 000 rules and 100 to 10 000 000 events")
    folder, original, reference = prepare(arguments.rules, arguments.events, own_set=arguments.own_set)

    contestants = engines(folder, original, arguments.rules, arguments.seconds)
    if arguments.only:
        contestants = [engine for engine in contestants if engine.name == OURS or arguments.only.lower() in engine.name.lower()]
    for engine in contestants:
        try:
            engine.start()
        except Missing as error:
            engine.missing = str(error)
    order = random.Random(1)
    for turn in range(arguments.rounds):
        for engine in order.sample(contestants, len(contestants)):
            if engine.missing is None:
                note(f"round {turn + 1}: {engine.name}")
                engine.once(arguments.core, arguments.seconds, reference, arguments.rules)
    hits_per_event = sum(map(len, reference)) / len(reference)
    report(contestants, arguments.json, arguments.rules, arguments.events, hits_per_event)
    ours_missing = contestants[0].missing is not None
    return 1 if ours_missing or any(engine.differs for engine in contestants) else 0


if __name__ == "__main__":
    sys.exit(main())
