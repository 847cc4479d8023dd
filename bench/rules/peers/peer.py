"""Python lambdas over the rules and events of a folder: python3 peer.py FOLDER SECONDS. Output as peer.mjs."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from rule_set import compile_python  # noqa: E402

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
conditions = list(enumerate(compile_python(tree) for tree in json.loads((folder / "rules.ast.json").read_text())))
lines = (folder / "events.ndjson").read_text().splitlines()


def decide(line):
    event = json.loads(line)
    return [number for number, condition in conditions if condition(event)]


for warm in lines[:200]:
    decide(warm)
hits, events = [0] * len(conditions), 0
start = time.process_time()
for events, text in enumerate(lines, 1):
    for rule in decide(text):
        hits[rule] += 1
    if events % 50 == 0 and time.process_time() - start > seconds:
        break
spent = time.process_time() - start
latencies, end = [], time.process_time() + seconds / 2
for text in lines[:events]:
    before = time.thread_time_ns()
    decide(text)
    latencies.append((time.thread_time_ns() - before) / 1000)
    if time.process_time() > end:
        break
latencies.sort()
print(json.dumps({"engine": "python", "events": events, "ev_per_cpu_s": events / spent, "cpu_p50_us": latencies[len(latencies) // 2],
                  "cpu_p99_us": latencies[int(len(latencies) * 0.99)], "hits": hits}))
