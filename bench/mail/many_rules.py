#!/usr/bin/env python3
"""What thousands of rules cost a message: the ready mail policy with rules of one kind added, few and many.

usage: many_rules.py --root DIR [--kind NAME...] [--rules N...] [--rounds N] [--tamis PROGRAM]...
       many_rules.py --write DIR --kind NAME --rules N

DIR of --root holds an index.tsv (path, label, order) and the messages that it names. For each kind and number of rules a
policy is made, and `tamis mail eval --online --fresh` runs over the messages with it, --rounds times; of several
programs in turn. Printed: the median CPU us a message of the best round, and how many times that of the first number.
With --write the policy is written to DIR, and nothing is measured.

Rules that ask a text are about names that no message has, as most rules of a long list are about something else than
the message at hand.
"""
import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
POLICY = TOP / "policies" / "mail"


def limits(i):
    """Three numbers that are the same for rule i on every machine."""
    numbers = random.Random(i)
    return numbers.randint(100_000, 900_000), numbers.randint(50, 400), numbers.randint(1, 2_000)


KINDS = {
    "equal": lambda i: f'from_domain == "sender{i}.example"',
    "number": lambda i: 'direction == "in" && bytes > {} && links > {} && words < {}'.format(*limits(i)),
    "in-list": lambda i: f'"link{i}.example" in link_domains',
    "exists-equal": lambda i: f'link_domains.exists(d, d == "link{i}.example")',
    "exists-end": lambda i: f'link_domains.exists(d, d.endsWith(".link{i}.example"))',
    "regex": lambda i: f'has(from) && from.matches("(?i)@list{i}\\\\d+\\\\.example$")',
    "contains": lambda i: f'has(mailer) && mailer.contains("Mass {i} ")',
    "lowered": lambda i: f'has(from_name) && from_name.lowerAscii().contains("prize{i}")',
}


def write_policy(into, kind, count):
    shutil.copytree(POLICY, into)
    with open(into / "many_rules.yaml", "w", encoding="utf-8") as rules:
        rules.write("rules:\n")
        for i in range(count):
            rules.write(f"  - id: many-{i}\n    on: mail\n    when: '{KINDS[kind](i)}'\n    then: {{points: 0.1}}\n"
                        "    reason: one of many\n    mode: live\n    owner: bench\n    doc: one of many\n")


def median_us(tamis, policy, root, scores):
    command = [tamis, "mail", "eval", "--online", "--fresh", "--policy", policy, "--index", root / "index.tsv", "--root", root, "--out", scores]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{tamis} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    with open(scores, encoding="utf-8") as rows:
        return statistics.median(float(row.rstrip("\n").split("\t")[4]) for row in rows)


def measure(arguments, folder):
    scores = folder / "scores.tsv"
    print("\t".join(["kind", "program", *(f"{count} rules" for count in arguments.rules), "times"]))
    for kind in arguments.kind:
        policies = []
        for count in arguments.rules:
            policies.append(folder / f"{kind}-{count}")
            write_policy(policies[-1], kind, count)
        best = {program: [float("inf")] * len(policies) for program in arguments.tamis}
        for _ in range(arguments.rounds):
            for i, policy in enumerate(policies):
                for program, figures in best.items():
                    figures[i] = min(figures[i], median_us(program, policy, arguments.root, scores))
        for program, figures in best.items():
            print("\t".join([kind, str(program), *(f"{figure:.0f}" for figure in figures), f"{figures[-1] / figures[0]:.2f}"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the folder of the messages")
    parser.add_argument("--write", type=Path, metavar="DIR", help="only write one policy, to this new folder")
    parser.add_argument("--kind", nargs="+", choices=sorted(KINDS), default=list(KINDS), help="kinds of rules (default: all)")
    parser.add_argument("--rules", nargs="+", type=int, default=[100, 10_000], help="how many rules (default: 100 10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the best counts (default 3)")
    parser.add_argument("--tamis", nargs="+", type=Path, default=[TOP / "build" / "release" / "tamis"], help="programs to compare")
    arguments = parser.parse_args()
    if arguments.write:
        if len(arguments.kind) != 1 or len(arguments.rules) != 1:
            parser.error("--write makes one policy: give one --kind and one number of --rules")
        write_policy(arguments.write, arguments.kind[0], arguments.rules[0])
        return
    if not arguments.root:
        parser.error("--root is needed")
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
