"""A corrected message stays corrected for whoever corrected it, with the model that ships and the ready policy, however sure the model was."""

import unittest
import urllib.parse

import harness
import mail_test

BODY = {
    "sure spam": ("Lowest mortgage rates!!! Free quote", "Refinance now, no obligation! Earn $5000 per week from home, 100% free. Order now, limited time offer. "
                  "Dear friend, viagra and cheap loans without any credit check, winner of the lottery! To be removed click here: http://203.0.113.9/remove.html"),
    "borderline": ("special offer", "Cheap pills for the whole family, order now at the shop that all neighbours know, with a discount for those who order "
                   "before Friday evening: http://pills.example/ Your order is sent within two days by ordinary post, no account is needed."),
    "sure ham": ("Re: patch for the parser", "On Monday, Bert wrote:\n> the patch does not apply\n\nI have rebased the patch on the current branch and fixed the "
                 "compiler warnings, see the list archive. The tests of the parser pass again; the one of the lexer was wrong, as you said. Could you please look "
                 "at the second hunk before I commit it?"),
}


def letter(kind, copy=False):
    """Its near-copy comes from the same sender on another day, with other numbers and a few words changed."""
    subject, body = BODY[kind]
    number = 2 if copy else 1
    if copy:
        body = body.replace("Monday", "Tuesday").replace("Friday", "Saturday").replace("5000", "7000")
    return (f"Received: from far.example by mx.our.example; Mon, 0{number} Nov 2026 10:00:0{number} +0000\nFrom: Carla <carla@far.example>\nTo: dora@our.example\n"
            f"Subject: {subject}\nDate: Mon, 0{number} Nov 2026 10:00:00 +0000\nMessage-ID: <{number}.{kind.replace(' ', '')}@far.example>\n\n{body}\n\nCarla {number}\n")


class Own(mail_test.Case):
    def ask(self, server, text, recipient):
        return self.post(server, f"/v1/mail?recipient={urllib.parse.quote(recipient)}", text)

    def correct(self, server, label, text, recipient, **more):
        self.post(server, f"/v1/mail/learn?label={label}&reporter={recipient}&recipient={recipient}" + "".join(f"&{k}={v}" for k, v in more.items()), text)

    def test_what_was_corrected_stays_so_for_whoever_said_it(self):
        for kind in BODY:
            with self.subTest(kind=kind):
                self.data = self.folder / kind.replace(" ", "-")
                with harness.Server(mail_test.POLICY, self.data, "--mail-weigh-reports") as server:
                    first = self.ask(server, letter(kind), "dora@our.example")
                    copy = self.ask(server, letter(kind, True), "dora@our.example")
                    if kind != "borderline":  # which may fall on either side
                        self.assertEqual((kind == "sure spam",) * 2, (first["spam"], copy["spam"]), first)
                    others = self.ask(server, letter(kind), "emil@our.example")
                    label = "ham" if first["spam"] else "spam"
                    self.correct(server, label, "", "dora@our.example", id=first["id"])
                    for text in (letter(kind), letter(kind, True)):
                        now = self.ask(server, text, "dora@our.example")
                        self.assertEqual(label == "spam", now["spam"], now)
                        self.assertGreater(abs(now["probability"] - 0.5), 0.4)
                        if label == "ham":
                            self.assertEqual("accept", now["verdict"])
                    # A stranger's word alone moves no verdict that the model is sure of, for anybody else.
                    if kind != "borderline":
                        self.assertEqual(others["spam"], self.ask(server, letter(kind), "emil@our.example")["spam"])
                        self.assertEqual(others["probability"], self.ask(server, letter(kind), "emil@our.example")["probability"])
                        self.assertEqual(others["spam"], self.post(server, "/v1/mail?recipient=dora@our.example,emil@our.example", letter(kind))["spam"])
                    server.kill()
                with harness.Server(mail_test.POLICY, self.data, "--mail-weigh-reports") as server:
                    now = self.ask(server, letter(kind, True), "Dora@our.example")
                    self.assertEqual(label == "spam", now["spam"], now)
                    # Said again, the other way, by text, as the mailbox has it.
                    back = "spam" if first["spam"] else "ham"
                    self.correct(server, back, "Delivered-To: dora@our.example\nX-Spam-Status: No\n" + letter(kind), "dora@our.example")
                    self.assertEqual(first["spam"], self.ask(server, letter(kind), "dora@our.example")["spam"])
                    self.correct(server, "forget", letter(kind), "dora@our.example")
                    if kind != "borderline":
                        self.assertEqual(first["spam"], self.ask(server, letter(kind), "dora@our.example")["spam"])

    def test_whom_a_recipient_has_blocked(self):
        with harness.Server(mail_test.POLICY, self.data) as server:
            both = "/v1/mail?recipient=dora@our.example,emil@our.example"
            self.assertNotIn("recipients_refused", self.post(server, both, letter("sure ham")))
            server.post("/v1/lists/recipient_blocks", {"value": "dora@our.example far.example", "reason": "her wish"})
            alone = self.ask(server, letter("sure ham"), "Dora@our.example")
            self.assertEqual(("reject", ["Dora@our.example"]), (alone["verdict"], alone["recipients_refused"]))
            self.assertIn("blocked-by-recipient", [symbol["name"] for symbol in alone["symbols"]])
            self.assertNotIn("block", alone["reply"])  # it is not the sender's business
            shared = self.post(server, both, letter("sure ham"))
            self.assertEqual(("accept", ["dora@our.example"]), (shared["verdict"], shared["recipients_refused"]))
            self.assertEqual("accept", self.ask(server, letter("sure ham"), "emil@our.example")["verdict"])
            server.post("/v1/erase", {"on": "email", "value": "dora@our.example", "reason": "asked for it"})
            self.assertNotIn("recipients_refused", self.post(server, both, letter("sure ham")))

    def test_it_is_told_and_reaches_nothing_else(self):
        with harness.Server(mail_test.POLICY, self.data) as server:
            spam = self.ask(server, letter("sure spam"), "dora@our.example")
            self.correct(server, "ham", "", "dora@our.example", id=spam["id"])
            why = self.post(server, "/v1/mail?recipient=dora@our.example&explain=1", letter("sure spam"))
            self.assertEqual("ham", why["explanation"]["model"]["recipient_said"])
            self.assertAlmostEqual(why["explanation"]["model"]["logit"], sum(why["explanation"]["model"]["contributions"].values()), places=3)
            # The same words from somebody else, with other headers, are no near-copy of what was wanted.
            forged = letter("sure spam", True).replace("far.example", "cash.example").replace("Carla", "Sales").replace("carla", "sales")
            why = self.post(server, "/v1/mail?recipient=dora@our.example&explain=1", forged)
            self.assertNotIn("recipient_said", why["explanation"]["model"])
            # What is certain by rules stays certain.
            program = letter("sure spam").replace("\n\n", "\nMIME-Version: 1.0\nContent-Type: application/x-msdownload; name=\"invoice.pdf.exe\"\n\n", 1)
            self.assertEqual("reject", self.ask(server, program, "dora@our.example")["verdict"])
            report = server.post("/v1/erase", {"on": "email", "value": "dora@our.example", "reason": "asked for it"}).json()
            self.assertGreater(report["mail"], 0)
            why = self.post(server, "/v1/mail?recipient=dora@our.example&explain=1", letter("sure spam"))
            self.assertNotIn("recipient_said", why["explanation"]["model"])


if __name__ == "__main__":
    unittest.main()
