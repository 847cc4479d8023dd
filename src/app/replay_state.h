// ReplayState: what `tamis replay` remembers beside the engine, so that an interrupted run can go on
// (replay/replay_checkpoint.h): its tally, how far it read and wrote, and where decisions lie that may be given again.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "app/replay_output.h"
#include "base/result.h"
#include "replay/journal_replay.h"

namespace tamis::app {

// Accounts in the order in which they came first, each once.
class Accounts {
 public:
  struct Account {
    std::string name;
    int64_t acted_ms = 0;  // when the policy first acted on it; 0: never
  };
  // `acted_ms`: the policy acts on it then; 0: it does not.
  void add(std::string_view name, int64_t acted_ms) {
    auto seen = seen_.find(name);
    if (seen == seen_.end()) {
      Account& account = all_.emplace_back(Account{std::string(name)});
      seen = seen_.emplace(account.name, &account).first;
    }
    if (seen->second->acted_ms == 0) seen->second->acted_ms = acted_ms;
  }
  const std::deque<Account>& all() const { return all_; }

 private:
  std::deque<Account> all_;  // stay where they are
  std::unordered_map<std::string_view, Account*> seen_;
};

// Where in the file of decisions those lie that engine::RecentDecisions of the same size has: by the same rule.
class RecentPlaces {
 public:
  struct Place {
    uint64_t record = 0, at = 0, bytes = 0;
  };
  explicit RecentPlaces(size_t bytes_max) : bytes_max_(bytes_max) {}
  void remember(const Place& place) {
    while (bytes_ + place.bytes > bytes_max_ && !all_.empty()) {
      bytes_ -= all_.front().bytes;
      all_.pop_front();
    }
    bytes_ += place.bytes;
    all_.push_back(place);
  }
  const std::deque<Place>& all() const { return all_; }

 private:
  size_t bytes_max_;
  uint64_t bytes_ = 0;
  std::deque<Place> all_;
};

struct Tally {
  uint64_t seeded = 0, decided = 0, refused = 0, late = 0, repeated = 0;
  std::map<std::string, uint64_t, std::less<>> unknown_types;
  std::map<std::string, std::map<std::string, uint64_t>> verdicts;
  std::map<std::string, std::map<std::string, uint64_t>> dropped;  // by event type and field
};

struct ReplayState {
  explicit ReplayState(size_t recent_bytes_max) : recent(recent_bytes_max) {}

  Tally tally;
  ReplayOutput::Place out, findings;
  replay::JournalPlace journal;
  uint64_t lines = 0, lines_hash = 0;  // of the event files that were read, together
  RecentPlaces recent;
  Accounts accounts;  // for hindsight
};

void write_state(const ReplayState& state, std::string& out);
// Into a fresh state. Errors: bytes that are damaged or of another version.
base::Status read_state(std::string_view bytes, ReplayState& state);

}  // namespace tamis::app
