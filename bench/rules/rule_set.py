"""The rules of the benchmark as trees, and every form that an engine reads them in.

A tree is a list: ["and"|"or", [tree...]], ["not", tree], ["cmp", operator, field, value], ["bool", field],
["in", field, values], ["contains"|"starts"|"ends"|"re", field, text], ["has", list_field, text],
["mulgt", field, field, number].
"""

import json
import re

# The fields of an event in their order in the JSON, with their types in a policy.
FIELDS = {
    "event_id": "string", "event_type": "string", "ts": "int", "user_id": "string", "ip": "string", "asn": "int",
    "country": "string", "account_age_s": "int", "is_paid": "bool", "email": "string", "email_domain": "string",
    "user_agent": "string", "device_id": "string", "subject": "string", "body_len": "int", "url_count": "int",
    "recipients": "int", "new_recipient_ratio": "double", "spam_score": "double", "path": "string", "method": "string",
    "status": "int", "amount": "double", "failed_logins_1h": "int", "signups_subnet_1h": "int", "sends_10m": "int",
    "distinct_ips_24h": "int", "labels": "list(string)",
}


def _text(value):
    return json.dumps(value)


def to_cel(tree, inner=False):
    kind = tree[0]
    if kind in ("and", "or"):
        joined = (" && " if kind == "and" else " || ").join(to_cel(part, True) for part in tree[1])
        return f"({joined})" if inner else joined
    if kind == "not":
        return "!" + to_cel(tree[1], True)
    if kind == "cmp":
        return f"{tree[2]} {tree[1]} {_text(tree[3])}"
    if kind == "bool":
        return tree[1]
    if kind == "in":
        return f"{tree[1]} in {_text(tree[2])}"
    if kind == "has":
        return f"{_text(tree[2])} in {tree[1]}" if not inner else f"({_text(tree[2])} in {tree[1]})"
    if kind == "mulgt":
        return f"{tree[1]} * {tree[2]} > {tree[3]}"
    method = {"contains": "contains", "starts": "startsWith", "ends": "endsWith", "re": "matches"}[kind]
    return f"{tree[1]}.{method}({_text(tree[2])})"


def to_javascript(tree, constants):
    """An expression over `e` and the constants `c`; sets and regular expressions are appended to `constants`."""
    kind = tree[0]
    if kind in ("and", "or"):
        return "(" + (" && " if kind == "and" else " || ").join(to_javascript(part, constants) for part in tree[1]) + ")"
    if kind == "not":
        return "!" + to_javascript(tree[1], constants)
    if kind == "cmp":
        return f"(e.{tree[2]} {dict([('==', '==='), ('!=', '!==')]).get(tree[1], tree[1])} {_text(tree[3])})"
    if kind == "bool":
        return f"e.{tree[1]}"
    if kind in ("in", "re"):
        constants.append({"set": tree[2]} if kind == "in" else {"regex": tree[2]})
        return f"c[{len(constants) - 1}].{'has' if kind == 'in' else 'test'}(e.{tree[1]})"
    if kind == "mulgt":
        return f"(e.{tree[1]} * e.{tree[2]} > {tree[3]})"
    method = {"contains": "includes", "has": "includes", "starts": "startsWith", "ends": "endsWith"}[kind]
    return f"e.{tree[1]}.{method}({_text(tree[2])})"


def to_python(tree, constants):
    kind = tree[0]
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(to_python(part, constants) for part in tree[1]) + ")"
    if kind == "not":
        return f"(not {to_python(tree[1], constants)})"
    if kind == "cmp":
        return f"(e[{tree[2]!r}] {tree[1]} {tree[3]!r})"
    if kind == "bool":
        return f"e[{tree[1]!r}]"
    if kind == "in":
        constants.append(frozenset(tree[2]))
        return f"(e[{tree[1]!r}] in c{len(constants) - 1})"
    if kind == "re":
        constants.append(re.compile(tree[2]).search)
        return f"(c{len(constants) - 1}(e[{tree[1]!r}]) is not None)"
    if kind in ("contains", "has"):
        return f"({tree[2]!r} in e[{tree[1]!r}])"
    if kind == "mulgt":
        return f"(e[{tree[1]!r}] * e[{tree[2]!r}] > {tree[3]})"
    return f"e[{tree[1]!r}].{dict(starts='startswith', ends='endswith')[kind]}({tree[2]!r})"


def compile_python(tree):
    constants = []
    source = to_python(tree, constants)
    return eval("lambda e: " + source, {f"c{number}": value for number, value in enumerate(constants)})


def to_lua(tree, constants):
    """An expression over `e`; constants are (name, initialiser) of local variables around it."""
    kind = tree[0]
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(to_lua(part, constants) for part in tree[1]) + ")"
    if kind == "not":
        return f"(not {to_lua(tree[1], constants)})"
    if kind == "cmp":
        return f"(e.{tree[2]} {'~=' if tree[1] == '!=' else tree[1]} {_text(tree[3])})"
    if kind == "bool":
        return f"e.{tree[1]}"
    if kind in ("in", "re"):
        name = f"c{len(constants)}"
        literal = "{" + ",".join(_text(value) for value in tree[2]) + "}" if kind == "in" else f"[==[{tree[2]}]==]"
        constants.append(f"local {name} = {'set' if kind == 'in' else 'regex'}({literal})")
        return f"({name}[e.{tree[1]}] == true)" if kind == "in" else f"({name}:find(e.{tree[1]}) ~= nil)"
    if kind == "has":
        return f"has(e.{tree[1]}, {_text(tree[2])})"
    if kind == "mulgt":
        return f"(e.{tree[1]} * e.{tree[2]} > {tree[3]})"
    if kind == "contains":
        return f"(find(e.{tree[1]}, {_text(tree[2])}, 1, true) ~= nil)"
    if kind == "starts":
        return f"(sub(e.{tree[1]}, 1, {len(tree[2])}) == {_text(tree[2])})"
    return f"(sub(e.{tree[1]}, -{len(tree[2])}) == {_text(tree[2])})"


def to_cpp(tree, constants):
    """An expression over `e` with std::string_view texts; constants are declarations of static variables."""
    kind = tree[0]
    if kind in ("and", "or"):
        return "(" + (" && " if kind == "and" else " || ").join(to_cpp(part, constants) for part in tree[1]) + ")"
    if kind == "not":
        return "!" + to_cpp(tree[1], constants)

    def literal(value):
        return _text(value) + ("sv" if isinstance(value, str) else "")

    if kind == "cmp":
        return f"(e.{tree[2]} {tree[1]} {literal(tree[3])})"
    if kind == "bool":
        return f"e.{tree[1]}"
    if kind in ("in", "re"):
        name = f"c{len(constants)}"
        if kind == "re":
            constants.append(f'static const re2::RE2 {name}(R"re({tree[2]})re");')
            return f"matches(e.{tree[1]}, {name})"
        of = "std::string_view" if isinstance(tree[2][0], str) else "int64_t"
        constants.append(f"static const std::unordered_set<{of}> {name}{{{','.join(map(literal, tree[2]))}}};")
        return f"{name}.contains(e.{tree[1]})"
    if kind == "has":
        return f"has(e, {literal(tree[2])})"
    if kind == "mulgt":
        return f"(e.{tree[1]} * e.{tree[2]} > {tree[3]})"
    if kind == "contains":
        return f"(e.{tree[1]}.find({literal(tree[2])}) != std::string_view::npos)"
    return f"e.{tree[1]}.{kind}_with({literal(tree[2])})"


def cpp_source(rules):
    """The event, its reader, and the rules in functions of 100 each, so that the compiler's time stays linear."""
    types = {"string": "std::string_view", "int": "int64_t", "double": "double", "bool": "bool"}
    readers = {"string": "string", "int": "int64", "double": "double", "bool": "bool"}
    scalars = [(name, of) for name, of in FIELDS.items() if of in types]
    parts = ["struct Event {\n", *(f"  {types[of]} {name};\n" for name, of in scalars),
             "  std::array<std::string_view, 16> labels;\n  size_t label_count;\n};\n",
             "static bool read_field(Event& e, std::string_view key, simdjson::dom::element value) {\n",
             *(f'  if (key == "{name}"sv) {{ e.{name} = value.get_{readers[of]}().value_unsafe(); return true; }}\n'
               for name, of in scalars), "  return false;\n}\n"]
    calls = []
    for first in range(0, len(rules), 100):
        constants, lines = [], []
        for number in range(first, min(first + 100, len(rules))):
            lines.append(f"  if ({to_cpp(rules[number], constants)}) ++hits[{number}];")
        body = "\n".join(constants) + f"\n__attribute__((noinline)) static void part{first}(const Event& e) {{\n" + "\n".join(lines) + "\n}\n"
        parts.append(f"namespace p{first} {{\n{body}}}\n")
        calls.append(f"  p{first}::part{first}(e);")
    return "".join(parts) + "static void rules(const Event& e) {\n" + "\n".join(calls) + f"\n}}\nstatic const size_t kRules = {len(rules)};\n"


def policy_files(rules):
    """The rules as a Tamis policy: file name -> text. One event type, whatever `event_type` says."""
    # The events are sent again and again, and each is to be decided.
    header = ["event: event", "id: event_id", "unique: 0s", "time: {at: ts, format: ms}", "fields:"]
    header += [f"  {name}: {of}" for name, of in FIELDS.items()]
    files = {"event.yaml": "\n".join(header) + "\n"}
    for first in range(0, len(rules), 500):
        lines = ["rules:"]
        for number in range(first, min(first + 500, len(rules))):
            condition = to_cel(rules[number]).replace("'", "''")
            lines += [f"  - id: r{number:05d}", "    on: event", f"    when: '{condition}'", "    mode: live"]
        files[f"rules_{first:05d}.yaml"] = "\n".join(lines) + "\n"
    return files


def selector_of(tree):
    """(field, value) of the equality that an added rule has, or None."""
    if tree[0] == "and":
        for part in tree[1]:
            if part[0] == "cmp" and part[1] == "==" and part[2] in ("user_id", "ip", "email_domain", "device_id"):
                return part[2], part[3]
    return None


def expected_hits(rules, events):
    """For each event the numbers of the rules that match. Rules with a selective equality are looked up by it."""
    always, selected = [], {}
    for number, tree in enumerate(rules):
        selector = selector_of(tree)
        entry = (number, compile_python(tree))
        if selector:
            selected.setdefault(selector[0], {}).setdefault(selector[1], []).append(entry)
        else:
            always.append(entry)
    hits = []
    for event in events:
        found = [number for number, condition in always if condition(event)]
        for field, by_value in selected.items():
            found += [number for number, condition in by_value.get(event[field], ()) if condition(event)]
        hits.append(sorted(found))
    return hits
