"""The worked scripts of docs/examples, run on an archive."""

import subprocess
import sys
import unittest

import harness


class Examples(harness.TestCase):
    def test_past(self):
        self.demo_events(500)
        self.run_tamis("import", "--data", self.folder / "data", "--policy", harness.POLICY, "--quiet", self.folder / "events-1.jsonl")
        done = subprocess.run([sys.executable, str(harness.TOP / "docs" / "examples" / "past.py"), str(self.folder / "data")],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^login: \d+ files of \d+ days, \d+ bytes$")


if __name__ == "__main__":
    unittest.main()
