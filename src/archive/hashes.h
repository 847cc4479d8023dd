// Hashes of what lies in a Parquet file, so that a flipped bit is told and never read as a value. Private.
//
// The body of a file, all that lies between the first magic and the footer, is cut into pieces without a gap: a piece
// for each column chunk, and one for whatever lies between two of them (Bloom filters). The footer keeps the length
// and the XXH3 hash (base/hash.h) of each, in the order of the file, under the key tamis.xxh3: a line a piece, the
// length in decimal, a blank, 16 hex digits. Lengths and not places, so that files that are put one behind the other
// (splice.h) have their lines one behind the other. The footer itself is hashed in the manifest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/thrift.h"
#include "base/hash_stream.h"
#include "base/result.h"

namespace tamis::archive {

inline constexpr std::string_view kHashesKey = "tamis.xxh3";

struct Piece {
  uint64_t bytes = 0, hash = 0;
  bool operator==(const Piece&) const = default;
};

std::string to_text(const std::vector<Piece>& pieces);
// False: that is no such text, or its pieces are not `body` bytes together.
bool parse_pieces(std::string_view text, uint64_t body, std::vector<Piece>& pieces);

// Reads a footer's list of keys and values and gives our value; empty: it has none.
std::string_view read_hashes(ThriftReader& in);
// The footer with this text under our key, in place of what it had there; an empty text removes it. kUnavailable: it
// is no footer.
base::Result<std::string> with_hashes(std::string_view footer, std::string_view text);

// Hashes a body as it comes by.
class BodyHash {
 public:
  // Pieces of these lengths; their hashes are not looked at.
  explicit BodyHash(const std::vector<Piece>& cut) : cut_(cut) {}
  void add(std::string_view bytes);
  // The pieces that have come whole.
  const std::vector<Piece>& pieces() const { return done_; }

 private:
  const std::vector<Piece>& cut_;
  std::vector<Piece> done_;
  uint64_t in_piece_ = 0;
  base::HashStream hash_;
};

// The hash of a part of an open file.
base::Result<uint64_t> hash_at(int fd, const std::string& path, uint64_t offset, uint64_t bytes);

// Hashes a file that was just written and puts the hashes into its footer. Does not sync it.
base::Status add_hashes(const std::string& path);

// What is said of a file whose bytes are not those that were written. `where` may be empty.
base::Error damaged_file(std::string_view path, std::string_view where);

}  // namespace tamis::archive
