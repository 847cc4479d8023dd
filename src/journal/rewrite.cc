#include "journal/rewrite.h"

#include "base/file.h"
#include "journal/compressor.h"
#include "journal/segment.h"

namespace tamis::journal {
namespace {

constexpr int kLevel = 3;

// One segment: its frames, with what `rewrite` puts in place of lines.
base::Status rewrite_segment(const Segment& segment, const Rewrite& rewrite, Rewritten& done) {
  TAMIS_TRY(bytes, read_whole(segment.path));
  std::string out, text, lines, replacement;
  Compressor compressor(kLevel);
  uint64_t replaced = 0;
  size_t frame_bytes = 0;
  for (size_t at = 0; at < bytes.size(); at += frame_bytes) {
    if (read_frame(std::string_view(bytes).substr(at), frame_bytes, text) != FrameState::kGood) {
      return base::invalid(segment.path + ": damaged at byte " + std::to_string(at));
    }
    uint64_t before = replaced;
    lines.clear();
    for (size_t begin = 0; begin < text.size();) {
      size_t end = text.find('\n', begin);
      std::string_view line = std::string_view(text).substr(begin, end - begin);
      begin = end + 1;
      ++done.records;
      replacement.clear();
      TAMIS_TRY(is_replaced, rewrite(line, replacement));
      replaced += is_replaced;
      lines.append(is_replaced ? std::string_view(replacement) : line) += '\n';
    }
    if (replaced == before) {
      out.append(bytes, at, frame_bytes);
    } else {
      TAMIS_CHECK(compressor.frame(lines, out));
    }
  }
  if (replaced == 0) return {};
  TAMIS_CHECK(base::write_file_atomically(segment.path, out));
  done.replaced += replaced;
  ++done.segments;
  return {};
}

}  // namespace

base::Result<Rewritten> rewrite_journal(const std::string& folder, uint64_t before, const Rewrite& rewrite) {
  remove_unfinished(folder);
  TAMIS_TRY(segments, list_segments(folder));
  Rewritten done;
  for (const Segment& segment : segments) {
    if (segment.first_number >= before) break;
    TAMIS_CHECK(rewrite_segment(segment, rewrite, done));
  }
  return done;
}

}  // namespace tamis::journal
