"""The mail doors with real clients of their protocols, as Debian packages them: miltertest, Postfix, rspamc, spamc, swaks,
spamass-milter and Dovecot's sieve scripts. Where one is not installed its tests are skipped; `./dev clients` installs them.

The doors stand before a scanner that judges by a word in the message (src/door/mail_scanner_test_kit.h), so that each
verdict is met and nothing but the doors is on trial.
"""

import imaplib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import time
import unittest
import zlib
from pathlib import Path

import harness

DOCS = harness.TOP / "docs" / "MAIL_DOORS.md"
HAM = "From: a@example.com\nTo: root@example.org\nSubject: hello\nMessage-Id: <m1@example.com>\n\nhello\n"


def find(program):
    """The path of a program, also where only root looks; nothing when it is not installed."""
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin:/usr/local/sbin")


def needs(*programs, root=False):
    missing = [program for program in programs if not find(program)]
    if missing:
        return unittest.skip(f"not installed: {', '.join(missing)} (./dev clients)")
    if root and os.geteuid() != 0:
        return unittest.skip("needs root: a mail server changes users")
    return lambda case: case


def message(word, extra=""):
    return f"From: a@example.com\nTo: root@example.org\nSubject: hello\n{extra}\ntamis-test:{word}\n"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def printed(kind):
    """The lines of the document's block for a file of a mail server, so that what it prints is what works."""
    match = re.search(r"^```" + re.escape(kind) + r"\n(.*?)^```", DOCS.read_text(), re.M | re.S)
    return match.group(1)


def run(*command, text="", seconds=60, **options):
    return subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, timeout=seconds, **options)


class Doors:
    """The program of the doors on ports that the system chooses, and on a unix socket for milter."""

    NAMES = ("milter", "spamd", "spamd-out", "rspamd", "rspamd-controller")

    def __init__(self, log, *arguments):
        self.log = Path(log)
        command = [str(harness.TOP / "build" / "release" / "door_mail_fake")]
        for name in self.NAMES:
            command += [f"--{name}", "127.0.0.1:0"]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([*command, *arguments], stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: "ready" in self.output() or self.process.poll() is not None, "the doors are open")
        self.ports = {name: int(port) for name, port in re.findall(r": (\S+) listens on \S+:(\d+)\n", self.output())}
        if set(self.ports) != set(self.NAMES):
            raise RuntimeError(self.output())

    def output(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        if code != 0:
            raise RuntimeError(f"the doors ended with exit code {code}:\n{self.output()[-2000:]}")


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class DoorsCase(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.doors = Doors(self.folder / "doors.log", "--own-name", "mx.example.org", *self.arguments())
        self.addCleanup(self.doors.stop)

    def arguments(self):
        return []

    def address(self, door):
        return f"127.0.0.1:{self.doors.ports[door]}"

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def talk(self, door, *pieces, close=True):
        """Sends bytes and reads to the end."""
        with socket.create_connection(("127.0.0.1", self.doors.ports[door]), 20) as one:
            for piece in pieces:
                one.sendall(piece)
            if close:
                one.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := one.recv(65536):
                answer += piece
            return answer


@needs("rspamc")
class Rspamc(DoorsCase):
    def arguments(self):
        token = harness.tamis("token", "sieve", "ingest,metrics")
        self.assertEqual(0, token.returncode, token.stderr)
        self.token = re.search(r"tok_\S+", token.stdout + token.stderr).group(0)
        line = re.search(r"^\s*(sieve:\S+)", token.stdout + token.stderr, re.M).group(1)
        return ["--tokens", str(self.file("tokens", line + "\n"))]

    def rspamc(self, *arguments, door="rspamd", code=0):
        done = run("rspamc", "-h", self.address(door), *arguments)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_symbols_of_every_verdict(self):
        for word, action in [("none", "no action"), ("tag", "add header"), ("quarantine", "add header"),
                             ("greylist", "soft reject"), ("defer", "soft reject"), ("reject", "reject"), ("discard", "discard")]:
            text = self.rspamc("symbols", self.file(word, message(word)))
            self.assertIn(f"Action: {action}\n", text)
        self.assertIn("Score: 15.00 / 5.00\n", self.rspamc("symbols", self.folder / "reject"))
        self.assertIn("Symbol: test-word (13.50)\n", self.rspamc("symbols", self.folder / "reject"))

    def test_envelope_and_packing(self):
        for arguments in ([], ["-z"]):
            text = self.rspamc(*arguments, "-i", "192.0.2.9", "-F", "s@example.com", "-r", "r@example.org", "--helo", "h.example",
                               "--hostname", "c.example", "-u", "carol", "--json", "symbols", self.file("ham", HAM))
            self.assertIn('"out <192.0.2.9> <h.example> <s@example.com> <carol> r@example.org"', text)
            self.assertIn('"message-id": "m1@example.com"', text)

    def test_many_at_once(self):
        for i in range(200):
            self.file(f"many/{i}.eml", message("reject" if i % 2 else "none"))
        text = self.rspamc("-n", "32", "symbols", self.folder / "many")
        self.assertEqual(100, text.count("Action: reject"))
        self.assertEqual(100, text.count("Action: no action"))

    def test_teaching_needs_the_password(self):
        ham = self.file("ham", HAM)
        refused = run("rspamc", "-h", self.address("rspamd-controller"), "-P", "guess", "learn_spam", ham)
        self.assertNotIn("success = true", refused.stdout)
        self.assertNotIn("learned", self.doors.output())
        for word, label in [("learn_spam", "spam"), ("learn_ham", "ham")]:
            text = self.rspamc("-P", self.token, "-d", "bob@example.org", word, ham, door="rspamd-controller")
            self.assertIn("success = true", text)
            self.assertIn(f"learned {label} from <bob@example.org> for <bob@example.org>: {len(HAM)} bytes", self.doors.output())
        text = self.rspamc("-P", self.token, "stat", door="rspamd-controller")
        self.assertIn("Messages learned: 2\n", text)
        # Who asks the wrong one of the two ports is told which is right.
        answer = harness.ask("127.0.0.1", self.doors.ports["rspamd"], "POST", "/learnspam", HAM)
        self.assertEqual((404, True), (answer.status, "--rspamd-controller" in answer.text()), answer)

    def test_files_are_not_read(self):
        answer = harness.ask("127.0.0.1", self.doors.ports["rspamd"], "POST", "/checkv2", HAM, {"File": "/etc/passwd"})
        self.assertEqual(403, answer.status)
        self.assertIn("never done", answer.json()["error"])


@needs("spamc")
class Spamc(DoorsCase):
    def spamc(self, *arguments, text=HAM, code=0, door="spamd"):
        done = run("spamc", "-x", "-d", "127.0.0.1", "-p", str(self.doors.ports[door]), *arguments, text=text)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def test_ping(self):
        self.assertIn("SPAMD/1.5 0", self.spamc("-K"))

    def test_check(self):
        self.assertEqual("1.5/5.0\n", self.spamc("-c"))
        self.assertEqual("15.0/5.0\n", self.spamc("-c", text=message("reject"), code=1))

    def test_symbols_and_reports(self):
        self.assertEqual("seen,test-word\n", self.spamc("-y", text=message("tag")).replace("\r", ""))
        self.assertRegex(self.spamc("-R", text=message("tag")), r"(?s)^15\.0/5\.0\n.*13\.5 test-word +the message asks for it")
        self.assertIn("test-word", self.spamc("-r", text=message("tag")))
        self.assertEqual("", self.spamc("-r"))

    def test_process_and_headers(self):
        forged = message("tag", "X-Spam-Flag: NO\nX-Spam-Status: No, score=-9\n")
        marked = self.spamc(text=forged)
        self.assertIn("X-Spam-Flag: YES\n", marked)
        self.assertIn("X-Spam-Status: Yes, score=15.0 required=5.0 tests=seen,\n\ttest-word\n", marked)
        self.assertNotIn("score=-9", marked)
        self.assertTrue(marked.endswith("\n\ntamis-test:tag\n"))
        self.assertEqual(marked.split("\n\n")[0], self.spamc("--headers", text=forged).split("\n\n")[0])

    def test_which_way_a_message_goes(self):
        self.assertIn("X-Fake-Envelope: in <> <> <> <> bob\n", self.spamc("-u", "bob"))
        self.assertIn("X-Fake-Envelope: out <> <> <> <bob>\n", self.spamc("-u", "bob", door="spamd-out"))

    def test_learn(self):
        for word in ("spam", "ham", "forget"):
            self.assertEqual("Message successfully un/learned\n", self.spamc("-u", "bob", "-L", word))
            self.assertIn(f"learned {word} from <bob> for <bob>: {len(HAM)} bytes", self.doors.output())
        self.assertEqual("Message was already un/learned\n", self.spamc("-L", "spam", text=message("known")))

    def test_a_busy_scanner_lets_mail_pass_unmarked(self):
        done = run("spamc", "-d", "127.0.0.1", "-p", str(self.doors.ports["spamd"]), text=message("busy"))
        self.assertEqual((0, message("busy")), (done.returncode, done.stdout))

    def test_large_messages(self):
        text = HAM + "x" * 5_000_000 + "\n"
        self.assertTrue(self.spamc("-s", "10000000", text=text).endswith(text[-1000:]))


class SpamdProtocol(DoorsCase):
    """What spamc of Debian does not speak: it is built without zlib."""

    def ask(self, command, body, *fields):
        head = [f"{command} SPAMC/1.5", *fields, f"Content-length: {len(body)}", "", ""]
        return self.talk("spamd", "\r\n".join(head).encode() + body)

    def test_packed_messages(self):
        packed = zlib.compress(message("tag").encode())
        self.assertEqual(b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 5.0\r\n\r\n", self.ask("CHECK", packed, "Compress: zlib"))
        self.assertTrue(self.ask("CHECK", packed[:-9], "Compress: zlib").startswith(b"SPAMD/1.1 65 "))

    def test_half_messages(self):
        self.assertTrue(self.talk("spamd", b"CHECK SPAMC/1.5\r\nContent-length: 99\r\n\r\nhalf").startswith(b"SPAMD/1.1 65 "))
        self.assertTrue(self.talk("spamd", b"NONSENSE\r\n").startswith(b"SPAMD/1.1 76 "))


@needs("miltertest")
class Miltertest(DoorsCase):
    def test_script(self):
        script = harness.TOP / "test" / "data" / "mail" / "milter.lua"
        done = run("miltertest", "-s", script, "-D", f"port={self.doors.ports['milter']}", cwd=self.folder)
        self.assertIn("all as expected", done.stdout, done.stdout + done.stderr + self.doors.output())
        self.assertEqual(0, done.returncode)


class Postfix:
    """An instance of Postfix of its own: configuration, queue, log and mailboxes in one folder."""

    def __init__(self, folder, main, services=""):
        self.folder = Path(folder)
        self.port = free_port()
        for name in ("etc", "queue", "data", "mail", "log"):
            (self.folder / name).mkdir(parents=True)
        for parent in (self.folder, self.folder.parent):
            os.chmod(parent, 0o755)
        shutil.chown(self.folder / "data", "postfix")
        base = {"compatibility_level": "3.6", "config_directory": self.folder / "etc", "queue_directory": self.folder / "queue",
                "data_directory": self.folder / "data", "mail_spool_directory": self.folder / "mail",
                "maillog_file": self.folder / "log" / "maillog", "maillog_file_prefixes": self.folder / "log",
                "myhostname": "mx.example.org", "mydestination": "example.org", "mynetworks": "192.0.2.0/24",
                "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "alias_maps": "", "alias_database": "",
                "local_recipient_maps": "", "smtpd_recipient_restrictions": "reject_unauth_destination",
                "message_size_limit": "60000000", "mailbox_size_limit": "0"}
        lines = [f"{name} = {value}" for name, value in base.items()]
        (self.folder / "etc" / "main.cf").write_text("\n".join(lines) + "\n" + main)
        daemons = textwrap.dedent("""\
            cleanup unix n - n - 0 cleanup
            qmgr unix n - n 300 1 qmgr
            rewrite unix - - n - - trivial-rewrite
            bounce unix - - n - 0 bounce
            defer unix - - n - 0 bounce
            trace unix - - n - 0 bounce
            proxymap unix - - n - - proxymap
            smtp unix - - n - - discard
            error unix - - n - - error
            retry unix - - n - - error
            discard unix - - n - - discard
            local unix - n n - - local
            anvil unix - - n - 1 anvil
            showq unix n - n - - showq
            postlog unix-dgram n - n - 1 postlogd
            """)
        (self.folder / "etc" / "master.cf").write_text(f"{self.port} inet n - n - - smtpd\n{services}{daemons}")

    def command(self, *words):
        return run(find("postfix"), "-c", self.folder / "etc", *words)

    def start(self):
        done = self.command("start")
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr + self.log())
        wait_for(self.accepts, "Postfix listens")

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.command("stop")
        wait_for(lambda: self.command("status").returncode != 0, "Postfix has stopped")

    def log(self):
        path = self.folder / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def delivered(self, user="root"):
        path = self.folder / "mail" / user
        return path.read_text(errors="replace") if path.exists() else ""

    def queue(self):
        return run(find("postqueue"), "-c", self.folder / "etc", "-p").stdout


def send(port, path, *arguments):
    """One message by swaks; what the server said to the end of the data."""
    done = run(find("swaks"), "--server", f"127.0.0.1:{port}", "--from", "a@example.com", "--helo", "swaks.example", "--data",
               f"@{path}", *arguments, seconds=120)
    said = re.findall(r"^<(?:\*\*|-) +(\d{3}[ -].*)$", done.stdout, re.M)
    # The last answer is to QUIT.
    return said[-2] if len(said) > 1 else done.stdout + done.stderr


@needs("postfix", "swaks", root=True)
class PostfixMilter(DoorsCase):
    def arguments(self):
        return ["--reply", "not 100% welcome"]

    def setUp(self):
        super().setUp()
        main = printed("main.cf").replace("127.0.0.1:11332", self.address("milter"))
        self.submission = free_port()
        self.postfix = Postfix(self.folder / "postfix", main,
                               f"{self.submission} inet n - n - - smtpd -o milter_macro_daemon_name=ORIGINATING\n")
        self.postfix.start()
        self.addCleanup(self.postfix.stop)

    def send(self, text, *recipients, port=None):
        path = self.file("message", text)
        return send(port or self.postfix.port, path, "--to", ",".join(recipients or ["root@example.org"]))

    def test_ham_is_delivered_and_marked(self):
        forged = "X-Spam-Flag: NO\nAuthentication-Results: mx.example.org; spf=pass\nAuthentication-Results: other.example; spf=pass\n"
        self.assertRegex(self.send(message("none", forged)), "^250 2.0.0")
        wait_for(lambda: "tamis-test:none" in self.postfix.delivered(), "delivery")
        mail = self.postfix.delivered()
        self.assertEqual(1, mail.count("X-Spam-Flag: NO\n"))
        self.assertEqual(1, len(re.findall(r"^Authentication-Results: mx\.example\.org", mail, re.M)), mail)
        self.assertIn("Authentication-Results: mx.example.org;\n\tspf=none\n", mail)
        self.assertIn("Authentication-Results: other.example; spf=pass\n", mail)
        self.assertIn("X-Fake-Envelope: in <127.0.0.1> <swaks.example> <a@example.com> <> root@example.org\n", mail)
        # Ours stand above the trace of this server.
        self.assertLess(mail.index("X-Spam-Flag"), mail.index("Received:"))

    def test_verdicts(self):
        self.assertEqual("550 5.7.1 not 100% welcome", self.send(message("reject")))
        self.assertEqual("451 4.7.1 not 100% welcome", self.send(message("greylist")))
        self.assertEqual("451 4.7.1 not 100% welcome", self.send(message("defer")))
        self.assertRegex(self.send(message("fail")), "^451 4.3.0 ")
        self.assertRegex(self.send(message("discard")), "^250 ")
        self.assertRegex(self.send(message("quarantine")), "^250 ")
        self.assertRegex(self.postfix.queue(), r"(?m)^[0-9A-F]+! ")  # held
        self.assertNotIn("tamis-test:", self.postfix.delivered())

    def test_refusal_for_one_of_two(self):
        self.assertRegex(self.send(message("refuse=daemon@example.org"), "root@example.org", "daemon@example.org"), "^250 ")
        wait_for(lambda: "tamis-test:refuse" in self.postfix.delivered(), "delivery")
        self.assertEqual("", self.postfix.delivered("daemon"))
        self.assertRegex(self.send(message("refuse=root@example.org")), "^550 5.7.1 ")

    def test_submitted_mail_is_outbound(self):
        self.assertRegex(self.send(message("none"), port=self.submission), "^250 ")
        wait_for(lambda: "X-Fake-Envelope: out " in self.postfix.delivered(), "delivery")

    def test_many_messages_and_large_ones(self):
        for i in range(20):
            self.assertRegex(self.send(message("none", f"X-Number: {i}\n")), "^250 ")
        self.assertRegex(self.send(message("tag") + "x" * 70 + "\n" + ("y" * 70 + "\n") * 100_000), "^250 ")
        # Beyond the scanner's 16 MiB it passes unseen.
        self.assertRegex(self.send(message("reject") + ("y" * 70 + "\n") * 300_000), "^250 ")
        wait_for(lambda: self.postfix.delivered().count("Subject: hello\n") == 22, "delivery of all")

    def test_mail_waits_while_the_filter_is_away(self):
        port = self.doors.ports["milter"]
        self.doors.stop()
        self.assertRegex(self.send(message("none")), "^451 4.7.1 ")  # as milter_default_action says
        self.doors = Doors(self.folder / "again.log", "--milter", f"127.0.0.1:{port}")
        self.addCleanup(self.doors.stop)
        self.assertRegex(self.send(message("none")), "^250 ")


@needs("postfix", "swaks", "spamass-milter", "spamc", root=True)
class SpamassMilter(DoorsCase):
    """spamass-milter asks spamc, which asks our door of spamd's protocol."""

    def setUp(self):
        super().setUp()
        port = free_port()
        log = open(self.folder / "spamass.log", "wb")
        self.addCleanup(log.close)
        self.milter = subprocess.Popen([find("spamass-milter"), "-p", f"inet:{port}@127.0.0.1", "-r", "12", "--", "-d", "127.0.0.1", "-p",
                                        str(self.doors.ports["spamd"])], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                       start_new_session=True)
        self.addCleanup(self.end_milter)
        self.postfix = Postfix(self.folder / "postfix", f"smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = tempfail\n")
        self.postfix.start()
        self.addCleanup(self.postfix.stop)

    def end_milter(self):
        self.milter.kill()
        self.milter.wait(20)

    def test_marks_and_rejects(self):
        ham = send(self.postfix.port, self.file("ham", HAM), "--to", "root@example.org")
        self.assertRegex(ham, "^250 ")
        wait_for(lambda: "hello\n" in self.postfix.delivered(), "delivery")
        self.assertRegex(self.postfix.delivered(), r"X-Spam-Status: No, score=1\.5 required=5\.0 tests=seen")
        spam = send(self.postfix.port, self.file("spam", message("tag")), "--to", "root@example.org")
        self.assertRegex(spam, "^550 5.7.1 ")


@needs("dovecot", "rspamc", root=True)
class DovecotSieve(DoorsCase):
    """Moving mail to Junk and back teaches, by the scripts that the document prints."""

    def setUp(self):
        super().setUp()
        if not Path("/usr/lib/dovecot/modules/lib95_imap_sieve_plugin.so").exists():
            self.skipTest("not installed: dovecot-sieve (./dev clients)")
        self.port = free_port()
        nobody = pwd.getpwnam("nobody")
        home = self.folder / "home"
        home.mkdir()
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        os.chmod(self.folder, 0o755)
        controller = self.address("rspamd-controller")
        for name in ("learn-spam.sieve", "learn-ham.sieve"):
            self.file(f"sieve/{name}", printed(name))
        for name in ("tamis-learn",):
            path = self.file(f"sieve/{name}", printed(name).replace("127.0.0.1:11334", controller))
            path.chmod(0o755)
        shutil.copytree(self.folder / "sieve", self.folder / "compiled")
        plugin = printed("dovecot.conf").replace("/etc/dovecot/sieve", str(self.folder / "compiled"))
        run_folder = Path("/run") / f"tamis-test-{os.getpid()}"  # the path of a unix socket must be short
        self.addCleanup(shutil.rmtree, run_folder, ignore_errors=True)
        config = self.file("dovecot.conf", textwrap.dedent(f"""\
            base_dir = {run_folder}
            protocols = imap
            listen = 127.0.0.1
            ssl = no
            disable_plaintext_auth = no
            log_path = {self.folder}/dovecot.log
            mail_location = maildir:{home}/%u
            first_valid_uid = 1
            last_valid_uid = 0
            passdb {{
              driver = static
              args = password=secret
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
            """) + plugin)
        for script in sorted((self.folder / "compiled").glob("*.sieve")):
            done = run(find("sievec"), "-c", config, script)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        for path in [self.folder / "compiled", *(self.folder / "compiled").iterdir()]:
            os.chmod(path, 0o755)
        log = open(self.folder / "dovecot.out", "wb")
        self.addCleanup(log.close)
        self.dovecot = subprocess.Popen([find("dovecot"), "-F", "-c", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        self.addCleanup(self.end_dovecot)

    def end_dovecot(self):
        self.dovecot.terminate()
        self.dovecot.wait(20)

    def log(self):
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("dovecot.*") if path.suffix != ".conf")

    def connect(self):
        end = time.monotonic() + 30
        while True:
            try:
                return imaplib.IMAP4("127.0.0.1", self.port, timeout=20)
            except OSError:
                if time.monotonic() > end:
                    raise AssertionError("Dovecot does not listen:\n" + self.log()) from None
                time.sleep(0.1)

    def test_moving_teaches(self):
        imap = self.connect()
        imap.login("bob", "secret")
        imap.create("Junk")
        imap.append("INBOX", None, None, HAM.replace("\n", "\r\n").encode())
        imap.select("INBOX")
        imap.copy("1", "Junk")
        wait_for(lambda: "learned spam from <bob> for <bob>" in self.doors.output(), "spam is learned\n" + self.log())
        imap.select("Junk")
        imap.copy("1", "INBOX")
        wait_for(lambda: "learned ham from <bob> for <bob>" in self.doors.output(), "ham is learned\n" + self.log())
        imap.logout()


class Robust(DoorsCase):
    def test_a_flood_of_half_messages(self):
        """Hundreds of clients that stop in the middle, while others are served."""
        held = []
        for _ in range(150):
            for door, start in [("spamd", b"CHECK SPAMC/1.5\r\nContent-length: 100\r\n\r\nhalf"),
                                ("rspamd", b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"),
                                ("milter", b"\0\0\0\x0dO\0\0\0\6\0\0\1\xff\0\x1f\xff\xff\0\0")]:
                one = socket.create_connection(("127.0.0.1", self.doors.ports[door]), 20)
                one.sendall(start)
                held.append(one)
        good = []

        def ask():
            for _ in range(50):
                body = HAM.encode()
                answer = self.talk("spamd", b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(body), body))
                good.append(answer == b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.5 / 5.0\r\n\r\n")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for one in held:
            one.close()
        self.assertEqual(200, sum(good))

    def test_random_bytes(self):
        for i in range(60):
            noise = bytes((i * 37 + j * j * 11) % 256 for j in range(i * 50))
            for door in ("milter", "spamd", "rspamd", "rspamd-controller"):
                try:
                    self.talk(door, noise)
                except ConnectionResetError:
                    pass
        self.assertEqual(b"SPAMD/1.5 0 PONG\r\n", self.talk("spamd", b"PING SPAMC/1.5\r\n\r\n"))


@needs("spamc", "rspamc")
class Serve(harness.TestCase):
    """The same doors on `tamis serve`, with the ready policy behind them."""

    def test_doors_of_the_server(self):
        policy = harness.TOP / "policies" / "mail"
        if not policy.is_dir() or "--milter" not in harness.tamis("serve", "--help").stdout:
            self.skipTest("this `tamis serve` has no mail doors")
        flags = [flag for name in Doors.NAMES for flag in (f"--{name}", "127.0.0.1:0")]
        with harness.Server(policy, self.folder / "data", *flags) as server:
            ports = dict(re.findall(r"tamis: (\S+) at \S+:(\d+)\n", server.output()))
            self.assertEqual(set(Doors.NAMES), set(ports), server.output())
            done = run("spamc", "-x", "-c", "-d", "127.0.0.1", "-p", ports["spamd"], text=HAM)
            self.assertRegex(done.stdout, r"^-?[\d.]+/[\d.]+\n$")
            ham = self.folder / "ham"
            ham.write_text(HAM)
            text = run("rspamc", "-h", f"127.0.0.1:{ports['rspamd']}", "symbols", ham).stdout
            self.assertRegex(text, r"(?m)^Action: (no action|soft reject|add header)$")
            taught = run("rspamc", "-h", f"127.0.0.1:{ports['rspamd-controller']}", "learn_ham", ham).stdout
            self.assertIn("success = true", taught)
            self.assertIn("tamis_mail_door_messages_total", server.get("/metrics").text())


if __name__ == "__main__":
    unittest.main()
