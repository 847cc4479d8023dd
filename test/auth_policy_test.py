"""Dovecot's auth-policy door: what its two calls mean, and a real Dovecot whose users are guarded by policies/accounts."""

import imaplib
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

    def test_what_it_does_not_take(self):
        policy = self.write_policy({"p.yaml": "event: signup\nfields: {acct: account}\n"})
        with harness.Server(policy, self.folder / "data") as server:
            self.assertEqual({"status": 0, "msg": ""}, command(server, "allow", login="a").json())
            self.assertEqual({"status": 0, "msg": ""}, command(server, "report", login="a", success=True).json())
            for body, query in [({}, "allow"), ({"login": ""}, "allow"), ([], "report"), ({"login": "a"}, "guess"), ({"login": 7}, "allow")]:
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

    def setUp(self):
        super().setUp()
        token = self.folder / "tokens"
        made = self.run_tamis("token", "dovecot", "decide")
        token.write_text(made.stdout)
        self.token = re.search(r"tok_\S+", made.stderr).group(0)
        self.server = harness.Server(harness.READY_POLICY, self.folder / "data", "--tokens", str(token))
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
        users.write_text("".join(f"{name}:{{PLAIN}}right::::::\n" for name in ["owner", *(f"victim{n}" for n in range(20))]))
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

    def login(self, name, password, source):
        """Whether it worked, what was said, and how long it took."""
        begun = time.monotonic()
        imap = Imap(self.port, source)
        try:
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


if __name__ == "__main__":
    unittest.main()
