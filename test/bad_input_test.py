"""Hostile and broken input at every door: the server answers what it can, says why to the rest, stays up and stays small."""

import json
import random
import shutil
import socket
import threading
import time
import unittest

import harness

GROWTH_KIB_MAX = 64 * 1024


def deep(depth):
    return '{"type":"login","ok":true,"x":' + '{"a":' * depth + "1" + "}" * depth + "}"


REFUSED = {  # as the JSON of a login
    "nothing": b"",
    "blanks": b"   ",
    "truncated": b'{"type":"login","ok":true',
    "truncated in a string": b'{"type":"login","ok":true,"acct":"abc',
    "truncated in an escape": b'{"type":"login","ok":true,"acct":"\\u12',
    "nested too deep": deep(40).encode(),
    "nested absurdly deep": b'{"type":"login","ok":true,"x":' + b"[" * 500_000,
    "two documents": b'{"type":"login","ok":true}{"type":"login","ok":true}',
    "invalid UTF-8": b'{"type":"login","ok":true,"acct":"\xff\xfe"}',
    "overlong UTF-8": b'{"type":"login","ok":true,"acct":"\xc0\xaf"}',
    "half of a surrogate pair": b'{"type":"login","ok":true,"acct":"\\ud800"}',
    "a byte of zero": b'{"type":"login","ok":true,"acct":"a\x00b"}',
    "no JSON number": b'{"type":"login","ok":true,"fill_ms":NaN}',
    "a number as text": b'{"type":"login","ok":"true"}',
    "an array": b'[{"type":"login","ok":true}]',
    "a text": b'"login"',
    "a key twice": b'{"type":"login","ok":true,"ok":false}',
    "a number beyond all doubles where one is required": b'{"type":"login","ok":1e400,"fp":"a"}',
    "an id beyond 64 bits": b'{"type":"login","ok":true,"id":123456789012345678901234567890}',
    "a comment": b'{"type":"login",/* */"ok":true}',
    "a time out of range": b'{"type":"login","ok":true,"t":1e300}',
    "an id that is an object": b'{"type":"login","ok":true,"id":{"a":1}}',
}
DECIDED = {
    "an integer beyond 64 bits that nobody reads": b'{"type":"login","ok":true,"id":"a","x":{"y":[123456789012345678901234567890]}}',
    "a number beyond all doubles that nobody reads": b'{"type":"login","ok":true,"id":"b","x":1e400}',
    "a field nobody knows": b'{"type":"login","ok":true,"id":"c","constructor":{"__proto__":[1,2,{"x":null}]}}',
    "numbers without measure where nobody looks": b'{"type":"login","ok":true,"id":"d","x":1e300,"y":-0,"z":18446744073709551615}',
    "escapes in keys": b'{"type":"login","\\u006fk":true,"id":"e"}',
    "an address that is none": b'{"type":"login","ok":true,"id":"f","ip":"999.1.2.3"}',
    "text of all planes": '{"type":"login","ok":true,"id":"g \U0001f600 \u202e \u0000"}'.replace("\0", "\\u0000").encode(),
    "an agent of 200 KB": b'{"type":"login","ok":true,"id":"h","ua":"' + b"A" * 200_000 + b'"}',
    "an integer beyond 64 bits in a field that may be missing": b'{"type":"login","ok":true,"id":"j","acct":123456789012345678901234567890}',
    "a number beyond all doubles in a field that may be missing": b'{"type":"login","ok":true,"id":"k","fp":1e400}',
    "null for everything": b'{"type":"login","ok":true,"id":"i","acct":null,"ip":null,"fp":null,"ua":null,"t":null}',
}


class BadInput(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.server = harness.Server(harness.POLICY, self.folder / "data")
        self.server.start()
        self.addCleanup(self.server.kill)
        self.assert_alive()
        self.before_kib = self.server.memory_kib("VmRSS")

    def assert_alive(self):
        answer = self.server.post("/v1/decide/login", {"ok": True, "acct": "probe"})
        self.assertEqual((200, "accept"), (answer.status, answer.json()["verdict"]))

    def tearDown(self):
        self.assert_alive()
        self.assertLess(self.server.memory_kib() - self.before_kib, GROWTH_KIB_MAX)
        self.assertEqual(0, self.server.stop())
        self.assertNotIn("invariant", self.server.output())
        super().tearDown()

    def raw(self, data, seconds=5, read=True):
        """Sends bytes as they are; returns what came back until the server closed or fell silent."""
        with socket.create_connection((self.server.host, self.server.port), seconds) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                out = b""
                while read and (piece := connection.recv(65536)):
                    out += piece
                return out
            except (ConnectionError, TimeoutError):
                return b""

    def test_json_that_is_refused(self):
        for name, body in REFUSED.items():
            with self.subTest(name):
                answer = self.server.post("/v1/decide/login", body)
                self.assertEqual(400, answer.status, answer)
                self.assertEqual("invalid", answer.json()["error"])
                self.assertGreater(len(answer.json()["message"]), 8)
                self.assertLess(len(answer.body), 600)  # what was sent is not sent back

    def test_json_that_is_odd_and_good(self):
        live = []
        for name, body in DECIDED.items():
            with self.subTest(name):
                answer = self.server.post("/v1/decide/login", body)
                self.assertEqual(200, answer.status, answer)
                live.append(json.loads(answer.body))
        self.assertEqual("abcdefghjki", "".join(decision["id"][0] for decision in live))
        large = "a number is out of range"
        self.assertEqual({"j": {"account": large}, "k": {"device": large}}, {d["id"]: d["dropped"] for d in live if "dropped" in d})
        # And it is the same in a file.
        source = self.folder / "odd.jsonl"
        source.write_bytes(b"\n".join(DECIDED.values()) + b"\n")
        replayed = [json.loads(line) for line in self.run_tamis("replay", "-q", "--policy", harness.POLICY, source).stdout.splitlines()]
        self.assertEqual([(d["id"], d["verdict"], d["rules"]) for d in live], [(d["id"], d["verdict"], d["rules"]) for d in replayed])

    def test_a_stream_of_all_of_it(self):
        bodies = [body for body in [*REFUSED.values(), *DECIDED.values()] if body.strip() and b"\n" not in body]
        answer = self.server.post("/v1/decide", b"\n".join(bodies))
        self.assertEqual(200, answer.status)
        out = answer.lines()
        self.assertEqual(len(bodies), len(out))
        self.assertEqual(len(DECIDED), sum("verdict" in line for line in out))

    def test_an_event_of_two_megabytes(self):
        body = b'{"type":"login","ok":true,"ua":"' + b"A" * (2 << 20) + b'"}'
        self.assertEqual(413, self.server.post("/v1/decide/login", body).status)
        # A client that sends all of it before it reads sees the answer, too.
        self.assertEqual(413, self.server.post("/v1/decide/login", body * 20).status)
        out = self.server.post("/v1/decide", body + b'\n{"type":"login","ok":true,"id":"after"}\n').lines()
        self.assertEqual("too_large", out[0]["error"])
        self.assertIn("too long", out[0]["message"])
        self.assertEqual("after", out[1]["id"])
        self.assertEqual(400, self.server.post("/v1/events", body).status)

    def test_random_bytes_in_events(self):
        dice = random.Random(7)
        seeds = [*DECIDED.values()][:5]
        lines = []
        for _ in range(2000):
            body = bytearray(dice.choice(seeds))
            for _ in range(dice.randint(1, 6)):
                body[dice.randrange(len(body))] = dice.choice((dice.randrange(256), *b'{}[]",:\\0-e'))
            lines.append(bytes(body).replace(b"\n", b" ").replace(b"\r", b" "))
        answer = self.server.post("/v1/decide", b"\n".join(lines))
        self.assertEqual(2000, len(answer.lines()))  # each is JSON, whatever was echoed

    def test_hostile_policies_over_http(self):
        for text in (b"\xff\xfe", b"a: &a [*a]", b"[" * 20_000, b"a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\n"
                     b"d: &d [*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
                     b"event: x\nfields: {a: int}\n---\nrules: [{id: r, on: x, when: '" + b"(" * 20_000 + b"'}]"):
            answer = self.server.post("/v1/policy/validate", text)
            self.assertEqual(422, answer.status, text[:40])
            self.assertTrue(answer.json()["diagnostics"][0]["message"])
            self.assertLess(len(answer.body), 200_000)
        text = json.dumps("event: x\nfields: {a: int}\n")
        names = [f'{{"files": {{"{name}": {text}}}}}' for name in ("../x.yaml", "/x.yaml", "a/../x.yaml", "a//x.yaml", "", ".x.yaml")]
        for body in (*names, '{"files": {"../../x.yaml": 3}}', '{"files": []}', "{", '{"files": {"a.yaml": "\\ud800"}}'):
            self.assertEqual(400, self.server.post("/v1/policy", body, headers={"Content-Type": "application/json"}).status, body)

    def test_garbage_at_the_port(self):
        dice = random.Random(3)
        for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500), b"\0" * 5000, b"GET\r\n\r\n", dice.randbytes(20_000),
                     b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"POST /v1/decide HTTP/1.1\r\n\r\n", b"\r\n" * 2000,
                     b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
                     b"POST /v1/decide/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"POST /v1/decide/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"POST /v1/decide/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
                     b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            out = self.raw(data)
            if out:  # whatever it says, it is a refusal
                self.assertRegex(out.split(b"\r\n")[0], rb"^HTTP/1\.1 [45]\d\d ")
        self.assertEqual(b"", self.raw(b""))

    def test_a_body_cut_off_is_no_event(self):
        head = b"POST /v1/decide/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        before = self.server.get("/v1/stats").json()["decided"]
        for _ in range(20):
            self.raw(head + b'{"ok":true}', read=False)
        self.assertEqual(before, self.server.get("/v1/stats").json()["decided"])

    def test_slow_clients_hold_nobody(self):
        slow = [socket.create_connection((self.server.host, self.server.port), 5) for _ in range(50)]
        try:
            for _ in range(4):
                for connection in slow:
                    connection.sendall(b"P")
                begin = time.monotonic()
                self.assert_alive()
                self.assertLess(time.monotonic() - begin, 2)
        finally:
            for connection in slow:
                connection.close()

    def test_a_client_that_does_not_read(self):
        """It is made to wait; the server neither buffers its answers without bound nor waits for it."""
        event = b'{"type":"session","acct":"a"}\n'
        with socket.create_connection((self.server.host, self.server.port), 5) as connection:
            connection.sendall(b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.settimeout(0.5)
            piece = event * 2000
            sent = 0
            try:
                while sent < 64 << 20:
                    connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                    sent += len(piece)
            except TimeoutError:
                pass
            self.assertLess(sent, 48 << 20)
            self.assert_alive()

    def test_a_flood_of_connections(self):
        idle = []
        try:
            for _ in range(400):
                idle.append(socket.create_connection((self.server.host, self.server.port), 5))
            self.assert_alive()
            statuses = []

            def call():
                for _ in range(20):
                    statuses.append(self.server.post("/v1/decide/login", {"ok": True}).status)

            callers = [threading.Thread(target=call) for _ in range(10)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join(30)
            self.assertEqual([200] * 200, statuses)
        finally:
            for connection in idle:
                connection.close()
        self.server.wait_for(lambda: "tamis_http_connections 1\n" in self.server.get("/metrics").text(), "they are forgotten")


class BadPolicies(harness.TestCase):
    """`tamis check` on what no analyst would write: it says what is wrong, soon, and never falls over."""

    TEXTS = {
        "no UTF-8": b"event: \xff\xfe\n",
        "no YAML": b"event: [\n",
        "tabs": b"event: x\n\tfields: y\n",
        "an alias to itself": b"event: &a [*a]\n",
        "a billion laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in range(ord("b"), ord("j"))),
        "nested deep": b"event: " + b"[" * 50_000,
        "nested deep in blocks": b"".join(b" " * i + b"a:\n" for i in range(1500)),
        "keys twice": b"event: x\nevent: y\nfields: {a: int}\n",
        "a number for a mapping": b"event: x\nfields: 3\n",
        "a list for a document": b"- 1\n- 2\n",
        "a name with a slash": b"event: ../../etc\nfields: {a: int}\n",
        "a file outside": b"lists: {l: {kind: string, file: ../../../../etc/passwd}}\n",
        "an absolute file": b"lists: {l: {kind: string, file: /etc/passwd}}\n",
        "a window of ages": b"event: x\nfields: {a: int}\n---\nfeatures: {f: {count: x, by: a, over: 99999999999999999999d}}\n",
        "parentheses": b"event: x\nfields: {a: int}\n---\nrules: [{id: r, on: x, when: '" + b"(" * 30_000 + b"'}]\n",
        "a regex that is none": b"event: x\nfields: {a: string}\n---\nrules: [{id: r, on: x, when: \"a.matches('(')\"}]\n",
        "zero bytes": b"event: x\0y\n",
    }

    def test_each(self):
        for name, text in self.TEXTS.items():
            with self.subTest(name):
                folder = self.folder / name.replace(" ", "-")
                folder.mkdir()
                (folder / "policy.yaml").write_bytes(text)
                begin = time.monotonic()
                done = harness.subprocess.run([str(harness.binary()), "check", str(folder)], capture_output=True, timeout=30)
                self.assertEqual(1, done.returncode, done.stderr[-500:])
                self.assertRegex(done.stderr, rb"(?m)^\S*policy\.yaml(:\d+:\d+)?: error: \S.{8,}")
                self.assertRegex(done.stderr, rb"\d+ errors?\n\Z")
                self.assertNotIn(b"root:", done.stderr)
                self.assertLess(len(done.stderr), 300_000)
                self.assertLess(time.monotonic() - begin, 10)

    def test_empty_folders(self):
        done = self.run_tamis("check", self.folder, code=1)
        self.assertRegex(done.stderr, "error: .*(no |empty)")

    def test_random_changes_of_a_good_policy(self):
        dice = random.Random(11)
        for number in range(60):
            folder = self.folder / str(number)
            shutil.copytree(harness.POLICY, folder)
            for path in folder.glob("*.yaml"):
                text = bytearray(path.read_bytes())
                for _ in range(dice.randint(0, 3)):
                    text[dice.randrange(len(text))] = dice.choice((*b"{}[]:,&*!|>'\"%@- \n#0", dice.randrange(256)))
                path.write_bytes(text)
            done = harness.subprocess.run([str(harness.binary()), "check", str(folder)], capture_output=True, timeout=30)
            self.assertIn(done.returncode, (0, 1), done.stderr[-500:])
            if done.returncode == 1:
                self.assertIn(b"error: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
