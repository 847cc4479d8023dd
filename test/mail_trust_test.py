"""Who is believed: what authentication proves and what a sender merely writes, with a real DNS server on loopback (NSD), the ready policy and all
that comes over HTTP."""

import tempfile
import unittest
import urllib.parse

import harness
import mail_auth_test
import mail_test
from mail_auth_test import txt

GOOD, EVIL, RELAY = "192.0.2.1", "203.0.113.9", "198.51.100.7"
RECORDS = [
    txt("good.test", f"v=spf1 ip4:{GOOD} -all"), txt("_dmarc.good.test", "v=DMARC1; p=reject"),
    txt("evil.test", f"v=spf1 ip4:{EVIL} -all"), txt("plain.test", f"v=spf1 ip4:{GOOD} -all"),  # and no DMARC
    txt("our.test", f"v=spf1 ip4:{GOOD} -all"), txt("_dmarc.our.test", "v=DMARC1; p=none"),
]


def letter(sender="Bob <bob@good.test>", *headers, number=1):
    return "\n".join([f"From: {sender}", "To: ann@our.test", "Subject: lunch", "Date: Mon, 02 Nov 2026 10:00:00 +0000", f"Message-ID: <{number}@good.test>",
                      *headers, "", "Shall we meet for lunch on Monday? The report is done, minutes of the review follow.", ""])


class Trust(mail_test.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="tamis-mail-trust-")
        cls.addClassCleanup(folder.cleanup)
        cls.dns = mail_auth_test.NameServer(folder.name, RECORDS)
        cls.addClassCleanup(cls.dns.stop)

    def setUp(self):
        super().setUp()
        self.server = harness.Server(mail_test.POLICY, self.data, "--dns", f"127.0.0.1:{self.dns.port}")
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)

    def ask(self, text, ip=GOOD, sender="bob@good.test", recipient="ann@our.test", status=200, **more):
        query = urllib.parse.urlencode({"ip": ip, "helo": "mx.test", "sender": sender, "recipient": recipient, **more}, doseq=True)
        answer = self.post(self.server, f"/v1/mail?{query}", text, status)
        answer["rules"] = [symbol["name"] for symbol in answer.get("symbols", [])]
        return answer

    def add(self, name, *values):
        for value in values:
            self.server.post(f"/v1/lists/{name}", {"value": value, "reason": "test"})

    def test_a_header_of_the_senders_own_proves_nothing(self):
        self.assertNotIn("reject", self.ask(letter())["verdict"])
        forged = {"ip": EVIL, "sender": "eve@evil.test"}
        self.assertEqual("reject", self.ask(letter(), **forged)["verdict"])
        self.assertIn("dmarc-fails-on-a-list", self.ask(letter("Bob <bob@good.test>", "List-Id: <x.y>"), **forged)["rules"])
        for several in (letter("bob@good.test, eve@evil.test"), letter("Bob <bob@good.test>", "From: eve@evil.test")):
            self.assertIn("from-of-several", self.ask(several, **forged)["rules"])

    def test_proof_is_of_the_address_that_is_shown(self):
        self.add("own_domains", "our.test")
        forged = {"ip": EVIL, "sender": "eve@evil.test"}  # whose own SPF passes
        for headers in ((), ("List-Id: <x.y>",)):
            self.assertIn("own-domain-forged", self.ask(letter("Boss <boss@our.test>", *headers), **forged)["rules"])
        self.assertNotIn("own-domain-forged", self.ask(letter("Boss <boss@our.test>"), sender="boss@our.test")["rules"])
        # To whom ann wrote before.
        query = urllib.parse.urlencode({"direction": "out", "user": "ann", "sender": "ann@our.test", "recipient": "carl@plain.test"})
        self.post(self.server, f"/v1/mail?{query}", letter("ann@our.test").replace("To: ann@our.test", "To: carl@plain.test"))
        carl = letter("Carl <carl@plain.test>")
        self.assertNotIn("known-correspondent", self.ask(carl, **forged)["rules"])
        self.assertIn("known-correspondent", self.ask(carl, sender="carl@plain.test")["rules"])
        # An allow list needs no DMARC, but proof.
        self.add("allowed_senders", "carl@plain.test")
        self.assertIn("allowed-sender", self.ask(carl, sender="carl@plain.test")["rules"])
        self.assertNotIn("allowed-sender", self.ask(carl, **forged)["rules"])

    def test_ones_own_relays_prove_nothing_and_need_not(self):
        self.add("own_networks", RELAY + "/32")
        self.assertEqual("reject", self.ask(letter(), ip="198.51.100.8")["verdict"])
        through = self.ask(letter(), ip=RELAY)
        self.assertNotEqual("reject", through["verdict"])
        self.assertEqual([], [rule for rule in through["rules"] if rule in ("spf-fail", "no-authentication", "greylist")])

    def test_behind_ones_own_relay_the_host_that_it_heard_from_counts(self):
        self.add("own_networks", RELAY + "/32")
        heard = "Received: from mail.x.test (unknown [%s])\n\tby relay.our.test (Postfix) with ESMTPS id 1; Mon, 02 Nov 2026 10:00:00 +0000"
        honest = self.ask(heard % GOOD + "\n" + letter(), ip=RELAY)
        self.assertTrue(any("spf=pass" in header["value"] for header in honest["headers"]), honest["headers"])
        self.assertNotIn("greylist", honest["rules"])
        self.assertEqual("reject", self.ask(heard % EVIL + "\n" + letter(number=2), ip=RELAY)["verdict"])
        logged_in = (heard % EVIL).replace("ESMTPS", "ESMTPSA")
        self.assertNotEqual("reject", self.ask(logged_in + "\n" + letter(number=3), ip=RELAY)["verdict"])

    def test_domains_of_lists_may_stand_below_a_registrable_one(self):
        self.add("blocked_domains", "mail.foe.test")
        self.assertIn("blocked-sender", self.ask(letter("x@mail.foe.test"), sender="x@other.test")["rules"])
        self.assertNotIn("blocked-sender", self.ask(letter("x@www.foe.test"), sender="x@other.test")["rules"])

    def test_an_envelope_is_read_as_mail_servers_write_it(self):
        self.assertNotEqual("reject", self.ask(letter(), sender="<bob@good.test>")["verdict"])
        null = self.ask(letter("mailer@mx.test"), sender="<>", explain="1")
        self.assertTrue(any("spf=" in header["value"] and "smtp.helo=mx.test" in header["value"] for header in null["headers"]), null["headers"])
        self.add("recipient_blocks", "ann@our.test good.test")
        for recipients in ("<ann@our.test>,<dan@our.test>", ["dan@our.test", "<ann@our.test>"]):
            self.assertEqual(["ann@our.test"], self.ask(letter(), recipient=recipients)["recipients_refused"])
        self.assertIn("address", self.ask(letter(), ip="bad", status=400)["message"])
        self.assertIn("explain", self.ask(letter(), explain="boss", status=400)["message"])
        answer = self.server.request("POST", "/v1/mail", "--x\r\n\r\n" + letter() + "\r\n--x--", headers={"Content-Type": "multipart/form-data; boundary=x"})
        self.assertEqual(400, answer.status)
        self.assertIn("--data-binary", answer.json()["message"])


if __name__ == "__main__":
    unittest.main()
