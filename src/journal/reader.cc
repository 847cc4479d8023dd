#include <algorithm>

#include "journal/journal.h"
#include "journal/segment.h"

namespace tamis::journal {
namespace {

class Reader final : public JournalReader {
 public:
  Reader(std::vector<Segment> segments, uint64_t first_number)
      : segments_(std::move(segments)), first_number_(first_number) {
    for (const Segment& segment : segments_) size_ += segment.bytes;
  }

  base::Result<bool> next(std::string_view& line) override {
    while (text_at_ >= text_.size()) {
      TAMIS_TRY(more, next_frame());
      if (!more) return at_end();
      skip_lines();
    }
    size_t end = text_.find('\n', text_at_);
    line = std::string_view(text_).substr(text_at_, end - text_at_);
    text_at_ = end + 1;
    ++number_;
    return true;
  }

  uint64_t number() const override { return number_; }
  uint64_t dropped_bytes() const override { return dropped_; }
  uint64_t done_bytes() const override { return done_; }
  uint64_t size_bytes() const override { return size_; }

 private:
  // Passes over the lines before the first one that was asked for.
  void skip_lines() {
    if (number_ + 1 >= first_number_) return;
    auto lines = static_cast<uint64_t>(std::count(text_.begin(), text_.end(), '\n'));
    if (number_ + lines < first_number_) {
      number_ += lines;
      text_at_ = text_.size();
      return;
    }
    for (; number_ + 1 < first_number_; ++number_) text_at_ = text_.find('\n', text_at_) + 1;
  }

  base::Result<bool> at_end() const {
    if (number_ + 1 >= first_number_) return false;
    return base::invalid("the journal ends with record " + std::to_string(number_) + ", before record " +
                         std::to_string(first_number_));
  }

  base::Result<bool> next_frame() {
    while (at_ >= bytes_.size()) {
      if (segment_ >= segments_.size()) return false;
      const Segment& segment = segments_[segment_++];
      if (number_ + 1 != segment.first_number && number_ != 0) {
        return base::invalid(segment.path + " begins with record " + std::to_string(segment.first_number) +
                             ", expected " + std::to_string(number_ + 1) + ": a segment is missing or damaged");
      }
      if (number_ == 0) number_ = segment.first_number - 1;
      TAMIS_TRY(bytes, read_whole(segment.path));
      bytes_ = std::move(bytes);
      at_ = 0;
    }
    size_t frame_bytes = 0;
    FrameState state = read_frame(std::string_view(bytes_).substr(at_), frame_bytes, text_);
    text_at_ = 0;
    if (state == FrameState::kGood) {
      at_ += frame_bytes;
      done_ += frame_bytes;
      return true;
    }
    text_.clear();
    if (state == FrameState::kCut && segment_ == segments_.size()) {
      dropped_ = bytes_.size() - at_;
      at_ = bytes_.size();
      return false;
    }
    return base::invalid(segments_[segment_ - 1].path + ": damaged at byte " + std::to_string(at_) + ", after record " +
                         std::to_string(number_));
  }

  std::vector<Segment> segments_;
  uint64_t first_number_;  // the first line to give
  size_t segment_ = 0;     // the next one
  std::string bytes_;
  size_t at_ = 0;
  std::string text_;
  size_t text_at_ = 0;
  uint64_t number_ = 0, dropped_ = 0, done_ = 0, size_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<JournalReader>> JournalReader::open(const std::string& folder, uint64_t first_number) {
  TAMIS_TRY(segments, list_segments(folder));
  if (!segments.empty() && first_number != 0 && segments.front().first_number > first_number) {
    return base::fail(base::Code::kNotFound, "the journal in " + folder + " begins with record " +
                                                 std::to_string(segments.front().first_number) + ", after record " +
                                                 std::to_string(first_number));
  }
  auto behind = [&](const Segment& segment) { return segment.first_number > first_number; };
  auto begin = std::find_if(segments.begin(), segments.end(), behind);
  if (begin != segments.begin()) segments.erase(segments.begin(), begin - 1);
  return std::make_unique<Reader>(std::move(segments), first_number);
}

}  // namespace tamis::journal
