#include "state/pieces.h"

#include <cstring>

#include "base/assert.h"
#include "base/hash.h"
#include "state/bytes.h"

namespace tamis::state {
namespace {

constexpr uint32_t kMagic = 0x31706d74;  // "tmp1" in memory
constexpr size_t kHeadBytes = 24;
constexpr size_t kChunkBytes = 256 << 10;

uint64_t checksum(std::string_view head, std::string_view body, uint64_t number) {
  return base::hash64(body, base::hash64(head.substr(0, 16), number));
}

}  // namespace

std::string& PieceWriter::begin(uint32_t kind, uint32_t part) {
  if (chunks_.empty() || chunks_.back().size() >= kChunkBytes) {
    chunks_.emplace_back().reserve(kChunkBytes + kChunkBytes / 2);
  }
  std::string& out = chunks_.back();
  head_at_ = out.size();
  put_number(out, kMagic);
  put_number(out, uint32_t{0});
  put_number(out, kind);
  put_number(out, part);
  put_number(out, uint64_t{0});
  return out;
}

void PieceWriter::end() {
  std::string& out = chunks_.back();
  size_t body_at = head_at_ + kHeadBytes;
  TAMIS_ASSERT(out.size() >= body_at && out.size() - body_at <= PieceReader::kBodyBytesMax);
  auto length = static_cast<uint32_t>(out.size() - body_at);
  std::memcpy(out.data() + head_at_ + 4, &length, 4);
  std::string_view frame = std::string_view(out).substr(head_at_);
  uint64_t sum = checksum(frame, frame.substr(kHeadBytes), pieces_++);
  std::memcpy(out.data() + head_at_ + 16, &sum, 8);
  bytes_ += frame.size();
}

void PieceWriter::take(std::string& out, size_t bytes) {
  for (size_t taken = 0; taken < bytes && !chunks_.empty(); chunks_.pop_front()) {
    taken += chunks_.front().size();
    bytes_ -= chunks_.front().size();
    if (out.empty()) {
      out = std::move(chunks_.front());
    } else {
      out += chunks_.front();
    }
  }
}

void PieceReader::feed(std::string_view bytes) {
  buffer_.erase(0, at_);
  at_ = 0;
  buffer_ += bytes;
}

base::Result<bool> PieceReader::next(Piece& piece) {
  auto damaged = [this](const char* what) {
    return base::invalid("the snapshot is damaged at byte " + std::to_string(offset_) + ": " + what);
  };
  std::string_view frame = std::string_view(buffer_).substr(at_);
  if (frame.size() < kHeadBytes) return false;
  ByteReader head(frame.substr(0, kHeadBytes));
  if (head.number<uint32_t>() != kMagic) {
    return pieces_ == 0 ? base::invalid("these are not the bytes of a snapshot") : damaged("no piece begins here");
  }
  auto length = head.number<uint32_t>();
  piece.kind = head.number<uint32_t>();
  piece.part = head.number<uint32_t>();
  auto sum = head.number<uint64_t>();
  if (length > kBodyBytesMax) return damaged("a piece of impossible length");
  if (frame.size() - kHeadBytes < length) return false;
  piece.body = frame.substr(kHeadBytes, length);
  if (checksum(frame, piece.body, pieces_) != sum) return damaged("wrong checksum");
  ++pieces_;
  at_ += kHeadBytes + length;
  offset_ += kHeadBytes + length;
  return true;
}

}  // namespace tamis::state
