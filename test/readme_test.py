"""The tour in README.md, run as printed: each shell block in order, in one shell, and what it is said to print is printed."""

import re
import shutil
import socket
import subprocess
import unittest

import harness

README = harness.TOP / "README.md"
BLOCK = re.compile(r"^```sh\n(?P<shell>.*?)^```\n(?:```text\n(?P<text>.*?)^```\n)?", re.M | re.S)
SECONDS = 90


def tour():
    section = README.read_text().split("\n## Five minutes\n")[1].split("\n## ")[0]
    return [(match["shell"], match["text"] or "") for match in BLOCK.finditer(section)]


def without_numbers(text):
    """Numbers and policy versions may differ, but nothing stays nothing: `0 failed`, `late 0`."""
    return re.sub(r"\b[0-9a-f]{16}\b|\d+", lambda number: "0" if number[0] == "0" else "#", text)


def pattern(line):
    """`...` stands for anything."""
    line = without_numbers(line.rstrip())
    return re.escape(line).replace(r"\.\.\.", ".*").replace(r"\#", "#")


def normal(text):
    return without_numbers(text).replace("}{", "}\n{")  # an answer need not end its line


class Readme(harness.TestCase):
    def free_port(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return str(listener.getsockname()[1])

    def run_tour(self, blocks):
        """Runs all blocks in one shell; returns what each printed. Whatever it started is ended with it."""
        shutil.copytree(harness.TOP / "policies", self.folder / "policies")
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "tamis").symlink_to(harness.binary().resolve())
        (self.folder / "dev").write_text("#!/bin/sh\n")  # it is built already
        (self.folder / "dev").chmod(0o755)
        port = self.free_port()
        script = "set -e\nexec 2>&1\n"
        for number, (shell, _) in enumerate(blocks):
            script += f"printf '\\n=== {number}\\n'\n{shell}"
        script = script.replace("8080", port).replace("tamis top", f"tamis top --url http://127.0.0.1:{port}")
        environment = {**harness.os.environ, "PATH": f"{self.folder / 'bin'}:{harness.os.environ['PATH']}"}
        process = subprocess.Popen(["bash", "-c", script], cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            out, _ = process.communicate(timeout=SECONDS)
        finally:
            try:
                harness.os.killpg(process.pid, harness.signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.assertEqual(0, process.returncode, out[-3000:])
        return re.split(r"^=== \d+\n", out, flags=re.M)[1:]

    def test_the_tour(self):
        blocks = tour()
        self.assertGreaterEqual(len(blocks), 8)
        printed = self.run_tour(blocks)
        self.assertEqual(len(blocks), len(printed))
        for (shell, text), out in zip(blocks, printed):
            expected = r"(?m)"
            for line in text.splitlines():
                expected += r"(?:.*\n)*?" if line == "..." else "^" + pattern(line) + r".*\n"
            self.assertRegex(normal(out), expected, f"\n{shell}\nprinted\n{out[-2000:]}\ninstead of\n{text}")

    def test_links(self):
        for name in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
            self.assertTrue((harness.TOP / name).exists(), f"README.md points to {name}, which is not there")

    def test_every_command_is_there(self):
        """Commands that the documents name exist, with the options that they name."""
        helps = {}
        for path in [README, *sorted((harness.TOP / "docs").glob("*.md"))]:
            text = path.read_text()
            for command, rest in re.findall(r"\btamis ([a-z]+)((?: +(?:--?[\w-]+|[^\s`|&;]+))*)", "\n".join(
                    re.findall(r"^(?:```sh\n(.*?)^```)", text, re.M | re.S))):
                # With the help of its own commands: `tamis label set --for`.
                helps.setdefault(command, self.run_tamis(command, "--help-all").stdout)
                for option in re.findall(r" (--[\w-]+)", rest):
                    self.assertIn(option, helps[command], f"{path.name}: tamis {command} {option}")
        self.assertIn("serve", helps)


if __name__ == "__main__":
    unittest.main()
