// What a thread says of itself to the operating system. None of it can fail: where the system does not know or allow a
// thing, the thread stays as it was.
#pragma once

#include <optional>
#include <thread>

namespace tamis::base {

// What `top -H`, perf and a debugger show; the first 15 characters count.
void name_thread(const char* name);

// For a thread that answers: when it wakes, it takes the core at once from a thread that does not, as long as it has
// had no more than its share. (A short time slice: Linux 6.12 and newer, sched_setattr(2).)
void answer_soon(const char* name);

// For a thread that works for those that answer, and in bursts: on a core that is full it has a quarter of the time,
// and they need not wait until a burst is over.
void work_beside(const char* name);

// For a thread whose work can wait, but not for ever: a seventieth of a full core is its own.
void work_after(const char* name);

// For a thread whose work can wait: it runs while no other thread wants the core (SCHED_IDLE, sched(7)); threads that
// it starts do the same. It must hold no lock that a thread with a decision to make waits for.
void work_behind(const char* name);

// Runs `work` on a thread that says one of these of itself, and waits for its result.
template <class Work>
auto run_as(void (*rank)(const char*), const char* name, const Work& work) {
  std::optional<decltype(work())> result;
  std::thread([&] {
    rank(name);
    result.emplace(work());
  }).join();
  return *std::move(result);
}

}  // namespace tamis::base
