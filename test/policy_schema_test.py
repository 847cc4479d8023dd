"""docs/policy.schema.json, which editors use, accepts the policies that are known to be good and refuses what the compiler
refuses for its shape. Needs python3-yaml and python3-jsonschema; skipped where they are not installed."""

import json
import re
import unittest
from pathlib import Path

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

TOP = Path(__file__).resolve().parent.parent


def make_loader():
    """YAML 1.2 as the compiler reads it: no words but true and false are booleans, and times are text."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp",
                                                                  "tag:yaml.org,2002:int")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
    return Loader


@unittest.skipIf(jsonschema is None, "python3-yaml or python3-jsonschema is not installed")
class PolicySchemaTest(unittest.TestCase):
    def setUp(self):
        schema = json.loads((TOP / "docs" / "policy.schema.json").read_text())
        jsonschema.Draft7Validator.check_schema(schema)
        self.validator = jsonschema.Draft7Validator(schema)
        self.loader = make_loader()

    def documents(self, text):
        return [document for document in yaml.load_all(text, self.loader) if document is not None]

    def accepts(self, text):
        return all(self.validator.is_valid(document) for document in self.documents(text))

    def test_good_policies(self):
        files = sorted((TOP / "policies").rglob("*.yaml")) + sorted((TOP / "src/policy/testdata/good").rglob("*.yaml"))
        self.assertGreater(len(files), 3)
        for path in files:
            for document in self.documents(path.read_text()):
                faults = [f"{error.json_path}: {error.message[:300]}" for error in self.validator.iter_errors(document)]
                self.assertEqual(faults, [], path)

    def test_samples_of_the_documents(self):
        text = (TOP / "docs" / "POLICY.md").read_text()
        samples = [s for s in re.findall(r"```yaml\n(.*?)```", text, re.S) if re.match(r"(policy|event|features|lists|rules|tests):", s)]
        self.assertGreater(len(samples), 5)
        for sample in samples:
            self.assertTrue(self.accepts(sample), sample)

    def test_what_is_refused(self):
        for text in [
            "event: signup\nfields: {ip: ipp}",
            "event: signup\nfeatures: {}",
            "event: 2fast",
            "events: signup",
            "features: {x: {count: signup}}",
            "features: {x: {sum: a, over: 1h}}",
            "features: {x: {count: a, sum: b, of: a, over: 1h}}",
            "features: {x: {count: a, over: 1y}}",
            "rules: [{when: a}]",
            "rules: [{id: a}]",
            "rules: [{id: a, wen: b}]",
            "rules: [{id: a, when: b, mode: alive}]",
            "rules: [{id: a, when: b, then: {label: {name: x}}}]",
            "lists: {a: {kind: cidr, values: []}}",
            "lists: {a: {}}",
            "tests: [{name: a, steps: [{event: {}}]}]",
        ]:
            self.assertFalse(self.accepts(text), text)


if __name__ == "__main__":
    unittest.main()
