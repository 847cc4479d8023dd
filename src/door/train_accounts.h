// Trains a model over the detector of signups from what a data folder has: past signups made again (replay) beside the
// truth that people told (learn). The work of the job behind POST /v1/train/accounts.
//
// Kinds. Nobody tells of what kind a bad signup was; so a kind is a cluster as known in the end, and each is judged by
// trees that saw none of it. Small clusters are one kind together, and so are those that no cluster has. Honest ones
// are told apart by the class of their network.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "learn/boost.h"
#include "replay/past_signups.h"

namespace tamis::door {

// Gives {"signups", "used", "bad", "good", "untold", "gone", "gone_values", "trees", "kinds", "model"} as JSON.
// `keep_going` gets (done, all); false stops.
// Errors: too little truth, with how much there is and what can be done; what past_signups() and training give.
base::Result<std::string> train_accounts(const replay::PastSignupsRequest& request, const learn::BoostOptions& boost,
                                         const std::function<bool(uint64_t, uint64_t)>& keep_going);

}  // namespace tamis::door
