#include "policy/channels.h"

#include <gtest/gtest.h>

namespace tamis::policy {
namespace {

std::string faults(const std::string& text) {
  LoadedChannels loaded = read_channels("channels.yaml", "/etc/tamis", text);
  std::string out;
  for (const Diagnostic& d : loaded.diagnostics) out += std::to_string(d.line) + ": " + d.message + " " + d.hint + "\n";
  EXPECT_EQ(out.empty(), !loaded.channels.empty()) << text;
  return out;
}

TEST(Channels, AreReadFromYamlAndJson) {
  LoadedChannels yaml = read_channels("c.yaml", "/etc/tamis", R"(
channels:
  - name: sessions
    url: https://hooks.example.net/a
    secret_file: sessions.secret
    topics: [decision.changed, notify.*]
    allow_private: true
    concurrency: 4
    timeout: 3s
    give_up: 2d
  - {name: all, url: "https://x.example/", secret_file: /run/secret, topics: "*"}
)");
  ASSERT_TRUE(yaml.diagnostics.empty()) << to_string(yaml.diagnostics[0]);
  ASSERT_EQ(yaml.channels.size(), 2u);
  const Channel& one = yaml.channels[0];
  EXPECT_EQ(one.name, "sessions");
  EXPECT_EQ(one.secret_file, "/etc/tamis/sessions.secret");
  EXPECT_EQ(one.topics, (std::vector<std::string>{"decision.changed", "notify.*"}));
  EXPECT_TRUE(one.allow_private);
  EXPECT_EQ(one.concurrency, 4);
  EXPECT_EQ(one.timeout_ms, 3'000);
  EXPECT_EQ(one.give_up_ms, 2 * 86'400'000);
  EXPECT_FALSE(one.backoff_max_ms);
  EXPECT_EQ(yaml.channels[1].secret_file, "/run/secret");
  EXPECT_EQ(yaml.channels[1].topics, std::vector<std::string>{"*"});
  LoadedChannels json = read_channels("c.json", "", R"({"channels": [
    {"name": "a", "url": "https://h/", "secret_file": "s", "topics": ["list.added"], "allow_private": false}]})");
  ASSERT_TRUE(json.diagnostics.empty()) << to_string(json.diagnostics[0]);
  EXPECT_EQ(json.channels.at(0).secret_file, "s");
}

TEST(Channels, FaultsNameTheirPlace) {
  std::string head = "channels:\n  - name: a\n    url: https://h/\n    secret_file: s\n";
  EXPECT_NE(faults(head).find("2: a channel needs `topics`"), std::string::npos) << faults(head);
  EXPECT_NE(faults(head + "    topics: [decision.change]\n").find("5: `decision.change` is no topic did you mean"),
            std::string::npos);
  EXPECT_NE(faults(head + "    topics: ['*.x']\n").find("5: `*.x` is no topic: a * stands at the end"),
            std::string::npos);
  EXPECT_NE(faults(head + "    topics: [notify.]\n").find("5:"), std::string::npos);
  EXPECT_NE(faults(head + "    topics: ['nothing.*']\n").find("5:"), std::string::npos);
  EXPECT_NE(faults(head + "    topics: ['*']\n    time_out: 3s\n").find("6: a channel has no key `time_out`"),
            std::string::npos);
  EXPECT_NE(faults(head + "    topics: ['*']\n    concurrency: 99\n").find("6:"), std::string::npos);
  EXPECT_NE(
      faults(head + "    topics: ['*']\n  - {name: a, url: u, secret_file: s, topics: '*'}\n").find("6: there is"),
      std::string::npos);
  EXPECT_NE(faults("channels: 3\n").find("1: `channels` is a list"), std::string::npos);
  EXPECT_NE(faults("").find("no channels"), std::string::npos);
  EXPECT_NE(faults("a: [").find(":"), std::string::npos);
  EXPECT_NE(load_channels("/nowhere/channels.yaml").diagnostics.at(0).message.find("/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace tamis::policy
