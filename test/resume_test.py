"""A replay that was interrupted or killed goes on with --resume, and its file is byte for byte that of a run that was not."""

import json
import os
import shutil
import signal
import subprocess
import time

import harness


class Resume(harness.TestCase):
    COUNT = 30_000

    def setUp(self):
        super().setUp()
        self.policy = self.folder / "policy"
        shutil.copytree(harness.POLICY, self.policy)
        self.out, self.whole = self.folder / "out.ndjson", self.folder / "whole.ndjson"
        self.checkpoint = self.folder / "out.ndjson.checkpoint"

    def command(self, *arguments):
        return [str(harness.binary()), "replay", "--out", str(self.out), "--checkpoint-seconds", "0.02", *map(str, arguments)]

    def run_and_stop(self, how, *arguments):
        """Runs until some checkpoints are written, then stops it; returns what it said. None: it was done before."""
        process = subprocess.Popen(self.command(*arguments), stderr=subprocess.PIPE, text=True)
        before = self.checkpoint.stat().st_mtime_ns if self.checkpoint.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if self.checkpoint.exists() and self.checkpoint.stat().st_mtime_ns > before:
                time.sleep(0.01)
                process.send_signal(how)
                break
            time.sleep(0.001)
        said = process.communicate(timeout=60)[1]
        return None if process.returncode in (0, 1) else said  # 1: done, and some events were refused

    def stop_often(self, how, *arguments, times=3):
        """Stops a run and its continuations; returns what was said of each stop."""
        stops = []
        while len(stops) < times:
            said = self.run_and_stop(how, *(["--resume"] if stops else []), *arguments)
            if said is None:
                break
            stops.append(said)
            if not self.checkpoint.exists():  # killed behind its end, when all had been written
                self.assertEqual(self.whole.read_bytes(), self.out.read_bytes(), said)
                break
        self.assertGreater(len(stops), 0, "it was done before it could be stopped")
        return stops

    def finish(self, *arguments, code=0):
        return self.run_tamis(*self.command("--resume", *arguments)[1:], code=code)

    def straight(self, *arguments, code=0):
        """The file of a run that nobody stops."""
        done = self.run_tamis("replay", "--out", self.whole, *arguments, code=code)
        return self.whole.read_bytes(), done.stderr

    def write_events(self, repeats=True):
        events = self.demo_events(self.COUNT)
        lines = []
        for i, event in enumerate(events):
            lines.append(event)
            if repeats and i % 7 == 0:
                lines.append(events[max(0, i - 500)])  # came before: gets the same decision
            if i % 5000 == 0:
                lines.append(b"no event\n")
        half = len(lines) // 2
        paths = [self.folder / "a.jsonl", self.folder / "b.jsonl"]
        paths[0].write_bytes(b"".join(lines[:half]))
        paths[1].write_bytes(b"".join(lines[half:]))
        return paths

    def serve_journal(self):
        """A journal with reloads and acts of people in it."""
        data = self.folder / "data"
        events = self.demo_events(self.COUNT)
        with harness.Server(self.policy, data, "--deadline-ms", "10000") as server:
            for part in range(3):
                with server.stream("/v1/decide") as stream:
                    mine = events[part * 10_000:(part + 1) * 10_000]
                    stream.exchange(b"".join(mine[i:i + 500]) for i in range(0, len(mine), 500))
                account = json.loads(events[part])["acct"]
                server.post("/v1/labels", {"on": "account", "value": account, "name": "watched", "for": "30d"})
                rules = (self.policy / "rules.yaml").read_text()
                (self.policy / "rules.yaml").write_text(rules.replace("form_ms < 1500", f"form_ms < {1400 + part}")
                                                        .replace(f"form_ms < {1399 + part}", f"form_ms < {1400 + part}"))
                self.assertEqual(200, server.post("/v1/policy/reload").status)
        return data

    def test_events_killed(self):
        paths = self.write_events()
        expected, summary = self.straight("--policy", self.policy, *paths, code=1)
        self.stop_often(signal.SIGKILL, "--policy", self.policy, *paths)
        goes_on = self.checkpoint.exists()
        done = self.finish("--policy", self.policy, *paths, code=1)
        self.assertEqual(goes_on, "it goes on behind" in done.stderr)
        self.assertEqual(expected, self.out.read_bytes())
        self.assertFalse(self.checkpoint.exists())
        # The summary counts all of it, what was refused too.
        self.assertEqual([line for line in summary.splitlines() if "decided" in line],
                         [line for line in done.stderr.splitlines() if "decided," in line])

    def test_journal_interrupted_and_killed(self):
        data = self.serve_journal()
        expected, _ = self.straight("--data", data)
        self.assertEqual(self.COUNT, expected.count(b"\n"))
        for how in (signal.SIGINT, signal.SIGKILL):
            self.out.unlink(missing_ok=True)
            stops = self.stop_often(how, "--data", data)
            if how == signal.SIGINT:
                self.assertIn("interrupted; the same command with --resume goes on from here", stops[0])
            self.finish("--data", data)
            self.assertEqual(expected, self.out.read_bytes())
            self.assertFalse(self.checkpoint.exists())

    def test_what_if_over_the_journal(self):
        data = self.serve_journal()
        expected, _ = self.straight("--data", data, "--policy", self.policy)
        self.stop_often(signal.SIGKILL, "--data", data, "--policy", self.policy)
        self.finish("--data", data, "--policy", self.policy)
        self.assertEqual(expected, self.out.read_bytes())

    def test_detectors_accounts_and_hindsight(self):
        """Files beside the decisions, and what is written at the end, come out the same, too."""
        events = self.folder / "e.jsonl"
        events.write_bytes(b"".join(self.demo_events(self.COUNT)))
        policy = harness.READY_POLICY
        files = [self.folder / "findings", self.folder / "retro"]
        arguments = ["--policy", policy, "--findings", files[0], "--retro", files[1], events]
        expected, _ = self.straight(*arguments)
        beside = [file.read_bytes() for file in files]
        self.stop_often(signal.SIGKILL, *arguments)
        self.finish(*arguments)
        self.assertEqual(expected, self.out.read_bytes())
        self.assertEqual(beside, [file.read_bytes() for file in files])

    def test_what_does_not_belong_together_is_refused(self):
        paths = self.write_events()
        arguments = ["--policy", self.policy, *paths]
        self.stop_often(signal.SIGKILL, *arguments, times=1)
        kept, written = self.checkpoint.read_bytes(), self.out.read_bytes()

        # Another way of deciding.
        self.assertRegex(self.finish("--explain", *arguments, code=2).stderr, "other arguments.*without --resume")
        # Another file of decisions: changed, then shorter.
        self.out.write_bytes(b"x" + written[1:])
        self.assertIn("not what the interrupted run wrote", self.finish(*arguments, code=2).stderr)
        self.out.write_bytes(written[:1000])
        self.assertIn("shorter than the interrupted run left it", self.finish(*arguments, code=2).stderr)
        self.out.write_bytes(written)
        # Other events.
        content = paths[0].read_bytes()
        paths[0].write_bytes(b" " + content)
        self.assertIn("not those of the interrupted run", self.finish(*arguments, code=2).stderr)
        paths[0].write_bytes(content)
        # A damaged checkpoint.
        middle = len(kept) // 2
        self.checkpoint.write_bytes(kept[:middle] + bytes([kept[middle] ^ 0x40]) + kept[middle + 1:])
        self.assertRegex(self.finish(*arguments, code=2).stderr, r"out\.ndjson\.checkpoint.*byte \d+")
        self.checkpoint.write_bytes(kept[:middle])
        self.assertIn("out.ndjson.checkpoint", self.finish(*arguments, code=2).stderr)
        # Nothing of that spoilt what there was.
        self.checkpoint.write_bytes(kept)
        self.finish(*arguments, code=1)
        self.assertEqual(self.straight(*arguments, code=1)[0], self.out.read_bytes())

    def test_a_journal_that_is_not_what_it_was(self):
        data = self.serve_journal()
        self.stop_often(signal.SIGKILL, "--data", data, times=1)
        shutil.rmtree(data)
        with harness.Server(self.policy, data) as server:
            server.post("/v1/decide", b"".join(self.demo_events(self.COUNT, seed=2)))
        self.assertRegex(self.finish("--data", data, code=2).stderr, "not any more what it was: begin anew")

    def test_without_a_checkpoint_it_begins_anew(self):
        events = self.folder / "e.jsonl"
        events.write_bytes(b"".join(self.demo_events(500)))
        done = self.finish("--policy", self.policy, events)
        self.assertIn("begins anew", done.stderr)
        self.assertEqual(self.straight("--policy", self.policy, events)[0], self.out.read_bytes())

    def test_pipes_cannot_be_resumed(self):
        events = self.folder / "e.jsonl"
        events.write_bytes(b"".join(self.demo_events(10)))
        for arguments, why in ((("--out", "-", events), "--resume needs --out FILE"), (("--out", self.out, "-"), "--resume needs EVENTS in files")):
            done = self.run_tamis("replay", "--policy", self.policy, "--resume", *arguments, code=2)
            self.assertIn(why, done.stderr)
        self.run_tamis("replay", "--policy", self.policy, "--out", "/dev/null", events)
        self.assertFalse(os.path.exists("/dev/null.checkpoint"))


if __name__ == "__main__":
    import unittest
    unittest.main()
