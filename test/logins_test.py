"""What people say of a login reaches the detector of logins: the owner's answer to "was that you?"."""

import json
import unittest

import harness

START = 1_772_409_600_000
MINUTE = 60_000
AGENTS = ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36",
          "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
          "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1"]


class OwnersWord(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data"

    def people(self):
        """Two weeks of sixty people who sign in at home; the events, and when the last one was."""
        lines, at = [], START
        for n in range(840):
            who = n % 60
            at += 24 * MINUTE
            lines.append({"id": f"p{n}", "t": at, "type": "login", "acct": f"p{who}", "ip": f"198.51.{who}.7", "asn": 64510 + who % 9, "cc": "FR", "net": "res",
                          "ua": AGENTS[who % 3], "fp": f"p{who}", "cookie": f"p{who}", "lang": "fr-FR", "tz": "Europe/Paris", "ok": True})
        return "".join(json.dumps(line) + "\n" for line in lines), at

    def test_the_owner_s_word_about_a_login_is_heard(self):
        """The same odd login on three accounts: of one its owner says that it was not he, of one that it was."""
        home = {"ip": "192.0.2.7", "asn": 64501, "cc": "DE", "net": "res", "ua": AGENTS[1], "fp": "home", "lang": "de-DE", "tz": "Europe/Berlin", "ok": True}
        far = home | {"asn": 64666, "cc": "BR", "ua": AGENTS[0], "lang": "en-US", "tz": "UTC"}
        events, at = self.people()
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            live = server.post("/v1/decide", events).body
            count = 0

            def login(who, client, after=MINUTE, kind="login"):
                nonlocal at, count, live
                at, count = at + after, count + 1
                number = f"{who}-{count}"
                event = {"id": number, "t": at, "type": kind, "acct": who, "cookie": who + client["cc"], **client, "fp": who + client["cc"]}
                if client is far:
                    event["ip"] = {"no": "203.0.113.5", "yes": "198.51.100.9", "none": "100.64.3.4"}[who]
                answer = server.post("/v1/decide", json.dumps(event)).body
                live += answer
                return json.loads(answer) | {"id": number}
            whose = ("no", "yes", "none")
            for _ in range(8):
                for who in whose:
                    login(who, home | {"ip": f"192.0.2.{len(who)}"}, 60 * MINUTE)
            odd = {who: login(who, far) for who in whose}
            self.assertTrue(all(told["score"] > 0.5 for told in odd.values()), odd)
            for who, label in (("no", "bad"), ("yes", "good")):
                said = {"on": "event:login", "value": odd[who]["id"], "label": label, "source": "owner", "reason": "answer to the notice"}
                self.assertEqual(200, server.post("/v1/truth", json.dumps(said)).status)
            again = {who: login(who, far)["score"] for who in whose}
            self.assertLess(again["yes"], 0.25)
            self.assertGreater(again["no"], odd["no"]["score"])
            # Days without another word make the third known, never the first.
            for _ in range(5):
                for who in whose:
                    login(who, far, 12 * 60 * MINUTE, "session")
            later = {who: login(who, far)["score"] for who in whose}
            self.assertLess(later["none"], again["none"])
            self.assertGreater(later["no"], odd["no"]["score"])
            self.assertLess(login("no", home | {"ip": "192.0.2.2"})["score"], 0.25)
            self.assertEqual("bad", server.get(f"/v1/truth/event:login/{odd['no']['id']}").json()["label"])
        # It is a record like any other: a replay, and a server that starts again, know it.
        replayed = self.folder / "replayed"
        self.run_tamis("replay", "--data", self.data, "--out", replayed, "--quiet")
        self.assertEqual(live, replayed.read_bytes())
        with harness.Server(harness.READY_POLICY, self.data, "--deadline-ms", "10000") as server:
            event = {"id": "after", "t": at + MINUTE, "type": "login", "acct": "no", "cookie": "noBR", **far, "ip": "203.0.113.5", "fp": "noBR"}
            self.assertGreater(server.post("/v1/decide", json.dumps(event)).json()["score"], odd["no"]["score"])


if __name__ == "__main__":
    unittest.main()
