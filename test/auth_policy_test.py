"""Dovecot's auth-policy door: what its two calls mean, and a real Dovecot whose users are guarded by policies/accounts."""

import imaplib
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import textwrap
import time
import unittest
from pathlib import Path

import harness

DOCS = harness.TOP / "docs" / "AUTH_POLICY.md"
DOVECOT = shutil.which("dovecot", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
GUESSER = "127.0.0.66"


def command(server, name, **asked):
    return server.post(f"/v1/auth-policy?command={name}", asked)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Door(harness.TestCase):
    def test_guessing_from_one_address(self):
        with harness.Server(harness.READY_POLICY, self.folder / "data") as server:
            def ask(account, ip, name="allow", **more):
                answer = command(server, name, login=account, remote=ip, protocol="imap", session_id="s1", **more)
                self.assertEqual(200, answer.status, answer)
                self.assertEqual({"status", "msg"}, set(answer.json()))
                return answer.json()["status"]

            # Somebody who is known at an address signs in there whatever others do.
            for _ in range(3):
                self.assertEqual(0, ask("owner", "198.51.100.9"))
                ask("owner", "198.51.100.9", "report", success=True, policy_reject=False)
            told = []
            for n in range(16):
                told.append(ask(f"victim{n}", "198.51.100.9"))
                ask(f"victim{n}", "198.51.100.9", "report", success=False, policy_reject=told[-1] < 0, pwhash=f"{n:03x}")
            self.assertEqual([0, 0, 0], told[:3])
            self.assertTrue(all(0 < seconds <= 15 for seconds in told[4:10]), told)
            self.assertEqual(sorted(told[4:10]), told[4:10])
            self.assertEqual(-1, told[-1])
            self.assertEqual(0, ask("owner", "198.51.100.9"))
            self.assertEqual(0, ask("victim0", "203.0.113.5"))

    def test_many_passwords_are_guessing_and_one_is_a_forgotten_phone(self):
        with harness.Server(harness.READY_POLICY, self.folder / "data") as server:
            def fail(account, pwhash):
                command(server, "report", login=account, remote="192.0.2.7", success=False, pwhash=pwhash)
                return command(server, "allow", login=account, remote="192.0.2.8").json()["status"]

            self.assertEqual([0] * 12, [fail("phone", "abc") for _ in range(12)])
            guesses = [fail("guessed", f"{n:03x}") for n in range(8)]
            self.assertEqual(0, guesses[2])
            self.assertGreater(guesses[7], 5)

    def test_an_address_for_each_try(self):
        with harness.Server(harness.READY_POLICY, self.folder / "data") as server:
            def ask(account, ip, name="allow", **more):
                return command(server, name, login=account, remote=ip, protocol="imap", session_id="s1", **more).json()["status"]

            for networks in ("198.51.77.{}", "2001:db8:1:1::{}", "2001:db8:2:{}::1"):
                with self.subTest(networks):
                    home = networks.format(200)
                    for _ in range(3):
                        ask("neighbour", home, "report", success=True, policy_reject=False)
                    told = []
                    for n in range(1, 30):
                        told.append(ask(f"victim{n}", networks.format(n)))
                        ask(f"victim{n}", networks.format(n), "report", success=False, policy_reject=told[-1] < 0, pwhash=f"{n:03x}")
                    self.assertEqual([0] * 5, told[:5])
                    slowed = [seconds for seconds in told if seconds > 0]
                    self.assertGreaterEqual(len(slowed), 8, told)
                    self.assertEqual(sorted(slowed), slowed)
                    self.assertEqual([-1] * 8, told[-8:])
                    # Who lives there, and a victim elsewhere, do not notice.
                    self.assertEqual(0, ask("neighbour", home))
                    self.assertEqual(0, ask("victim1", "203.0.113.5"))

    def test_one_password_on_many_accounts(self):
        with harness.Server(harness.READY_POLICY, self.folder / "data") as server:
            told = []
            for n in range(40):
                asked = {"login": f"sprayed{n}", "remote": f"198.22.{n}.5", "pwhash": "5aa"}
                told.append(command(server, "allow", **asked).json()["status"])
                command(server, "report", **asked, success=False, policy_reject=told[-1] < 0)
            self.assertEqual([0] * 8, told[:8])
            self.assertTrue(all(8 <= seconds <= 20 for seconds in told[10:28]), told)
            self.assertEqual(-1, told[-1], told)
            self.assertEqual(0, command(server, "allow", login="sprayed1", remote="203.0.113.5", pwhash="5ab").json()["status"])

    def test_what_is_no_address_counts_as_none(self):
        with harness.Server(harness.READY_POLICY, self.folder / "data") as server:
            for n in range(12):
                command(server, "report", login=f"victim{n}", remote="unknown", success=False, pwhash=f"{n:03x}")
            self.assertEqual(0, command(server, "allow", login="owner", remote="unknown").json()["status"])
            command(server, "report", login="owner", remote="::ffff:192.0.2.9", success=True)
            server.stop()
            rows = self.run_tamis("query", "--data", self.folder / "data", "SELECT account, ip FROM login WHERE ip <> ''", "--csv").stdout
            self.assertEqual(["owner,192.0.2.9"], rows.split()[1:])

    def test_who_is_refused_with_the_right_password_never_signed_in(self):
        policy = self.write_policy({"p.yaml": textwrap.dedent("""\
            event: attempt
            verdicts: [allow, delay, hold]
            fields: {account: {type: account, path: acct}, verified: {type: bool, default: false}}
            ---
            event: login
            fields: {account: {type: account, path: acct}, ok: {type: bool, required: true}, why: {type: string, default: ""}}
            ---
            event: challenge
            fields: {account: {type: account, path: acct}, passed: {type: bool, required: true}, proves: string}
            ---
            rules:
              - {id: slow, on: attempt, when: account.startsWith('slow'), value: "2", then: {verdict: delay}, mode: live}
              - {id: never, on: attempt, when: account.endsWith('stopped') && verified, then: {verdict: hold}, mode: live}
            """)})
        with harness.Server(policy, self.folder / "data") as server:
            def ask(account, **more):
                return command(server, "allow", login=account, session_id="s", **more).json()["status"]

            self.assertEqual([0, 0, -1], [ask("stopped"), ask("stopped", verified=""), ask("stopped", verified="yes")])
            self.assertEqual([0, 0, -1], [ask("stopped", verified="no"), ask("stopped", verified=False), ask("stopped", verified=True)])
            command(server, "report", login="stopped", session_id="s", verified="yes", success=False, policy_reject=True)
            # Who waited before the password was looked at has waited; the second answer asks for no more.
            self.assertEqual([2, 0], [ask("slow"), ask("slow", verified="yes")])
            command(server, "report", login="slow", session_id="s", verified="yes", success=True)
            self.assertEqual([2, -1], [ask("slow-stopped"), ask("slow-stopped", verified="yes")])
            command(server, "report", login="slow-stopped", session_id="s", verified="yes", success=False, policy_reject=True)
            self.assertEqual(200, server.post("/v1/checkpoint", "").status)
        def rows(sql):
            return self.run_tamis("query", "--data", self.folder / "data", sql, "--csv").stdout.split()[1:]

        self.assertEqual(["slow,true,", "slow-stopped,false,policy", "stopped,false,policy"], sorted(rows("SELECT account, ok, why FROM login")))
        self.assertEqual(["slow,true"], rows("SELECT account, passed FROM challenge"))

    def test_what_it_does_not_take(self):
        policy = self.write_policy({"p.yaml": "event: signup\nfields: {acct: account}\n"})
        with harness.Server(policy, self.folder / "data") as server:
            self.assertEqual({"status": 0, "msg": ""}, command(server, "allow", login="a").json())
            self.assertEqual({"status": 0, "msg": ""}, command(server, "report", login="a", success=True).json())
            # Dovecot tells of names that it does not allow without them, and a proxy may not know whose address it is.
            self.assertEqual({"status": 0, "msg": ""}, command(server, "report", login="", success=False).json())
            for remote in ("", "unknown", "fe80::1%eth0", "192.0.2.1:993"):
                self.assertEqual({"status": 0, "msg": ""}, command(server, "allow", login="a", remote=remote).json())
            for body, query in [({}, "allow"), ({"login": ""}, "allow"), ({}, "report"), ([], "report"), ({"login": "a"}, "guess"), ({"login": 7}, "allow")]:
                answer = server.post(f"/v1/auth-policy?command={query}", body)
                self.assertEqual(400, answer.status, (body, query))
                self.assertTrue(answer.json()["message"])
            self.assertEqual(400, server.post("/v1/auth-policy", {"login": "a"}).status)

    def test_waiting_is_a_challenge_of_patience(self):
        policy = self.write_policy({"p.yaml": textwrap.dedent("""\
            event: attempt
            verdicts: [allow, delay, refuse]
            fields: {account: {type: account, path: acct}}
            ---
            event: login
            fields: {account: {type: account, path: acct}, ok: {type: bool, required: true}, why: {type: string, default: ""}}
            ---
            event: challenge
            fields: {account: {type: account, path: acct}, passed: {type: bool, required: true}, proves: string}
            ---
            rules:
              - {id: slow, on: attempt, when: account == 'slow', value: "2.2", then: {verdict: delay}, mode: live}
              - {id: slow-too, on: attempt, when: account == 'usual', then: {verdict: delay}, mode: live}
              - {id: never, on: attempt, when: account == 'never', then: {verdict: refuse}, mode: live}
            """)})
        with harness.Server(policy, self.folder / "data") as server:
            self.assertEqual([3, 5, -1, 0], [command(server, "allow", login=a).json()["status"] for a in ("slow", "usual", "never", "other")])
            self.assertTrue(command(server, "allow", login="never").json()["msg"])
            for account in ("slow", "usual", "never", "other"):
                command(server, "report", login=account, success=account not in ("usual", "never"), policy_reject=account == "never")
            command(server, "report", login="slow", success=True)
            self.assertEqual(200, server.post("/v1/checkpoint", "").status)
        rows = self.run_tamis("query", "--data", self.folder / "data", "SELECT account, passed, proves FROM challenge ORDER BY account", "--csv").stdout
        self.assertEqual(["slow,true,patience", "usual,false,patience"], rows.split()[1:])
        rows = self.run_tamis("query", "--data", self.folder / "data", "SELECT account, why FROM login ORDER BY account, why", "--csv").stdout
        self.assertIn("never,policy", rows)
        self.assertIn("usual,bad_pw", rows)


class Imap(imaplib.IMAP4):
    """A client that comes from an address of its own."""

    def __init__(self, port, source):
        self.source = source
        super().__init__("127.0.0.1", port, timeout=60)

    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, source_address=(self.source, 0))


@unittest.skipUnless(DOVECOT, "not installed: dovecot (./dev clients)")
@unittest.skipUnless(os.geteuid() == 0, "needs root: a mail server changes users")
class Dovecot(harness.TestCase):
    """The lines that the document prints, in a real mail server."""

    @staticmethod
    def of_the_past():
        """Three weeks at home: one signs in on the web, one by a mail client that says its name, one by one that does not."""
        now_ms = int(time.time() * 1000)
        web = {"ip": "127.0.7.1", "cookie": "c1", "fp": "d1", "ua": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
        for hours in range(21 * 24, 1, -6):
            at = {"t": now_ms - hours * 3_600_000}
            yield {"type": "login", "acct": "web", "ok": True, **web, **at}
            yield {"type": "session", "acct": "web", **web, **at}
            yield {"type": "login", "acct": "phone", "ok": True, "protocol": "imap", "ip": "127.0.7.1", "fp": '"name" "iPhone Mail" "version" "21F79"', **at}
            yield {"type": "login", "acct": "quiet", "ok": True, "protocol": "imap", "ip": "127.0.7.1", **at}

    def setUp(self):
        super().setUp()
        token = self.folder / "tokens"
        made = self.run_tamis("token", "dovecot", "decide")
        token.write_text(made.stdout)
        self.token = re.search(r"tok_\S+", made.stderr).group(0)
        intel = self.folder / "intel.csv"
        intel.write_text("prefix,asn,country\n127.0.0.0/16,64500,DE\n127.9.0.0/16,64666,BR\n")
        past = self.folder / "past.jsonl"
        past.write_text("".join(json.dumps(event) + "\n" for event in self.of_the_past()))
        self.run_tamis("import", "--data", self.folder / "data", "--policy", harness.READY_POLICY, "--intel", intel, "--quiet", past)
        self.server = harness.Server(harness.READY_POLICY, self.folder / "data", "--tokens", str(token), "--intel", str(intel))
        self.server.__enter__()
        self.addCleanup(self.server.kill)
        self.port = free_port()
        lines = re.search(r"^```dovecot\.conf\n(.*?)^```", DOCS.read_text(), re.M | re.S).group(1)
        lines = (lines.replace("127.0.0.1:8080", f"127.0.0.1:{self.server.port}").replace("TOKEN", self.token).replace("NONCE", "f00d"))
        nobody = pwd.getpwnam("nobody")
        home = self.folder / "home"
        home.mkdir()
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        os.chmod(self.folder, 0o755)
        users = self.folder / "users"
        users.write_text("".join(f"{name}:{{PLAIN}}right::::::\n" for name in ["owner", "web", "phone", "quiet", *(f"victim{n}" for n in range(20))]))
        os.chmod(users, 0o644)
        run_folder = Path("/run") / f"tamis-auth-{os.getpid()}"  # the path of a unix socket must be short
        self.addCleanup(shutil.rmtree, run_folder, ignore_errors=True)
        config = self.folder / "dovecot.conf"
        config.write_text(textwrap.dedent(f"""\
            base_dir = {run_folder}
            protocols = imap
            listen = 127.0.0.1
            ssl = no
            disable_plaintext_auth = no
            auth_failure_delay = 0
            log_path = {self.folder}/dovecot.log
            mail_location = maildir:{home}/%u
            first_valid_uid = 1
            last_valid_uid = 0
            passdb {{
              driver = passwd-file
              args = {users}
              override_fields = verified=yes
            }}
            userdb {{
              driver = static
              args = uid={nobody.pw_uid} gid={nobody.pw_gid} home={home}/%u
            }}
            service imap-login {{
              inet_listener imap {{
                port = {self.port}
              }}
              inet_listener imaps {{
                port = 0
              }}
            }}
            service anvil {{
              unix_listener anvil-auth-penalty {{
                mode = 0
              }}
            }}
            """) + lines)
        with open(self.folder / "dovecot.out", "wb") as log:
            self.process = subprocess.Popen([DOVECOT, "-F", "-c", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(self.end)
        end = time.monotonic() + 30
        while True:
            try:
                Imap(self.port, "127.0.0.1").logout()
                break
            except OSError:
                if time.monotonic() > end:
                    raise AssertionError("Dovecot does not listen:\n" + self.log()) from None
                time.sleep(0.1)

    def end(self):
        self.process.terminate()
        self.process.wait(20)

    def log(self):
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("dovecot.*") if path.suffix != ".conf")

    def login(self, name, password, source, client=None):
        """Whether it worked, what was said, and how long it took."""
        begun = time.monotonic()
        imap = Imap(self.port, source)
        try:
            if client:
                imap.xatom("ID", client)
            imap.login(name, password)
            return True, "", time.monotonic() - begun
        except imaplib.IMAP4.error as error:
            return False, str(error), time.monotonic() - begun
        finally:
            imap.shutdown()

    def test_a_burst_of_stuffing_is_slowed_and_refused_while_the_owner_signs_in(self):
        for _ in range(3):
            self.assertEqual((True, ""), self.login("owner", "right", "127.0.0.1")[:2], self.log())
        tries = [self.login(f"victim{n}", "wrong", GUESSER) for n in range(4)]
        self.assertFalse(any(worked for worked, _, _ in tries))
        worked, _, slowed = self.login("victim4", "wrong", GUESSER)
        self.assertFalse(worked)
        self.assertGreater(slowed, 2.5, (tries, self.log()))
        # What the delays would take too long for here: the same failures, told by the mail server's other half.
        for n in range(5, 12):
            answer = harness.ask("127.0.0.1", self.server.port, "POST", "/v1/auth-policy?command=report",
                                 {"login": f"victim{n}", "remote": GUESSER, "success": False, "policy_reject": False}, token=self.token)
            self.assertEqual(200, answer.status, answer)
        # Refused even with the right password, at once, and without a word of why.
        worked, said, took = self.login("victim12", "right", GUESSER)
        self.assertFalse(worked, self.log())
        self.assertIn("not possible now", said)
        self.assertLess(took, 10)
        # The owner, and the same victim from elsewhere, are not touched.
        self.assertEqual((True, ""), self.login("owner", "right", "127.0.0.1")[:2])
        self.assertEqual((True, ""), self.login("victim12", "right", "127.0.0.77")[:2])
        self.server.stop()
        rows = self.run_tamis("query", "--data", self.folder / "data",
                              "SELECT account, ip, success, why, password_hash <> '' FROM login ORDER BY time", "--csv").stdout
        self.assertIn("owner,127.0.0.1,true,,true", rows)
        self.assertRegex(rows, r"victim12,127\.0\.0\.66,false,policy,")
        self.assertRegex(rows, r"victim4,127\.0\.0\.66,false,bad_pw,true")

    def test_an_address_of_one_network_for_each_try(self):
        home = "127.0.5.200"
        for _ in range(3):
            self.assertEqual((True, ""), self.login("owner", "right", home)[:2], self.log())
        tries = [self.login(f"victim{n}", "wrong", f"127.0.5.{n + 1}") for n in range(6)]
        self.assertFalse(any(worked for worked, _, _ in tries))
        worked, _, slowed = self.login("victim6", "wrong", "127.0.5.7")
        self.assertFalse(worked)
        self.assertGreater(slowed, 5.5, (tries, self.log()))
        # What the delays would take too long for here: the same failures, told by the mail server's other half.
        for n in range(7, 20):
            answer = harness.ask("127.0.0.1", self.server.port, "POST", "/v1/auth-policy?command=report",
                                 {"login": f"victim{n}", "remote": f"127.0.5.{n + 1}", "success": False, "policy_reject": False}, token=self.token)
            self.assertEqual(200, answer.status, answer)
        worked, said, took = self.login("victim12", "right", "127.0.5.99")
        self.assertFalse(worked, self.log())
        self.assertIn("not possible now", said)
        self.assertLess(took, 10)
        # The owner at home in that network, by another address of it, too, and the victim elsewhere.
        for name, source in [("owner", home), ("owner", "127.0.5.201"), ("victim12", "127.0.6.1")]:
            worked, said, took = self.login(name, "right", source)
            self.assertEqual((True, ""), (worked, said), (name, source, self.log()))
            self.assertLess(took, 3)

    def test_the_right_password_in_a_country_that_the_account_never_used(self):
        phone, newer, other = (f'("name" "{name}" "version" "{version}")' for name, version in [("iPhone Mail", "21F79"), ("iPhone Mail", "22A1"), ("imaplib", "1")])
        home, abroad = "127.0.7.1", "127.9.0.1"

        def worked(name, source, client=None):
            ok, said, _ = self.login(name, "right", source, client)
            self.assertTrue(ok or "not possible now" in said, said)
            return ok

        # At home anything goes, a first mail client, too. Abroad the known one does, after an update as well.
        self.assertTrue(worked("phone", home, other), self.log())
        self.assertTrue(worked("phone", abroad, newer), self.log())
        self.assertTrue(worked("quiet", abroad), self.log())  # nothing tells a thief from the owner
        self.assertFalse(worked("web", abroad), self.log())
        self.assertFalse(worked("web", abroad, phone), self.log())
        # Who tries again and again has still learned nothing and taught nothing.
        self.assertFalse(any(worked("web", abroad, phone) for _ in range(4)), self.log())
        # The owner signs in on the web there, and goes on.
        session = {"type": "session", "acct": "web", "ip": "127.9.0.77", "cookie": "c1", "fp": "d1"}
        self.assertEqual(200, harness.ask("127.0.0.1", self.server.port, "POST", "/v1/decide", session, token=self.token).status)
        self.assertTrue(worked("web", abroad, phone), self.log())
        self.server.stop()
        rows = self.run_tamis("query", "--data", self.folder / "data",
                              "SELECT account, ip, success, why FROM login WHERE ip LIKE '127.9.%' ORDER BY time", "--csv").stdout.split()[1:]
        self.assertEqual(["phone,127.9.0.1,true,", "quiet,127.9.0.1,true,"] + ["web,127.9.0.1,false,policy"] * 6 + ["web,127.9.0.1,true,"], rows)

    def test_a_thief_with_another_client_than_the_phone(self):
        self.assertEqual((True, ""), self.login("phone", "right", "127.0.7.1", '("name" "iPhone Mail" "version" "1")')[:2], self.log())
        for client in (None, '("name" "imaplib")', '("name" "' + "x" * 900 + '")', '("name" "\\"version")'):
            worked, said, _ = self.login("phone", "right", "127.9.0.1", client)
            self.assertFalse(worked, (client, self.log()))
            self.assertIn("not possible now", said)
        self.assertEqual((True, ""), self.login("phone", "right", "127.0.7.200")[:2], self.log())


if __name__ == "__main__":
    unittest.main()
