#include "journal/compressor.h"

#include <zstd.h>

#include "base/assert.h"

namespace tamis::journal {

Compressor::Compressor(int level) : context_(ZSTD_createCCtx()) {
  TAMIS_ASSERT(context_ != nullptr);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
}

Compressor::~Compressor() { ZSTD_freeCCtx(context_); }

base::Status Compressor::frame(std::string_view text, std::string& out) {
  const size_t before = out.size();
  out.resize(before + ZSTD_compressBound(text.size()));
  size_t written = ZSTD_compress2(context_, out.data() + before, out.size() - before, text.data(), text.size());
  if (ZSTD_isError(written)) {
    out.resize(before);
    return base::fail(base::Code::kInternal, std::string("zstd: ") + ZSTD_getErrorName(written));
  }
  out.resize(before + written);
  return {};
}

}  // namespace tamis::journal
