// hash64() of bytes that come in pieces: files are hashed as they are copied, whatever their size.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

namespace tamis::base {

// One thread at a time.
class HashStream {
 public:
  HashStream();
  ~HashStream();
  HashStream(const HashStream&) = delete;
  HashStream& operator=(const HashStream&) = delete;

  void add(std::string_view bytes);
  // What hash64() gives of all bytes since the last call; the next ones begin anew.
  uint64_t finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tamis::base
