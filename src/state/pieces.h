// Pieces: what a snapshot is made of. Whatever holds state writes itself as a row of pieces; each goes into the bytes
// of the snapshot in a frame with its length, its kind, the part it belongs to and a checksum.
//
// Frame: 4 bytes magic, 4 bytes length of the body, 4 bytes kind, 4 bytes part, 8 bytes checksum, body; little-endian.
// The checksum is an XXH3 (64 bits) over the head, the body and the number of the frame, so that a flipped byte is
// found and so is a frame that is missing, doubled or at another place.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::state {

struct Piece {
  uint32_t kind = 0;
  uint32_t part = 0;
  std::string_view body;
};

// Collects frames. Memory is handed on in chunks, so that a long row of pieces is never copied at once.
class PieceWriter {
 public:
  // Begins a frame: what is appended to the string until end() is its body.
  std::string& begin(uint32_t kind, uint32_t part);
  void end();

  uint64_t pieces() const { return pieces_; }  // ended so far
  size_t bytes() const { return bytes_; }      // collected and not taken yet
  // Appends what was collected to `out`, in order, about `bytes` of it: no more chunks than reach that.
  void take(std::string& out, size_t bytes);

 private:
  std::deque<std::string> chunks_;
  size_t head_at_ = 0;  // of the frame that is open
  uint64_t pieces_ = 0;
  size_t bytes_ = 0;
};

// Takes frames apart again, from bytes that come in any portions and that nobody vouches for.
class PieceReader {
 public:
  static constexpr size_t kBodyBytesMax = size_t{256} << 20;  // no writer makes larger ones

  void feed(std::string_view bytes);
  // The next piece, valid until the next call of either; false: more bytes are needed. Errors: damage, with its place.
  base::Result<bool> next(Piece& piece);
  uint64_t pieces() const { return pieces_; }
  uint64_t offset() const { return offset_; }  // of the next frame in all that was fed
  bool at_border() const { return at_ == buffer_.size(); }

 private:
  std::string buffer_;
  size_t at_ = 0;
  uint64_t pieces_ = 0, offset_ = 0;
};

// Something that holds state and can write it in pieces while it goes on changing. What is written is the state as of
// begin_snapshot(): whatever has not been written yet is written out of turn right before its first change
// (copy-on-update; Salles et al., "An evaluation of checkpoint recovery for massively multiplayer online games", VLDB
// 2009). One snapshot at a time; one thread.
class SnapshotPart {
 public:
  virtual ~SnapshotPart() = default;

  // Writes the head at once, in constant time; `out` stays until end_snapshot().
  virtual void begin_snapshot(PieceWriter& out, uint32_t part) = 0;
  // Writes the next piece, mostly far below a megabyte, four at most. False: all are written.
  virtual bool snapshot_piece() = 0;
  // Forgets the snapshot, finished or not.
  virtual void end_snapshot() = 0;

  // The way back, into an object in which nothing has happened yet: all pieces in any order but the head first, then
  // finish. Bytes that are no such piece are refused; after an error the object is only good for being destroyed.
  virtual base::Status restore_piece(uint32_t kind, std::string_view body) = 0;
  virtual base::Status finish_restore() = 0;
};

// The kinds of pieces of a part.
inline constexpr uint32_t kHeadPiece = 1;
inline constexpr uint32_t kBodyPiece = 2;

}  // namespace tamis::state
