#include "journal/compressor.h"

#include <sched.h>
#include <zstd.h>

#include <algorithm>

#include "base/assert.h"

namespace tamis::journal {
namespace {
constexpr size_t kPieceBytes = 32 << 10;
}

Compressor::Compressor(int level) : context_(ZSTD_createCCtx()) {
  TAMIS_ASSERT(context_ != nullptr);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
}

Compressor::~Compressor() { ZSTD_freeCCtx(context_); }

base::Status Compressor::frame(std::string_view text, std::string& out) {
  const size_t before = out.size();
  ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
  ZSTD_CCtx_setPledgedSrcSize(context_, text.size());
  out.resize(before + ZSTD_compressBound(text.size()));
  ZSTD_outBuffer to{out.data() + before, out.size() - before, 0};
  ZSTD_inBuffer from{text.data(), 0, 0};
  for (size_t left = 1; left != 0;) {
    from.size = std::min(text.size(), from.size + kPieceBytes);
    const bool last = from.size == text.size();
    left = ZSTD_compressStream2(context_, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left)) {
      out.resize(before);
      return base::fail(base::Code::kInternal, std::string("zstd: ") + ZSTD_getErrorName(left));
    }
    if (last) continue;
    left = 1;
    ::sched_yield();
  }
  out.resize(before + to.pos);
  return {};
}

}  // namespace tamis::journal
