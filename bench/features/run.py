#!/usr/bin/env python3
"""Eight windows an event: ours, with 100 rules around them, beside the counters alone in Redis.

Redis does per event what services commonly do: for each of eight keys INCRBY on the key of the current five minutes and
EXPIRE, 64 events a pipeline, one connection, no persistence; the figure is events per CPU second of the server. Ours is
`tamis bench` on one core: JSON in, eight counts over one hour updated and read, all rules asked. Eight rules read
the counts, and their hits are compared with a reference in Python (the events span under an hour, so it is exact).
"""

import argparse
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "rules")]
from measure import BUILD, Missing, call, cores, cpu_seconds, last_json, note, number, pinned, table  # noqa: E402
from prepared import count_hits, hits_by_id, prepare, tamis_command  # noqa: E402

FOLDER = BUILD / "features"
# Each field counted, and from how many earlier events on its rule matches.
WINDOWS = {"user_id": 3, "ip": 1, "asn": 40, "email_domain": 1500, "device_id": 1, "country": 9000, "email": 1, "path": 4000}
BUCKET_MS = 300_000
PIPELINE = 64


def write_policy(rules_policy, folder):
    """The policy of the rules benchmark with eight windows, each read by one more rule."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(rules_policy, folder)
    features = "".join(f"  n_{field}_1h: {{count: event, by: {field}, over: 1h}}\n" for field in WINDOWS)
    rules = "".join(f"  - id: w{number:05d}\n    on: event\n    when: 'n_{field}_1h >= {least}'\n    mode: live\n"
                    for number, (field, least) in enumerate(WINDOWS.items()))
    (folder / "windows.yaml").write_text(f"features:\n{features}rules:\n{rules}")


def window_hits(events):
    """How often each window's rule matches: the events of a key before this one."""
    if events[-1]["ts"] - events[0]["ts"] >= 3_600_000:
        sys.exit("features: the events must span less than an hour")
    hits = []
    for field, least in WINDOWS.items():
        seen, count = {}, 0
        for event in events:
            before = seen.get(event[field], 0)
            count += before >= least
            seen[event[field]] = before + 1
        hits.append(count)
    return hits


def ours(arguments, folder, events, reference):
    write_policy(folder / "policy", FOLDER / "policy")
    command = pinned(arguments.core, tamis_command(FOLDER / "policy", folder))
    best, wrong = None, None
    # Sorted by id, the windows' rules come last.
    expected = count_hits(reference, len(events), 100) + window_hits(events)
    for turn in range(arguments.rounds):
        note(f"tamis: round {turn + 1}")
        figures = last_json(*call(command, 300))
        hits_by_id(figures)
        if figures["hits"] != expected:
            rule = next((i for i, (a, b) in enumerate(zip(figures["hits"], expected)) if a != b), len(expected))
            wrong = f"rule {rule} of {len(figures['hits'])} has other hits than the reference"
        if best is None or figures["ev_per_cpu_s"] > best["ev_per_cpu_s"]:
            best = figures
    return {"name": "tamis, 100 rules and 8 windows", "per_cpu_s": best["ev_per_cpu_s"], "wrong": wrong}


def encode(*words):
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def pipelines(events):
    """Whole pipelines of commands, made before the clock runs."""
    made, batch = [], []
    for number_, event in enumerate(events, 1):
        bucket = event["ts"] // BUCKET_MS
        for field in WINDOWS:
            key = f"{field}:{event[field]}:{bucket}"
            batch += [encode("INCRBY", key, "1"), encode("EXPIRE", key, "3900")]
        if number_ % PIPELINE == 0:
            made.append(b"".join(batch))
            batch = []
    return made


@contextlib.contextmanager
def redis_server(core):
    """Runs redis-server on a socket file; gives (pid, connection). It comes from redis-tools, where it goes by the name of
    the checker that it also is, so that no service gets installed."""
    program = shutil.which("redis-server")
    if not program:
        checker = shutil.which("redis-check-rdb")
        if not checker:
            raise Missing("redis is not installed (Debian: redis-tools)")
        program = FOLDER / "redis-server"
        program.unlink(missing_ok=True)
        program.symlink_to(checker)
    path = FOLDER / "redis.sock"
    path.unlink(missing_ok=True)
    with open(FOLDER / "redis.log", "wb") as log:
        process = subprocess.Popen(pinned(core, [program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]),
                                   stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not path.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise Missing(f"redis did not start (log: {log.name})")
            time.sleep(0.02)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(path))
            yield process.pid, connection
    finally:
        process.kill()
        process.wait()


def read_replies(connection, count):
    seen, bad = 0, False
    while seen < count:
        data = connection.recv(1 << 18)
        if not data:
            raise Missing("redis closed the connection")
        bad = bad or b"-ERR" in data
        seen += data.count(b"\r\n")
    if bad:
        raise Missing("redis answered with an error")


def redis(arguments, events):
    batches, best = pipelines(events), 0
    with redis_server(arguments.core) as (pid, connection):
        for turn in range(arguments.rounds):
            note(f"redis: round {turn + 1}")
            before, began, done = cpu_seconds(pid), time.monotonic(), 0
            for batch in batches:
                connection.sendall(batch)
                read_replies(connection, PIPELINE * len(WINDOWS) * 2)
                done += PIPELINE
                if time.monotonic() - began > 20:
                    break
            best = max(best, done / (cpu_seconds(pid) - before))
        memory, keys = info(connection)
    return {"name": "Redis, 8 x INCRBY and EXPIRE", "per_cpu_s": best, "bytes_per_key": memory / keys, "wrong": None}


def info(connection):
    """(bytes of memory used, keys)"""
    connection.sendall(encode("INFO", "everything"))
    text = b""
    while not re.search(rb"keys=\d+,.*\r\n\r\n\Z", text, re.S) and not text.endswith(b"# Keyspace\r\n\r\n"):
        text += connection.recv(1 << 16)
    memory, keys = re.search(rb"used_memory:(\d+)", text), re.search(rb"keys=(\d+)", text)
    return int(memory.group(1)), int(keys.group(1)) if keys else 1


def main():
    parser = argparse.ArgumentParser(prog="./dev bench features", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument("--core", type=int, default=cores()[0], help="the core that is measured (default: the first)")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder, _, reference = prepare(100, 50000)
    events = [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()]
    results, missing = [], []
    for name, measure in (("tamis", lambda: ours(arguments, folder, events, reference)), ("redis", lambda: redis(arguments, events))):
        try:
            results.append(measure())
        except (Missing, RuntimeError, OSError) as error:
            missing.append(f"not measured: {name}: {error}")
    if arguments.json:
        print(json.dumps({"results": results, "missing": missing}))
    else:
        table(["engine", "events/CPU-s", "bytes a key"],
              [[r["name"], number(r["per_cpu_s"]), number(r.get("bytes_per_key"))] for r in results])
    for text in [*missing, *(f"WRONG: {r['name']}: {r['wrong']}" for r in results if r["wrong"])]:
        note(text)
    return 1 if missing and "tamis" in missing[0] or any(r["wrong"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
