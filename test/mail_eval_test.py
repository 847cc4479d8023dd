"""`tamis mail eval`: a corpus in the order of its index, judged and learned."""

import unittest

import harness
import mail_test


class Eval(mail_test.Case):
    def corpus(self, count=60):
        root = self.folder / "corpus"
        root.mkdir()
        lines = []
        for number in range(count):
            spam = number % 3 == 0
            (root / f"{number}.eml").write_text(mail_test.message(number, spam))
            lines.append(f"{number}.eml\t{'spam' if spam else 'ham'}\t{1_000_000_000 + number}\n")
        (root / "index.tsv").write_text("".join(lines))
        return root

    def evaluate(self, root, *arguments):
        out = self.folder / "scores.tsv"
        done = self.run_tamis("mail", "eval", "--online", "--fresh", "--index", root / "index.tsv", "--root", root, "--out", out, *arguments)
        return done, [line.split("\t") for line in out.read_text().splitlines()]

    def test_eval(self):
        root = self.corpus()
        done, rows = self.evaluate(root)
        self.assertEqual(60, len(rows))
        index = [line.split("\t")[:2] for line in (root / "index.tsv").read_text().splitlines()]
        self.assertEqual(index, [row[:2] for row in rows])
        for path, label, score, verdict, cpu in rows:
            self.assertIn(verdict, ("ham", "spam"))
            self.assertGreater(int(cpu), 0)
            self.assertEqual(float(score) >= 6, verdict == "spam", path)
        errors = sum(row[1] != row[3] for row in rows)
        self.assertLessEqual(errors, 4)
        self.assertIn("60 messages tested", done.stderr)
        self.assertEqual([row[:4] for row in rows], [row[:4] for row in self.evaluate(root, "--policy", mail_test.POLICY)[1]])  # always the same
        split = self.evaluate(root, "--split", 30)[1]
        self.assertEqual([row[0] for row in rows[30:]], [row[0] for row in split])
        self.assertEqual(0, sum(row[1] != row[3] for row in split))
        untaught = [[row[:4] for row in self.evaluate(root, *how)[1]] for how in (("--split", 0), ("--delay", 1000))]
        self.assertEqual(*untaught)
        self.assertIn("excludes", self.run_tamis("mail", "eval", "--index", root / "index.tsv", "--root", root, "--out", self.folder / "x",
                                                 "--split", 3, "--delay", 3, code=2).stderr)
        # With the names of its columns, and to standard output.
        headed = self.write("\ufeffpath\tlabel\torder\n" + (root / "index.tsv").read_text().replace("\tham", "\tHAM"), "headed.tsv")
        done = self.run_tamis("mail", "eval", "--online", "--fresh", "--index", headed, "--root", root, "--out", "-")
        self.assertEqual([row[:4] for row in rows], [line.split("\t")[:4] for line in done.stdout.splitlines()])
        late = self.evaluate(root, "--delay", 20)[1]
        self.assertEqual(60, len(late))
        self.assertEqual(["ham"] * 21, [row[3] for row in late[:21]])  # nobody has said anything yet

    def test_eval_errors(self):
        root = self.corpus(3)
        arguments = ("--root", root, "--out", self.folder / "x")
        bad = self.write("a.eml\tmaybe\t1\n", "bad.tsv")
        self.assertIn("bad.tsv:1: expected path, label", self.run_tamis("mail", "eval", "--index", bad, *arguments, code=2).stderr)
        gone = self.write("gone.eml\tham\t1\n", "gone.tsv")
        self.assertIn("gone.eml", self.run_tamis("mail", "eval", "--fresh", "--index", gone, *arguments, code=2).stderr)
        self.assertIn("gone.tsv:1: cannot open", self.run_tamis("mail", "eval", "--fresh", "--index", gone, *arguments, code=2).stderr)
        self.assertIn("no event type `mail`", self.run_tamis("mail", "eval", "--fresh", "--policy", harness.POLICY, "--index", gone,
                                                              *arguments, code=2).stderr)
        self.assertIn("nothing was judged", self.run_tamis("mail", "eval", "--fresh", "--index", gone, *arguments, code=2).stderr)
        self.assertIn("-1", self.run_tamis("mail", "eval", "--split", "-1", "--index", gone, *arguments, code=2).stderr)
        order = self.write("gone.eml\tham\tearly\n", "order.tsv")
        self.assertIn("order.tsv:1: the order 'early' is no number", self.run_tamis("mail", "eval", "--index", order, *arguments, code=2).stderr)
        empty = self.write("\n", "empty.tsv")
        self.assertIn("empty.tsv names no message", self.run_tamis("mail", "eval", "--index", empty, *arguments, code=2).stderr)
        self.assertIn("--split 1 leaves none of the 1 messages", self.run_tamis("mail", "eval", "--split", "1", "--index", gone, *arguments,
                                                                               code=2).stderr)


if __name__ == "__main__":
    unittest.main()
