#include "base/hash_stream.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tamis::base {

struct HashStream::State {
  XXH3_state_t xxh3;
};

HashStream::HashStream() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->xxh3); }
HashStream::~HashStream() = default;

void HashStream::add(std::string_view bytes) { XXH3_64bits_update(&state_->xxh3, bytes.data(), bytes.size()); }

uint64_t HashStream::finish() {
  const uint64_t hash = XXH3_64bits_digest(&state_->xxh3);
  XXH3_64bits_reset(&state_->xxh3);
  return hash;
}

}  // namespace tamis::base
