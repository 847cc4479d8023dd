"""What the end-to-end tests share: running the binary, starting and stopping a server, asking it over HTTP.

A test file test/NAME_test.py is plain unittest:

    class Decide(harness.TestCase):
        def test_one_event(self):
            policy = self.write_policy({"policy.yaml": "event: signup\\nfields:\\n  ip: ip\\n"})
            with harness.Server(policy, self.folder / "data") as server:
                answer = server.post("/v1/decide/signup", {"id": "1", "ip": "192.0.2.1"})
                self.assertEqual(200, answer.status)
                self.assertEqual("allow", answer.json()["verdict"])

Nothing here waits without a bound, and nothing is left running: a server that does not stop is killed, and that is an error.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import openapi

TOP = Path(__file__).resolve().parent.parent
POLICY = TOP / "test" / "data" / "policy"        # small, with everything that has state; for the events of `tamis demo`
READY_POLICY = TOP / "policies" / "accounts"
LISTENING = re.compile(r"listening on (?:unix:(?P<path>\S+)|(?:(?P<scheme>https?)://)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.\-]+):(?P<port>\d+))")
READY_S = 30
STOP_S = 15
CALL_S = 120


def binary():
    """The program under test: TAMIS_BIN, or the release build."""
    return Path(os.environ.get("TAMIS_BIN", TOP / "build" / "release" / "tamis"))


def tamis(*arguments, text=None, seconds=CALL_S, folder=None, environment=None):
    """Runs one command to its end; returns what subprocess.run does, with texts."""
    return subprocess.run([str(binary()), *map(str, arguments)], input=text or "", capture_output=True, text=True,
                          timeout=seconds, cwd=folder, env={**os.environ, **(environment or {})})


class Answer:
    """What an HTTP server said."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """The body as lines of JSON."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    def __repr__(self):
        return f"Answer({self.status}, {self.body[:300]!r})"


def ask(host, port, method, path, body=None, headers=None, token=None, seconds=30, context=None):
    """One request on a connection of its own. A dict or list is sent as JSON, a text or bytes as it is."""
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if context:
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class LineStream:
    """One POST of NDJSON whose lines are sent while the answers are read: what a service with a steady flow does.

        with server.stream("/v1/decide") as stream:
            stream.send(b'{"type":"login"}\n')
            line = stream.read()
            stream.finish()
            rest = stream.read_all()
    """

    def __init__(self, host, port, path, seconds=30):
        self.socket = socket.create_connection((host, port), seconds)
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.socket.sendall(head.encode())
        self.response = http.client.HTTPResponse(self.socket, method="POST")
        self.begun = False

    def send(self, data):
        if data:
            self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self):
        self.socket.sendall(b"0\r\n\r\n")

    def read(self):
        """One line of the answer with its end; empty at the end."""
        if not self.begun:
            self.response.begin()
            self.begun = True
        return self.response.readline()

    def read_all(self):
        return list(iter(self.read, b""))

    def exchange(self, batches):
        """Sends all while reading all; returns the lines of the answer."""
        failure = []

        def write():
            try:
                for batch in batches:
                    self.send(batch)
                self.finish()
            except OSError as error:
                failure.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            return self.read_all()
        finally:
            writer.join(CALL_S)
            if failure:
                raise failure[0]

    def close(self):
        self.response.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Process:
    """A program that says "listening on HOST:PORT" when it is ready. Its output is in `log`."""

    def __init__(self, command, log, environment=None, certificate=None):
        self.command = [str(part) for part in command]
        self.log = Path(log)
        self.environment = {**os.environ, **(environment or {})}
        self.context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
        self.process = None
        self.host, self.port = None, None

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            env=self.environment, start_new_session=True)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if match := LISTENING.search(self.output()):
                if match["host"]:
                    self.host, self.port = match["host"].strip("[]"), int(match["port"])
                return self
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with exit code {self.process.returncode}:\n{self.output()[-2000:]}")
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"{self.command[0]} did not say that it listens within {READY_S} s:\n{self.output()[-2000:]}")

    def output(self):
        return self.log.read_text(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.host}:{self.port}"

    def stop(self):
        """Asks the program to end and waits; returns its exit code. One that does not end in time is killed: an error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(f"{self.command[0]} did not stop within {STOP_S} s:\n{self.output()[-2000:]}") from None
        self.kill()
        return self.process.returncode

    def kill(self):
        """Ends it as a power failure would, with what it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self.kill()
            return
        code = self.stop()
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{self.command[0]} ended with exit code {code}:\n{self.output()[-2000:]}")

    def request(self, method, path, body=None, **options):
        """Whatever comes back as JSON fits docs/openapi.json, or the test fails."""
        answer = ask(self.host, self.port, method, path, body, context=self.context, **options)
        openapi.check(method, path, answer, must_be_there=False)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def put(self, path, body=None, **options):
        return self.request("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def stream(self, path, seconds=30):
        return LineStream(self.host, self.port, path, seconds)

    def memory_kib(self, what="VmHWM"):
        """Of /proc: VmHWM is the most that was resident, VmRSS what is."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{what}:\s+(\d+) kB$", status, re.M).group(1))

    def wait_for(self, condition, what, seconds=10):
        """Asks until it holds: for what a server does after it answered."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.02)


class Server(Process):
    """`tamis serve` on a port that the system chooses. `prefix` runs it under another command, such as taskset."""

    def __init__(self, policy, data, *arguments, prefix=(), environment=None, certificate=None, listen="127.0.0.1:0"):
        command = [*prefix, binary(), "serve", "--policy", policy, "--data", data, "--listen", listen, *arguments]
        super().__init__(command, Path(data).parent / (Path(data).name + ".log"), environment, certificate)


class TestCase(unittest.TestCase):
    """A test with a folder of its own, removed afterwards."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tamis-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write_files(self, name, files):
        """Writes name -> text into a folder; returns the folder."""
        folder = self.folder / name
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    def write_policy(self, files):
        return self.write_files("policy", files)

    def demo_events(self, count, seed=1, start_ms=1_700_000_000_000):
        """Lifelike events as lines of bytes, dated a few years back: always the same."""
        path = self.folder / f"events-{seed}.jsonl"
        self.run_tamis("demo", "--out", path, "--count", count, "--seed", seed, "--start-ms", start_ms, "--quiet")
        return path.read_bytes().splitlines(keepends=True)

    def run_tamis(self, *arguments, code=0, **options):
        """Runs a command and holds it to an exit code."""
        done = tamis(*arguments, **options)
        self.assertEqual(code, done.returncode, f"tamis {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}")
        return done
