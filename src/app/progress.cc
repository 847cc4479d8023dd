#include "app/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace tamis::app {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

Progress::Progress(std::string what, uint64_t total, bool quiet)
    : what_(std::move(what)),
      total_(total),
      shown_(!quiet && isatty(STDERR_FILENO) != 0),
      start_(steady_clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::step(uint64_t done, uint64_t count) {
  if (!shown_) return;
  auto now = steady_clock::now();
  if (now - last_ < milliseconds(100)) return;
  last_ = now;
  drawn_ = true;
  double seconds = duration<double>(now - start_).count();
  double rate = static_cast<double>(count) / std::max(seconds, 1e-9);
  if (total_ == 0) {
    std::fprintf(stderr, "\r\033[K%s %llu, %.0f/s", what_.c_str(), static_cast<unsigned long long>(count), rate);
  } else {
    double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
    int filled = static_cast<int>(share * 30);
    double left = share > 0 ? seconds * (1 - share) / share : 0;
    std::fprintf(stderr, "\r\033[K%s [%-30.*s] %3.0f %%, %llu, %.0f/s, %.0f s left", what_.c_str(), filled,
                 "##############################", share * 100, static_cast<unsigned long long>(count), rate, left);
  }
  std::fflush(stderr);
}

}  // namespace tamis::app
