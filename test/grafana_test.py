"""Each metric that the dashboard names is one that a server exposes."""

import json
import re
import unittest

import harness


class Dashboard(harness.TestCase):
    def test_metrics_exist(self):
        (self.folder / "data" / "outbox").mkdir(parents=True)
        with harness.Server(harness.POLICY, self.folder / "data") as server:
            names = set(re.findall(r"(?m)^# TYPE (\w+) ", server.get("/metrics").text()))
        board = json.loads((harness.TOP / "docs" / "grafana" / "tamis.json").read_text())
        asked = {name.removesuffix("_bucket") for panel in board["panels"] for target in panel["targets"]
                 for name in re.findall(r"\btamis_\w+", target["expr"])}
        self.assertGreater(len(asked), 15)
        self.assertEqual(set(), asked - names)


if __name__ == "__main__":
    unittest.main()
