// Compressor: text in, zstd frames with their length and a checksum out. It keeps its working memory (about a megabyte)
// from frame to frame, so that each costs its bytes and no more.
//
// Threading: one thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct ZSTD_CCtx_s;

namespace tamis::journal {

class Compressor {
 public:
  explicit Compressor(int level);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  // Appends one frame to `out`, which stays as it was in case of an error (kInternal). With piece_bytes it offers the
  // core to others after every so many bytes of text, at the price of a few bytes a piece.
  base::Status frame(std::string_view text, std::string& out, size_t piece_bytes = 0);

 private:
  ZSTD_CCtx_s* context_;
};

}  // namespace tamis::journal
