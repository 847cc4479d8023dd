// What the process asks of malloc(3) as a whole.
#pragma once

#include <cstddef>

namespace tamis::base {

// What is at least this large is mapped alone and goes back to the system when it is freed, wherever it lies. Buffers
// that are filled by one thread and freed by another are to be of this size: smaller ones stay in the heap of the first
// for ever once something that lasts lies behind them.
inline constexpr size_t kMappedBytes = 2 << 20;

// For a server: memory that one large request took goes back to the system when the request ends. glibc takes large
// chunks from the system one by one, but learns from each that is freed to keep chunks of its size (up to 32 MB, and
// twice that at the end of each thread's heap), so that one message of 50 MB would be paid for by the process for ever.
// Call once, before threads begin. Elsewhere than with glibc it does nothing.
void give_back_large_memory();

}  // namespace tamis::base
