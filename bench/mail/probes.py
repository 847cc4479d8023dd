#!/usr/bin/env python3
"""Probe filters that were trained on old mail with new mail that none of them ever saw.

usage: probes.py --train DIR... --ham DIR... --spam DIR... [--mask none|headers|all] [--filter NAME...] [--tamis PROGRAM]
                 [--model FILE]

Each DIR holds an index.tsv (path, label, order) and the messages that it names. Peers (bogofilter, spamprobe, crm114)
learn all of --train once, in the order given; Tamis takes the model that ships, or --model. Then every message of --ham
and --spam is scored, and nothing more is learned. Wanted and unwanted mail come from different collections here, so
what only one collector wrote is masked:
  headers  only From, Date, Subject, Message-ID and the MIME headers are left, placeholders of recipients are replaced
  all      besides, what a mailing list adds: its tag in subjects, its footer, its hosts, its disguise of addresses
Printed for each probe: recall at the filter's own threshold (an unsure is not spam), false positives there, and recall
where at most 0.1 % of the wanted mail lies above.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

KEPT = re.compile(rb"(from|date|subject|message-id|content-[a-z-]+|mime-version)[ \t]*:", re.I)
PLACEHOLDER = re.compile(rb"[\w.+-]*(?:@pot(?:\.org)?\b|phish\.me\.again@gmail\.com)", re.I)
SCRAMBLED = re.compile(rb"^from:[^\n]*@end\|ng[^\n(]*\(([^\n]*)\)|^from:[^\n]*\((?=[^\n]*@)[^\n]*\)", re.I | re.M)
LIST_TAG = re.compile(rb"^(subject:[^\n]*?)\[r(?:-[\w-]+)?\] ?", re.I | re.M)
FOOTER = re.compile(rb"^[> ]*_{30,}\r?\n[> ]*[\w-]+ (?:at|@) [\w.-]+ mailing list.*?(?=^[> ]*\r?$|\Z)", re.S | re.M)
DELETED = re.compile(rb"^[> \t]*\[\[alternative HTML version deleted\]\][ \t]*\r?\n?", re.M)
HOSTS = re.compile(rb"(?:stat\.ethz\.ch|(?:www\.)?r-project\.org)", re.I)


def mask(raw, how):
    if how == "none":
        return raw
    end = re.search(rb"\r?\n\r?\n", raw)
    head, body = (raw[:end.start() + 1], raw[end.start() + 1:]) if end else (raw, b"")
    fields = re.split(rb"(?<=\n)(?![ \t])", head)
    head = b"".join(field for field in fields if KEPT.match(field))
    raw = PLACEHOLDER.sub(b"someone@example.com", head + body)
    if how == "all":
        raw = SCRAMBLED.sub(lambda m: b"From: " + (m.group(1) or b"Someone") + b" <someone@example.com>", raw, count=1)
        raw = LIST_TAG.sub(rb"\1", raw, count=1)
        raw = HOSTS.sub(b"example.com", DELETED.sub(b"", FOOTER.sub(b"", raw)))
    return raw


def rows_of(folder):
    with open(os.path.join(folder, "index.tsv"), encoding="utf-8") as index:
        return [line.rstrip("\n").split("\t")[:2] for line in index]


def chunks(items, size=400):
    return [items[i:i + size] for i in range(0, len(items), size)]


class Bogofilter:
    def __init__(self, folder):
        self.base = ["bogofilter", "-C", "-d", folder]

    def learn(self, paths, label):
        subprocess.run(self.base + ["-s" if label == "spam" else "-n", "-b"], input="\n".join(paths) + "\n", text=True,
                       check=True)

    def classify(self, paths):
        found = subprocess.run(self.base + ["-T", "-b"], input="\n".join(paths) + "\n", capture_output=True, text=True)
        said = {}
        for line in found.stdout.splitlines():
            path, verdict, score = line.split()[:3]
            said[path] = (float(score), verdict == "S")
        return [said[path] for path in paths]


class Spamprobe:
    def __init__(self, folder):
        self.base = ["spamprobe", "-d", folder]
        subprocess.run(self.base + ["create-db"], check=True)

    def learn(self, paths, label):
        for some in chunks(paths):
            subprocess.run(self.base + ["spam" if label == "spam" else "good"] + some, check=True,
                           stdout=subprocess.DEVNULL)

    def classify(self, paths):
        said = []
        for path in paths:
            found = subprocess.run(self.base + ["score", path], capture_output=True, text=True, errors="replace")
            verdict, score = found.stdout.split()[:2]
            said.append((float(score), verdict == "SPAM"))
        return said


class Crm114:
    def __init__(self, folder):
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import peers
        self.peer = peers.Crm114(folder)

    def learn(self, paths, label):
        for path in paths:
            self.peer.learn(path, label)

    def classify(self, paths):
        return [(score, verdict == "spam") for score, verdict in map(self.peer.classify, paths)]


PEERS = {"bogofilter": Bogofilter, "spamprobe": Spamprobe, "crm114": Crm114}


def train(peer, folders):
    """Runs of one label at a time, so that filters that take many messages at once need few starts."""
    for folder in folders:
        run, of = [], None
        for path, label in rows_of(folder):
            if label != of and run:
                peer.learn(run, of)
                run = []
            of = label
            run.append(os.path.join(folder, path))
        if run:
            peer.learn(run, of)


def tamis(program, model, folder, out):
    """Its whole way, policy and all; labels that come after the end teach nothing."""
    command = [program, "mail", "eval", "--online", "--delay", "1000000000", "--index", folder + "/index.tsv", "--root",
               folder, "--out", out] + (["--model", model] if model else [])
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with open(out, encoding="utf-8") as scores:
        fields = [line.rstrip("\n").split("\t") for line in scores]
    return [(float(f[2]), f[3] == "spam") for f in fields]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--train", nargs="*", default=[])
    a.add_argument("--ham", nargs="+", required=True)
    a.add_argument("--spam", nargs="+", required=True)
    a.add_argument("--mask", nargs="+", choices=["none", "headers", "all"], default=["all"])
    a.add_argument("--filter", nargs="+", choices=["tamis"] + sorted(PEERS), default=["tamis", "bogofilter", "spamprobe"])
    a.add_argument("--tamis", default="build/release/tamis")
    a.add_argument("--model")
    o = a.parse_args()
    with tempfile.TemporaryDirectory() as place:
        copies = {}
        for how in o.mask:
            for folder in o.ham + o.spam:
                to = copies[how, folder] = os.path.join(place, how, os.path.basename(os.path.abspath(folder)))
                os.makedirs(to)
                with open(to + "/index.tsv", "w", encoding="utf-8") as index:
                    for i, (path, label) in enumerate(rows_of(folder)):
                        with open(os.path.join(folder, path), "rb") as message:
                            raw = mask(message.read(), how)
                        with open(f"{to}/{i}.eml", "wb") as message:
                            message.write(raw)
                        print(f"{i}.eml", label, i, sep="\t", file=index)
        print("filter", "mask", "probe", "recall %", "recall % at 0.1 % false positives", sep="\t")
        for name in o.filter:
            if name != "tamis":
                os.mkdir(f"{place}/{name}")
                peer = PEERS[name](f"{place}/{name}")
                train(peer, o.train)
            for how in o.mask:
                def scores(folder):
                    copy = copies[how, folder]
                    if name == "tamis":
                        return tamis(o.tamis, o.model, copy, place + "/scores.tsv")
                    return peer.classify([os.path.join(copy, path) for path, _ in rows_of(copy)])
                ham = [s for folder in o.ham for s in scores(folder)]
                wrong = sum(spam for _, spam in ham)
                print(name, how, "wanted", f"false positives {wrong} of {len(ham)} ({100 * wrong / len(ham):.2f} %)", sep="\t")
                bar = sorted((s for s, _ in ham), reverse=True)[int(0.001 * len(ham))]
                for folder in o.spam:
                    said = scores(folder)
                    print(name, how, os.path.basename(os.path.abspath(folder)),
                          f"{100 * sum(spam for _, spam in said) / len(said):.1f}",
                          f"{100 * sum(s > bar for s, _ in said) / len(said):.1f}", sep="\t", flush=True)


if __name__ == "__main__":
    sys.exit(main())
