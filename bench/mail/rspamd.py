"""rspamd as a peer: Debian's server on loopback with content rules and Bayes in a Redis of its own; nothing asks the network."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from measure import Missing, cpu_seconds

# What asks the network, knows only the envelope, or keeps reputations: off, as DNS is off for every filter.
OFF = ("rbl surbl spf dkim dkim_signing dmarc arc hfilter mx_check reputation fuzzy_check greylist ratelimit url_redirector "
       "asn neural history_redis dcc replies known_senders").split()
SPAM = ("add header", "rewrite subject", "reject")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Missing(f"{what} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise Missing(f"{what} did not answer within {seconds} s")


def stop(process):
    """Ends a server and whatever it started."""
    if process is None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def group_cpu_seconds(group):
    """CPU of all living processes of a process group."""
    used = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) == group:
                used += cpu_seconds(int(entry.name))
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            continue
    return used


class Rspamd:
    """As the peers of peers.py: learn() and classify(). `close` ends its servers."""

    def __init__(self, folder, workers=1):
        for program in ("rspamd", "rspamc", "redis-server"):
            if not (shutil.which(program) or os.path.exists(f"/usr/bin/{program}")):
                raise Missing(f"{program} is not installed")
        self.redis = self.server = None
        folder = Path(folder)
        redis_port, self.port, self.control = free_port(), free_port(), free_port()
        self.write_settings(folder, redis_port, workers)
        try:
            self.redis = subprocess.Popen(["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir",
                                           str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            wait_for(redis_port, self.redis, 20, "redis-server")
            variables = [f"--var={name}={folder}" for name in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR")]
            # Its databases of expressions are compiled at the first start, which takes its time.
            with open(folder / "start.log", "w", encoding="utf-8") as log:
                self.server = subprocess.Popen(["rspamd", "--no-fork", "--insecure", *variables], stdout=log, stderr=log,
                                               stdin=subprocess.DEVNULL, start_new_session=True)
            wait_for(self.port, self.server, 120, "rspamd")
            wait_for(self.control, self.server, 60, "rspamd's controller")
            self.warm_up()
        except BaseException:
            self.close()
            raise
        self.cpu = 0.0

    def write_settings(self, folder, redis_port, workers):
        local = folder / "local.d"
        local.mkdir(parents=True, exist_ok=True)
        (folder / "override.d").mkdir(exist_ok=True)
        dead = free_port()  # a name server that is not there
        files = {
            "options.inc": f'dns {{ nameserver = ["127.0.0.1:{dead}"]; timeout = 0.05s; retransmits = 1; }}\n'
                           f'control_socket = "{folder}/control.sock mode=0600";\n',
            "worker-normal.inc": f'bind_socket = "127.0.0.1:{self.port}";\ncount = {workers};\n',
            "worker-controller.inc": f'bind_socket = "127.0.0.1:{self.control}";\nsecure_ip = "127.0.0.1";\npassword = "bench";\n',
            "worker-proxy.inc": "enabled = false;\n",
            "worker-fuzzy.inc": "enabled = false;\n",
            "logging.inc": f'type = "file";\nfilename = "{folder}/rspamd.log";\nlevel = "error";\n',
            "redis.conf": f'servers = "127.0.0.1:{redis_port}";\n',
            "classifier-bayes.conf": 'backend = "redis";\nautolearn = false;\n',
        }
        for module in OFF:
            files[module + ".conf"] = "enabled = false;\n"
        for name, text in files.items():
            (local / name).write_text(text, encoding="utf-8")

    def warm_up(self):
        """The first answers come while it still compiles."""
        end = time.monotonic() + 120
        while True:
            try:
                if self.ask(self.port, "/checkv2", b"Subject: x\r\n\r\nhello\r\n")[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise Missing("rspamd answers no message")
            time.sleep(0.5)

    def ask(self, port, path, body, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def learn(self, path, label):
        # 204 and 208: its guard has seen enough of the kind.
        status, text = self.ask(self.control, "/learnspam" if label == "spam" else "/learnham", Path(path).read_bytes(),
                                {"Password": "bench"})
        if status not in (200, 204, 208) and b"already learned" not in text and b"learn condition" not in text and status < 400:
            raise Missing(f"rspamd refuses to learn: {status} {text[:100]!r}")

    def classify(self, path):
        status, text = self.ask(self.port, "/checkv2", Path(path).read_bytes())
        if status != 200:
            return 0.0, "unsure"
        answer = json.loads(text)
        return answer["score"], "spam" if answer["action"] in SPAM else "ham"

    def cpu_seconds(self):
        return sum(group_cpu_seconds(process.pid) for process in (self.server, self.redis))

    def close(self):
        stop(self.server)
        stop(self.redis)
