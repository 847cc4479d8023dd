// Work that must not be felt by those who wait for a decision: writing files, joining them, reading ahead. Private.
#pragma once

#include <sched.h>
#include <sys/resource.h>

#include <thread>
#include <type_traits>
#include <utility>

namespace tamis::archive {

// Gives the calling thread, and threads that it starts from now on, about a tenth of what others get where they compete
// for a core. There is no way back without rights.
inline void be_quiet() {
  constexpr int kNice = 10;
  const sched_param none = {};
  (void)::sched_setscheduler(0, SCHED_BATCH, &none);  // of this thread: 0 is its own id
  (void)::setpriority(PRIO_PROCESS, 0, kNice);        // likewise on Linux
}

// Runs `work` on a quiet thread and waits for it; so the caller keeps its own priority.
template <class Work>
auto quietly(Work&& work) {
  std::invoke_result_t<Work> result;
  std::thread thread([&] {
    be_quiet();
    result = work();
  });
  thread.join();
  return result;
}

}  // namespace tamis::archive
