#include "replay/archive_past.h"

#include <algorithm>

#include "event/derive.h"
#include "journal/journal.h"
#include "policy/slot_names.h"
#include "replay/records.h"
#include "replay/stored.h"

namespace tamis::replay {

using cel::kNoNode;
using cel::NodeId;
using policy::EventType;

namespace {

constexpr int64_t kDayMs = 86'400'000;

int64_t day_of(int64_t time_ms) { return (time_ms >= 0 ? time_ms : time_ms - (kDayMs - 1)) / kDayMs; }

// Some days of one event type, in all of which the same is gone.
struct Stretch {
  int64_t from_day = 0, to_day = 0;  // [from, to)
  std::set<int32_t> gone;            // of the slots that are asked for
};

// What one event type has to be asked for.
struct TypeSlots {
  std::vector<int32_t> asked;           // fields, and derived attributes
  std::vector<event::Derived> derived;  // those that are wanted
};

TypeSlots slots_of(const EventType& type, const std::vector<int32_t>& wanted) {
  TypeSlots slots;
  std::set<int32_t> asked;
  for (const int32_t slot : wanted) {
    if (slot >= 0 && static_cast<size_t>(slot) < type.schema.fields.size()) asked.insert(slot);
    for (const event::Derived& derived : type.schema.derived) {
      if (derived.slot != slot) continue;
      asked.insert(slot);
      asked.insert(derived.source);
      slots.derived.push_back(derived);
    }
  }
  slots.asked.assign(asked.begin(), asked.end());
  return slots;
}

// Finds the stretches of a type by halving the time until each half has all or is one day.
class Stretches {
 public:
  Stretches(const archive::Archive& archive, const policy::Policy& policy, const EventType& type,
            const std::vector<int32_t>& asked)
      : archive_(archive), names_(policy::slot_names(type)) {
    request_.type = &type;
    request_.policy = &policy;
    request_.slots = asked;
  }

  base::Status find(int64_t from_day, int64_t to_day) {
    request_.from_ms = from_day * kDayMs;
    request_.to_ms = to_day * kDayMs;
    TAMIS_TRY(names, archive_.missing(request_));
    if (!names.empty() && to_day - from_day > 1) {
      const int64_t middle = from_day + (to_day - from_day) / 2;
      TAMIS_CHECK(find(from_day, middle));
      return find(middle, to_day);
    }
    Stretch stretch{from_day, to_day, {}};
    for (const int32_t slot : request_.slots) {
      const std::string& name = names_[static_cast<size_t>(slot)];
      if (std::find(names.begin(), names.end(), name) != names.end()) stretch.gone.insert(slot);
    }
    if (!found.empty() && found.back().gone == stretch.gone) {
      found.back().to_day = to_day;
    } else {
      found.push_back(std::move(stretch));
    }
    return {};
  }

  std::vector<Stretch> found;

 private:
  const archive::Archive& archive_;
  std::vector<std::string> names_;
  archive::ScanRequest request_;
};

// The rows of one stretch.
struct Source {
  size_t type = 0;
  std::unique_ptr<archive::Scan> scan;
  std::vector<int32_t> fields;          // filled in before attributes are derived
  std::vector<int32_t> stored_derived;  // filled in behind that: their fields are gone
  std::set<int32_t> gone;               // of what was wanted
  const archive::Batch* batch = nullptr;
  uint32_t row = 0;

  base::Result<bool> step() {
    if (batch != nullptr && ++row < batch->rows) return true;
    TAMIS_TRY(next, scan->next());
    batch = next;
    row = 0;
    return batch != nullptr && batch->rows > 0;
  }
  uint64_t n() const { return batch->n[row]; }
};

}  // namespace

struct ArchivePast::Impl {
  std::shared_ptr<const policy::Policy> policy;
  const event::NetworkIntel* intel = nullptr;
  std::vector<std::unique_ptr<Source>> sources;
  std::vector<size_t> open;  // places of sources that have a row
  size_t now = 0;            // the source of the event
  bool begun = false;
  engine::PreparedEvent event;

  base::Status add_type(const archive::Archive& archive, const Wanted& wanted, uint64_t before);
  void fill(Source& source);
};

base::Status ArchivePast::Impl::add_type(const archive::Archive& archive, const Wanted& wanted, uint64_t before) {
  const EventType& type = policy->types[wanted.type];
  const archive::ArchiveStats stats = archive.stats();
  if (stats.rows == 0) return {};
  const TypeSlots slots = slots_of(type, wanted.slots);
  Stretches stretches(archive, *policy, type, slots.asked);
  TAMIS_CHECK(stretches.find(day_of(stats.oldest_ms), day_of(stats.newest_ms) + 1));
  for (const Stretch& stretch : stretches.found) {
    auto source = std::make_unique<Source>();
    source->type = wanted.type;
    archive::ScanRequest request;
    request.type = &type;
    request.policy = policy.get();
    request.from_ms = stretch.from_day * kDayMs;
    request.to_ms = stretch.to_day * kDayMs;
    request.where = "\"n\" < " + std::to_string(before);
    request.decisions = false;
    auto is_gone = [&](int32_t slot) { return stretch.gone.count(slot) != 0; };
    for (const int32_t slot : wanted.slots) {
      const auto derived = std::find_if(slots.derived.begin(), slots.derived.end(),
                                        [&](const event::Derived& d) { return d.slot == slot; });
      if (derived == slots.derived.end()) {
        if (is_gone(slot)) source->gone.insert(slot);
        continue;
      }
      if (!is_gone(derived->source)) continue;
      if (is_gone(slot)) {
        source->gone.insert(slot);
      } else {
        source->stored_derived.push_back(slot);
      }
    }
    for (const int32_t slot : slots.asked) {
      if (static_cast<size_t>(slot) < type.schema.fields.size() && !is_gone(slot)) source->fields.push_back(slot);
    }
    request.slots = source->fields;
    request.slots.insert(request.slots.end(), source->stored_derived.begin(), source->stored_derived.end());
    TAMIS_TRY(scan, archive.scan(request));
    source->scan = std::move(scan);
    sources.push_back(std::move(source));
  }
  return {};
}

void ArchivePast::Impl::fill(Source& source) {
  const archive::Batch& batch = *source.batch;
  event.begin(policy, source.type, {}, batch.time_ms[source.row]);
  event::Event& read = event.event();
  auto fill = [&](const std::vector<int32_t>& slots) {
    for (const int32_t slot : slots) {
      const cel::Value value = batch.columns[static_cast<size_t>(slot)].at(source.row);
      // What is absent keeps the field's fallback, as in the event that came.
      if (!value.is(event::Kind::kAbsent)) read.slots[static_cast<size_t>(slot)] = value;
    }
  };
  fill(source.fields);
  event::derive(read, intel, event.arena());
  fill(source.stored_derived);
}

ArchivePast::ArchivePast(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ArchivePast::~ArchivePast() = default;

base::Result<std::unique_ptr<ArchivePast>> ArchivePast::open(const archive::Archive& archive,
                                                             std::shared_ptr<const policy::Policy> policy,
                                                             const std::vector<Wanted>& wanted, uint64_t before,
                                                             const event::NetworkIntel* intel) {
  auto impl = std::make_unique<Impl>();
  impl->policy = std::move(policy);
  impl->intel = intel;
  for (const Wanted& one : wanted) TAMIS_CHECK(impl->add_type(archive, one, before));
  return std::unique_ptr<ArchivePast>(new ArchivePast(std::move(impl)));
}

base::Result<bool> ArchivePast::next() {
  Impl& impl = *impl_;
  for (size_t i = 0; !impl.begun && i < impl.sources.size(); ++i) {
    TAMIS_TRY(more, impl.sources[i]->step());
    if (more) impl.open.push_back(i);
  }
  if (impl.begun && !impl.open.empty()) {
    TAMIS_TRY(more, impl.sources[impl.now]->step());
    if (!more) std::erase(impl.open, impl.now);
  }
  impl.begun = true;
  if (impl.open.empty()) return false;
  impl.now = *std::min_element(impl.open.begin(), impl.open.end(),
                               [&](size_t a, size_t b) { return impl.sources[a]->n() < impl.sources[b]->n(); });
  impl.fill(*impl.sources[impl.now]);
  return true;
}

engine::PreparedEvent& ArchivePast::event() { return impl_->event; }
uint64_t ArchivePast::record() const { return impl_->sources[impl_->now]->n(); }
int64_t ArchivePast::time_ms() const {
  const Source& source = *impl_->sources[impl_->now];
  return source.batch->time_ms[source.row];
}
const std::set<int32_t>& ArchivePast::gone() const { return impl_->sources[impl_->now]->gone; }
size_t ArchivePast::source() const { return impl_->now; }

std::vector<ArchivePast::Wanted> all_that_is_read(const policy::Policy& policy) {
  std::vector<ArchivePast::Wanted> all;
  for (size_t t = 0; t < policy.types.size(); ++t) {
    const EventType& type = policy.types[t];
    if (type.schema.name == policy::kFindingType) continue;  // made again by what was found on
    std::set<int32_t> slots;
    auto read = [&](NodeId node) {
      if (node == kNoNode) return;
      for (const int32_t slot : type.plan.slots_read(node)) slots.insert(slot);
    };
    for (const policy::Rule& rule : type.rules) {
      if (rule.mode == policy::Mode::kOff) continue;
      for (const NodeId node : {rule.when, rule.points, rule.canary_by}) read(node);
      for (const policy::LabelEffect& label : rule.labels) read(label.entity);
      for (const policy::ListEffect& list : rule.lists) read(list.value);
    }
    for (const policy::FeatureRead& feature : type.reads) {
      for (const NodeId node : feature.by) read(node);
    }
    for (const policy::FeatureUpdate& update : type.updates) {
      for (const NodeId node : update.by) read(node);
      for (const NodeId node : {update.where, update.of, update.hit}) read(node);
    }
    for (const policy::DetectorFeed& feed : type.feeds) {
      for (const auto& [input, node] : feed.inputs) read(node);
    }
    all.push_back({t, {slots.begin(), slots.end()}});
  }
  return all;
}

base::Result<uint64_t> first_of_journal(const std::string& data) {
  TAMIS_TRY(reader, journal::JournalReader::open(journal_folder(data), 0));
  std::string_view line;
  TAMIS_TRY(more, reader->next(line));
  return more ? reader->number() : reader->number() + 1;
}

}  // namespace tamis::replay
