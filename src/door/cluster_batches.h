// Action batches that have acted on members of a cluster: who refutes the cluster is told which of them still stand,
// and may take them back in the same act. Blocking: on a thread of background work.
#pragma once

#include <string>
#include <vector>

#include "action/batch.h"
#include "base/result.h"
#include "event/json_writer.h"
#include "replay/clusters.h"

namespace tamis::door {

struct ActedBatch {
  action::BatchInfo info;
  std::vector<std::string> labels;  // names of the labels that it has put on accounts
  uint64_t members = 0;             // of the cluster, that it acted on
  uint64_t others = 0;              // that it acted on besides
  bool is_undone = false;           // by undo_batches()
  std::string why_not;              // why it was not undone, where that was asked for
};

// Those that have begun and are not undone, newest first: made from this cluster, or with a label on one of its
// members. Cost: a look at every item of every batch that stands.
base::Result<std::vector<ActedBatch>> batches_of_members(action::Batches& batches, uint64_t cluster,
                                                         const replay::ClusterMembers& members);

// Takes back those that have acted on members alone, newest first, each as a whole; of the others, and of those that
// cannot be undone now, it says why not.
void undo_batches(action::Batches& batches, const std::string& by, const std::string& why,
                  std::vector<ActedBatch>& acted);

void write_json(const std::vector<ActedBatch>& acted, event::JsonWriter& json);

}  // namespace tamis::door
