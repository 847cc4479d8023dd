// Manifests as a damaged disk or another hand leaves them, with the hash that belongs to them, so that what lies behind
// it is reached. What is accepted says the same after being written again, and names no file outside of the folder.
#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "archive/manifest.h"
#include "base/assert.h"
#include "base/hash.h"

namespace {

using namespace tamis::archive;

void run(const std::string& text) {
  auto read = parse_manifest(text, "/folder");
  if (!read) {
    TAMIS_ASSERT(!read.error().message.empty());
    return;
  }
  for (const FilePointer& file : read->files) {
    TAMIS_ASSERT(file->layout != nullptr);
    TAMIS_ASSERT(file->absolute.starts_with("/folder/"));
    TAMIS_ASSERT(file->absolute.find("..") == std::string::npos);
  }
  const std::string written = to_json(*read);
  auto again = parse_manifest(written, "/folder");
  TAMIS_ASSERT(again.has_value());
  TAMIS_ASSERT(to_json(*again) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  run(text);
  run(fmt::format("{{\"hash\": \"{:016x}\",\n", tamis::base::hash64(text)) + text);
  return 0;
}
