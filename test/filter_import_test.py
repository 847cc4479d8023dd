"""`tamis import rspamd|spamassassin`: what an operator wrote for another filter becomes a policy that passes its check, and the rest is told."""

import json
import re
import shutil
import unittest

import harness

LOCAL_CF = r"""# the operator's own
required_score 4.0
whitelist_from friend@example.com *@partner.example
welcomelist_from news-*@list.example
blacklist_from *@bad.example
trusted_networks 192.0.2.0/24 10. 172.16/12
header LOCAL_PRIZE From:name =~ /\bprize (office|desk)\b/i
describe LOCAL_PRIZE Prize {office}
score LOCAL_PRIZE 2.0 2.0 3.0 4.0
header LOCAL_MAILER X-Mailer =~ /EvilMailer \d+/
header __LIST exists:List-Id
meta LOCAL_BOTH (LOCAL_MAILER && !__LIST)
score LOCAL_BOTH 1.5
meta LOCAL_SUM (LOCAL_MAILER + LOCAL_PRIZE > 1)
uri LOCAL_URI /^https?:\/\/(?:www\.)?casino\.example\//
uri LOCAL_PATH /login\.php/
header LOCAL_AHEAD From:addr =~ /a(?!b)/
header LOCAL_SUBJECT Subject =~ /offer/i
body LOCAL_BODY /free money/i
rawbody LOCAL_RAW /<font/
header LOCAL_EVAL eval:check_for_spf_pass()
score BAYES_99 5.0
use_bayes 1
header LOCAL_BROKEN From:addr =~ /a(b/
"""

RSPAMD = {
    "local.d/multimap.conf": r"""
BLOCKED_FROM { type = "from"; filter = "email:domain"; extract_from = "mime"; map = "$LOCAL_CONFDIR/local.d/maps.d/domains.map"; action = "reject"; }
GOOD_IP { type = "ip"; map = ["192.0.2.1", "198.51.100.0/24"]; action = "accept"; prefilter = true; }
ODD_NAME {
  type = "from"; extract_from = "mime"; regexp = true;
  map = "$LOCAL_CONFDIR/local.d/maps.d/odd.map"; # with an expression that RE2 has not
  score = 3.0; description = "An odd sender";
}
REMOTE { type = "ip"; map = "https://lists.example/ip.map"; score = 2; }
BODY { type = "content"; map = "/etc/rspamd/local.d/maps.d/odd.map"; }
""",
    "local.d/maps.d/domains.map": "# bad ones\nbad.example\n*.worse.example # and below\n",
    "local.d/maps.d/odd.map": "/^x\\d+@/i\n/^(?=y)z/\n",
    "local.d/composites.conf": 'BOTH { expression = "ODD_NAME & !GOOD_IP"; score = 1.5; }\nLOST { expression = "ODD_NAME & BAYES_SPAM"; }\n',
    "local.d/actions.conf": "reject = 20; add_header = 8; greylist = 4;\n",
    "local.d/groups.conf": 'symbols { "ODD_NAME" { weight = 4.0; } "BAYES_SPAM" { weight = 6; } }\n',
    "local.d/options.inc": 'local_addrs = [10.0.0.0/8, 192.168.0.0/16];\ndns { timeout = 1s; }\n',
    "local.d/greylist.conf": "enabled = false;\n",
    "rspamd.local.lua": "-- rules\n",
    "modules.d/antivirus.conf": "antivirus { }\n",
}


class FilterImport(harness.TestCase):
    def bring(self, kind, files, code=0):
        source, out = self.folder / kind, self.folder / f"{kind}-policy"
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        done = self.run_tamis("import", kind, str(source), "--out", str(out), code=code)
        if code == 0:
            self.run_tamis("check", str(out))
        return done, out

    def notes(self, done):
        return {line.split(": ")[0]: line for line in done.stdout.splitlines()}

    def test_entries_that_a_list_refuses_stay_behind(self):
        done, out = self.bring("spamassassin", {"local.cf": "whitelist_from *@partner.examp/le *@good.example\n"
                                                            "blacklist_from *@ba/d.example\ntrusted_networks 300.1.2.3 10.0.0.0/8 x/y\n"})
        self.assertEqual("good.example\n", (out / "imported" / "allowed_domains.txt").read_text())
        self.assertEqual("10.0.0.0/8\n", (out / "imported" / "own_networks.txt").read_text())
        for entry, why in (("partner.examp/le", "is not a domain name"), ("ba/d.example", "is not a domain name"),
                           ("300.1.2.3", "is not an address"), ("x.0.0.0/y", "is not an address")):
            self.assertTrue(any(entry in line and why in line for line in done.stdout.splitlines()), (entry, done.stdout))
        long = "a" * 300 + ".example"
        maps = ["good.example", "b@d", "c/d.example", long] + [f"bad/{number}.example" for number in range(100)]
        done, out = self.bring("rspamd", {"local.d/multimap.conf": "A { type = from; filter = \"email:domain\"; extract_from = mime; "
                                                                   "map = \"$LOCAL_CONFDIR/local.d/a.map\"; }\n",
                                          "local.d/a.map": "\n".join(maps) + "\n"})
        self.assertEqual("good.example\n", (out / "imported" / "rspamd_a.txt").read_text())
        self.assertTrue(any(long in line and "255 bytes" in line for line in done.stdout.splitlines()), done.stdout)

    def test_spamassassin(self):
        done, out = self.bring("spamassassin", {"local.cf": LOCAL_CF})
        rules = (out / "imported_rules.yaml").read_text()
        lists = {path.name: path.read_text().split() for path in (out / "imported").iterdir()}
        self.assertEqual(["friend@example.com"], lists["allowed_senders.txt"])
        self.assertEqual(["partner.example"], lists["allowed_domains.txt"])
        self.assertEqual(["bad.example"], lists["blocked_domains.txt"])
        self.assertEqual(["10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24"], lists["own_networks.txt"])
        self.assertIn("points: 6.00", rules)  # 4 of 4
        self.assertIn("points: 2.25", rules)  # 1.5 of 4
        for name in ("sa-local-prize", "sa-local-mailer", "sa-local-both", "sa-local-uri", "sa-allowed-news-"):
            self.assertIn(f"- id: {name}", rules)
        notes = self.notes(done)
        numbers = {name: number + 1 for number, line in enumerate(LOCAL_CF.splitlines()) for name in [" ".join(line.split()[:2])]}
        for line, why in (("meta LOCAL_SUM", "counts"), ("uri LOCAL_PATH", "paths"), ("header LOCAL_AHEAD", "look ahead"),
                          ("header LOCAL_SUBJECT", "Subject"), ("body LOCAL_BODY", "no text"), ("rawbody LOCAL_RAW", "no text"),
                          ("header LOCAL_EVAL", "code"), ("score BAYES_99", "not in this folder"), ("use_bayes 1", "counterpart"),
                          ("header LOCAL_BROKEN", "LOCAL_BROKEN")):
            self.assertIn(why, notes[f"local.cf:{numbers[line]}"])
        self.assertEqual(10, len(notes))
        self.assertIn("10 items did not translate", done.stderr)

    CONDITIONS = {"init.pre": "loadplugin Mail::SpamAssassin::Plugin::DKIM\n# loadplugin Mail::SpamAssassin::Plugin::AWL\n",
                  "v342.pre": "loadplugin Mail::SpamAssassin::Plugin::HashBL\n", "v310.pre": ""}

    def branches(self, text, pre=None):
        """Which of the rules R1, R2, ... of the text came over, and the notes."""
        done, out = self.bring("spamassassin", {"local.cf": text, **(pre or {})})
        written = (out / "imported_rules.yaml").read_text() if (out / "imported_rules.yaml").exists() else ""
        return sorted(set(re.findall(r"- id: sa-(r\d+)", written))), self.notes(done)

    def test_conditions_of_spamassassin(self):
        text = """ifplugin Mail::SpamAssassin::Plugin::DKIM
header R1 From:addr =~ /a/
else
header R2 From:addr =~ /b/
# nothing
header R3 From:addr =~ /b/
endif
ifplugin Mail::SpamAssassin::Plugin::AWL  # not loaded
  header R4 From:addr =~ /c/
  if (version >= 3.000)
    header R5 From:addr =~ /c/
  endif
else
  header R6 From:addr =~ /d/
endif
if (version >= 3.004001) && (version < 4.0)
header R7 From:addr =~ /e/
endif
if (version < 3.004)
header R8 From:addr =~ /f/
else
header R9 From:addr =~ /g/
endif
if !plugin(Mail::SpamAssassin::Plugin::AWL) && can(Mail::SpamAssassin::Conf::feature_bug6558_free)
header R10 From:addr =~ /h/
endif
if can(Mail::SpamAssassin::Conf::feature_capture_rules)
header R11 From:addr =~ /i/
endif
if can(Mail::SpamAssassin::Plugin::DKIM::has_arc)
header R12 From:addr =~ /j/
else
header R13 From:addr =~ /k/
endif
if local_tests_only or not (version == 3.004002)
header R14 From:addr =~ /l/
endif
if 0
header R15 From:addr =~ /m/
endif
if (version >=
header R16 From:addr =~ /n/
endif
ifplugin Mail::SpamAssassin::Plugin::AWL
endif
if (version >= 3.004)
header R17 From:addr =~ /o/
"""
        rules, notes = self.branches(text, self.CONDITIONS)
        self.assertEqual(["r1", "r10", "r17", "r6", "r7", "r9"], rules)
        told = {3: "its condition holds; lines 4 to 6 are left out", 8: "no loadplugin names Mail::SpamAssassin::Plugin::AWL; lines 9 to 11 are left out",
                19: "it is for another version; line 20 is left out", 27: "feature_capture_rules is not there; line 28 is left out",
                30: "has_arc cannot be told from the folder; line 31 is left out", 32: "has_arc cannot be told from the folder; line 33 is left out",
                35: "local_tests_only cannot be told from the folder; line 36 is left out", 38: "it never holds; line 39 is left out",
                41: "its condition is not understood; line 42 is left out", 46: "there is no endif for it"}
        self.assertEqual({f"local.cf:{line}" for line in told}, set(notes))
        for line, why in told.items():
            self.assertIn(why, notes[f"local.cf:{line}"])

    def test_conditions_of_spamassassin_without_its_pre_files(self):
        text = """ifplugin Mail::SpamAssassin::Plugin::SPF
header R1 From:addr =~ /a/
endif
ifplugin Some::Plugin
header R2 From:addr =~ /b/
else
header R3 From:addr =~ /c/
endif
if (version >= 3.004)
header R4 From:addr =~ /d/
endif
if (version >= 4.000)
header R5 From:addr =~ /e/
endif
"""
        rules, notes = self.branches(text)
        self.assertEqual(["r1", "r4"], rules)
        self.assertEqual({"local.cf:4", "local.cf:6", "local.cf:12"}, set(notes))
        self.assertIn("no .pre file to tell whether Some::Plugin is loaded; line 5 is left out", notes["local.cf:4"])
        self.assertIn("does not tell of which version", notes["local.cf:12"])
        shutil.rmtree(self.folder / "spamassassin-policy")
        self.assertEqual(["r1", "r4", "r5"], self.branches("require_version 4.0\n" + text)[0])
        shutil.rmtree(self.folder / "spamassassin-policy")
        self.assertEqual(["r1", "r2", "r4"], self.branches("loadplugin Some::Plugin\n" + text)[0])
        shutil.rmtree(self.folder / "spamassassin-policy")
        deep = "if " + "(" * 100_000 + "\nheader R1 From:addr =~ /a/\nendif\n" + "if 1\n" * 10_000
        self.assertIn("not understood", self.branches(deep)[1]["local.cf:1"])

    def test_what_was_brought_decides(self):
        _, out = self.bring("spamassassin", {"local.cf": LOCAL_CF})
        letter = self.folder / "letter.eml"
        letter.write_text("From: Prize office <a@bad.example>\r\nTo: b@our.example\r\nX-Mailer: EvilMailer 7\r\n\r\nhttp://www.casino.example/x\r\n")
        said = self.run_tamis("mail", "scan", "--json", "--fresh", "--policy", str(out), str(letter)).stdout
        for name in ("sa-local-prize", "sa-local-mailer", "sa-local-both", "sa-local-uri", "blocked-sender"):
            self.assertIn(name, said)

    def rules_that_match(self, out, sender, headers=""):
        letter = self.folder / "letter.eml"
        letter.write_text(f"From: {sender}\r\nTo: b@our.example\r\n{headers}\r\nhello\r\n")
        said = self.run_tamis("mail", "scan", "--json", "--fresh", "--policy", str(out), "--sender", sender.rsplit("<")[-1].strip(">"),
                              "--recipient", "b@our.example", str(letter)).stdout
        return [symbol["name"] for symbol in json.loads(said)["symbols"]]

    def test_maps_of_addresses_hold_domains_and_names_too(self):
        done, out = self.bring("rspamd", {
            "local.d/multimap.conf": "FROM { type = \"from\"; map = \"$LOCAL_CONFDIR/local.d/from.map\"; action = \"reject\"; message = \"Not this one: 'no'\"; }\n"
                                     "TO { type = \"rcpt\"; map = \"$LOCAL_CONFDIR/local.d/to.map\"; score = 2; }\n",
            "local.d/from.map": "foe.example\nx@mail.other.example\nnobody\n", "local.d/to.map": "our.example\n"})
        self.assertIn("say: \"Not this one", (out / "imported_rules.yaml").read_text().replace("'Not", "\"Not"))
        self.assertTrue([line for line in done.stdout.splitlines() if "TO" in line and "first alone" in line], done.stdout)
        for sender, hit in (("a@foe.example", True), ("a@below.foe.example", False), ("x@mail.other.example", True), ("y@mail.other.example", False),
                            ("nobody@third.example", True)):
            rules = self.rules_that_match(out, sender)
            self.assertEqual(hit, "rspamd-from" in rules, (sender, rules))
            self.assertIn("rspamd-to", rules)

    def test_capitals_and_proof_of_spamassassin(self):
        done, out = self.bring("spamassassin", {"local.cf": r"""
header FROM_CAPS From =~ /\b[A-Z]{6,}\b/
score FROM_CAPS 2
header FROM_CROSSED From =~ /amazon.*@gmail\.com/i
whitelist_auth *@paypal.example
whitelist_from_dkim *@news.example lists.example
whitelist_from_rcvd *@old.example relay.example
whitelist_to ann@our.example
more_spam_to bob@our.example
blacklist_to trap@our.example
"""})
        self.assertTrue([line for line in done.stdout.splitlines() if "FROM_CROSSED" in line and "how From is written" in line], done.stdout)
        self.assertTrue([line for line in done.stdout.splitlines() if "whitelist_to" in line and "first alone" in line], done.stdout)
        rules = (out / "imported_rules.yaml").read_text()
        for who, points in (("ann", "-7.20"), ("bob", "-24.00"), ("trap", "12.00")):
            self.assertRegex(rules, rf"id: sa-to-{who}-our-example(?s:.)*?points: {points}")
        self.assertIn("sa-from-caps", self.rules_that_match(out, "PRIZEOFFICE <a@b.example>"))
        self.assertNotIn("sa-from-caps", self.rules_that_match(out, "Somebody Ordinary <prizeoffice@example.example>"))
        # No DNS: nothing is proven, so nobody is believed who has to be.
        for sender in ("service@paypal.example", "x@news.example", "x@old.example"):
            self.assertFalse([rule for rule in self.rules_that_match(out, sender) if "allowed" in rule], sender)
        rules = (out / "imported_rules.yaml").read_text()
        self.assertIn("dkim_domains.exists(d, d ==", rules)
        self.assertNotIn("lists\\.example", rules)
        self.assertNotIn("relay", rules.replace("whitelist_from_rcvd", ""))

    def test_what_many_write_for_rspamd(self):
        done, out = self.bring("rspamd", {
            "local.d/multimap.conf": "GOOD { type = from; filter = \"email:domain:tld\"; score = -6; map = \"/${LOCAL_CONFDIR}/local.d/good.map\"; }\n",
            "local.d/good.map": "good.example\n", "local.d/options.inc": "local_addrs = \"10.0.0.0/8, 192.168.0.0/16\";\n"})
        self.assertEqual("10.0.0.0/8\n192.168.0.0/16\n", (out / "imported" / "own_networks.txt").read_text())
        self.assertEqual("good.example\n", (out / "imported" / "rspamd_good.txt").read_text())
        rules = (out / "imported_rules.yaml").read_text()
        self.assertIn('spf == "pass"', rules.replace("\\", ""))
        self.assertTrue([line for line in done.stdout.splitlines() if "nothing proves" in line], done.stdout)
        events = self.folder / "events.jsonl"
        of = lambda number, **more: json.dumps({"type": "mail", "id": f"m{number}", "direction": "in", "sender": "x@mail.good.example", **more})
        events.write_text("\n".join([of(1, dns=True, spf="none"), of(2, dns=True, spf="pass"), of(3)]) + "\n")
        lines = [json.loads(line) for line in self.run_tamis("replay", "--policy", str(out), "--quiet", str(events)).stdout.splitlines()]
        self.assertEqual([False, True, True], ["rspamd-good" in line.get("rules", []) for line in lines], lines)

    def test_rspamd(self):
        done, out = self.bring("rspamd", RSPAMD)
        rules = (out / "imported_rules.yaml").read_text()
        lists = {path.name: path.read_text().split() for path in (out / "imported").iterdir()}
        self.assertEqual(["bad.example", "worse.example"], lists["rspamd_blocked_from.txt"])
        self.assertEqual(["192.0.2.1", "198.51.100.0/24"], lists["rspamd_good_ip.txt"])
        self.assertEqual(["10.0.0.0/8", "192.168.0.0/16"], lists["own_networks.txt"])
        self.assertIn("points: 3.00", rules)  # a weight of 4 where 8 tags
        self.assertIn("reject: 15.00}", (out / "events.yaml").read_text())  # 20 of 8
        self.assertIn("- id: rspamd-both", rules)
        self.assertNotIn("rspamd-lost", rules)
        text = done.stdout
        for where, why in (("local.d/maps.d/odd.map:2", "look ahead"), ("local.d/multimap.conf:9", "fetched"), ("local.d/multimap.conf:10", "content"),
                           ("local.d/composites.conf:2", "BAYES_SPAM"), ("local.d/actions.conf:1", "greylist"), ("local.d/groups.conf:1", "own rules"),
                           ("local.d/options.inc:2", "dns"), ("local.d/greylist.conf:1", "counterpart"), ("rspamd.local.lua:1", "Lua")):
            self.assertTrue([line for line in text.splitlines() if line.startswith(where + ":") and why in line], f"{where} {why}\n{text}")
        self.assertNotIn("antivirus", text)

    def test_what_cannot_be_read_is_said(self):
        done, _ = self.bring("rspamd", {"readme.txt": "nothing"}, code=2)
        self.assertIn("local.d", done.stderr)
        done, out = self.bring("rspamd", {"local.d/multimap.conf": "A { type = \"ip\"; map = [ " + "[" * 50 + "\n"})
        self.assertIn("not understood", done.stdout)
        done, _ = self.bring("spamassassin", {"local.cf": "trusted_networks 192.0.2.0/24 192.0.x\nmeta EMPTY\nmeta RING (RING)\n"})
        self.assertIn("own_networks: 192.0.x", done.stdout)
        self.assertIn("RING did not translate", done.stdout)
        again = self.run_tamis("import", "rspamd", str(self.folder / "rspamd"), "--out", str(out), code=2)
        self.assertIn("new or empty", again.stderr)
        self.assertIn("rspamd or spamassassin", self.run_tamis("import", code=2).stderr)


if __name__ == "__main__":
    unittest.main()
