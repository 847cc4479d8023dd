#include "journal/compressor.h"

#include <zstd.h>

#include <algorithm>
#include <thread>

#include "base/assert.h"

namespace tamis::journal {

Compressor::Compressor(int level) : context_(ZSTD_createCCtx()) {
  TAMIS_ASSERT(context_ != nullptr);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
}

Compressor::~Compressor() { ZSTD_freeCCtx(context_); }

base::Status Compressor::frame(std::string_view text, std::string& out, size_t piece_bytes) {
  if (piece_bytes == 0) piece_bytes = text.size();
  const size_t before = out.size();
  // A flushed piece ends with a block header of three bytes and up to two of alignment.
  out.resize(before + ZSTD_compressBound(text.size()) + 8 * (text.size() / std::max<size_t>(piece_bytes, 1)));
  ZSTD_outBuffer to{out.data() + before, out.size() - before, 0};
  ZSTD_inBuffer from{text.data(), 0, 0};
  ZSTD_CCtx_setPledgedSrcSize(context_, text.size());
  size_t left = 1;
  do {
    from.size = std::min(text.size(), from.size + piece_bytes);
    left = ZSTD_compressStream2(context_, &to, &from, from.size == text.size() ? ZSTD_e_end : ZSTD_e_flush);
    if (ZSTD_isError(left) || (left != 0 && to.pos == to.size)) {
      ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
      out.resize(before);
      return base::fail(base::Code::kInternal,
                        std::string("zstd: ") + (ZSTD_isError(left) ? ZSTD_getErrorName(left) : "no room"));
    }
    if (from.size < text.size()) std::this_thread::yield();
  } while (from.pos < text.size() || left != 0);
  out.resize(before + to.pos);
  return {};
}

}  // namespace tamis::journal
