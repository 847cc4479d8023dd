"""What the ready policy knows for sure of a message: the line that filters are tried with, names made to look like others."""

import unittest

import mail_test


class Marks(mail_test.Case):
    def test_the_line_that_filters_are_tried_with(self):
        line = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
        with self.serve() as server:
            for text, verdict in ((line, "reject"), (f"<html><body><p>{line}</p></body></html>", "reject"), (line[:-1], "accept")):
                kind = "html" if text.startswith("<") else "plain"
                judged = self.post(server, "/v1/mail", f"From: a@b.example\r\nTo: c@d.example\r\nSubject: test\r\nContent-Type: text/{kind}\r\n\r\n{text}\r\n")
                self.assertEqual(verdict, judged["verdict"])
                self.assertEqual(verdict == "reject", "GTUBE" in str(judged["symbols"] if "symbols" in judged else judged))

    def test_names_that_look_like_a_protected_one(self):
        with self.serve() as server:
            self.post(server, "/v1/lists/protected_domains", {"value": "paypal.com"})
            for domain, alike in (("paypa1.com", True), ("p\u0430ypal.com", True), ("xn--pypal-4ve.com", True), ("paypall.com", True),
                                  ("paypal-secure.com", True), ("paypal.com", False), ("example.com", False), ("xn--mnchen-3ya.de", False)):
                judged = self.post(server, "/v1/mail", f"From: Service <service@{domain}>\r\nTo: anna@our.example\r\nSubject: account\r\n\r\nGood morning.\r\n".encode())
                self.assertEqual(alike, "look-alike-domain" in str(judged), domain)


if __name__ == "__main__":
    unittest.main()
