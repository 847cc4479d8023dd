"""The harness of the end-to-end tests, tried on a small server of its own."""

import sys
import textwrap
import time
import unittest

import harness

ECHO = textwrap.dedent("""\
    import http.server, json, signal, sys, time
    class Echo(http.server.BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = {"method": self.command, "path": self.path, "body": body.decode(), "token": self.headers.get("Authorization")}
            out = (json.dumps(seen) + "\\n").encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)
        do_GET = do_POST = do_DELETE = do_PUT = answer
        def log_message(self, *_): pass
    def stop(*_): sys.exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else stop)
    server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
    """)


class Harness(harness.TestCase):
    def echo(self, *arguments):
        (self.folder / "echo.py").write_text(ECHO)
        return harness.Process([sys.executable, self.folder / "echo.py", *arguments], self.folder / "echo.log")

    def test_starts_asks_and_stops(self):
        with self.echo() as server:
            answer = server.post("/x", {"a": 1}, token="secret")
            self.assertEqual(201, answer.status)
            self.assertEqual({"method": "POST", "path": "/x", "body": '{"a": 1}', "token": "Bearer secret"}, answer.json())
            self.assertEqual("GET", server.get("/").lines()[0]["method"])
        self.assertEqual(0, server.process.returncode)

    def test_says_why_a_program_did_not_start(self):
        process = harness.Process([sys.executable, "-c", "print('no such policy'); raise SystemExit(3)"], self.folder / "log")
        with self.assertRaisesRegex(RuntimeError, "exit code 3:\nno such policy"):
            process.start()

    def test_kills_what_does_not_stop(self):
        before, harness.STOP_S = harness.STOP_S, 0.3
        try:
            server = self.echo("stubborn").start()
            with self.assertRaisesRegex(RuntimeError, "did not stop"):
                server.stop()
            self.assertIsNotNone(server.process.returncode)
        finally:
            harness.STOP_S = before

    def test_a_failing_test_leaves_nothing_running(self):
        server = self.echo()
        with self.assertRaises(ZeroDivisionError):
            with server:
                raise ZeroDivisionError
        self.assertIsNotNone(server.process.returncode)

    def test_wait_for_is_bounded(self):
        server = self.echo()
        began = time.monotonic()
        with self.assertRaisesRegex(AssertionError, "never true"):
            server.wait_for(lambda: False, "never true", seconds=0.1)
        self.assertLess(time.monotonic() - began, 5)

    def test_writes_folders(self):
        folder = self.write_policy({"a.yaml": "x", "lists/b.txt": "y"})
        self.assertEqual("y", (folder / "lists/b.txt").read_text())


if __name__ == "__main__":
    unittest.main()
