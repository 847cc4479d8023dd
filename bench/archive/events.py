"""The policy that the benchmarks of the past share: that of the rules benchmark with eight windows, each read by a rule."""

import shutil

WINDOWS = ("user_id", "ip", "asn", "email_domain", "device_id", "country", "email", "path")


def write_policy(rules_policy, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(rules_policy, folder)
    features = "".join(f"  n_{field}_1h: {{count: event, by: {field}, over: 1h}}\n" for field in WINDOWS)
    rules = "".join(f"  - {{id: w_{field}, on: event, when: 'n_{field}_1h > 100000', mode: live}}\n" for field in WINDOWS)
    rules += "  - {id: w_spam, on: event, when: 'spam_score > 0.9', then: {verdict: reject}, mode: live}\n"
    with (folder / "event.yaml").open("a") as types:
        types.write("verdicts: [accept, challenge, reject]\n")
    (folder / "windows.yaml").write_text(f"features:\n{features}rules:\n{rules}")
