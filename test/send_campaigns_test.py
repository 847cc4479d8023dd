"""Campaigns of mail from accounts of others, and what people share honestly: what the ready policy does to each. The streams are
those of bench/accounts/sends.py."""

import collections
import sys
import unittest

import harness

sys.path.insert(0, str(harness.TOP / "bench" / "accounts"))
import sends  # noqa: E402
from payments import decide_all  # noqa: E402

HELD = {"drip": 0.75, "link": 0.45, "text": 0.5, "text_and_link": 0.85, "contacts": 0.75}  # at least; the first messages look like anybody's


def held(verdicts):
    return (verdicts["hold"] + verdicts["lock"]) / verdicts.total()


class Campaigns(harness.TestCase):
    def verdicts(self, seed, campaign=None):
        """Verdicts by kind of message."""
        stream, by_kind = sends.make(seed, campaign), collections.defaultdict(collections.Counter)
        for event, decision in decide_all(stream.events, str(harness.READY_POLICY), str(harness.binary())):
            if event["type"] == "send":
                by_kind[stream.kind[event["id"]]][decision["verdict"]] += 1
        return by_kind

    def test_what_many_accounts_send_to_strangers_is_held(self):
        self.assertEqual(sorted(HELD), sorted(sends.CAMPAIGNS))
        for campaign, share in HELD.items():
            with self.subTest(campaign):
                for kind, verdicts in self.verdicts(41, campaign).items():
                    if kind.startswith("campaign"):
                        self.assertGreater(held(verdicts), share)
                    elif kind.startswith("honest"):
                        self.assertLess(held(verdicts), 0.001, kind)

    def test_what_people_share_goes_out(self):
        for seed in (42, 43):
            by_kind = self.verdicts(seed)
            self.assertLessEqual({"case petition", "case team", "case team, first days", "case news", "case applicant", "honest tor", "honest res"}, set(by_kind))
            for kind, verdicts in by_kind.items():
                # Five new senders of one text to twenty strangers a day each are looked at in their first week, until it is what they do or somebody has said so (list bulk_senders).
                limit = {"case team, first days": 0.75, "case petition": 0.05}.get(kind, 0)
                self.assertLessEqual(held(verdicts), limit, f"{kind}: {dict(verdicts)}")
            # A text of sixty is told to somebody all the same.
            self.assertGreater(by_kind["case petition"]["notify"], 0)


if __name__ == "__main__":
    unittest.main()
