"""Mail, from a message to a verdict and back from a correction to the next one: over HTTP, on the command line, through
crashes, and without a word of any message on the disk."""

import json
import os
import random
import re
import shutil
import sys
import threading
import unittest

import harness
import openapi

POLICY = harness.TOP / "policies" / "mail"
HAM = "meeting agenda minutes review draft patch compiler invoice lunch train budget report thesis garden recipe weather".split()
SPAM = "winner casino pills viagra lottery million transfer cheap loans enlargement jackpot prince urgent bonus replica rolex".split()
SECRET = "quixotic-zebra"


def message(number, spam, seed=1, secret=False, eol="\n"):
    """A message of its own words, always the same."""
    chance = random.Random(f"{seed} {number} {spam}")
    words = SPAM if spam else HAM
    text = " ".join(chance.choice(words) for _ in range(60))
    who = f"sales{number}@deals{number % 7}.example" if spam else f"anna{number % 3}@work.example"
    lines = [f"From: {who}", "To: bert@our.example", f"Subject: {chance.choice(words)} {chance.choice(words)} {SECRET if secret else ''}",
             f"Date: Mon, 02 Nov 2026 10:{number % 60:02d}:00 +0000", f"Message-ID: <{seed}.{number}.{int(spam)}@{who.split('@')[1]}>",
             "Content-Type: text/plain; charset=utf-8", "", text, f"{SECRET if secret else 'regards'} {chance.randrange(10**6)}",
             "http://click.deals.example/now" if spam else "See you", ""]
    return eol.join(lines)


class Case(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"

    def serve(self, *arguments):
        model = self.folder / "no-model"
        if not model.exists():
            self.run_tamis("mail", "learn", "--model", model, "--ham", self.write(message(999, False)))
        return harness.Server(POLICY, self.data, "--mail-model", model, *arguments)

    def write(self, text, name="m.eml"):
        path = self.folder / name
        path.write_bytes(text.encode())
        return path

    def post(self, server, path, body="", status=200):
        answer = server.request("POST", path, body, headers={"Content-Type": "message/rfc822"})
        self.assertEqual(status, answer.status, answer)
        openapi.check("POST", path, answer)
        return answer.json()

    def stats(self, server):
        answer = server.get("/v1/mail/stats")
        openapi.check("GET", "/v1/mail/stats", answer)
        return answer.json()

    def teach(self, server, count=12):
        for number in range(count):
            for spam in (False, True):
                self.post(server, f"/v1/mail/learn?label={'spam' if spam else 'ham'}&reporter=carl", message(number, spam))

    def probability(self, server, text):
        return self.post(server, "/v1/mail", text)["probability"]


class OverHttp(Case):
    def test_a_message_is_judged_and_nothing_of_it_is_kept(self):
        with self.serve() as server:
            text = message(1, True, secret=True)
            answer = self.post(server, "/v1/mail?ip=192.0.2.1&helo=h.example&recipient=bert@our.example&explain=1", text)
            self.assertEqual("accept", answer["verdict"])
            self.assertEqual(["spam-model"], [s["name"] for s in answer["symbols"]])
            headers = {h["name"]: h["value"] for h in answer["headers"]}
            self.assertRegex(headers["X-Spam-Status"], r"^No, score=-?\d+\.\d\d required=6\.00 tests=spam-model$")
            self.assertRegex(headers["Authentication-Results"], r"^\S+; none$")
            self.assertEqual(answer["id"], headers["X-Spam-Id"])
            model = answer["explanation"]["model"]
            self.assertAlmostEqual(model["logit"], sum(model["contributions"].values()), places=3)
            stored = server.get(f"/v1/decisions/mail/{answer['id']}").json()
            self.assertEqual(answer["points"], stored["decision"]["points"])
            self.post(server, f"/v1/mail/learn?label=spam&id={answer['id']}")
        for path in self.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)
        journal = self.run_tamis("query", "--data", self.data, "--json", "SELECT * FROM mail").stdout
        self.assertIn("192.0.2.1", journal)
        self.assertNotIn("viagra", journal)

    def test_forged_headers_are_taken_out(self):
        with self.serve("--mail-host", "mx.our.example") as server:
            forged = ("X-Spam-Status: No\nAuthentication-Results: far.example; spf=fail\n"
                      "Authentication-Results: mx.our.example; dmarc=pass\nAuthentication-Results: other.example; spf=pass\n")
            answer = self.post(server, "/v1/mail", forged + message(1, False))
            self.assertEqual(["Authentication-Results", "X-Spam-Status"], sorted(answer["remove_headers"]))
            self.assertTrue(answer["headers"][0]["value"].startswith("mx.our.example; "))

    def test_greylisting_and_the_way_back(self):
        with self.serve() as server:
            envelope = "?ip=203.0.113.9&sender=x@new.example&recipient=bert@our.example"
            unknown = "From: x@new.example\nMessage-ID: <q@new.example>\n\nqwerty\n"  # neither wanted nor spam, as far as known
            answer = self.post(server, "/v1/mail" + envelope, unknown)
            self.assertEqual("greylist", answer["verdict"])
            self.assertIn("try again", answer["reply"])
            out = "?direction=out&user=bert&ip=198.51.100.1&sender=bert@our.example&recipient=x@new.example"
            sent = "From: bert@our.example\nTo: x@new.example\nMessage-ID: <own.1@our.example>\n\nhello\n"
            self.assertEqual([], self.post(server, "/v1/mail" + out, sent)["headers"])
            reply = "From: x@new.example\nTo: bert@our.example\nIn-Reply-To: <own.1@our.example>\nMessage-ID: <r@new.example>\n\nyes\n"
            answer = self.post(server, "/v1/mail" + envelope, reply)
            self.assertEqual("accept", answer["verdict"])
            self.assertLess(answer["points"], 0)
            self.assertEqual({"spam-model", "answer-to-own-mail", "known-correspondent"}, {s["name"] for s in answer["symbols"]})

    def test_entries_of_lists_match_in_any_letter_case(self):
        mail = "From: {} <x@free.example>\nTo: bert@our.example\n\nhello\n"
        with self.serve() as server:
            def rules(name):
                return {s["name"] for s in self.post(server, "/v1/mail?direction=in", mail.format(name))["symbols"]}
            self.assertNotIn("protected-name", rules("PayPal"))
            for body in ({"value": "PayPal"}, {"value": "paypal", "reason": "the same"}, {"value": "Ada BOSS"}):
                self.assertEqual(200, server.post("/v1/lists/protected_names", json.dumps(body)).status)
            self.assertEqual(["PayPal", "Ada BOSS"], [e["value"] for e in server.get("/v1/lists/protected_names").json()["entries"]])
            for name in ("PayPal", "paypal", "PAYPAL", "ada boss", "Ada Boss"):
                self.assertIn("protected-name", rules(name))
            self.assertEqual(200, server.post("/v1/lists/protected_names", json.dumps({"act": "list_remove", "value": "PAYPAL"})).status)
            self.assertNotIn("protected-name", rules("PayPal"))
            self.assertEqual({True}, {one["ignore_case"] for one in server.get("/v1/lists").json()["lists"] if one["name"].endswith("_senders")})
            self.assertEqual(200, server.post("/v1/lists/blocked_senders", json.dumps({"value": "X@Free.Example"})).status)
            self.assertEqual("reject", self.post(server, "/v1/mail?direction=in", mail.format("X"))["verdict"])
        with self.serve() as server:  # from the snapshot
            self.assertIn("protected-name", rules("ADA BOSS"))
            self.assertNotIn("protected-name", rules("PayPal"))

    def test_a_compromised_account_is_stopped(self):
        with self.serve() as server:
            sent = "From: eve@our.example\nTo: a@far.example\n\nhello\n"
            verdicts = []
            for number in range(8):
                path = f"/v1/mail?direction=out&user=eve&ip=198.51.{number}.1&recipient=" + ",".join(f"r{n}@far.example" for n in range(10))
                verdicts.append(self.post(server, path, sent)["verdict"])
            self.assertEqual(["accept"] * 5 + ["reject"] * 3, verdicts)
            self.assertEqual("accept", self.post(server, "/v1/mail?direction=out&user=bob&ip=198.51.1.1", sent)["verdict"])

    def test_errors(self):
        with self.serve() as server:
            for path, body, status, says in [("/v1/mail?bogus=1", "x", 400, "?bogus=: no such parameter here; this path takes direction, ip,"),
                                             ("/v1/mail?direction=in&Ip=192.0.2.1", "x", 400, "?Ip="),
                                             ("/v1/mail/take-back?who=x", "", 400, "takes reporter, reason"),
                                             ("/v1/mail", "", 400, "expected a message"), ("/v1/mail?direction=up", "x", 400, "in or out"),
                                             ("/v1/mail/learn?label=bad", "x", 400, "spam, ham or forget"),
                                             ("/v1/mail/learn?label=spam", "", 400, "?id= of a message"),
                                             ("/v1/mail/learn?label=spam&id=nothing", "", 404, "remembered"),
                                             ("/v1/mail/learn?label=forget", "From: a@b.example\n\nx\n", 404, "nothing to take back"),
                                             ("/v1/mail/take-back", "", 400, "?reporter=")]:
                self.assertIn(says, self.post(server, path, body, status=status)["message"])

    def test_a_stolen_account_that_is_hardly_like_spam(self):
        with harness.Server(POLICY, self.data) as server:  # with the model that ships
            verdicts = []
            for number in range(240):
                sent = f"From: eve@our.example\nTo: a{number}@far.example\nMessage-ID: <{number}@our.example>\n\ncheap pills, order now at http://pills{number}.example/\n"
                verdicts.append(self.post(server, f"/v1/mail?direction=out&user=eve&ip=198.51.1.1&recipient=r{number}@far.example", sent)["verdict"])
            self.assertIn("reject", verdicts[:60], verdicts)
            self.assertEqual({"reject"}, set(verdicts[201:]), verdicts)  # a tag lets nothing through that is over the rate


class Learning(Case):
    def test_corrections_count_at_once_and_can_be_undone(self):
        with self.serve() as server:
            self.teach(server)
            spam = self.post(server, "/v1/mail", message(100, True))
            ham = self.post(server, "/v1/mail", message(100, False))
            self.assertTrue(spam["spam"] and spam["probability"] > 0.9, spam)
            self.assertTrue(not ham["spam"] and ham["probability"] < 0.1, ham)
            # A wrong correction by id, undone by the same reporter, by text, whose line ends are others.
            before = self.stats(server)
            self.post(server, f"/v1/mail/learn?label=spam&reporter=dora&id={ham['id']}")
            wrong = self.probability(server, message(100, False))
            self.assertGreater(wrong, ham["probability"] + 0.3)
            self.post(server, "/v1/mail/learn?label=ham&reporter=dora", message(100, False, eol="\r\n"))
            self.assertLess(self.probability(server, message(100, False)), 0.5)
            after = self.stats(server)
            self.assertEqual(before["ham_learned"] + 1, after["ham_learned"])
            self.assertEqual(before["spam_learned"], after["spam_learned"])
            self.post(server, "/v1/mail/learn?label=forget&reporter=dora", message(100, False))
            self.assertAlmostEqual(ham["probability"], self.probability(server, message(100, False)), delta=0.05)
            self.assertEqual(before["ham_learned"], self.stats(server)["ham_learned"])

    def test_all_that_a_reporter_taught_can_be_taken_back(self):
        with self.serve() as server:
            self.teach(server)
            before = self.stats(server)
            honest = self.probability(server, message(200, False))
            for number in range(200, 206):
                self.post(server, "/v1/mail/learn?label=spam&reporter=mallory", message(number, False))
            self.post(server, "/v1/mail/learn?label=spam&reporter=mallory", message(3, False))  # which carl had said was ham
            poisoned = self.probability(server, message(200, False))
            taken = self.post(server, "/v1/mail/take-back?reporter=mallory")
            self.assertEqual({"ok": True, "votes": 7, "corrected": 7, "out_of_reach": 0}, taken)
            after = self.stats(server)
            self.assertEqual((before["ham_learned"], before["spam_learned"]), (after["ham_learned"], after["spam_learned"]))
            self.assertGreater(poisoned, 0.5)
            self.assertLess(honest, 0.1)
            self.assertLess(self.probability(server, message(200, False)), 0.2)

    def test_one_wrong_correction_spoils_nothing_else(self):
        with harness.Server(POLICY, self.data) as server:  # the model that ships, on which nobody else has worked yet
            sure = ("From: sales@deals.example\nTo: undisclosed-recipients:;\nSubject: Lowest mortgage rates!!! Free quote\n\n"
                    "Refinance now, no obligation! Earn $5000 per week from home, 100% free. To be removed click here: "
                    "http://203.0.113.9/remove.html\n")
            spams = [f"From: offers{n}@cash.example\nTo: undisclosed-recipients:;\nSubject: FREE MONEY $$$ act now {n}\n\n"
                     "Dear friend, viagra and cheap loans, no credit check! Click here to remove: http://203.0.113.7/remove\n"
                     f"100% guaranteed, order now, limited time offer {n}\n" for n in range(20)]
            before = [self.probability(server, text) for text in spams]
            self.assertGreater(min(before), 0.9, before)
            other = self.post(server, "/v1/mail", sure)
            self.assertTrue(other["spam"], other)
            self.post(server, f"/v1/mail/learn?label=ham&reporter=dora&recipient=dora@our.example&id={other['id']}")
            spoiled = [self.probability(server, text) for text in spams]
            self.assertGreater(min(spoiled), 0.5, spoiled)
            self.post(server, "/v1/mail/learn?label=forget&reporter=dora&recipient=dora@our.example", sure)
            self.assertTrue(self.post(server, "/v1/mail?recipient=dora@our.example", sure)["spam"])
            for old, new in zip(before, [self.probability(server, text) for text in spams]):
                self.assertAlmostEqual(old, new, delta=0.02)

    def golden(self, server, path="/v1/mail/golden"):
        answer = server.get(path)
        openapi.check("GET", path, answer)
        return answer.json()

    def fill_golden(self, server, count=10):
        for number in range(count):
            for spam in (False, True):
                self.post(server, f"/v1/mail/golden?label={'spam' if spam else 'ham'}", message(number, spam, seed=7))

    def test_a_batch_that_does_harm_is_refused_and_shown(self):
        with self.serve() as server:
            self.teach(server)
            self.fill_golden(server)
            probes = [message(number, number % 2 == 0, seed=11) for number in range(6)]
            scores = [self.probability(server, text) for text in probes]
            before = self.stats(server)
            for number in range(500, 540):
                self.post(server, "/v1/mail/learn?label=spam&reporter=mallory&batch=b1", message(number, False))
            self.assertEqual(before["corrections"], self.stats(server)["corrections"])  # nothing is learned yet
            refused = self.post(server, "/v1/mail/batch?name=b1")
            self.assertEqual((False, 40, 0, True), tuple(refused[k] for k in ("ok", "messages", "learned", "judged")))
            self.assertGreater(refused["after"]["ham_as_spam"], 1)
            self.assertIn("wanted mail taken for spam went from 0", refused["why"])
            self.assertEqual(scores, [self.probability(server, text) for text in probes])  # not a bit is another
            self.post(server, "/v1/mail/batch?name=b1", status=404)
            for number in range(500, 520):
                self.post(server, "/v1/mail/learn?label=ham&reporter=anna&batch=b2", message(number, False))
            learned = self.post(server, "/v1/mail/batch?name=b2")
            self.assertEqual((True, 20, True), (learned["ok"], learned["learned"], learned["judged"]), learned)
            shown = self.golden(server)
            self.assertEqual([("mallory", 40, False)], [(r["reporter"], r["messages"], r["was_learned"]) for r in shown["refused"]])
            self.assertEqual({"ham": 10, "ham_as_spam": 0, "spam": 10, "spam_as_ham": 0}, shown["now"])
            metrics = server.get("/metrics").text()
            self.assertRegex(metrics, r"(?m)^tamis_mail_batches_refused_total 1$")
            self.assertRegex(metrics, r'(?m)^tamis_mail_golden_messages{label="ham"} 10$')
            trail = server.get("/v1/audit?what=mail.refuse-batch").json()
            self.assertIn("mallory", json.dumps(trail))
            for path, status in [("/v1/mail/batch", 400), ("/v1/mail/learn?label=forget&batch=x", 400), ("/v1/mail/learn?label=spam&batch=x&id=y", 400),
                                 ("/v1/mail/golden?label=forget", 404), ("/v1/mail/golden?label=maybe", 400), ("/v1/mail/golden?label=ham&id=y", 404)]:
                self.post(server, path, "" if "id=" in path or path.endswith("batch") else "From: q@q.example\n\nq\n", status=status)

    def test_reports_that_do_harm_one_by_one_are_taken_out_again(self):
        with self.serve() as server:
            self.teach(server)
            self.fill_golden(server)
            probes = [message(number, number % 2 == 0, seed=11) for number in range(6)]
            scores = [self.probability(server, text) for text in probes]
            for number in range(600, 640):
                self.post(server, "/v1/mail/learn?label=spam&reporter=mallory", message(number, False))
            self.assertNotEqual(scores, [self.probability(server, text) for text in probes])  # learned at once
            server.wait_for(lambda: self.golden(server)["refused"], "a refusal", seconds=40)
            refused = self.golden(server)["refused"][0]
            self.assertEqual(("mallory", True), (refused["reporter"], refused["was_learned"]))
            # What had been judged harmless before may stay.
            after = [self.probability(server, text) for text in probes]
            for was, now in zip(scores, after):
                self.assertAlmostEqual(was, now, delta=0.05)
            server.kill()
        with self.serve() as server:
            self.assertEqual(after, [self.probability(server, text) for text in probes])
            self.assertEqual("mallory", self.golden(server)["refused"][0]["reporter"])

    def test_erasing_a_person_reaches_what_mail_taught(self):
        planted = "planted-person@our.example"

        def held():
            found = [path.relative_to(self.data).as_posix() for path in self.data.rglob("*") if path.is_file() and planted.encode() in path.read_bytes()]
            return sorted(found)

        with self.serve() as server:
            self.teach(server, 4)
            judged = [self.post(server, f"/v1/mail?recipient={planted}&sender=a@far.example", message(number, number % 2 == 0, seed=5)) for number in range(6)]
            other = self.post(server, "/v1/mail?recipient=other@our.example", message(90, True, seed=5))
            for number, one in enumerate(judged):
                label = "spam" if number % 2 == 0 else "ham"
                self.post(server, f"/v1/mail/learn?label={label}&id={one['id']}&recipient={planted}")
            self.post(server, f"/v1/mail/learn?label=spam&reporter={planted}", message(91, True, seed=5))
            before = self.stats(server)
            server.post("/v1/checkpoint", "")
            self.assertNotEqual([], held(), "the test would prove nothing")
            report = server.post("/v1/erase", {"on": "email", "value": planted, "reason": "asked for it"}).json()
            # Six messages remembered, a case and a correction of each; a vote and a correction of the reporter.
            self.assertEqual(20, report["mail"], report)
            self.assertEqual([], held())
            for one in judged:
                self.post(server, f"/v1/mail/learn?label=ham&id={one['id']}", status=404)
            after = self.stats(server)
            self.assertEqual(before["remembered"] - 6, after["remembered"])
            self.assertEqual(before["spam_learned"], after["spam_learned"])
            server.kill()
        with self.serve() as server:
            self.assertEqual([], held())
            self.post(server, f"/v1/mail/learn?label=ham&id={judged[0]['id']}", status=404)
            self.assertEqual(after["corrections"], self.stats(server)["corrections"])
            self.post(server, f"/v1/mail/learn?label=spam&id={other['id']}")
            again = server.post("/v1/erase", {"on": "email", "value": planted, "reason": "once more"}).json()
            self.assertEqual(0, again["mail"], again)

    PLANTED = "planted-person@our.example"

    def test_a_kill_while_mail_is_erased_leaves_no_half(self):
        """Killed at one of the changes of DATA/mail that an erasure makes: the next start finishes it before it serves, so that none of
        the person's messages can be named any more, and there is nothing left to erase. Killed before it began: all is still there."""
        cut, whole = 0, 0
        for change in (0, 1, 4, 9, 16):
            with self.subTest(change=change):
                shutil.rmtree(self.data, ignore_errors=True)
                with self.serve() as server:
                    ids, other = self.plant(server)
                    begun = self.kill_an_erasure(server, change)
                with self.serve() as server:
                    self.assertFalse((self.data / "erasing.json").exists())
                    again = server.post("/v1/erase", {"on": "email", "value": self.PLANTED, "reason": "once more"}).json()
                    # The note is gone when all is done, so a kill after that leaves nothing to do, either.
                    self.assertIn(again["mail"], (0,) if begun else (0, 50), again)
                    self.assertEqual([], self.holding(self.PLANTED))
                    for one in ids:
                        self.post(server, f"/v1/mail/learn?label=ham&id={one}", status=404)
                    self.post(server, f"/v1/mail/learn?label=spam&id={other}")  # others are not touched
                    self.assertEqual(26, self.stats(server)["corrections"])  # the counts of what was learned stay
                cut += begun
                whole += not begun
        self.assertGreater(cut, 0, "no kill hit the middle: the test proved nothing")
        print(f"{cut} erasures of mail were finished by the next start, {whole} were not cut", file=sys.stderr)

    def plant(self, server):
        """Messages to the person, remembered and corrected, and a correction by the person; the ids of these, and that of another's message."""
        self.teach(server, 4)
        ids = []
        for number in range(16):
            ids.append(self.post(server, f"/v1/mail?recipient={self.PLANTED}&sender=a@far.example", message(number, number % 2 == 0, seed=5))["id"])
            self.post(server, f"/v1/mail/learn?label={'ham' if number % 2 else 'spam'}&id={ids[-1]}&recipient={self.PLANTED}")
        other = self.post(server, "/v1/mail?recipient=other@our.example", message(90, True, seed=5))["id"]
        self.post(server, f"/v1/mail/learn?label=spam&reporter={self.PLANTED}", message(91, True, seed=5))
        server.post("/v1/checkpoint", "")
        return ids, other

    def holding(self, text):
        return [path.relative_to(self.data).as_posix() for path in self.data.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]

    def kill_an_erasure(self, server, change):
        """Kills the server at a change of DATA/mail (0: as soon as the erasure has begun); whether it was cut off."""

        def erase():
            try:
                server.post("/v1/erase", {"on": "email", "value": self.PLANTED, "reason": "asked for it"}, seconds=20)
            except (OSError, ValueError, harness.http.client.HTTPException):
                pass  # the plug was pulled

        def seen():
            found = []
            for path in sorted((self.data / "mail").rglob("*")):
                try:
                    state = path.stat()
                except FileNotFoundError:  # a temporary file, renamed since
                    continue
                found.append((path.name, state.st_ino, state.st_size, state.st_mtime_ns))
            return found

        note, last, changes = self.data / "erasing.json", seen(), 0
        asking = threading.Thread(target=erase)
        asking.start()
        while asking.is_alive() and not (note.exists() and changes >= change):
            now = seen()
            changes, last = changes + (now != last), now
        server.kill()
        asking.join()
        return note.exists()

    def test_truth_about_an_event_teaches(self):
        with self.serve() as server:
            self.teach(server)
            ham = self.post(server, "/v1/mail", message(300, False))
            truth = {"on": "event:mail", "value": ham["id"], "label": "phishing", "source": "abuse desk"}
            answer = server.post("/v1/truth", truth)
            openapi.check("POST", "/v1/truth", answer)
            self.assertEqual({"ok": True, "learned": True}, answer.json())
            self.assertGreater(self.probability(server, message(300, False)), ham["probability"] + 0.2)
            self.assertEqual({"ok": True}, server.post("/v1/truth", {**truth, "value": "long-gone"}).json())
            # A correction by id is the event's truth as well.
            self.post(server, f"/v1/mail/learn?label=ham&id={ham['id']}&reporter=bert")
            path = f"/v1/truth/event:mail/{ham['id']}"
            self.assertEqual("ham", server.get(path).json()["label"])
            # Who takes it back, in whichever way, says nothing any more; what others said counts again.
            self.post(server, f"/v1/mail/learn?label=forget&id={ham['id']}&reporter=bert")
            self.assertEqual("phishing", server.get(path).json()["label"])
            poisoned = self.probability(server, message(300, False))
            self.assertEqual({"ok": True, "learned": True}, self.post(server, "/v1/truth", {**truth, "label": None}))
            self.assertLess(self.probability(server, message(300, False)), poisoned - 0.1)
            answer = server.get(path)
            openapi.check("GET", "/v1/truth/{on}/{value}", answer)
            self.assertEqual((None, [None, None, "ham", "phishing"]), (answer.json()["label"], [said["label"] for said in answer.json()["history"]]))
            self.assertEqual(None, server.get(f"/v1/why/event:mail/{ham['id']}").json()["truth"])
            for number in (301, 302):
                judged = self.post(server, "/v1/mail", message(number, False))
                self.post(server, f"/v1/mail/learn?label=spam&id={judged['id']}&reporter=mallory")
            self.post(server, f"/v1/mail/learn?label=ham&id={judged['id']}&reporter=carl")
            self.post(server, "/v1/mail/take-back?reporter=mallory")
            rows = self.run_tamis("query", "--data", self.data, "--json", "SELECT value, label, author FROM truth WHERE author = 'mallory' OR author = 'carl'")
            self.assertEqual([[judged["id"], "ham", "carl"]], json.loads(rows.stdout)["rows"])

    def test_nothing_acknowledged_is_lost_by_kill_9(self):
        texts = [message(number, spam, seed=9) for number in range(3) for spam in (False, True)]
        with self.serve() as server:
            self.teach(server, 6)
            scanned = self.post(server, "/v1/mail", message(400, True))
            self.post(server, f"/v1/mail/learn?label=spam&id={scanned['id']}")
            later = self.post(server, "/v1/mail", message(401, False))
            before, scores = self.stats(server), [self.probability(server, text) for text in texts]
            server.kill()
        with self.serve() as server:
            after = self.stats(server)
            for key in ("ham_learned", "spam_learned", "corrections"):
                self.assertEqual(before[key], after[key], key)
            self.assertEqual(scores, [self.probability(server, text) for text in texts])  # the same bits
            self.post(server, f"/v1/mail/learn?label=ham&id={later['id']}")               # what was remembered still is
            scores = [self.probability(server, text) for text in texts]
        self.assertTrue((self.data / "mail" / "model").exists())
        with self.serve() as server:  # from the model's file this time
            self.assertEqual(scores, [self.probability(server, text) for text in texts])
            self.assertEqual(before["corrections"] + 1, self.stats(server)["corrections"])
        # What the corrections hold is sealed, and useless without the keys of their days.
        shutil.rmtree(self.data / "mail" / "keys")
        (self.data / "mail" / "model").unlink()
        with self.serve() as server:
            self.assertEqual(0, self.stats(server)["corrections"])

    def test_a_replay_asks_no_model(self):
        with self.serve() as server:
            for number in range(5):
                self.post(server, f"/v1/mail?ip=192.0.2.{number}&recipient=a@our.example", message(number, number % 2 == 0))
                self.post(server, "/v1/mail/learn?label=spam", message(number, True))
        shutil.rmtree(self.data / "mail")
        digest = self.run_tamis("digest", "--data", self.data).stdout
        self.assertEqual(digest, self.run_tamis("digest", "--data", self.data, "--from-start").stdout)


class CommandLine(Case):
    def test_learn_scan_and_explain(self):
        model = self.folder / "own.tamis-model"
        for spam in (False, True):
            box = self.write("".join(f"From x@y Mon Nov  2 10:00:00 2026\n{message(n, spam)}\n" for n in range(12)), "box.mbox")
            done = self.run_tamis("mail", "learn", "--model", model, "--spam" if spam else "--ham", box)
            self.assertEqual(f"learned 12 messages as {'spam' if spam else 'ham'}\n", done.stdout)
        # A line of the text that begins with "From " is no separator.
        text = "\nDear reader,\n\nFrom here on it is easy.\n\nFrom a@b.example\n\n"
        box = self.write("".join(f"From x@y Mon Nov  2 10:00:00 2026\n{message(n, False)}{text}" for n in range(2)), "prose.mbox")
        self.assertEqual([f"{box}#1", f"{box}#2"], [line.split(": ")[0] for line in
                                                  self.run_tamis("mail", "scan", "--model", model, box).stdout.splitlines()])
        maildir = self.folder / "Maildir"
        for place in ("cur", "new", "tmp"):
            (maildir / place).mkdir(parents=True)
        (maildir / "cur" / "1:2,S").write_text(message(50, True))
        (maildir / "new" / "2").write_text(message(50, False))
        (maildir / "tmp" / "3").write_text("not there yet")
        lines = [json.loads(line) for line in self.run_tamis("mail", "scan", "--model", model, "--json", maildir).stdout.splitlines()]
        self.assertEqual([True, False], [line["spam"] for line in lines])
        self.assertEqual({"file", "verdict", "spam", "points", "required", "probability", "symbols"}, lines[0].keys())
        spam = maildir / "cur" / "1:2,S"
        self.assertRegex(self.run_tamis("mail", "scan", "--model", model, spam).stdout, r"^\S+: (tag|quarantine|reject) \d+\.\d\d/6\.00 p=")
        self.assertIn(": accept ", self.run_tamis("mail", "scan", "--model", model, "-", text=message(51, False)).stdout)
        page = self.run_tamis("mail", "explain", "--model", model, spam).stdout
        for text in ("spam-model", "points, 6.00 needed", "like_past_messages", "has(model.spam)", "DNS was not asked"):
            self.assertIn(text, page)
        for reader in ("user", "support"):
            for arguments in ((), ("--json",)):
                page = self.run_tamis("mail", "explain", "--model", model, "--for", reader, *arguments, spam).stdout
                self.assertNotRegex(page, r"spam-model|points|\d\.\d|model\.|digest")
                # Nothing was decided, so there is no reference that `tamis why` could look up.
                self.assertNotRegex(page, r"(?i)reference|m[0-9a-f]+-[0-9a-f]{16}")
        self.assertIn("is delivered", self.run_tamis("mail", "explain", "--model", model, "--for", "user", maildir / "new" / "2").stdout)
        # What a rule says that was outdone did not happen: doubtful mail of an unknown sender waits, spam does not.
        envelope = ("--ip", "198.51.100.9", "--sender", "desk@prizes.example", "--recipient", "anna@our.example")
        for how, says in ((("--fresh",), self.assertIn), (("--model", model), self.assertNotIn)):
            says("We do not know this sender yet.", self.run_tamis("mail", "explain", *how, "--for", "user", *envelope, spam).stdout)

    def test_taking_back_makes_no_model(self):
        model = self.folder / "none.tamis-model"
        done = self.run_tamis("mail", "learn", "--model", model, "--forget", self.write(message(1, True)), code=2)
        self.assertIn("none.tamis-model", done.stderr)
        self.assertFalse(model.exists())

    def test_what_cannot_be_read_takes_nothing_from_the_others(self):
        """As in a Maildir in use, from which messages vanish between the look and the reading."""
        gone, empty, model = self.folder / "gone", self.folder / "empty", self.folder / "own.model"
        empty.mkdir()
        files = [gone, self.write(message(1, True), "a.eml"), empty, self.write(message(2, True), "b.eml")]
        done = self.run_tamis("mail", "learn", "--spam", "--model", model, *files, code=2)
        self.assertEqual("learned 2 messages as spam\n", done.stdout)
        self.assertEqual([f"tamis: cannot open {gone}: No such file or directory", f"tamis: {empty}: a folder without a message"],
                         done.stderr.splitlines())
        done = self.run_tamis("mail", "scan", "--model", model, *files, code=2)
        self.assertEqual(2, len(done.stdout.splitlines()))
        with self.serve():
            done = self.run_tamis("mail", "learn", "--spam", "--data", self.data, *files, code=2)
            self.assertEqual("learned 2 messages as spam\n", done.stdout)
            done = self.run_tamis("mail", "learn", "--spam", "--data", self.data, gone, code=2)
            self.assertEqual(("", f"tamis: cannot open {gone}: No such file or directory\n"), (done.stdout, done.stderr))

    def test_a_golden_set_on_the_command_line(self):
        with self.serve():
            pass
        for spam in (False, True):
            label = "--spam" if spam else "--ham"
            taught, golden = self.folder / f"taught{spam}", self.folder / f"golden{spam}"
            taught.mkdir(), golden.mkdir()
            for number in range(12):
                (taught / f"{number}.eml").write_text(message(number, spam))
                (golden / f"{number}.eml").write_text(message(number, spam, seed=7))
            done = self.run_tamis("mail", "learn", "--data", self.data, label, taught)
            self.assertTrue(done.stdout.startswith(f"learned 12 messages as {label[2:]}"), done.stdout)
            self.assertEqual("put in 12 messages\n", self.run_tamis("mail", "golden", "--data", self.data, label, golden).stdout)
        box = self.write("".join(f"From x@y Mon Nov  2 10:00:00 2026\n{message(n, False)}\n" for n in range(700, 740)), "lies.mbox")
        lie = self.run_tamis("mail", "learn", "--data", self.data, "--spam", "--reporter", "mallory", box, code=1)
        self.assertIn("a batch of 40 messages was refused, and none of it was learned: wanted mail taken for spam", lie.stderr)
        self.assertEqual("learned 0 messages as spam\n", lie.stdout)
        self.assertEqual("learned 40 messages as ham, no worse on the golden set\n",
                         self.run_tamis("mail", "learn", "--data", self.data, "--ham", "--ip", "192.0.2.1", box).stdout)
        shown = self.run_tamis("mail", "golden", "--data", self.data).stdout
        self.assertIn("golden set: 12 wanted, 0 of them taken for spam; 12 spam, 0 of them not recognised\n", shown)
        self.assertIn("40 of mallory: refused as a batch; wanted mail taken", shown)
        self.assertEqual(12, json.loads(self.run_tamis("mail", "golden", "--data", self.data, "--json").stdout)["now"]["spam"])
        self.run_tamis("mail", "golden", "--data", self.data, "--forget", golden / "1.eml")
        for arguments, says in [((), "--data DIR"), (("--data", self.data, "--ham"), "without them it shows"), (("--data", self.data, box), "one of --spam")]:
            self.assertIn(says, self.run_tamis("mail", "golden", *arguments, code=2).stderr)

    def test_wrong_use(self):
        text = self.write(message(1, True))
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        empty = self.folder / "empty"
        empty.mkdir()
        for arguments, says in [(("learn", text), "--spam, --ham and --forget"), (("learn", "--spam", text), "--data DIR or --model FILE"),
                                (("learn", "--spam", "--model", "m"), "expected FILEs, or --id"), (("scan",), "FILE"),
                                (("scan", "--fresh", self.folder / "gone"), "gone"), (("explain", "--for", "all", text), "--for"),
                                (("scan", "--model", text, text), f"{text}: this is no usable spam model: it does not begin with TAMISPAM"),
                                ((), "see tamis mail --help"), (("scna", text), 'no command "mail scna"; did you mean scan?'),
                                (("scan", "--frsh", text), "see tamis mail scan --help"),
                                (("explain", "--for", "boss", text), "expected one of analyst|support|user, not 'boss'"),
                                (("scan", "--ip", "192.0.2.256", text), "--ip '192.0.2.256' is no address"),
                                (("scan", "--fresh", empty), "a folder without a message"),
                                (("scan", "--fresh", pipe), f"cannot read {pipe}: it is a pipe, expected a file"),
                                (("learn", "--spam", "--model", self.folder / "m", pipe), "it is a pipe"),
                                (("learn", "--spam", "--data", "d", "--model", "m", text), "not both"),
                                (("learn", "--spam", "--data", "d", "--id", "i", text), "not both")]:
            self.assertIn(says, self.run_tamis("mail", *arguments, code=2).stderr)

    def test_a_data_folder_without_a_server(self):
        with self.serve():
            pass
        for number in range(8):
            for spam in (False, True):
                self.run_tamis("mail", "learn", "--data", self.data, "--spam" if spam else "--ham", self.write(message(number, spam)))
        scanned = json.loads(self.run_tamis("mail", "scan", "--data", self.data, "--json", self.write(message(60, True))).stdout)
        self.assertTrue(scanned["spam"], scanned)
        self.run_tamis("truth", "add", "--data", self.data, "event:mail", scanned["id"], "ham")
        again = json.loads(self.run_tamis("mail", "scan", "--data", self.data, "--json", self.write(message(60, True))).stdout)
        self.assertLess(again["probability"], scanned["probability"])
        self.run_tamis("mail", "learn", "--data", self.data, "--spam", "--id", scanned["id"])


if __name__ == "__main__":
    unittest.main()
