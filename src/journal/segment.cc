#include "journal/segment.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>

namespace tamis::journal {

namespace fs = std::filesystem;

namespace {
constexpr std::string_view kEnding = ".jsonl.zst";
constexpr std::string_view kUnfinished = ".jsonl.zst.tmp.";  // base::write_file_atomically() of rewrite_journal()
constexpr uint64_t kFrameTextMax = 256 << 20;                // no writer makes larger ones; a larger claim is damage
}  // namespace

void remove_unfinished(const std::string& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().find(kUnfinished) != std::string::npos) fs::remove(it->path(), ignored);
  }
}

std::string segment_path(const std::string& folder, uint64_t first_number) {
  return fmt::format("{}/{:016}{}", folder, first_number, kEnding);
}

base::Result<std::vector<Segment>> list_segments(const std::string& folder) {
  std::vector<Segment> segments;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name == "lock" || name.find(kUnfinished) != std::string::npos) continue;
    Segment segment;
    auto [stop, bad] = std::from_chars(name.data(), name.data() + name.size(), segment.first_number);
    if (bad != std::errc() || std::string_view(stop, name.data() + name.size()) != kEnding) {
      return base::invalid(it->path().string() + " is no segment of a journal");
    }
    segment.path = it->path().string();
    segment.bytes = it->file_size(error);
    segments.push_back(std::move(segment));
  }
  if (error) return base::fail(base::Code::kUnavailable, "cannot read " + folder + ": " + error.message());
  auto by_number = [](const Segment& a, const Segment& b) { return a.first_number < b.first_number; };
  std::sort(segments.begin(), segments.end(), by_number);
  return segments;
}

FrameState read_frame(std::string_view bytes, size_t& frame_bytes, std::string& text) {
  frame_bytes = ZSTD_findFrameCompressedSize(bytes.data(), bytes.size());
  if (ZSTD_isError(frame_bytes)) {
    // A cut frame begins as a frame does; anything else is damage.
    constexpr std::string_view kMagic("\x28\xb5\x2f\xfd", 4);
    bool begins = bytes.substr(0, 4) == kMagic.substr(0, std::min<size_t>(4, bytes.size()));
    return begins ? FrameState::kCut : FrameState::kDamaged;
  }
  unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), frame_bytes);
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kFrameTextMax) {
    return FrameState::kDamaged;
  }
  text.resize(size);
  size_t got = ZSTD_decompress(text.data(), text.size(), bytes.data(), frame_bytes);
  bool whole = !ZSTD_isError(got) && got == size && !text.empty() && text.back() == '\n';
  return whole ? FrameState::kGood : FrameState::kDamaged;
}

base::Result<std::string> read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::fail(base::Code::kUnavailable, "cannot open " + path);
  std::string bytes;
  while (true) {
    constexpr size_t kBlockBytes = 4 << 20;
    size_t before = bytes.size();
    bytes.resize(before + kBlockBytes);
    file.read(bytes.data() + before, kBlockBytes);
    bytes.resize(before + static_cast<size_t>(file.gcount()));
    if (!file) break;
  }
  if (file.bad()) return base::fail(base::Code::kUnavailable, "cannot read " + path);
  return bytes;
}

}  // namespace tamis::journal
