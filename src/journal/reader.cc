#include "journal/journal.h"
#include "journal/segment.h"

namespace tamis::journal {
namespace {

class Reader final : public JournalReader {
 public:
  explicit Reader(std::vector<Segment> segments) : segments_(std::move(segments)) {
    for (const Segment& segment : segments_) size_ += segment.bytes;
  }

  base::Result<bool> next(std::string_view& line) override {
    while (text_at_ >= text_.size()) {
      TAMIS_TRY(more, next_frame());
      if (!more) return false;
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
  size_t segment_ = 0;  // the next one
  std::string bytes_;
  size_t at_ = 0;
  std::string text_;
  size_t text_at_ = 0;
  uint64_t number_ = 0, dropped_ = 0, done_ = 0, size_ = 0;
};

}  // namespace

base::Result<std::unique_ptr<JournalReader>> JournalReader::open(const std::string& folder) {
  TAMIS_TRY(segments, list_segments(folder));
  return std::make_unique<Reader>(std::move(segments));
}

}  // namespace tamis::journal
