#include "archive/rows.h"

#include <algorithm>

#include "base/memory.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

using event::Kind;
using event::Value;

constexpr size_t kBlockBytes = base::kMappedBytes;
constexpr size_t kKnownMax = 64;
// Years 1 to 9999: what DuckDB and RFC 3339 can both write.
constexpr int64_t kTimeMsMin = -62'135'596'800'000;
constexpr int64_t kTimeMsMax = 253'402'300'799'999;

bool is_time(int64_t time_ms) { return time_ms >= kTimeMsMin && time_ms <= kTimeMsMax; }

}  // namespace

void RowWriter::begin(size_t columns) {
  size_ = 4 + mask_bytes(columns);
  if (buffer_.size() < size_) buffer_.resize(size_ * 2);
  std::memset(buffer_.data(), 0, size_);
  column_ = 0;
}

void RowWriter::text(std::string_view value) {
  mark();
  if (buffer_.size() < size_ + value.size() + 16) buffer_.resize(buffer_.size() * 2 + value.size());
  const auto length = static_cast<uint32_t>(value.size());
  std::memcpy(buffer_.data() + size_, &length, 4);
  if (length != 0) std::memcpy(buffer_.data() + size_ + 4, value.data(), length);
  size_ += 4 + length;
}

void RowWriter::value(ColumnType type, const Value& value) {
  const Kind kind = value.kind;
  if (kind == Kind::kAbsent || kind == Kind::kError || kind == Kind::kNull) return null();
  switch (type) {
    case ColumnType::kBool:
      return kind == Kind::kBool ? boolean(value.b) : null();
    case ColumnType::kInt:
      return kind == Kind::kInt ? integer(value.i) : null();
    case ColumnType::kUint:
      return kind == Kind::kUint ? uinteger(value.u) : null();
    case ColumnType::kDouble:
      if (kind == Kind::kDouble) return real(value.d);
      return kind == Kind::kInt ? real(static_cast<double>(value.i)) : null();
    case ColumnType::kString:
      return kind == Kind::kString ? text(value.str()) : null();
    case ColumnType::kBytes:
      return kind == Kind::kBytes ? text(value.str()) : null();
    case ColumnType::kTimestamp:
      if (kind != Kind::kTimestamp) return null();
      return integer(value.i * 1'000'000 + value.size / 1'000);
    case ColumnType::kDuration:
      return kind == Kind::kDuration ? integer(value.i) : null();
    case ColumnType::kTexts:
      return null();  // of the archive's own columns only
    case ColumnType::kJson: {
      json_.clear();
      event::JsonWriter(json_).value(value);
      return text(json_);
    }
  }
}

std::string_view RowWriter::finish() {
  const auto length = static_cast<uint32_t>(size_);
  std::memcpy(buffer_.data(), &length, 4);
  return {buffer_.data(), size_};
}

void RowBuffer::add(std::string_view row) {
  if (blocks_.empty() || blocks_.back().size + row.size() > blocks_.back().capacity) {
    Block block;
    block.capacity = std::max(kBlockBytes, row.size());
    block.memory = std::make_unique_for_overwrite<char[]>(block.capacity);
    blocks_.push_back(std::move(block));
  }
  Block& block = blocks_.back();
  std::memcpy(block.memory.get() + block.size, row.data(), row.size());
  block.size += row.size();
  ++block.rows;
  block.last_n = std::max(block.last_n, n_of(row.data()));
  bytes_ += row.size();
  ++rows_;
  last_n_ = std::max(last_n_, block.last_n);
}

void RowBuffer::take(Block&& block) {
  bytes_ += block.size;
  rows_ += block.rows;
  last_n_ = std::max(last_n_, block.last_n);
  blocks_.push_back(std::move(block));
}

RowBuffer RowBuffer::split(uint64_t upto) {
  RowBuffer front(layout_), back(layout_);
  std::vector<const char*> rows;
  for (Block& block : blocks_) {
    if (block.last_n <= upto) {
      front.take(std::move(block));
      continue;
    }
    rows.clear();
    collect(block, rows);
    for (const char* row : rows) {
      uint32_t length;
      std::memcpy(&length, row, 4);
      (n_of(row) <= upto ? front : back).add({row, length});
    }
  }
  *this = std::move(front);
  return back;
}

void RowBuffer::prepend(RowBuffer&& earlier) {
  for (Block& block : blocks_) earlier.take(std::move(block));
  *this = std::move(earlier);
}

void RowBuffer::collect(const Block& block, std::vector<const char*>& out) {
  for (size_t at = 0; at < block.size;) {
    const char* row = block.memory.get() + at;
    out.push_back(row);
    uint32_t length;
    std::memcpy(&length, row, 4);
    at += length;
  }
}

void RowBuffer::collect(std::vector<const char*>& out) const {
  out.reserve(out.size() + rows_);
  for (const Block& block : blocks_) collect(block, out);
}

uint64_t RowBuffer::n_of(const char* row) const {
  uint64_t n;
  std::memcpy(&n, row + 4 + mask_bytes(layout_->columns.size()), 8);
  return n;
}

int64_t RowBuffer::time_us_of(const char* row) const {
  int64_t time_us;
  std::memcpy(&time_us, row + 4 + mask_bytes(layout_->columns.size()) + 8, 8);
  return time_us;
}

const RowMaker::Known& RowMaker::known(const std::shared_ptr<const policy::Policy>& policy,
                                       const policy::EventType* type) {
  for (const auto& known : known_) {
    if (known->policy == policy && known->type == type) return *known;
  }
  if (known_.size() >= kKnownMax) known_.erase(known_.begin());
  auto known = std::make_unique<Known>();
  known->policy = policy;
  known->type = type;
  known->layout = layout_of(*policy, *type);
  known->shared = std::make_shared<const Layout>(known->layout.layout);
  // A policy that changes nothing of what is stored goes on in the same files.
  for (const auto& other : known_) {
    if (other->type->schema.name == type->schema.name && *other->shared == *known->shared) {
      known->shared = other->shared;
      break;
    }
  }
  known_.push_back(std::move(known));
  return *known_.back();
}

base::Result<RowMaker::Made> RowMaker::of_event(const engine::PreparedEvent& event, const engine::Decision* decision,
                                                uint64_t record, int64_t receive_ms) {
  // PreparedEvent gives its event for writing only; nothing is written here.
  const event::Event& data = const_cast<engine::PreparedEvent&>(event).event();
  const policy::EventType* type = &event.policy()->types[event.type_index()];
  const Known& here = known(event.policy(), type);
  const bool received = receive_ms != engine::Engine::kNoReceiveTime;
  const int64_t time_ms = decision != nullptr ? decision->time_ms : data.has_time ? data.time_ms : receive_ms;
  if (!is_time(time_ms) || (received && !is_time(receive_ms)))
    return base::invalid("an event without a time, or with one outside of the years 1 to 9999, cannot be archived");
  const TypeLayout& layout = here.layout;
  writer_.begin(layout.layout.columns.size());
  system_part(data, decision, record, time_ms, receive_ms);
  const size_t decided_from = layout.feature_from - kSystemColumns;
  for (size_t i = 0; i < layout.slots.size(); ++i) {
    const auto slot = static_cast<size_t>(layout.slots[i]);
    if ((i >= decided_from && decision == nullptr) || slot >= data.slots.size()) {
      writer_.null();
    } else {
      writer_.value(layout.layout.columns[kSystemColumns + i].type, data.slots[slot]);
    }
  }
  return Made{writer_.finish(), here.shared, &type->schema.name, time_ms};
}

void RowMaker::system_part(const event::Event& event, const engine::Decision* decision, uint64_t record,
                           int64_t time_ms, int64_t receive_ms) {
  writer_.uinteger(record);
  writer_.integer(time_ms * 1'000);
  if (receive_ms == engine::Engine::kNoReceiveTime) {
    writer_.null();
  } else {
    writer_.integer(receive_ms * 1'000);
  }
  const std::string_view id = decision != nullptr ? decision->id : event.id;
  id.empty() ? writer_.null() : writer_.text(id);
  if (decision == nullptr) {
    for (uint32_t column = kPolicy; column < kSystemColumns; ++column) writer_.null();
    return;
  }
  writer_.text(decision->policy->version);
  writer_.text(decision->verdict_name());
  writer_.real(decision->points);
  writer_.real(decision->score);
  writer_.boolean(decision->late);
  rule_ids(*decision, true);
  rule_ids(*decision, false);
  reasons(*decision);
  values(*decision);
  effects(*decision);
}

void RowMaker::rule_ids(const engine::Decision& decision, bool acts) {
  text_.clear();
  for (const engine::Match& match : decision.matches) {
    if (match.acts != acts) continue;
    text_ += decision.type->rules[match.rule].id;
    text_ += '\n';
  }
  writer_.text(text_);
}

void RowMaker::reasons(const engine::Decision& decision) {
  text_.clear();
  for (const engine::Match& match : decision.matches) {
    if (!match.acts || match.reason.empty()) continue;
    const size_t from = text_.size();
    text_ += match.reason;
    std::replace(text_.begin() + static_cast<std::ptrdiff_t>(from), text_.end(), '\n', ' ');
    text_ += '\n';
  }
  text_.empty() ? writer_.null() : writer_.text(text_);
}

void RowMaker::values(const engine::Decision& decision) {
  text_.clear();
  event::JsonWriter json(text_);
  for (const engine::Match& match : decision.matches) {
    if (!match.acts || match.value.is(Kind::kAbsent)) continue;
    if (text_.empty()) json.begin_object();
    json.key(decision.type->rules[match.rule].id).value(match.value);
  }
  if (text_.empty()) return writer_.null();
  json.end_object();
  writer_.text(text_);
}

void RowMaker::effects(const engine::Decision& decision) {
  if (decision.effects.empty() && decision.dropped.empty()) return writer_.null();
  text_.clear();
  event::JsonWriter json(text_);
  json.begin_array();
  for (const engine::Effect& effect : decision.effects) {
    json.begin_object().key("rule").string(decision.type->rules[effect.rule].id);
    switch (effect.kind) {
      case engine::Effect::Kind::kLabel:
        json.key("effect").string("label").key("on").string(effect.target).key("value").string(effect.value);
        json.key("name").string(effect.name);
        break;
      case engine::Effect::Kind::kListEntry:
        json.key("effect").string("list").key("list").string(effect.target).key("value").string(effect.value);
        break;
      case engine::Effect::Kind::kNotify:
        json.key("effect").string("notify").key("channel").string(effect.target).key("message").string(effect.value);
        break;
    }
    if (effect.expires_ms > 0) json.key("expires").string(event::format_time_ms(effect.expires_ms));
    json.end_object();
  }
  for (const event::DroppedField& field : decision.dropped) {
    json.begin_object().key("effect").string("dropped").key("field").string(decision.dropped_name(field));
    json.key("why").string(field.why).end_object();
  }
  json.end_array();
  writer_.text(text_);
}

// The journal's form of an act says what kinds of acts there are, so a new kind needs nothing here.
RowMaker::Made RowMaker::of_act(uint64_t record, int64_t receive_ms, const engine::Act& act) {
  if (!acts_) acts_ = std::make_shared<const Layout>(acts_layout());
  base::Arena arena;
  const std::string json = engine::to_json(act);
  std::string_view name;
  auto parsed = event::JsonReader::to_value(json, arena);
  if (parsed && parsed->is(Kind::kMap)) {
    const Value* found = event::map_find(*parsed->map, Value::string("act"));
    if (found != nullptr && found->is(Kind::kString)) name = found->str();
  }
  auto text = [&](std::string_view value) { value.empty() ? writer_.null() : writer_.text(value); };
  auto time = [&](int64_t time_ms) {
    is_time(time_ms) && time_ms != 0 ? writer_.integer(time_ms * 1'000) : writer_.null();
  };
  const int64_t time_ms = is_time(receive_ms) ? receive_ms : is_time(act.since_ms) ? act.since_ms : 0;
  writer_.begin(acts_->columns.size());
  writer_.uinteger(record);
  writer_.integer(time_ms * 1'000);
  text(name);
  text(act.entity_kind);
  text(act.value);
  text(act.name);
  text(act.list);
  text(act.author);
  text(act.reason);
  time(act.since_ms);
  time(act.expires_ms);
  writer_.null();
  return {writer_.finish(), acts_, nullptr, time_ms};
}

}  // namespace tamis::archive
