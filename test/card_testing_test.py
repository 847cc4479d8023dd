"""Card testing of several kinds among honest payments that look like it: what the ready policy does to each. The streams are
those of bench/accounts/payments.py."""

import collections
import sys
import unittest

import harness

sys.path.insert(0, str(harness.TOP / "bench" / "accounts"))
import payments  # noqa: E402

# Share of the payments of a kind that is stopped at least; the first ones look like anybody's.
STOPPED = {"one_browser": 0.9, "one_browser_slow": 0.75, "one_address": 0.8, "one_device": 0.85, "tor": 0.65, "large": 0.75, "sleepers": 0.55, "rotating": 0.85,
           "of_program": 0.8}


class CardTesting(harness.TestCase):
    def verdicts(self, seed, tester=None):
        """Verdicts by kind of payment."""
        stream = payments.make(seed, tester)
        by_kind = collections.defaultdict(collections.Counter)
        for event, decision in payments.decide_all(stream.events, str(harness.READY_POLICY), str(harness.binary())):
            by_kind[stream.kind[event["id"]]][decision["verdict"]] += 1
        return by_kind

    def test_every_kind_of_tester_is_met(self):
        self.assertEqual(sorted(STOPPED), sorted(payments.TESTERS))
        for tester, share in STOPPED.items():
            with self.subTest(tester):
                for kind, verdicts in self.verdicts(31, tester).items():
                    stopped = 1 - verdicts["allow"] / verdicts.total()
                    if kind.startswith("tester"):
                        self.assertGreater(stopped, share)
                    else:  # While somebody tests, some of those who look alike are asked; hardly anybody is refused.
                        self.assertLess(stopped, 0.08, kind)
                        self.assertLess(verdicts["refuse"] / verdicts.total(), 0.01, kind)

    def test_a_tester_in_one_browser_is_refused(self):
        for tester, share in (("one_browser", 0.6), ("one_browser_slow", 0.4), ("of_program", 0.7)):
            verdicts = [v for kind, v in self.verdicts(32, tester).items() if kind.startswith("tester")]
            self.assertEqual(1, len(verdicts))
            self.assertGreater(verdicts[0]["refuse"] / verdicts[0].total(), share, tester)

    def test_people_alone_are_left_alone(self):
        pooled = collections.defaultdict(collections.Counter)
        for seed in (33, 34, 35):
            for kind, verdicts in self.verdicts(seed).items():
                pooled[kind].update(verdicts)
        self.assertEqual({"honest " + name for name in payments.CLASSES} | {"case " + c for c in (
            "kiosk", "treasurer", "own cards", "bank outage", "no answer", "donors", "school")}, set(pooled))
        for kind, verdicts in pooled.items():
            stopped = 1 - verdicts["allow"] / verdicts.total()
            limit = {"case treasurer": 0.02, "case bank outage": 0.05}.get(kind, 0.003)
            self.assertLessEqual(stopped, limit, f"{kind}: {dict(verdicts)}")
            self.assertLessEqual(verdicts["refuse"] / verdicts.total(), 0.003, f"{kind}: {dict(verdicts)}")


if __name__ == "__main__":
    unittest.main()
