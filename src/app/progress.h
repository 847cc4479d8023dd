// Progress of a long command on a terminal's stderr: a bar, a rate and the time left, redrawn at most ten times a
// second; nothing where stderr is no terminal or the user asked for quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tamis::app {

class Progress {
 public:
  // `total` in the same unit as step()'s `done`; 0 if it is not known. `unit` names the things counted ("events").
  Progress(std::string what, uint64_t total, bool quiet);
  ~Progress();  // clears the line
  // `count`: how many things so far, for the rate.
  void step(uint64_t done, uint64_t count);

 private:
  std::string what_;
  uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace tamis::app
