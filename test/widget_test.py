"""The widget of challenges in a real browser (where Chromium is installed): a form whose page loads it is done by keyboard alone,
the work is solved beside the page, the form is submitted, and the server takes what came with it."""

import http.server
import json
import os
import pathlib
import threading
import unittest
import urllib.parse

import browser
import harness

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign up</title><script src="challenge.js" defer></script></head>
<body><main><h1>Sign up</h1><form method="post" action="/signup"><p><label for="name">Name</label> <input id="name" name="name"></p>
<div class="tamis-challenge" data-challenge="{challenge}" data-bits="{bits}" data-count="{count}"><noscript><p>This check needs JavaScript.</p></noscript></div>
<p><button>Sign up</button></p></form></main></body></html>"""


class Site(http.server.BaseHTTPRequestHandler):
    """A service's own site: its form, and the widget's files on the same origin."""

    def do_GET(self):
        name = self.path.lstrip("/")
        if name == "form":
            return self.answer("text/html", PAGE.format(**self.server.issued).encode())
        if name not in ("challenge.js", "challenge_worker.js"):
            return self.send_error(404)
        return self.answer("text/javascript", self.server.tamis.get("/v1/challenges/" + name).text().encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.forms.append({k: v[0] for k, v in urllib.parse.parse_qs(body).items()})
        self.answer("text/html", b"<!doctype html><title>Done</title><h1>Welcome</h1>")

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@unittest.skipUnless(browser.find(), "not installed: chromium (./dev clients)")
class Widget(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.server = harness.Server(harness.READY_POLICY, self.folder / "data")
        self.server.__enter__()
        self.addCleanup(self.server.kill)
        self.what = {"on": "account", "value": "anna"}
        self.issued = self.server.post("/v1/challenges", {**self.what, "risk": 0.2}).json()

    def picture(self, page, name):
        if folder := os.environ.get("TAMIS_PICTURES"):
            page.picture(pathlib.Path(folder) / (name + ".png"))

    def example(self):
        return f"http://{self.server.host}:{self.server.port}/v1/challenges/challenge.html#" + urllib.parse.quote(json.dumps(self.issued))

    def test_a_form_is_done_by_keyboard_alone(self):
        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        site.tamis, site.issued, site.forms = self.server, self.issued, []
        threading.Thread(target=site.serve_forever, daemon=True).start()
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)
        with browser.Browser(self.folder) as page:
            page.open(f"http://127.0.0.1:{site.server_port}/form")
            page.press("Tab", 9)
            self.assertEqual("name", page.value("document.activeElement.id"))
            page.call("Input.insertText", text="anna")
            page.press("Tab", 9)
            self.assertIn("start the check", page.value("document.activeElement.textContent"))
            page.press("Enter", 13, "\r")
            page.wait("document.querySelector('.tamis-challenge').dataset.state === 'done'")
            # The focus was on the button, which is gone; what is read aloud has it, and the next stop is the form's own button.
            self.assertEqual("status", page.value("document.activeElement.getAttribute('role')"))
            page.press("Tab", 9)
            self.assertEqual("Sign up", page.value("document.activeElement.textContent"))
            page.press("Enter", 13, "\r")
            page.wait("document.title === 'Done'", 30)
        self.assertEqual(1, len(site.forms))
        self.assertEqual("anna", site.forms[0]["name"])
        sent = json.loads(site.forms[0]["tamis_solution"])
        self.assertEqual(self.issued["challenge"], sent["challenge"])
        done = self.server.post("/v1/challenges/verify", {**sent, **self.what}).json()
        self.assertEqual((True, "passed"), (done["passed"], done["outcome"]))

    def test_the_example_page_says_what_it_does(self):
        with browser.Browser(self.folder) as page:
            page.open(self.example())
            self.picture(page, "before")
            spoken = page.spoken()
            self.assertIn(("heading", "One more step"), spoken)
            self.assertIn(("button", "I am not a machine: start the check"), spoken)
            self.assertIn("status", [role for role, _ in spoken])
            page.press("Tab", 9)
            page.press("Enter", 13, "\r")
            page.wait("document.querySelector('.tamis-challenge').dataset.state === 'done'")
            self.assertIn("You can go on", page.value("document.querySelector('[role=status]').textContent"))
            self.assertIn(self.issued["challenge"], page.value("document.querySelector('#solution').value"))
            self.picture(page, "after")

    def test_without_scripts_it_says_what_to_do(self):
        with browser.Browser(self.folder, scripts=False) as page:
            page.open(self.example())
            self.picture(page, "without")
            texts = " ".join(name for _, name in page.spoken())
            self.assertIn("needs JavaScript", texts)
            self.assertIn("our support", texts)


if __name__ == "__main__":
    unittest.main()
