#include "policy/channels.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "policy/reader.h"

namespace tamis::policy {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesMax = 1 << 20;
constexpr size_t kChannelsMax = 100;
constexpr int64_t kMinuteMs = 60'000;

const std::vector<std::string>& known_topics() {
  static const std::vector<std::string> kTopics = {"decision.changed", "label.set", "label.cleared", "list.added",
                                                   "list.removed"};
  return kTopics;
}

// A topic that nothing ever has would be silence.
void check_topic(const Node& node, Diagnostics& diagnostics) {
  const std::string& topic = node.text;
  size_t star = topic.find('*');
  if (star != std::string::npos && star + 1 != topic.size()) {
    diagnostics.error(node, policy::quoted(topic) + " is no topic: a * stands at the end alone");
    return;
  }
  std::string begin = topic.substr(0, star);
  constexpr std::string_view kNotify = "notify.";
  if (begin.substr(0, kNotify.size()) == kNotify && topic.size() > kNotify.size()) return;
  auto has_begin = [&](std::string_view known) { return known.substr(0, begin.size()) == begin; };
  const std::vector<std::string>& known = known_topics();
  if (star != std::string::npos && (has_begin(kNotify) || std::any_of(known.begin(), known.end(), has_begin))) return;
  if (std::find(known.begin(), known.end(), topic) != known.end()) return;
  std::string hint = did_you_mean(topic, known);
  if (hint.empty()) hint = "expected " + one_of(known) + ", or `notify.CHANNEL` of a rule; a * at the end means all";
  diagnostics.error(node, policy::quoted(topic) + " is no topic", hint);
}

std::string beside(const std::string& folder, const std::string& path) {
  if (path.empty() || folder.empty()) return path;
  return (fs::path(folder) / path).lexically_normal().string();
}

Channel read_channel(const Node& node, const std::string& folder, Diagnostics& diagnostics) {
  MapReader map(node, "a channel",
                {"name", "url", "secret_file", "topics", "allow_private", "ca_file", "concurrency", "connect_timeout",
                 "timeout", "backoff_first", "backoff_max", "give_up"},
                diagnostics);
  Channel channel;
  for (std::string_view key : {"name", "url", "secret_file", "topics"}) map.missing(key);
  channel.name = map.name("name").text;
  channel.url = map.name("url").text;
  channel.secret_file = beside(folder, map.name("secret_file").text);
  channel.ca_file = beside(folder, map.name("ca_file").text);
  for (const Name& topic : map.names("topics")) {
    check_topic(*topic.node, diagnostics);
    channel.topics.push_back(topic.text);
  }
  channel.allow_private = map.flag("allow_private").value_or(false);
  channel.concurrency = map.integer("concurrency", 1, 16);
  channel.connect_timeout_ms = map.span_ms("connect_timeout", 1, 10 * kMinuteMs);
  channel.timeout_ms = map.span_ms("timeout", 1, 10 * kMinuteMs);
  channel.backoff_first_ms = map.span_ms("backoff_first", 1, kDayMs);
  channel.backoff_max_ms = map.span_ms("backoff_max", 1, kDayMs);
  channel.give_up_ms = map.span_ms("give_up", 0, 365 * kDayMs);
  return channel;
}

void read_document_of_channels(const Node& document, const std::string& folder, std::vector<Channel>& channels,
                               Diagnostics& diagnostics) {
  MapReader map(document, "the file of channels", {"channels"}, diagnostics);
  map.missing("channels");
  const Node* list = map.get("channels");
  if (list == nullptr) return;
  if (!list->is_sequence()) {
    diagnostics.error(*list, "`channels` is a list, not " + std::string(kind_name(*list)));
    return;
  }
  for (const Node& node : list->items) {
    Channel channel = read_channel(node, folder, diagnostics);
    auto same = [&](const Channel& other) { return !channel.name.empty() && other.name == channel.name; };
    if (std::any_of(channels.begin(), channels.end(), same)) {
      diagnostics.error(*node.find("name"), "there is a channel " + policy::quoted(channel.name) + " already");
    }
    channels.push_back(std::move(channel));
  }
  if (channels.size() > kChannelsMax) {
    diagnostics.error(*list, "there are more than " + std::to_string(kChannelsMax) + " channels");
  }
}

}  // namespace

LoadedChannels read_channels(const std::string& file, const std::string& folder, std::string text) {
  Diagnostics diagnostics;
  LoadedChannels loaded;
  SourceText source(file, std::move(text));
  std::vector<Node> documents = parse_yaml(source, diagnostics);
  if (documents.empty() && !diagnostics.has_errors()) diagnostics.error_file(file, "there are no channels in it");
  for (const Node& document : documents) read_document_of_channels(document, folder, loaded.channels, diagnostics);
  if (diagnostics.has_errors()) loaded.channels.clear();
  loaded.diagnostics = diagnostics.take();
  return loaded;
}

LoadedChannels load_channels(const std::string& path) {
  auto text = base::read_file(path, kBytesMax);
  if (!text) {
    Diagnostics diagnostics;
    diagnostics.error_file(path, text.error().message);
    return {{}, diagnostics.take()};
  }
  return read_channels(path, fs::path(path).parent_path().string(), std::move(*text));
}

}  // namespace tamis::policy
