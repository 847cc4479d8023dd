"""A burst of spam from one foreign host: the ready policy puts it off at every door that can, and nobody else waits for it."""

import json
import unittest

import harness
import mail_hostile_test as wire


def spam(number):
    """Spam, but not so sure that it is refused anyway."""
    number += 200
    return (f"From: sales{number}@deals.example\r\nTo: b@our.example\r\nSubject: special offer, free money\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{number}@deals.example>\r\n\r\ncheap pills, order now at http://pills{number}.example/\r\n").encode()


WANTED = (b"From: a@example.com\r\nTo: b@our.example\r\nSubject: Re: patch for the parser\r\nMessage-ID: <m1@example.com>\r\n"
          b"In-Reply-To: <x@our.example>\r\n\r\nOn Monday, Bert wrote:\r\n> the patch does not apply\r\n\r\nI have rebased the patch on the "
          b"current branch and fixed the compiler warnings, see the list archive.\r\n\r\nAnna\r\n")


class Bursts(wire.Case):
    def ask(self, text, ip):
        """Through rspamd's protocol: action, verdict, the reply to the SMTP client."""
        fields = f"IP: {ip}\r\nFrom: a@deals.example\r\nRcpt: b@our.example\r\n"
        answer = json.loads(wire.rspamd(self.ports["rspamd"], text, fields=fields).split(b"\r\n\r\n", 1)[1])
        return answer["action"], answer["tamis"]["verdict"], answer["messages"].get("smtp_message", "")

    def smtp(self, text):
        """The last answer of the milter; its client is 192.0.2.7."""
        door = wire.Milter(self.ports["milter"])
        try:
            door.message(text)
            while True:
                kind, data = door.answer()
                if kind in b"aytrd":
                    return kind, data
        finally:
            door.socket.close()

    def assert_marked(self, answer):
        self.assertEqual("add header", answer[0])
        self.assertIn(answer[1], ("tag", "quarantine"))

    def test_a_burst_is_put_off_and_nobody_else(self):
        for number in range(20):
            self.assert_marked(self.ask(spam(number), "192.0.2.7"))
        action, verdict, reply = self.ask(spam(20), "192.0.2.7")
        self.assertEqual(("soft reject", "defer"), (action, verdict))
        self.assertRegex(reply, r"^Too many messages come from this network\. .*\(ref m\S+\)$")
        kind, data = self.smtp(spam(21))
        self.assertEqual(b"y", kind)
        self.assertRegex(data, rb"^451 4\.7\.1 Too many messages come from this network")
        # spamd's protocol cannot put off: there it stays what it is. (Its client has no address, so nothing is counted for it.)
        self.assertIn(b"Spam: True", wire.spamd(self.ports["spamd"], spam(22)))
        # Wanted mail of the same host, and spam of another one, are answered as before.
        self.assertEqual(b"a", self.smtp(WANTED)[0])
        self.assertEqual(("no action", "accept"), self.ask(WANTED, "192.0.2.7")[:2])
        self.assert_marked(self.ask(spam(23), "198.51.100.7"))
        metrics = self.server.get("/metrics").text()
        self.assertRegex(metrics, r'(?m)^tamis_mail_scans_total{verdict="defer"} 2$')
        stats = self.server.get("/v1/mail/stats").json()["actions"]
        self.assertEqual((2, 0), (stats["defer"], stats["greylist"]))

    def test_wanted_mail_in_bulk_waits_only_beyond_the_rate_of_a_host(self):
        verdicts = [self.ask(WANTED, "203.0.113.1")[1] for _ in range(130)]
        self.assertEqual({"accept"}, set(verdicts[:121]))
        self.assertEqual({"defer"}, set(verdicts[121:]))
        self.assertEqual("accept", self.ask(WANTED, "203.0.113.2")[1])


if __name__ == "__main__":
    unittest.main()
