// Private to the room.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "archive/duck.h"

namespace tamis::archive {

// Stops the connection's statement when its time is over or the caller has lost interest.
class Watch {
 public:
  Watch(Connection& connection, int64_t time_ms, const std::function<bool()>& keep_going)
      : connection_(connection), keep_going_(keep_going) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::max<int64_t>(time_ms, 1));
    thread_ = std::thread([this, end] { run(end); });
  }
  ~Watch() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  bool late() const { return late_; }
  bool unwanted() const { return unwanted_; }

 private:
  void run(std::chrono::steady_clock::time_point end) {
    std::unique_lock lock(mutex_);
    while (!done_) {
      if (std::chrono::steady_clock::now() >= end) late_ = true;
      if (keep_going_ && !keep_going_()) unwanted_ = true;
      // Again and again: an interrupt that comes between two steps of a query is forgotten.
      if (late_ || unwanted_) connection_.interrupt();
      changed_.wait_for(lock, kLookEvery, [this] { return done_; });
    }
  }
  static constexpr auto kLookEvery = std::chrono::milliseconds(20);

  Connection& connection_;
  const std::function<bool()>& keep_going_;
  std::atomic<bool> late_ = false, unwanted_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace tamis::archive
