#!/usr/bin/env python3
"""Run bogofilter, spamprobe or crm114 (Debian's packages) over a corpus, online or trained on its first part.

usage: peers.py PEER --index INDEX.tsv --root DIR --out SCORES.tsv [--split K] [--delay N] [--limit N]
PEER: bogofilter, spamprobe, crm114. INDEX: path, label, order; SCORES: path, label, score, verdict, CPU us, for
the same scorer that measures `tamis mail eval`. Each filter starts empty and learns every message it is told of.
With --split K the scores hold only the messages after the first K, as there is no feedback on them.
"""
import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile


class Bogofilter:
    def __init__(self, folder):
        self.base = ["bogofilter", "-C", "-d", folder]

    def learn(self, path, label):
        with open(path, "rb") as message:
            subprocess.run(self.base + ["-s" if label == "spam" else "-n"], stdin=message, check=True)

    def classify(self, path):
        with open(path, "rb") as message:
            done = subprocess.run(self.base + ["-T"], stdin=message, capture_output=True, text=True)
        if not done.stdout:  # it has no word list before it has learned a first message
            return 0.5, "unsure"
        verdict, score = done.stdout.split()[:2]
        return float(score), {"S": "spam", "H": "ham"}.get(verdict, "unsure")


class Spamprobe:
    def __init__(self, folder):
        self.base = ["spamprobe", "-d", folder]
        subprocess.run(self.base + ["create-db"], check=True)

    def learn(self, path, label):
        subprocess.run(self.base + ["spam" if label == "spam" else "good", path], check=True, stdout=subprocess.DEVNULL)

    def classify(self, path):
        done = subprocess.run(self.base + ["score", path], capture_output=True, text=True, errors="replace")
        verdict, score = done.stdout.split()[:2]
        return float(score), "spam" if verdict == "SPAM" else "ham"


class Crm114:
    def __init__(self, folder):
        self.folder = folder
        files = {label: os.path.join(folder, label + ".css") for label in ("ham", "spam")}
        self.files = files
        for label in files:
            self.run("-{ learn <osb unique microgroom> (%s) /[[:graph:]]+/ }" % files[label], b"")

    def run(self, program, message):
        return subprocess.run(["crm", program], input=message, capture_output=True, cwd=self.folder).stdout.decode(
            errors="replace")

    def learn(self, path, label):
        with open(path, "rb") as message:
            self.run("-{ learn <osb unique microgroom> (%s) /[[:graph:]]+/ }" % self.files[label], message.read())

    def classify(self, path):
        program = ("-{ isolate (:stats:) { classify <osb unique microgroom> (%s | %s) (:stats:) /[[:graph:]]+/ } "
                   "output /:*:stats:/ }" % (self.files["spam"], self.files["ham"]))
        with open(path, "rb") as message:
            stats = self.run(program, message.read())
        found = re.search(r"spam\.css\).*?prob: *(\S+), pR: *(\S+)", stats)
        score = float(found.group(2)) if found else 0.0
        return score, "spam" if score > 0 else "ham"


PEERS = {"bogofilter": Bogofilter, "spamprobe": Spamprobe, "crm114": Crm114}


def children_cpu_us():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("peer", choices=sorted(PEERS))
    a.add_argument("--index", required=True)
    a.add_argument("--root", required=True)
    a.add_argument("--out", required=True)
    a.add_argument("--split", type=int, default=0)
    a.add_argument("--delay", type=int, default=0)
    a.add_argument("--limit", type=int)
    o = a.parse_args()
    rows = [line.rstrip("\n").split("\t")[:2] for line in open(o.index, encoding="utf-8")][:o.limit]
    with tempfile.TemporaryDirectory() as folder, open(o.out, "w", encoding="utf-8") as out:
        peer = PEERS[o.peer](folder)
        for i, (path, label) in enumerate(rows):
            full = os.path.join(o.root, path)
            if o.split and i < o.split:
                peer.learn(full, label)
                continue
            before = children_cpu_us()
            score, verdict = peer.classify(full)
            print(path, label, score, verdict, int(children_cpu_us() - before), sep="\t", file=out)
            if not o.split and i >= o.delay:
                late_path, late_label = rows[i - o.delay]
                peer.learn(os.path.join(o.root, late_path), late_label)


if __name__ == "__main__":
    sys.exit(main())
