// Tables of foreign bytes. The first byte says what the file is called; each event that comes out must be one line of
// JSON that our own reader takes, whatever became of the file.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "archive/convert.h"
#include "base/arena.h"
#include "base/assert.h"
#include "event/json_event.h"

namespace tamis::archive {
namespace {

constexpr const char* kPolicy = R"y(
policy: fuzz
id: {at: id}
time: {at: t}
---
event: login
fields:
  account: string
  amount: int
  share: double
  good: bool
  agent: {type: string, path: client.agent}
  when: timestamp
  urls: list(string)
)y";
constexpr const char* kEndings[] = {".csv", ".tsv", ".csv", ".parquet"};
constexpr uint64_t kRowsMax = 10'000;

// A file that goes with the process.
struct Place {
  Place() {
    std::string name = (std::filesystem::temp_directory_path() / "tamis-fuzz-XXXXXX").string();
    TAMIS_ASSERT(::mkdtemp(name.data()) != nullptr);
    folder = name;
  }
  ~Place() { std::filesystem::remove_all(folder); }
  std::string folder;
};

const policy::Policy& policy() {
  static const auto policy = policy::load_files({{"p.yaml", kPolicy}}).policy;
  TAMIS_ASSERT(policy != nullptr);
  return *policy;
}

void run(const std::string& path) {
  auto file = TableFile::open(path, policy());
  if (!file) {
    TAMIS_ASSERT(!file.error().message.empty());
    return;
  }
  base::Arena arena;
  std::string_view json;
  for (uint64_t rows = 0; rows < kRowsMax; ++rows) {
    auto more = (*file)->next(json);
    if (!more || !*more) return;
    TAMIS_ASSERT(json.find('\n') == std::string_view::npos);
    arena.reset();
    TAMIS_ASSERT(event::JsonReader::to_value(json, arena).has_value());
  }
}

}  // namespace
}  // namespace tamis::archive

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const tamis::archive::Place place;
  const std::string path = place.folder + "/t" + tamis::archive::kEndings[data[0] % 4];
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data + 1), static_cast<std::streamsize>(size - 1));
  tamis::archive::run(path);
  return 0;
}
