// Configurations of SpamAssassin and rspamd of any bytes: read without harm, and what was brought over always makes a
// policy that passes its check. The first byte says which filter it is of; as loading a policy costs a thousand times
// what reading a configuration does, one input in a few hundred is made one. A line "@@N" begins the Nth of a few
// files, with which maps, plugins and settings meet.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "app/filter_import.h"
#include "base/assert.h"
#include "base/hash.h"

namespace tamis::app {
namespace {

constexpr uint64_t kInputsAPolicy = 256;
using Names = std::array<const char*, 10>;
constexpr Names kSpamAssassin = {"local.cf", "v310.pre", "v400.pre", "user_prefs", "z.cf",
                                 "a/b.cf",   "init.pre", "v320.pre", "v342.pre",   "sub.cf"};
constexpr Names kRspamd = {"local.d/multimap.conf",  "local.d/maps.d/a.map",     "local.d/composites.conf",
                           "local.d/actions.conf",   "local.d/groups.conf",      "local.d/options.inc",
                           "local.d/other.conf",     "override.d/multimap.conf", "local.d/a_group.conf",
                           "override.d/metrics.conf"};
constexpr size_t kRulesMax = 40;  // beyond that the policy of an input takes seconds to check

// A folder that goes with the process.
struct Place {
  Place() {
    folder = (std::filesystem::temp_directory_path() / "tamis-fuzz-XXXXXX").string();
    TAMIS_ASSERT(::mkdtemp(folder.data()) != nullptr);
    for (const char* below : {"", "/a", "/local.d", "/local.d/maps.d", "/override.d"}) {
      for (const char* filter : {"/s", "/r"}) (void)::mkdir((folder + filter + below).c_str(), 0700);
    }
  }
  ~Place() { std::filesystem::remove_all(folder); }
  std::string folder;
};

const std::string& root() {
  static const Place place;
  return place.folder;
}

// The files of the input in `folder`, and no others.
void write_files(const std::string& folder, const Names& names, std::string_view text) {
  std::array<std::string, std::tuple_size_v<Names>> files;
  size_t current = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string_view line = text.substr(at, end - at);
    if (line.size() >= 3 && line.starts_with("@@") && line[2] >= '0' && line[2] <= '9') {
      current = static_cast<size_t>(line[2] - '0');
    } else {
      files[current] += line;
    }
    at = end;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string path = folder + "/" + names[i];
    (void)::unlink(path.c_str());
    if (i > 0 && files[i].empty()) continue;
    std::ofstream(path, std::ios::binary) << files[i];
  }
}

void use(std::string_view text, bool of_rspamd, bool makes_policy) {
  const std::string folder = root() + (of_rspamd ? "/r" : "/s");
  write_files(folder, of_rspamd ? kRspamd : kSpamAssassin, text);
  auto read = of_rspamd ? read_rspamd(folder) : read_spamassassin(folder);
  TAMIS_ASSERT(read.has_value());
  for (const ImportNote& note : read->left_behind) TAMIS_ASSERT(!note.where.empty() && !note.why.empty());
  if (!makes_policy || read->rules.size() > kRulesMax) return;
  auto files = policy_of(*read);
  TAMIS_ASSERT(files.has_value());
  TAMIS_ASSERT(policy::load_files(*files).policy != nullptr);
}

}  // namespace
}  // namespace tamis::app

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  tamis::app::use(text, (data[0] & 1) != 0, tamis::base::hash64(text) % tamis::app::kInputsAPolicy == 0);
  return 0;
}
