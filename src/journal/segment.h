// Names of segments and zstd frames. Private to this room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::journal {

struct Segment {
  std::string path;
  uint64_t first_number = 0;
  uint64_t bytes = 0;
};

// The segments of a folder, ascending. A file with a strange name is an error: nothing is skipped silently.
base::Result<std::vector<Segment>> list_segments(const std::string& folder);
// Removes what a crash in rewrite_journal() has left; list_segments() passes over it.
void remove_unfinished(const std::string& folder);
std::string segment_path(const std::string& folder, uint64_t first_number);

enum class FrameState { kGood, kCut, kDamaged };
// Reads the frame at the start of `bytes`: its length there and its text. kCut: the bytes end within the frame.
FrameState read_frame(std::string_view bytes, size_t& frame_bytes, std::string& text);

base::Result<std::string> read_whole(const std::string& path);

}  // namespace tamis::journal
