"""A set of rules and events on disk, with the hits that a reference in Python finds: made once and kept in build/bench."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import generate
import rule_set
from measure import BUILD, RELEASE, TOP, Missing, call, note

HERE = Path(__file__).resolve().parent
ANCHORS = Path(os.environ.get("TAMIS_SHARED", TOP.parent / "shared")) / "anchors" / "rules-bench"


def anchor_folder(anchors, event_count):
    """Runs the anchors' generator in a folder of its own under build/; returns the folder."""
    folder = BUILD / "rules" / f"anchors-{event_count}"
    if not (folder / "expected.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Copied file by file: the originals may be read-only, and the generator writes beside itself.
        (folder / "gen.py").write_text((anchors / "gen.py").read_text())
        code, _, errors = call([sys.executable, "gen.py", event_count], 600, cwd=folder)
        if code != 0:
            sys.exit(f"rules: the anchors' generator failed: {errors.strip()[-300:]}")
    return folder


def prepare(rule_count, event_count, own_set=False):
    """Makes the set in build/bench/rules/...; returns (folder, anchor folder or None, hits by event)."""
    anchors = ANCHORS if (ANCHORS / "gen.py").is_file() and not own_set else None
    source = "".join(path.read_text() for path in (HERE / "generate.py", HERE / "rule_set.py"))
    key = hashlib.sha256(f"{source}|{anchors}".encode()).hexdigest()[:8]
    folder = BUILD / "rules" / f"{rule_count}x{event_count}-{key}"
    original = anchor_folder(anchors, event_count) if anchors else None
    if (folder / "reference.json").is_file():
        return folder, original, json.loads((folder / "reference.json").read_text())
    note(f"making {rule_count} rules and {event_count} events in {folder.relative_to(TOP)}")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "policy").mkdir(parents=True)
    if original:
        shutil.copy(original / "events.ndjson", folder / "events.ndjson")
        events = [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()]
        rules = json.loads((original / "rules.ast.json").read_text())
    else:
        events, rules = generate.base_set(event_count)
        generate.write_events(events, folder / "events.ndjson")
    rules = rules[:rule_count] + generate.added_rules(max(0, rule_count - len(rules)), events, rules)
    write_rules(rules, folder)
    reference = rule_set.expected_hits(rules, events)
    if original and rule_count == 100:
        given = json.loads((original / "expected.json").read_text())["hits"]
        if count_hits(reference, event_count, 100) != given:
            sys.exit("rules: our reference and the anchors' expected.json differ")
    (folder / "reference.json").write_text(json.dumps(reference))
    return folder, original, reference


def write_rules(rules, folder):
    """Every form of the rules that some engine reads."""
    for name, text in rule_set.policy_files(rules).items():
        (folder / "policy" / name).write_text(text)
    (folder / "rules.ast.json").write_text(json.dumps(rules))
    (folder / "rules.cel.json").write_text(json.dumps([rule_set.to_cel(tree) for tree in rules]))
    scripts, chunks = [], []
    for tree in rules:
        constants = []
        scripts.append({"source": rule_set.to_javascript(tree, constants), "constants": constants})
        constants = []
        source = rule_set.to_lua(tree, constants)
        chunks.append("[=====[" + "\n".join(["local set, regex, has, find, sub = ...", *constants, f"return function(e) return {source} end"]) + "]=====]")
    (folder / "rules.js.json").write_text(json.dumps(scripts))
    (folder / "rules.lua").write_text("return {\n" + ",\n".join(chunks) + "\n}\n")
    (folder / "rules.inc").write_text(rule_set.cpp_source(rules))


def count_hits(reference, events, rule_count):
    counts = [0] * rule_count
    for found in reference[:events]:
        for rule in found:
            counts[rule] += 1
    return counts


def typed_events(folder):
    """The events with their type said in the JSON, for those who are not told it; made once."""
    path = folder / "typed_events.ndjson"
    if not path.is_file():
        lines = (folder / "events.ndjson").read_text().splitlines()
        path.write_text("".join('{"type":"event",' + line[1:] + "\n" for line in lines))
    return path


def tamis_command(policy, folder):
    """How our engine runs over the events of a set. Raises Missing if it is not built."""
    program = RELEASE / "tamis"
    if not program.is_file():
        raise Missing("build/release/tamis is not built")
    _, help_text, _ = call([program, "bench", "--help"], 20)
    command = [program, "bench", "--policy", policy, "--rounds", "1", "--json"]
    # Other engines are not told a type either way: where ours can be told, it reads the very same bytes.
    return [*command, "--type", "event", folder / "events.ndjson"] if "--type" in help_text else [*command, typed_events(folder)]


def hits_by_id(figures):
    """Our hits in the order of the rules' ids, which is that of the reference."""
    by_id = dict(zip(figures["ids"], figures["hits"]))
    figures["hits"] = [by_id[name] for name in sorted(by_id)]
