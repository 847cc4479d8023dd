"""Slow and hostile clients at each mail door of `tamis serve` with the ready policy: whoever drips, does not read, says
nothing, or brings something monstrous gets a verdict or a clear error in time, memory stays bounded, and mail of others
is judged meanwhile as if nothing were."""

import base64
import re
import socket
import struct
import subprocess
import shutil
import threading
import time
import unittest
import zlib

import harness

POLICY = harness.TOP / "policies" / "mail"
DOORS = ("milter", "spamd", "rspamd", "rspamd-controller")
HAM = b"From: a@example.com\r\nTo: b@our.example\r\nSubject: hello\r\nMessage-Id: <m1@example.com>\r\n\r\nhello there\r\n"
PROBE_S = 8  # in which an ordinary message is judged, whatever else goes on; the machine may be busy
MEMORY_KIB = 900_000


class Milter:
    """What a mail server says, as far as it is needed."""

    def __init__(self, port, seconds=30):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.send(b"O", struct.pack(">III", 6, 0x1ff, 0))
        assert self.answer()[0] == b"O"

    def send(self, command, data=b""):
        self.socket.sendall(struct.pack(">I", len(data) + 1) + command + data)

    def answer(self):
        size = struct.unpack(">I", self.exactly(4))[0]
        data = self.exactly(size)
        return data[:1], data[1:]

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the door closed")
            data += more
        return data

    def message(self, text):
        """Sends one; the caller reads the answers."""
        head, _, body = text.partition(b"\r\n\r\n")
        self.send(b"C", b"far.example\x004" + struct.pack(">H", 25) + b"192.0.2.7\0")
        self.send(b"H", b"far.example\0")
        self.send(b"M", b"<a@example.com>\0")
        self.send(b"R", b"<b@our.example>\0")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            self.send(b"L", name + b"\0" + value + b"\0")
        self.send(b"N")
        for at in range(0, len(body), 65535):
            self.send(b"B", body[at:at + 65535])
        self.send(b"E")

    def judge(self, text):
        """The last answer: accept, reply code, reject, tempfail, discard."""
        pace = threading.Thread(target=self.send_quietly, args=(text,))
        pace.start()
        try:
            while True:
                kind, data = self.answer()
                if kind in b"aytrd":
                    return kind
        finally:
            self.socket.close()
            pace.join(60)

    def send_quietly(self, text):
        try:
            self.message(text)
        except OSError:
            pass  # the door had its answer before it had all


def spamd(port, text, command="CHECK", fields="", seconds=60):
    head = f"{command} SPAMC/1.5\r\n{fields}Content-length: {len(text)}\r\n\r\n".encode()
    return exchange(port, head + text, seconds)


def rspamd(port, text, path="/checkv2", fields="", seconds=60):
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}Content-Length: {len(text)}\r\n\r\n".encode()
    return exchange(port, head + text, seconds)


def exchange(port, data, seconds=60):
    with socket.create_connection(("127.0.0.1", port), seconds) as one:
        def write():
            try:
                one.sendall(data)
            except OSError:
                pass  # refused before all was there
        writer = threading.Thread(target=write)
        writer.start()
        answer = b""
        try:
            while more := one.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        writer.join(seconds)
        return answer


class Case(harness.TestCase):
    FLAGS = ()

    def setUp(self):
        super().setUp()
        flags = [flag for name in DOORS for flag in (f"--{name}", "127.0.0.1:0")]
        self.server = harness.Server(POLICY, self.folder / "data", *flags, *self.flags())
        self.server.start()
        self.addCleanup(self.server.stop)
        self.ports = {name: int(port) for name, port in re.findall(r"tamis: (\S+) at \S+:(\d+)\n", self.server.output())}
        self.assertEqual(set(DOORS), set(self.ports), self.server.output())

    def flags(self):
        return ()

    def judged(self, door, text, seconds=60):
        """Sends it through a door; asserts that the answer is a verdict or says what is wrong, and gives it."""
        port = self.ports[door]
        if door == "milter":
            kind = Milter(port, seconds).judge(text)
            self.assertIn(kind, (b"a", b"y", b"t", b"r", b"d"))
            return kind
        if door == "spamd":
            answer = spamd(port, text, seconds=seconds)
            self.assertRegex(answer, rb"^SPAMD/1\.1 \d+ \S")
            return answer
        answer = rspamd(port, text, seconds=seconds)
        self.assertRegex(answer, rb'^HTTP/1\.1 (200 .*"action"|\d{3} .*"(error|message)")(?s:.)*$'.replace(b".*", b"(?s:.)*"))
        return answer

    def assert_others_are_served(self):
        for door in ("milter", "spamd", "rspamd"):
            began = time.monotonic()
            answer = self.judged(door, HAM, PROBE_S)
            self.assertLess(time.monotonic() - began, PROBE_S, door)
            if door == "rspamd":
                self.assertIn(b"200", answer[:16])
            if door == "spamd":
                self.assertRegex(answer, rb"^SPAMD/1\.1 0 EX_OK\r\nSpam: ")

    def assert_memory_is_bounded(self):
        self.assertLess(self.server.memory_kib(), MEMORY_KIB)


class Clients(Case):
    STARTS = {"spamd": b"CHECK SPAMC/1.5\r\nContent-length: 100000\r\n\r\n",
              "rspamd": b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
              "rspamd-controller": b"POST /learnspam HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
              "milter": struct.pack(">I", 13) + b"O" + struct.pack(">III", 6, 0x1ff, 0) + struct.pack(">I", 60_000) + b"B"}

    def test_one_byte_a_second(self):
        """Ten at each door drip behind a good beginning, ten from the first byte on: all are ended within 30 s or so."""
        held = []
        for door, start in self.STARTS.items():
            for number in range(20):
                one = socket.create_connection(("127.0.0.1", self.ports[door]), 10)
                one.sendall(start if number % 2 else b"")
                held.append((door, one, bytearray(b"x" * 200 if number % 2 else start)))
        began, ended = time.monotonic(), {}
        while len(ended) < len(held) and time.monotonic() - began < 60:
            for index, (door, one, rest) in enumerate(held):
                if index in ended:
                    continue
                try:
                    one.sendall(bytes(rest[:1]))
                    del rest[:1]
                    one.setblocking(False)
                    if len(one.recv(4096)) == 0:
                        ended[index] = time.monotonic() - began
                except BlockingIOError:
                    pass
                except OSError:
                    ended[index] = time.monotonic() - began
                one.setblocking(True)
            if int(time.monotonic() - began) % 10 == 5:
                self.assert_others_are_served()
            time.sleep(1)
        left = sorted({held[index][0] for index in range(len(held)) if index not in ended})
        self.assertEqual([], left, "these were never ended")
        self.assertLess(max(ended.values()), 50)
        for _, one, _ in held:
            one.close()
        self.assert_others_are_served()
        self.assert_memory_is_bounded()

    def test_clients_that_never_read(self):
        """They ask for big answers and for many, and read none."""
        held = []
        text = HAM + b"x" * 3_000_000 + b"\r\n"
        process = b"PROCESS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(text) + text
        for _ in range(10):
            one = socket.create_connection(("127.0.0.1", self.ports["spamd"]), 10)
            one.sendall(process)
            held.append(one)
        many = b"".join([b"POST /checkv2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(HAM) + HAM] * 2000)
        for _ in range(10):
            one = socket.create_connection(("127.0.0.1", self.ports["rspamd"]), 10)
            one.setblocking(False)
            try:
                one.send(many)
            except BlockingIOError:
                pass
            held.append(one)
        for _ in range(10):
            milter = Milter(self.ports["milter"])
            milter.socket.settimeout(1)
            try:
                for _ in range(200):
                    milter.message(HAM)
            except OSError:
                pass  # the door waits for its answers to be read
            held.append(milter.socket)
        self.assert_others_are_served()
        time.sleep(3)
        self.assert_others_are_served()
        self.assert_memory_is_bounded()
        for one in held:
            one.close()
        self.assert_others_are_served()

    def test_connections_that_say_nothing(self):
        held = []
        for door in DOORS:
            for _ in range(200):
                held.append(socket.create_connection(("127.0.0.1", self.ports[door]), 10))
        self.assert_others_are_served()
        self.assert_memory_is_bounded()
        for one in held:
            one.close()

    def test_clients_that_go_away(self):
        for door, start in self.STARTS.items():
            for _ in range(100):
                with socket.create_connection(("127.0.0.1", self.ports[door]), 10) as one:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # with a reset
                    one.sendall(start)
        self.assert_others_are_served()


class Messages(Case):
    """Each monster goes through each door while ordinary messages come beside it."""

    def through_all(self, text, seconds=60):
        failures = []

        def send(door):
            try:
                began = time.monotonic()
                self.judged(door, text, seconds)
                took = time.monotonic() - began
                if took > seconds:
                    failures.append(f"{door}: {took:.0f} s")
            except Exception as error:  # what a thread raises would be lost
                failures.append(f"{door}: {error!r}")

        threads = [threading.Thread(target=send, args=(door,)) for door in ("milter", "spamd", "rspamd")]
        for thread in threads:
            thread.start()
        self.assert_others_are_served()
        for thread in threads:
            thread.join(seconds + 30)
        self.assertEqual([], failures)
        self.assert_others_are_served()
        self.assert_memory_is_bounded()

    def test_fifty_megabytes(self):
        self.through_all(HAM + (b"word " * 15 + b"\r\n") * (50_000_000 // 77))

    def test_ten_thousand_parts(self):
        part = b"--b\r\nContent-Type: text/html\r\n\r\n<p>hello <a href=http://x.example/>x</a></p>\r\n"
        self.through_all(b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 10_000 + b"--b--\r\n")

    def test_a_hundred_thousand_headers(self):
        self.through_all(b"From: a@b.example\r\n" + b"X-Some: <a@b.example>; spf=pass (c) \"d\"\r\n" * 100_000 + b"\r\nhello\r\n")

    def test_a_line_without_end_and_deep_nesting(self):
        """A header as long as a frame of milter may be (mail servers cut far before); a body of one line; mail in mail."""
        self.through_all(b"From: a@b.example\r\nSubject: " + b"x" * 900_000 + b"\r\n\r\n" + b"y" * 5_000_000)
        self.through_all(b"From: a@b.example\r\nContent-Type: message/rfc822\r\n\r\n" * 20_000 + HAM)

    def test_bombs_inside_a_message(self):
        """A gigabyte of nothing in a megabyte, attached."""
        pack = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join([pack.compress(bytes(1 << 20)) for _ in range(1024)] + [pack.flush()])
        text = (b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: application/gzip; name=a.gz\r\n"
                b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bomb).replace(b"\n", b"\r\n"))
        self.through_all(text)

    def test_bombs_of_the_protocols(self):
        """What the doors themselves unpack: zlib for spamd, zstd for rspamd."""
        pack = zlib.compressobj(9)
        bomb = b"".join([pack.compress(bytes(1 << 20)) for _ in range(1024)] + [pack.flush()])
        began = time.monotonic()
        answer = spamd(self.ports["spamd"], bomb, fields="Compress: zlib\r\n")
        self.assertTrue(answer.startswith(b"SPAMD/1.1 65 "), answer[:100])
        if zstd := shutil.which("zstd"):
            packed = subprocess.run([zstd, "-q", "-19", "--long=27", "-c"], input=bytes(1 << 30), capture_output=True, check=True).stdout
            answer = rspamd(self.ports["rspamd"], packed, fields="Content-Encoding: zstd\r\n")
            self.assertRegex(answer, rb"^HTTP/1\.1 4\d\d ")
        self.assertLess(time.monotonic() - began, 60)
        self.assert_others_are_served()
        self.assert_memory_is_bounded()


class DeadDns(Case):
    """A DNS server that takes questions and answers none."""

    def flags(self):
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind(("127.0.0.1", 0))
        self.addCleanup(self.silent.close)
        return ("--dns", f"127.0.0.1:{self.silent.getsockname()[1]}", "--dns-budget-ms", "1500")

    def test_every_door_has_its_verdict_within_the_budget(self):
        signed = HAM.replace(b"Subject:", b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; h=from; bh=YWJj; b=YWJj\r\nSubject:")
        began = time.monotonic()
        threads, failures = [], []

        def send(door):
            try:
                self.judged(door, signed, 20)
            except Exception as error:  # what a thread raises would be lost
                failures.append(f"{door}: {error!r}")

        for door in ("milter", "spamd", "rspamd") * 20:
            threads.append(threading.Thread(target=send, args=(door,)))
            threads[-1].start()
        for thread in threads:
            thread.join(60)
        took = time.monotonic() - began
        self.assertEqual([], failures)
        self.assertLess(took, 15, "sixty messages wait for DNS beside each other, not behind")
        self.silent.setblocking(False)
        self.assertGreater(len(self.silent.recv(512)), 12, "it was asked")
        self.assertRegex(self.server.get("/metrics").text(), r"(?m)^tamis_mail_dns_timeouts_total [1-9]")


if __name__ == "__main__":
    unittest.main()
