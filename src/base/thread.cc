#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace tamis::base {
namespace {

constexpr int kBesideNice = 5, kAfterNice = 19;
constexpr uint64_t kSliceNs = 100'000;  // the shortest that Linux knows

// As of Linux 3.14; the C library has no declaration of it before glibc 2.41.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0, deadline_ns = 0, period_ns = 0;
};

// Linux 6.12 and newer; an older one refuses or ignores it.
void set_slice(int nice) {
  SchedulingAttributes attributes;
  attributes.nice = std::min(nice, 19);
  attributes.runtime_ns = kSliceNs;
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

void name_thread(const char* name) {
  char shown[16] = {};
  for (int i = 0; i < 15 && name[i] != 0; ++i) shown[i] = name[i];
  (void)pthread_setname_np(pthread_self(), shown);
}

void answer_soon(const char* name) {
  name_thread(name);
  set_slice(getpriority(PRIO_PROCESS, 0));
}

void work_beside(const char* name) {
  name_thread(name);
  const int nice = getpriority(PRIO_PROCESS, 0) + kBesideNice;
  (void)setpriority(PRIO_PROCESS, 0, nice);  // on Linux: of this thread
  set_slice(nice);
}

void work_after(const char* name) {
  name_thread(name);
  (void)setpriority(PRIO_PROCESS, 0, kAfterNice);
}

void work_behind(const char* name) {
  name_thread(name);
  sched_param none{};
  (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
}

}  // namespace tamis::base
