#!/usr/bin/env python3
"""How long a server is away after kill -9 under load: the time from its next start to its first decision.

Events of `tamis demo` are streamed at a fixed rate; the server is killed after some seconds, several times, and each time
what it comes back to is compared with a fold of the whole journal.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "test"))
import harness  # noqa: E402


def drain(line):
    """Reads the answers; a server that was killed ends them in the middle."""
    try:
        line.read_all()
    except (OSError, ValueError, AttributeError):
        pass


def stream(server, events, rate, stop):
    """Sends at the rate until told to stop or the server is gone."""
    size = max(1, rate // 100)
    try:
        with server.stream("/v1/decide", seconds=5) as line:
            threading.Thread(target=drain, args=(line,), daemon=True).start()
            begin, sent = time.monotonic(), 0
            while not stop.is_set() and events:
                line.send(b"".join(events.pop() for _ in range(min(size, len(events)))))
                sent += size
                ahead = sent / rate - (time.monotonic() - begin)
                if ahead > 0:
                    time.sleep(ahead)
    except OSError:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=20_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=8, help="of load before each kill")
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tamis-recovery-"))
    try:
        source = folder / "events.jsonl"
        count = int(arguments.rate * arguments.seconds * arguments.kills * 1.2)
        harness.tamis("demo", "--out", source, "--count", count, "--quiet", seconds=600)
        events = source.read_bytes().splitlines(keepends=True)[::-1]
        data, away = folder / "data", []
        for kill in range(arguments.kills + 1):
            begin = time.monotonic()
            server = harness.Server(harness.READY_POLICY, data)
            with server:
                server.post("/v1/decide/session", {"acct": f"probe{kill}", "ip": "192.0.2.1"})
                away.append(time.monotonic() - begin)
                if kill == arguments.kills:
                    break
                stop = threading.Event()
                load = threading.Thread(target=stream, args=(server, events, arguments.rate, stop))
                load.start()
                time.sleep(arguments.seconds)
                server.kill()
                stop.set()
                load.join()
        print(f"first start {away[0]:.2f} s; back after kill -9 at {arguments.rate} events/s: "
              f"median {statistics.median(away[1:]):.2f} s, longest {max(away[1:]):.2f} s of {arguments.kills}")
        records = len(events)
        print(f"{count - records} events sent; journal {sum(f.stat().st_size for f in (data / 'journal').iterdir()) / 1e6:.0f} MB")
        one = harness.tamis("digest", "--data", data, seconds=600).stdout.strip()
        all_of_it = harness.tamis("digest", "--data", data, "--from-start", seconds=600).stdout.strip()
        print(f"state {one}; a fold from the first record {all_of_it}")
        return 0 if one == all_of_it else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
