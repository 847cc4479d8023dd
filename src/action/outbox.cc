#include "action/outbox.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "action/json_text.h"
#include "action/outbox_store.h"
#include "action/webhook.h"
#include "base/hash.h"

namespace tamis::action {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr size_t kKeyBytesMax = 200, kTopicBytesMax = 200, kOrderBytesMax = 1024;
constexpr size_t kThreadsMax = 128;
constexpr int64_t kIdleMs = 500;  // between looks of a sender at the queue
constexpr int64_t kCleanMs = 60'000;
constexpr int64_t kPauseMaxMs = 30'000;  // of a channel that fails time after time
constexpr uint32_t kFailuresBeforePause = 3;
constexpr int64_t kCommitAgainMs = 200;  // after a failed commit

bool is_plain(std::string_view text, size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// A channel with what is going on in it.
struct Line {
  Channel channel;
  std::unordered_set<uint64_t> in_flight;  // under way, or with a result that is not yet committed
  uint32_t failures = 0;                   // in a row
  int64_t paused_until_ms = 0;
  uint64_t delivered = 0, failed = 0;
  std::string last_error;
};

class SqliteOutbox final : public Outbox {
 public:
  SqliteOutbox(std::unique_ptr<OutboxStore> store, std::vector<Channel> channels, const base::Clock& clock,
               OutboxOptions options)
      : clock_(clock), options_(options), store_(std::move(store)), rows_(store_->rows()), bytes_(store_->bytes()) {
    for (Channel& channel : channels) {
      lines_.push_back(std::make_unique<Line>());
      lines_.back()->channel = std::move(channel);
    }
    committer_ = std::thread([this] { run_commits(); });
  }
  ~SqliteOutbox() override {
    stop();
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    committer_.join();
  }

  void start() override;
  void stop() override;
  Result<size_t> enqueue(const Notice& notice) override;
  Status sync() override;
  OutboxStats stats() const override;
  Result<std::vector<OutboxItem>> list(const OutboxFilter& filter) const override {
    std::lock_guard lock(store_mutex_);
    return store_->list(filter);
  }
  Result<std::string> body(uint64_t id) const override;
  Result<uint64_t> retry(std::span<const uint64_t> ids) override {
    return change([&] { return store_->retry(ids, clock_.now_ms()); });
  }
  Result<uint64_t> drop(std::span<const uint64_t> ids) override {
    return change([&] { return store_->drop(ids); });
  }
  Result<uint64_t> erase(std::string_view text) override {
    if (text.empty()) return base::invalid("an empty text cannot be erased");
    TAMIS_CHECK(sync());
    return change([&] { return store_->erase(text); });
  }
  Result<uint64_t> forget(int64_t before_ms) override {
    TAMIS_CHECK(sync());
    return change([&] { return store_->forget(before_ms); });
  }

 private:
  void run_commits();
  bool commit(std::unique_lock<std::mutex>& lock);
  void clean_if_due();
  void run_sender(Line& line);
  bool next_item(Line& line, std::unique_lock<std::mutex>& lock, std::pair<OutboxItem, std::string>& next);
  void settle(Line& line, const OutboxItem& item, Attempt attempt);
  template <class Change>
  Result<uint64_t> change(const Change& work);

  const base::Clock& clock_;
  const OutboxOptions options_;
  std::vector<std::unique_ptr<Line>> lines_;

  mutable std::mutex store_mutex_;  // taken before mutex_
  std::unique_ptr<OutboxStore> store_;
  int64_t cleaned_ns_ = INT64_MIN;

  mutable std::mutex mutex_;  // guards what follows, and the lines but for their channels
  std::condition_variable wake_, work_, committed_;
  std::vector<OutboxStore::New> inbox_;
  std::vector<AttemptResult> results_;
  uint64_t inbox_bytes_ = 0;
  uint64_t accepted_ = 0, settled_ = 0;  // enqueued, and of them committed
  uint64_t failures_ = 0;                // of commits
  std::string failure_;
  uint64_t rows_, bytes_;  // in the store, as of the last commit
  uint64_t refused_ = 0, repeated_ = 0, dropped_ = 0;
  bool closing_ = false;
  std::atomic<bool> stopping_{true};

  std::mutex threads_mutex_;  // start() and stop()
  std::vector<std::thread> senders_;
  std::thread committer_;
};

void SqliteOutbox::start() {
  std::lock_guard threads_lock(threads_mutex_);
  if (!senders_.empty()) return;
  stopping_ = false;
  for (auto& line : lines_) {
    for (uint32_t i = 0; i < line->channel.options.concurrency; ++i) {
      senders_.emplace_back([this, at = line.get()] { run_sender(*at); });
    }
  }
}

void SqliteOutbox::stop() {
  std::lock_guard threads_lock(threads_mutex_);
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& sender : senders_) sender.join();
  senders_.clear();
}

Result<size_t> SqliteOutbox::enqueue(const Notice& notice) {
  if (!is_plain(notice.key, kKeyBytesMax)) return base::invalid("the key of a notice is 1 to 200 bytes of plain ASCII");
  if (!is_plain(notice.topic, kTopicBytesMax)) return base::invalid("the topic is 1 to 200 bytes of plain ASCII");
  if (notice.order.size() > kOrderBytesMax)
    return base::fail(Code::kLimit, "the order of a notice has 1024 bytes at most");
  if (notice.body.empty() || notice.body.size() > options_.body_bytes_max) {
    return base::fail(Code::kLimit, "the body of a notice has 1 to " + std::to_string(options_.body_bytes_max) +
                                        " bytes; this one has " + std::to_string(notice.body.size()));
  }
  std::vector<const Line*> wanted;
  for (const auto& line : lines_) {
    if (line->channel.wants(notice.topic)) wanted.push_back(line.get());
  }
  if (wanted.empty()) return size_t{0};
  int64_t now_ms = clock_.now_ms();
  {
    std::lock_guard lock(mutex_);
    uint64_t bytes = wanted.size() * notice.body.size();
    if (inbox_bytes_ + bytes > options_.pending_bytes_max) {
      refused_ += wanted.size();
      return base::fail(failure_.empty() ? Code::kLimit : Code::kUnavailable,
                        "too much waits to be written to the outbox" + (failure_.empty() ? "" : ": " + failure_));
    }
    if (rows_ + inbox_.size() + wanted.size() > options_.items_max ||
        bytes_ + inbox_bytes_ + bytes > options_.bytes_max) {
      refused_ += wanted.size();
      return base::fail(Code::kLimit, "the outbox is full: " + std::to_string(rows_ + inbox_.size()) + " items, " +
                                          std::to_string(bytes_ + inbox_bytes_) + " bytes");
    }
    for (const Line* line : wanted) inbox_.push_back({line->channel.options.name, notice, now_ms});
    inbox_bytes_ += bytes;
    accepted_ += wanted.size();
  }
  wake_.notify_one();
  return wanted.size();
}

Status SqliteOutbox::sync() {
  std::unique_lock lock(mutex_);
  uint64_t upto = accepted_, failures = failures_;
  wake_.notify_one();
  committed_.wait(lock, [&] { return settled_ >= upto || failures_ != failures; });
  return settled_ >= upto ? Status{} : base::fail(Code::kUnavailable, failure_);
}

void SqliteOutbox::run_commits() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, std::chrono::milliseconds(kIdleMs),
                   [this] { return closing_ || !inbox_.empty() || !results_.empty(); });
    bool last = closing_;
    // What comes in a moment shares the sync.
    if (!last && !inbox_.empty())
      wake_.wait_for(lock, std::chrono::milliseconds(options_.sync_ms), [this] { return closing_; });
    bool good = commit(lock);
    if (last && (!good || (inbox_.empty() && results_.empty()))) return;
    lock.unlock();
    if (good) clean_if_due();
    if (!good) std::this_thread::sleep_for(std::chrono::milliseconds(kCommitAgainMs));
    lock.lock();
  }
}

bool SqliteOutbox::commit(std::unique_lock<std::mutex>& lock) {
  if (inbox_.empty() && results_.empty()) return true;
  std::vector<OutboxStore::New> items = std::move(inbox_);
  std::vector<AttemptResult> results = std::move(results_);
  inbox_.clear();
  results_.clear();
  uint64_t pending_bytes = inbox_bytes_;
  lock.unlock();
  std::unique_lock store_lock(store_mutex_);
  auto known = store_->commit(items, results, clock_.now_ms());
  uint64_t rows = store_->rows(), bytes = store_->bytes();
  lock.lock();
  store_lock.unlock();
  if (known) {
    rows_ = rows;
    bytes_ = bytes;
    repeated_ += *known;
    settled_ += items.size();
    inbox_bytes_ -= pending_bytes;
    failure_.clear();
    for (const AttemptResult& result : results) {
      for (auto& line : lines_) {
        if (line->channel.options.name == result.channel) line->in_flight.erase(result.id);
      }
    }
  } else {
    failure_ = known.error().message;
    ++failures_;
    inbox_.insert(inbox_.begin(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
    results_.insert(results_.begin(), std::make_move_iterator(results.begin()), std::make_move_iterator(results.end()));
  }
  committed_.notify_all();
  work_.notify_all();
  return known.has_value();
}

void SqliteOutbox::clean_if_due() {
  std::lock_guard store_lock(store_mutex_);
  if (cleaned_ns_ != INT64_MIN && clock_.steady_ns() - cleaned_ns_ < kCleanMs * 1'000'000) return;
  cleaned_ns_ = clock_.steady_ns();
  auto dropped = store_->clean(options_, clock_.now_ms());
  std::lock_guard lock(mutex_);
  if (dropped) dropped_ += *dropped;
  if (!dropped) failure_ = dropped.error().message;
  rows_ = store_->rows();
  bytes_ = store_->bytes();
}

template <class Change>
Result<uint64_t> SqliteOutbox::change(const Change& work) {
  std::lock_guard store_lock(store_mutex_);
  auto changed = work();
  std::lock_guard lock(mutex_);
  rows_ = store_->rows();
  bytes_ = store_->bytes();
  work_.notify_all();
  return changed;
}

Result<std::string> SqliteOutbox::body(uint64_t id) const {
  std::lock_guard lock(store_mutex_);
  TAMIS_TRY(found, store_->get(id));
  if (!found) return base::fail(Code::kNotFound, "no item " + std::to_string(id) + " in the outbox");
  return std::move(found->second);
}

OutboxStats SqliteOutbox::stats() const {
  OutboxStats out;
  std::unique_lock store_lock(store_mutex_);
  auto stored = store_->stats();
  store_lock.unlock();
  std::lock_guard lock(mutex_);
  std::map<std::string, ChannelStats> channels;
  if (stored) {
    for (ChannelStats& stats : *stored) channels[stats.name] = stats;
  }
  for (const auto& line : lines_) {
    ChannelStats& stats = channels[line->channel.options.name];
    stats.name = line->channel.options.name;
    stats.configured = true;
    stats.delivered = line->delivered;
    stats.failed = line->failed;
    stats.paused_until_ms = line->paused_until_ms;
    stats.last_error = line->last_error;
  }
  for (auto& [name, stats] : channels) out.channels.push_back(std::move(stats));
  out.refused = refused_;
  out.repeated = repeated_;
  out.dropped = dropped_;
  out.pending_bytes = inbox_bytes_;
  out.failure = stored ? failure_ : stored.error().message;
  return out;
}

// Takes the first item that is due and that nobody else has. Waits a while if there is none. False: nothing to do now.
bool SqliteOutbox::next_item(Line& line, std::unique_lock<std::mutex>& lock, std::pair<OutboxItem, std::string>& next) {
  const ChannelOptions& options = line.channel.options;
  int64_t now_ms = clock_.now_ms(), wait_ms = kIdleMs;
  lock.unlock();
  std::unique_lock store_lock(store_mutex_);
  lock.lock();
  if (line.paused_until_ms > now_ms && line.paused_until_ms <= now_ms + options.backoff_max_ms) {
    wait_ms = line.paused_until_ms - now_ms;
  } else if (auto first = store_->first(options.name, line.in_flight.size() + 1)) {
    for (auto [id, due_ms] : *first) {
      if (line.in_flight.contains(id)) continue;
      // A wait that is longer than any we ask for means that the clock was set back.
      if (due_ms > now_ms && due_ms <= now_ms + std::max<int64_t>(options.backoff_max_ms, 86'400'000)) {
        wait_ms = due_ms - now_ms;
        break;
      }
      auto found = store_->get(id);
      if (!found || !*found) break;
      next = std::move(**found);
      line.in_flight.insert(id);
      // The others wait for what this one finds out.
      if (line.failures >= kFailuresBeforePause) line.paused_until_ms = now_ms + options.timeout_ms;
      return true;
    }
  }
  store_lock.unlock();
  if (!stopping_) work_.wait_for(lock, std::chrono::milliseconds(std::clamp<int64_t>(wait_ms, 1, kIdleMs)));
  return false;
}

void SqliteOutbox::run_sender(Line& line) {
  const ChannelOptions& options = line.channel.options;
  net::HttpClientOptions client_options;
  client_options.connect_timeout_ms = options.connect_timeout_ms;
  client_options.io_timeout_ms = options.timeout_ms;
  client_options.total_timeout_ms = options.timeout_ms;
  client_options.body_bytes_max = 1 << 20;
  client_options.tls = line.channel.tls;
  client_options.cancelled = [this] { return stopping_.load(); };
  if (!options.allow_private) client_options.may_connect = is_public;
  auto client = net::HttpClient::open(line.channel.origin, client_options);
  std::pair<OutboxItem, std::string> next;
  std::unique_lock lock(mutex_);
  while (!stopping_ && client) {
    if (!next_item(line, lock, next)) continue;
    lock.unlock();
    Attempt attempt = deliver(*client, line.channel, next.first, next.second, clock_.now_ms());
    lock.lock();
    if (stopping_ && attempt.outcome != Attempt::Outcome::kDelivered && attempt.status == 0) {
      line.in_flight.erase(next.first.id);  // we ended it ourselves: no attempt
      line.paused_until_ms = 0;
      break;
    }
    settle(line, next.first, std::move(attempt));
  }
}

// Under the lock: what the attempt means for the item and for the channel.
void SqliteOutbox::settle(Line& line, const OutboxItem& item, Attempt attempt) {
  const ChannelOptions& options = line.channel.options;
  int64_t now_ms = clock_.now_ms();
  AttemptResult result{item.id, item.channel, item.key, item.order, {}, item.attempts + 1, now_ms};
  if (attempt.outcome == Attempt::Outcome::kRetry) {
    uint64_t hash =
        base::combine64(base::hash64(item.key), base::combine64(base::hash64(item.channel), result.attempts));
    int64_t wait_ms = std::max(backoff_ms(options, result.attempts, hash), attempt.retry_after_ms);
    result.next_ms = now_ms + wait_ms;
    if (result.next_ms - item.enqueued_ms > options.give_up_ms) {
      attempt.outcome = Attempt::Outcome::kDead;
      attempt.error = fit_text("given up: " + attempt.error, 500);
      result.next_ms = now_ms;
    }
    ++line.failures;
    if (line.failures >= kFailuresBeforePause) {
      uint32_t power = std::min<uint32_t>(line.failures - kFailuresBeforePause, 20);
      int64_t pause_ms = std::min({options.backoff_first_ms << power, kPauseMaxMs, options.backoff_max_ms});
      line.paused_until_ms = now_ms + std::max(pause_ms, std::min(attempt.retry_after_ms, kPauseMaxMs));
    }
  } else {
    line.failures = 0;
    line.paused_until_ms = 0;
  }
  if (attempt.outcome == Attempt::Outcome::kDelivered) {
    ++line.delivered;
  } else {
    ++line.failed;
    line.last_error = attempt.error;
  }
  result.attempt = std::move(attempt);
  results_.push_back(std::move(result));
  wake_.notify_one();
}

}  // namespace

Result<std::unique_ptr<Outbox>> Outbox::open(const std::string& folder, std::vector<ChannelOptions> channels,
                                             const base::Clock& clock, OutboxOptions options) {
  std::vector<Channel> opened;
  size_t threads = 0;
  for (const ChannelOptions& each : channels) {
    TAMIS_TRY(channel, open_channel(each));
    for (const Channel& other : opened) {
      if (other.options.name == each.name) return base::invalid("there are two channels \"" + each.name + "\"");
    }
    threads += each.concurrency;
    opened.push_back(std::move(channel));
  }
  if (threads > kThreadsMax) {
    return base::fail(Code::kLimit, "the channels' concurrency is " + std::to_string(threads) + " in all; 128 at most");
  }
  TAMIS_TRY(store, OutboxStore::open(folder));
  return std::unique_ptr<Outbox>(std::make_unique<SqliteOutbox>(std::move(store), std::move(opened), clock, options));
}

}  // namespace tamis::action
