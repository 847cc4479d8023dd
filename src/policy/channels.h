// Channels: where notices go (docs/ACTIONS.md), as the operator writes it in one YAML or JSON file:
//
//   channels:
//     - name: sessions
//       url: https://hooks.example.net/tamis
//       secret_file: sessions.secret        # beside this file, unless the path is absolute
//       topics: [decision.changed, notify.*]
//
// Optional: allow_private, ca_file, concurrency, connect_timeout, timeout, backoff_first, backoff_max, give_up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/policy.h"

namespace tamis::policy {

// What is not given is left to whoever delivers.
struct Channel {
  std::string name, url, secret_file, ca_file;
  std::vector<std::string> topics;
  bool allow_private = false;
  std::optional<int64_t> concurrency, connect_timeout_ms, timeout_ms, backoff_first_ms, backoff_max_ms, give_up_ms;
};

struct LoadedChannels {
  std::vector<Channel> channels;        // empty if there is an error
  std::vector<Diagnostic> diagnostics;  // by line
};

// `file` names it in messages; relative paths in it begin at `folder`.
LoadedChannels read_channels(const std::string& file, const std::string& folder, std::string text);
LoadedChannels load_channels(const std::string& path);

}  // namespace tamis::policy
