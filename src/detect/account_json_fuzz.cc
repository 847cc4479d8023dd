// Foreign bytes: events as JSON, lists of networks, pieces of snapshots.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "detect/account_json.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"

using namespace tamis::detect;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  if (bytes == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, bytes - 1);
  SignupClusterOptions options;
  options.accounts_max = 64, options.keys_max = 2048, options.single_slots_log2 = 8, options.values_max = 2048;
  options.clusters_max = 4, options.shared_max = 2048;
  auto clusters = SignupClusters::make(options);
  auto logins = LoginRisk::make({64, 2048, 2048, {}});
  AccountJsonReader reader;
  switch (data[0] % 3) {
    case 0: {
      for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        if (auto read = reader.read(text.substr(at, end - at))) {
          if (const auto* s = std::get_if<Signup>(&read->event)) {
            clusters->signup(*s);
            logins->signup(*s);
          } else if (const auto* l = std::get_if<Login>(&read->event)) {
            clusters->login(*l);
            logins->login(*l);
          } else if (const auto* m = std::get_if<Send>(&read->event)) {
            clusters->send(*m);
          } else if (const auto* f = std::get_if<Feedback>(&read->event)) {
            clusters->feedback(*f);
          }
        }
        at = end + 1;
      }
      break;
    }
    case 1:
      (void)reader.load_intel(text);
      break;
    default:
      if (text.empty()) break;
      (void)clusters->restore_piece(static_cast<uint8_t>(text[0]), text.substr(1));
      (void)clusters->finish_restore();
      (void)logins->restore_piece(static_cast<uint8_t>(text[0]), text.substr(1));
  }
  return 0;
}
