// Counts the allocations of the test program, for promises that something makes none once warm. In a file of its own,
// so that the compiler does not see through these operators elsewhere.
#include <cstdlib>
#include <new>

namespace tamis::event {
static size_t allocations = 0;
size_t allocation_count() { return allocations; }
static void* allocate(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
}  // namespace tamis::event

void* operator new(size_t bytes) { return tamis::event::allocate(bytes); }
void* operator new[](size_t bytes) { return tamis::event::allocate(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes == 0 ? 1 : bytes); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes == 0 ? 1 : bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
