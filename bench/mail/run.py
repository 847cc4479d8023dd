#!/usr/bin/env python3
"""Spam filters over the same mail in the same order with the same scorer: Tamis, bogofilter, spamprobe, crm114 and rspamd as Debian
packages them; then messages a second through `rspamc -n 32` against Tamis and rspamd.

The corpora are those of $TAMIS_SHARED/data/mail (or ../shared), the scorer its score/mail_score.py. All filters start from nothing and
see content only: no DNS, no envelope. Tasks: online (classify, then learn the label), half (learn the first half, test the other without
feedback), late (labels 500 messages late). CPU is that of the filter's processes a message, classifying only where they can be told apart;
for rspamd it is all of its servers and Redis, learning included.

The four corpora take about an hour, rspamd and spamprobe the most of it; each filter says how far it is. What it has finished stays in
build/bench/mail: with --resume a run that was stopped goes on with the first filter that it had not finished.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from measure import BUILD, RELEASE, TOP, Missing, call, note, resident_bytes, table  # noqa: E402
from peers import PEERS, children_cpu_us  # noqa: E402
from rspamd import Rspamd, free_port, group_cpu_seconds, stop, wait_for  # noqa: E402

CORPORA = ("spamassassin", "csdmc2010", "lingspam", "enron-spam")
DELAY = 500
TAMIS = RELEASE / "tamis"


def shared():
    folder = Path(os.environ.get("TAMIS_SHARED", TOP.parent / "shared"))
    if not (folder / "score" / "mail_score.py").is_file():
        sys.exit(f"no scorer at {folder}/score/mail_score.py: set TAMIS_SHARED to the folder that has data/mail and score/")
    return folder


def unpack(name, folder):
    """The folder of a corpus, with its index.tsv; unpacked once."""
    archive = folder / "data" / "mail" / f"{name}.tar.zst"
    if not archive.is_file():
        raise Missing(f"no {archive}")
    into = BUILD / "mail" / name
    if not (into / "whole").is_file():
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        code, _, errors = call(["tar", "--zstd", "--strip-components=1", "-xf", archive, "-C", into], 600)
        if code != 0:
            raise Missing(f"cannot unpack: {errors.strip()[-160:]}")
        (into / "whole").touch()
    if not (into / "index.tsv").is_file():
        raise Missing("it has no index.tsv")
    return into


def rows_of(root, limit):
    with open(root / "index.tsv", encoding="utf-8") as index:
        rows = [line.rstrip("\n").split("\t")[:2] for line in index if line.strip()]
    return rows[:limit] if limit else rows


class Progress:
    """Says every ten seconds how far a filter is, and how long it still takes at this rate."""

    EVERY_S = 10

    def __init__(self, what, total):
        self.what, self.total = what, total
        self.begin = self.said = time.monotonic()

    def at(self, done):
        now = time.monotonic()
        if now - self.said >= self.EVERY_S and 0 < done < self.total:
            self.said = now
            note(f"  {self.what}: {done} of {self.total} messages, about {(now - self.begin) / done * (self.total - done):.0f} s more")


def run_tamis(root, rows, task, out):
    command = [TAMIS, "mail", "eval", "--online", "--fresh", "--root", root, "--out", out]
    index = out.with_suffix(".index")
    with open(root / "index.tsv", encoding="utf-8") as whole:
        index.write_text("".join(line for line, _ in zip(whole, rows)), encoding="utf-8")
    command += ["--index", index]
    if task == "half":
        command += ["--split", len(rows) // 2]
    if task == "late":
        command += ["--delay", DELAY]
    code, _, errors = call(command, 3600)
    if code != 0:
        raise Missing((errors.strip().splitlines() or ["failed"])[-1][:160])


def run_peer(make, root, rows, task, out):
    split = len(rows) // 2 if task == "half" else 0
    delay = DELAY if task == "late" else 0
    with tempfile.TemporaryDirectory() as folder, open(out, "w", encoding="utf-8") as scores:
        peer = make(folder)
        progress = Progress(out.stem, len(rows))
        used = peer.cpu_seconds if hasattr(peer, "cpu_seconds") else None
        begin, tested = used() if used else 0, 0
        try:
            for i, (path, label) in enumerate(rows):
                progress.at(i)
                if i < split:
                    peer.learn(str(root / path), label)
                    begin = used() if used and i + 1 == split else begin
                    continue
                before = children_cpu_us()
                score, verdict = peer.classify(str(root / path))
                cpu = "" if used else f"\t{children_cpu_us() - before:.0f}"
                print(f"{path}\t{label}\t{score}\t{verdict}{cpu}", file=scores)
                tested += 1
                if not split and i >= delay:
                    peer.learn(str(root / rows[i - delay][0]), rows[i - delay][1])
            return (used() - begin) * 1e6 / max(tested, 1) if used else None
        finally:
            if hasattr(peer, "close"):
                peer.close()


def score_of(folder, scores):
    code, out, errors = call([sys.executable, folder / "score" / "mail_score.py", scores, "--json"], 300)
    if code != 0:
        raise Missing(f"the scorer failed: {errors.strip()[-160:]}")
    return json.loads(out.strip().splitlines()[-1])


def program_of(name):
    """The file whose change makes a finished measurement worthless; nothing when the filter is not installed."""
    if name == "tamis":
        return str(TAMIS)
    return shutil.which("crm" if name == "crm114" else name, path=os.environ["PATH"] + ":/usr/sbin:/usr/bin")


def mark_of(name, rows):
    """What a finished measurement was of: these messages, this program, this way to run it, and for Tamis its policy."""
    digest = hashlib.sha256(repr(rows).encode())
    for path in (program_of(name), HERE / "peers.py", HERE / "rspamd.py"):
        digest.update(Path(path).read_bytes())
    if name == "tamis":
        for path in sorted((TOP / "policies" / "mail").rglob("*.yaml")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def finished(path, mark):
    """The result that an earlier run left in path, if it was of the same; else nothing."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept["result"] if kept.get("mark") == mark else None


def measure_filter(folder, root, rows, result, o):
    """Fills in one row of the table. Its scores and its result stay, for --resume and for whoever wants to look at them."""
    corpus, task, name = result["corpus"], result["task"], result["filter"]
    if not program_of(name):
        raise Missing(f"{name} is not installed")
    part = f".first-{o.limit}" if o.limit else ""  # a quick look takes nothing from what the long run has finished
    out = BUILD / "mail" / f"{corpus}{part}.{task}.{name}.tsv"
    kept, mark = out.with_suffix(".json"), mark_of(name, rows)
    earlier = finished(kept, mark) if o.resume else None
    if earlier:
        note(f"{corpus}, {task}: {name}: finished before")
        return earlier
    note(f"{corpus}, {task}: {name}")
    kept.unlink(missing_ok=True)
    makers = {**PEERS, "rspamd": Rspamd}
    begin = time.monotonic()
    cpu = run_tamis(root, rows, task, out) if name == "tamis" else run_peer(makers[name], root, rows, task, out)
    score = score_of(folder, out)
    result.update({key: score.get(key) for key in ("n", "errors", "errors at best threshold", "hm%", "sm%", "1-ROCA%")})
    result["cpu_us"] = cpu or score.get("cpu_us_mean")
    note(f"  {result['errors']} errors in {result['n']} messages, {time.monotonic() - begin:.0f} s")
    kept.write_text(json.dumps({"mark": mark, "result": result}), encoding="utf-8")
    return result


def measure_errors(folder, o):
    results = []
    for corpus in o.corpus:
        try:
            root = unpack(corpus, folder)
        except Missing as why:
            results.append({"corpus": corpus, "task": "-", "filter": "all", "missing": str(why)})
            continue
        rows = rows_of(root, o.limit)
        for task in o.task:
            for name in o.filter or ["tamis", *sorted(PEERS), "rspamd"]:
                result = {"corpus": corpus, "task": task, "filter": name}
                try:
                    result = measure_filter(folder, root, rows, result, o)
                except (Missing, OSError, subprocess.SubprocessError, ValueError) as why:
                    # One filter that fails takes nothing from the others.
                    result["missing"] = str(why)[:160]
                    note(f"  {result['missing']}")
                results.append(result)
    return results


def rspamc(port, files):
    """Messages a second and wall seconds of `rspamc -n 32` over files."""
    begin = time.monotonic()
    done = subprocess.run(["rspamc", "-n", "32", "-h", f"127.0.0.1:{port}", "--json", "symbols", *files], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace", timeout=900, check=False)
    took = time.monotonic() - begin
    answered = len(re.findall(r'"is_skipped"', done.stdout))
    if answered < len(files):
        raise Missing(f"rspamc had {answered} answers to {len(files)} messages (exit code {done.returncode})")
    return len(files) / took


def measure_speed(folder, o):
    """Both servers in turn, interleaved over the rounds; each alone on the machine while it is measured."""
    try:
        root = unpack(o.corpus[0], folder)
    except Missing as why:
        return [{"server": "both", "missing": str(why)}]
    files = [str(root / path) for path, _ in rows_of(root, o.messages)]
    workers = os.cpu_count() or 1
    results, rspamd = [], None
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        log = open(Path(work) / "tamis.log", "w", encoding="utf-8")
        tamis = subprocess.Popen([TAMIS, "serve", "--policy", TOP / "policies" / "mail", "--data", f"{work}/data", "--listen", f"unix:{work}/http",
                                  "--rspamd", f"127.0.0.1:{port}", "--mail-threads", str(workers)], stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for(port, tamis, 60, "tamis")
            servers = [("tamis", port, [tamis])]
            try:
                os.mkdir(f"{work}/rspamd")
                rspamd = Rspamd(f"{work}/rspamd", workers)
                servers.append(("rspamd", rspamd.port, [rspamd.server, rspamd.redis]))
            except Missing as why:
                results.append({"server": "rspamd", "missing": str(why)})
            found = {name: [] for name, _, _ in servers}
            for _ in range(o.rounds):
                for name, at, processes in servers:
                    before = sum(group_cpu_seconds(p.pid) for p in processes)
                    rate = rspamc(at, files)
                    cpu = sum(group_cpu_seconds(p.pid) for p in processes) - before
                    found[name].append((rate, cpu * 1e6 / len(files)))
                    note(f"{name}: {rate:.0f} messages/s, {cpu * 1e6 / len(files):.0f} us of its CPU each")
            for name, _, processes in servers:
                rate, cpu = max(found[name])
                memory = sum(resident_bytes(p.pid) for p in processes)
                results.append({"server": name, "messages/s": rate, "cpu_us": cpu, "memory_mb": memory / 1e6, "rounds": found[name]})
        except Missing as why:
            results.append({"server": "tamis", "missing": str(why)})
        finally:
            log.close()
            stop(tamis)
            if rspamd is not None:
                rspamd.close()
    return results


def text(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def report(errors, speed):
    rows = []
    for r in errors:
        if "missing" in r:
            rows.append([r["corpus"], r["task"], r["filter"], "-", "-", "-", "-", "-", r["missing"]])
        else:
            rows.append([r["corpus"], r["task"], r["filter"], text(r["errors"]), text(r["errors at best threshold"]), text(r["hm%"], 2),
                         text(r["sm%"], 2), text(r["1-ROCA%"], 4), text(r["cpu_us"])])
    if rows:
        table(["corpus", "task", "filter", "errors", "best", "hm%", "sm%", "1-ROCA%", "CPU us"], rows, left=(0, 1, 2))
    if not speed:
        return
    ours = next((r.get("messages/s") for r in speed if r["server"] == "tamis"), None)
    rows = []
    for r in speed:
        ratio = f"{ours / r['messages/s']:.1f}" if ours and r.get("messages/s") else "-"
        rows.append([r["server"], text(r.get("messages/s")), ratio, text(r.get("cpu_us")), r.get("missing") or text(r.get("memory_mb"))])
    print()
    table(["rspamc -n 32", "messages/s", "Tamis is times", "CPU us", "memory MB"], rows)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="./dev bench mail")
    a.add_argument("--corpus", action="append", choices=CORPORA, help="may be repeated; without it all but enron-spam, which takes half an hour")
    a.add_argument("--task", action="append", choices=("online", "half", "late"), help="may be repeated; without it online and half")
    a.add_argument("--filter", action="append", choices=("tamis", *sorted(PEERS), "rspamd"), help="only these")
    a.add_argument("--limit", type=int, default=0, help="only the first N messages of each corpus")
    a.add_argument("--messages", type=int, default=2000, help="messages of the speed test (2000)")
    a.add_argument("--rounds", type=int, default=3, help="of the speed test (3); 0: no speed test")
    a.add_argument("--no-errors", action="store_true", help="only the speed test")
    a.add_argument("--resume", action="store_true", help="take what an earlier run finished, of the same messages and programs")
    a.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    o = a.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers end with us
    o.corpus = o.corpus or [name for name in CORPORA if name != "enron-spam"]
    o.task = o.task or ["online", "half"]
    folder = shared()
    BUILD.mkdir(parents=True, exist_ok=True)
    errors = [] if o.no_errors else measure_errors(folder, o)
    speed = measure_speed(folder, o) if o.rounds > 0 else []
    if o.json:
        print(json.dumps({"errors": errors, "speed": speed}))
    else:
        report(errors, speed)
    return 1 if any("missing" in r for r in errors + speed) else 0


if __name__ == "__main__":
    sys.exit(main())
