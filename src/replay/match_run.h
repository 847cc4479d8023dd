// The two ways of find_matches(). Private to this room.
#pragma once

#include <functional>

#include "replay/fold.h"
#include "replay/match_plan.h"
#include "replay/rule_swap.h"

namespace tamis::replay {

using KeepGoing = std::function<bool(uint64_t, uint64_t)>;

base::Status match_columns(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan,
                           MatchVisitor& visitor, const KeepGoing& keep_going, MatchSummary& summary);
base::Status match_by_replay(const MatchRequest& request, const MatchSource& source, const MatchPlan& plan,
                             MatchVisitor& visitor, const KeepGoing& keep_going, MatchSummary& summary);

// Decides the past again in `engine`, in which nothing has happened: the events from before the journal out of the
// archive of the options (if there is one), then the journal. `step` gives false to stop.
base::Status decide_past(const FoldOptions& options, engine::Engine& engine,
                         const std::function<bool(const Replayed&)>& step);

inline tl::unexpected<base::Error> stopped() { return base::fail(base::Code::kUnavailable, "stopped before the end"); }

// The place of a verdict in a ladder, -1 where it is not there; remembers the last one, for events come in runs.
class Ranks {
 public:
  explicit Ranks(const policy::EventType& type) : type_(&type) {}
  int32_t of(std::string_view verdict) {
    if (verdict.data() == last_.data() && verdict.size() == last_.size()) return rank_;
    last_ = verdict;
    rank_ = -1;
    for (size_t i = 0; i < type_->ladder.size(); ++i) {
      if (type_->ladder[i] == verdict) rank_ = static_cast<int32_t>(i);
    }
    return rank_;
  }
  // Forgets the last one: its memory may be used anew.
  void next_batch() { last_ = {}, rank_ = -1; }

 private:
  const policy::EventType* type_;
  std::string_view last_;
  int32_t rank_ = -1;
};

}  // namespace tamis::replay
