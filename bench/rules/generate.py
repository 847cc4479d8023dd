"""Events and rules of the benchmark: 28 fields, 650 bytes of JSON, 100 rules with 2.5 hits an event, and added rules.

The events and the first 100 rules are those of the anchors where these are at hand (run.py finds them); this module makes
a set of the same shape otherwise, and the added rules in either case. Everything follows from fixed seeds.
"""

import json
import random

from rule_set import compile_python

COUNTRIES = "DE US FR NL CH GB BR IN ES IT PL SE CA JP AU TR ID VN NG UA RO CZ AT FI NO DK BE PT GR ZA".split()
DOMAINS = [f"host{number}.example" for number in range(400)] + [f"free{number}.test" for number in range(5)]
WORDS = ("account alert bank bonus budget calendar claim club code contract coupon crypto deal draft exclusive family final gift "
         "holiday invoice lunch meeting money newsletter offer parcel password photo prize project refund report reward "
         "schedule security statement ticket travel urgent verify wallet").split()
AGENTS = ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36",
          "Mozilla/5.0 (Macintosh; Intel Mac OS X 13_%d) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16 Safari/605",
          "python-urllib/3.%d", "curl/8.%d.0", "okhttp/4.%d", "Mozilla/5.0 (Android 13; Mobile; rv:%d.0) Gecko/20100101 Firefox/117.0"]
PATHS = ["/", "/signup", "/login", "/api/v1/messages/%d", "/api/v1/session", "/find?q=%d", "/assets/main.%d.css",
         "/api/v2/invoices/%d/pay", "/xmlrpc.php", "/.git/config"]
TYPES = ["signup", "login", "mail_out", "http", "payment"]

# Upper ends of the skewed numbers, for events and for thresholds.
INTS = {"asn": 61000, "account_age_s": 94608000, "body_len": 200000, "url_count": 30, "recipients": 200,
        "failed_logins_1h": 60, "signups_subnet_1h": 80, "sends_10m": 400, "distinct_ips_24h": 25}
DOUBLES = {"new_recipient_ratio": 1.0, "spam_score": 1.0, "amount": 5000.0}

REGEXES = [("subject", r"^(urgent|verify|final)\b"), ("subject", r"\b(prize|reward)\b.*\bclaim\b"), ("subject", r"crypto.{0,20}wallet"),
           ("subject", r"(gift|coupon)\s+\w+\s+code"), ("user_agent", r"(python|curl|okhttp)"), ("user_agent", r"Chrome/(9[0-9]|10[0-9])\."),
           ("user_agent", r"rv:1[01][0-9]\.0"), ("path", r"^/api/v[0-9]+/(messages|invoices)/[0-9]+"), ("path", r"\.(php|git|env)"),
           ("path", r"[?&]q=[0-9]{5}"), ("email", r"^[a-z]+[0-9]{4,}@"), ("email", r"@free[0-9]\."), ("ip", r"^10\.|^192\.168\."),
           ("device_id", r"^0{2,}|f{3,}$"), ("email_domain", r"^(host|mail)[0-9]{3}\.")]


class Chance:
    """Random.random() is the one method whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.next = random.Random(seed).random

    def below(self, bound):
        return int(self.next() * bound)

    def skewed(self, bound):
        return int(bound * self.next() ** 3)

    def pick(self, values):
        return values[self.below(len(values))]


def make_event(chance, number):
    agent, path = chance.pick(AGENTS), chance.pick(PATHS)
    return {
        "event_id": f"e{number:08d}", "event_type": chance.pick(TYPES), "ts": 1790000000000 + number * 41,
        "user_id": f"u{chance.skewed(200000):06d}", "ip": ".".join(str(1 + chance.below(223)) for _ in range(4)),
        "asn": 1000 + chance.skewed(60000), "country": COUNTRIES[chance.skewed(len(COUNTRIES))],
        "account_age_s": chance.skewed(94608000), "is_paid": chance.below(10) == 0,
        "email": f"{chance.pick(WORDS)}{chance.below(100000)}@{DOMAINS[chance.skewed(len(DOMAINS))]}",
        "email_domain": DOMAINS[chance.skewed(len(DOMAINS))], "user_agent": agent % chance.below(120),
        "device_id": f"{chance.below(1 << 32):08x}{chance.below(1 << 32):08x}",
        "subject": " ".join(chance.pick(WORDS) for _ in range(3 + chance.below(6))), "body_len": chance.skewed(200000),
        "url_count": chance.skewed(30), "recipients": 1 + chance.skewed(200), "new_recipient_ratio": round(chance.next(), 4),
        "spam_score": round(chance.next() ** 2, 4), "path": path % chance.below(100000) if "%d" in path else path,
        "method": chance.pick(["GET", "GET", "GET", "POST", "PUT"]), "status": chance.pick([200, 200, 200, 301, 401, 403, 404, 500]),
        "amount": round(chance.skewed(5000) + chance.next(), 2), "failed_logins_1h": chance.skewed(60),
        "signups_subnet_1h": chance.skewed(80), "sends_10m": chance.skewed(400), "distinct_ips_24h": 1 + chance.skewed(25),
        "labels": [label for label in ("trusted", "new", "watch", "vip") if chance.below(4) == 0],
    }


class RuleMaker:
    """Draws the parts of rules. `vocabulary` has the words, domains, ... of the events, so that rules speak of them."""

    def __init__(self, chance, vocabulary):
        self.chance, self.words = chance, vocabulary

    def above(self):
        if self.chance.below(4) == 0:
            field = self.chance.pick(list(DOUBLES))
            return ["cmp", ">", field, round(DOUBLES[field] * (0.4 + 0.5 * self.chance.next()), 3)]
        field = self.chance.pick(list(INTS))
        return ["cmp", ">", field, int(INTS[field] * (0.3 + 0.6 * self.chance.next()))]

    def below(self):
        field = self.chance.pick(list(INTS))
        return ["cmp", "<", field, 1 + int(INTS[field] * (0.02 + 0.3 * self.chance.next()))]

    def of_type(self):
        return ["cmp", "==", "event_type", self.chance.pick(TYPES)]

    def comparison(self, number):
        parts = [self.of_type() if number % 4 else self.below(), self.above()]
        if number % 3 == 0:
            parts.append(self.above())
        if number % 5 == 0:
            parts.append(["not", ["bool", "is_paid"]])
        return parts

    def string(self, number):
        chance, words = self.chance, self.words
        part = [["contains", "subject", chance.pick(words["subject"]) + " " + chance.pick(words["subject"])],
                ["starts", "user_agent", chance.pick(words["agent"])],
                ["ends", "email", "@" + chance.pick(words["domain"])],
                ["contains", "path", chance.pick(words["path"])]][number % 4]
        return [part, self.above()] if number % 2 else [self.of_type(), part]

    def membership(self, number):
        chance, words = self.chance, self.words
        field, values = [("country", {chance.pick(words["country"]) for _ in range(10)}),
                         ("asn", {1000 + chance.skewed(60000) for _ in range(50)}),
                         ("email_domain", {chance.pick(words["domain"]) for _ in range(100)})][number % 3]
        part = ["in", field, sorted(values)]
        return [part, self.above()] if number % 2 else [part, self.below(), self.above()]

    def regex(self, number):
        field, pattern = self.words["regex"][number % len(self.words["regex"])]
        return [["re", field, pattern], self.above() if number % 2 else self.of_type()]

    def compound(self, number):
        kind = number % 5
        if kind == 0:
            return [["or", [self.above(), self.above(), self.above()]], self.of_type(), ["not", ["has", "labels", "trusted"]]]
        if kind == 1:
            return [["or", [["and", [self.above(), self.above(), self.below()]],
                            ["and", [self.of_type(), self.above(), ["has", "labels", "watch"]]]]]]
        if kind == 2:
            return [["mulgt", "sends_10m", "recipients", 8000 + 4000 * (number % 10)], self.below()]
        if kind == 3:
            return [["cmp", "==", "event_type", "http"], ["cmp", "==", "status", self.chance.pick([401, 403, 404])],
                    ["or", [["contains", "path", "login"], ["contains", "path", "api"]]], self.above()]
        countries = sorted({self.chance.pick(self.words["country"]) for _ in range(3)})
        return [["cmp", "!=", "method", "GET"], ["not", ["or", [["in", "country", countries], ["bool", "is_paid"]]]], self.above()]

    def hundred(self):
        """100 rules: 40 comparisons, 20 string tests, 15 memberships, 15 regexes, 10 compound ones."""
        kinds = [(self.comparison, 40), (self.string, 20), (self.membership, 15), (self.regex, 15), (self.compound, 10)]
        return [make(number) for make, count in kinds for number in range(count)]


def vocabulary_of(events, rules):
    """The words that the given events and rules use, so that added rules are of the same kinds."""
    leaves = []

    def collect(tree):
        if tree[0] in ("and", "or"):
            for part in tree[1]:
                collect(part)
        elif tree[0] == "not":
            collect(tree[1])
        else:
            leaves.append(tree)

    for tree in rules:
        collect(tree)
    sample = events[:5000]
    return {
        "subject": sorted({word for event in sample for word in event["subject"].split()}),
        "agent": sorted({leaf[2] for leaf in leaves if leaf[0] == "starts"}) or ["curl/"],
        "domain": sorted({event["email_domain"] for event in sample}),
        "country": sorted({event["country"] for event in sample}),
        "path": sorted({leaf[2] for leaf in leaves if leaf[0] == "contains" and leaf[1] == "path"}) or ["/api/v1"],
        "regex": [(leaf[1], leaf[2]) for leaf in leaves if leaf[0] == "re"] or REGEXES,
    }


def base_set(event_count):
    """Events and 100 rules of our own making."""
    chance = Chance(20240229)
    events = [make_event(chance, number) for number in range(event_count)]
    vocabulary = {"subject": WORDS, "agent": ["python-urllib/", "curl/", "okhttp/"], "domain": DOMAINS, "country": COUNTRIES,
                  "path": ["/api/v1", "/pay", "xmlrpc", ".git", "find?q="], "regex": REGEXES}
    return events, [["and", parts] if len(parts) > 1 else parts[0] for parts in RuleMaker(Chance(7), vocabulary).hundred()]


def added_rules(count, events, base):
    """Rules of the same kinds, each with one selective equality somewhere in its conjunction.

    Most name an account, domain, address or device that some event has; the rest name others, as in life."""
    chance = Chance(11)
    maker = RuleMaker(chance, vocabulary_of(events, base))
    by_use = {}
    for event in events:
        by_use[event["email_domain"]] = by_use.get(event["email_domain"], 0) + 1
    rare_domains = sorted(by_use, key=lambda domain: (by_use[domain], domain))[:len(by_use) // 2 + 1]
    rules = []
    while len(rules) < count:
        for parts in maker.hundred():
            # Where we can, about an event that the rest of the rule is true of: then the rule is hit, and missing it shows.
            rest = compile_python(["and", parts])
            tried = [chance.pick(events) for _ in range(20)]
            event, kind = next((event for event in tried if rest(event)), tried[0]), len(rules) % 4
            if kind == 0:
                account = event["user_id"]
                # The most active accounts have hundreds of events each; a rule about one account names an ordinary one.
                value = account if int(account[1:]) > 2000 else f"u{2000 + chance.below(198000):06d}"
                selector = ["cmp", "==", "user_id", value]
            elif kind == 1:
                value = chance.pick(rare_domains) if chance.below(5) == 0 else f"shop{chance.below(100000)}.example"
                selector = ["cmp", "==", "email_domain", value]
            elif kind == 2:
                selector = ["cmp", "==", "ip", event["ip"]]
            else:
                selector = ["cmp", "==", "device_id", event["device_id"]]
            place = chance.below(len(parts) + 1)
            rules.append(["and", [*parts[:place], selector, *parts[place:]]])
    return rules[:count]


def write_events(events, path):
    with open(path, "w", encoding="ascii") as out:
        for event in events:
            out.write(json.dumps(event, separators=(",", ":")) + "\n")
