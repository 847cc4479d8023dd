#include "door/cluster_batches.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "event/time_text.h"

namespace tamis::door {
namespace {

using action::BatchInfo;
using action::BatchState;

constexpr size_t kBatchesMax = 10'000, kItemsAtOnce = 10'000;
constexpr std::string_view kAccountKind = "account";

bool stands(const BatchInfo& info) {
  return info.running || (info.done > 0 && info.state != BatchState::kPlanned && info.state != BatchState::kUndone);
}

// Counts whom the batch has acted on. Tokens that stand for names after the raw days are members of a batch that was
// made from the cluster, and nobody knows whose of another one.
base::Status count_items(action::Batches& batches, bool is_of_cluster,
                         const std::unordered_set<std::string_view>& names, ActedBatch& acted) {
  for (uint64_t from = 0; from < acted.info.done;) {
    TAMIS_TRY(items, batches.items(acted.info.id, from, std::min<uint64_t>(kItemsAtOnce, acted.info.done - from)));
    if (items.empty()) break;
    for (const action::BatchItem& item : items) {
      const bool on_account = item.place.kind == action::Place::Kind::kLabel && item.place.on == kAccountKind;
      const bool is_member = is_of_cluster || (on_account && !item.is_token && names.contains(item.place.value));
      ++(is_member ? acted.members : acted.others);
      const bool is_new = std::find(acted.labels.begin(), acted.labels.end(), item.place.name) == acted.labels.end();
      if (is_member && on_account && is_new) acted.labels.push_back(item.place.name);
    }
    from += items.size();
  }
  return {};
}

}  // namespace

base::Result<std::vector<ActedBatch>> batches_of_members(action::Batches& batches, uint64_t cluster,
                                                         const replay::ClusterMembers& members) {
  std::unordered_set<std::string_view> names;
  for (const auto& member : members.named) names.insert(member.account);
  const std::string own = "cluster-" + std::to_string(cluster);
  std::vector<ActedBatch> found;
  for (const BatchInfo& info : batches.list(kBatchesMax)) {
    if (!stands(info)) continue;
    ActedBatch acted;
    acted.info = info;
    TAMIS_CHECK(count_items(batches, info.rule == own, names, acted));
    if (acted.members > 0 || info.rule == own) found.push_back(std::move(acted));
  }
  return found;
}

void undo_batches(action::Batches& batches, const std::string& by, const std::string& why,
                  std::vector<ActedBatch>& acted) {
  for (ActedBatch& batch : acted) {
    if (batch.others > 0) {
      batch.why_not = "it has acted on others than members, too: " + std::to_string(batch.others) +
                      "; undo it as a whole, or release the members one by one";
      continue;
    }
    action::BatchRun run;
    run.by = by;
    run.why = why;
    const auto undone = batches.undo(batch.info.id, run);
    if (!undone) {
      batch.why_not = undone.error().message;
      continue;
    }
    batch.info = *undone;
    batch.is_undone = undone->state == BatchState::kUndone;
    if (!batch.is_undone) batch.why_not = undone->stop_reason;
  }
}

void write_json(const std::vector<ActedBatch>& acted, event::JsonWriter& json) {
  json.begin_array();
  for (const ActedBatch& batch : acted) {
    json.begin_object().key("id").string(batch.info.id).key("by").string(batch.info.author);
    json.key("planned").string(event::format_time_ms(batch.info.planned_ms)).key("labels").begin_array();
    for (const std::string& label : batch.labels) json.string(label);
    json.end_array().key("members").uinteger(batch.members).key("others").uinteger(batch.others);
    json.key("state").string(to_string(batch.info.state)).key("undo").string("/v1/batches/" + batch.info.id + "/undo");
    if (batch.is_undone) {
      json.key("taken_back").uinteger(batch.info.restored + batch.info.removed).key("kept").uinteger(batch.info.kept);
    }
    if (!batch.why_not.empty()) json.key("why_not").string(batch.why_not);
    json.end_object();
  }
  json.end_array();
}

}  // namespace tamis::door
