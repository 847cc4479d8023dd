#include "replay/truth.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "replay/standing.h"

namespace tamis::replay {

using event::Kind;
using event::Value;

namespace {

constexpr size_t kFieldBytesMax = 64 * 1024;
constexpr uint64_t kArchiveRowsMax = 20'000'000;

bool is_good(std::string_view label) {
  auto same = [&](std::string_view word) {
    return label.size() == word.size() && std::equal(label.begin(), label.end(), word.begin(), [](char a, char b) {
             return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
           });
  };
  return same("good") || same("ham") || same("legit");
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Records of RFC 4180. Fields are views of the text, or of `scratch_` where quotes were doubled.
class Csv {
 public:
  Csv(std::string_view name, std::string_view text) : name_(name), text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
  }

  size_t line() const { return begun_; }  // on which the last record began
  base::Error error(size_t line, std::string what) const {
    return {base::Code::kInvalid, std::string(name_) + ":" + std::to_string(line) + ": " + std::move(what)};
  }

  // False at the end. Blank lines are skipped.
  base::Result<bool> next(std::vector<std::string_view>& fields) {
    fields.clear();
    scratch_.clear();
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) line_ += text_[at_++] == '\n' ? 1 : 0;
    begun_ = line_;
    if (at_ >= text_.size()) return false;
    while (true) {
      TAMIS_TRY(field, one());
      fields.push_back(field);
      if (at_ >= text_.size()) return true;
      char c = text_[at_++];
      if (c == ',') continue;
      if (c == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return true;
    }
  }

 private:
  base::Result<std::string_view> one() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted();
    size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    if (at_ - begin > kFieldBytesMax) return tl::unexpected<base::Error>(error(line_, "a field of more than 64 KiB"));
    std::string_view field = text_.substr(begin, at_ - begin);
    if (field.find('"') != std::string_view::npos) {
      return tl::unexpected<base::Error>(error(line_, "a quote within a field that does not begin with one"));
    }
    return trimmed(field);
  }

  base::Result<std::string_view> quoted() {
    size_t opened = line_;
    size_t begin = ++at_;
    std::string* own = nullptr;
    while (true) {
      size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos || quote - begin > kFieldBytesMax) {
        return tl::unexpected<base::Error>(error(opened, "the quote that opens here is not closed within 64 KiB"));
      }
      line_ += static_cast<size_t>(
          std::count(text_.begin() + static_cast<ptrdiff_t>(at_), text_.begin() + static_cast<ptrdiff_t>(quote), '\n'));
      bool doubled = quote + 1 < text_.size() && text_[quote + 1] == '"';
      if (!doubled && own == nullptr) {
        at_ = quote + 1;
        TAMIS_CHECK(end_of_quoted());
        return text_.substr(begin, quote - begin);
      }
      if (own == nullptr) own = scratch_.emplace_back(std::make_unique<std::string>()).get();
      own->append(text_.substr(at_, quote - at_ + (doubled ? 1 : 0)));
      at_ = quote + (doubled ? 2 : 1);
      if (doubled) continue;
      TAMIS_CHECK(end_of_quoted());
      return std::string_view(*own);
    }
  }

  base::Status end_of_quoted() const {
    if (at_ >= text_.size() || text_[at_] == ',' || text_[at_] == '\n' || text_[at_] == '\r') return {};
    return tl::unexpected<base::Error>(error(line_, "expected a comma or the end of the line behind a quote"));
  }

  std::string_view name_, text_;
  size_t at_ = 0;
  size_t begun_ = 1, line_ = 1;
  std::vector<std::unique_ptr<std::string>> scratch_;
};

struct Header {
  bool events = false;
  size_t first = 0, second = 0, label = 0, most = 0;
};

base::Result<Header> read_header(const Csv& csv, const std::vector<std::string_view>& names) {
  auto place = [&](std::string_view name) -> std::optional<size_t> {
    auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) return std::nullopt;
    return static_cast<size_t>(it - names.begin());
  };
  auto type = place("type"), id = place("id"), entity = place("entity"), value = place("value"), label = place("label");
  Header header;
  header.events = type && id;
  if (!label || (!header.events && !(entity && value)) || (header.events && entity && value)) {
    return tl::unexpected<base::Error>(
        csv.error(1, "expected a header line of the columns type,id,label or entity,value,label"));
  }
  header.first = header.events ? *type : *entity;
  header.second = header.events ? *id : *value;
  header.label = *label;
  header.most = std::max({header.first, header.second, header.label});
  return header;
}

// What is wrong with a line; empty: nothing.
std::string fault_of(const Header& header, const std::vector<std::string_view>& fields) {
  if (fields.size() <= header.most) {
    return "has " + std::to_string(fields.size()) + " of " + std::to_string(header.most + 1) + " columns";
  }
  const bool whole = !fields[header.first].empty() && !fields[header.second].empty() && !fields[header.label].empty();
  return whole ? "" : "an empty field: what is told of, and the label, are needed";
}

// A value as truth names it: text as it is, whole numbers in decimal. Empty where there is none.
std::string_view text_of(const Value& v, std::array<char, 24>& room) {
  if (v.is(Kind::kString)) return v.str();
  if (!v.is(Kind::kInt)) return {};
  auto end = std::to_chars(room.data(), room.data() + room.size(), v.i).ptr;
  return {room.data(), static_cast<size_t>(end - room.data())};
}

std::string_view text_of(const cel::Column& column, uint32_t row, std::array<char, 24>& room) {
  bool there = column.states == nullptr || column.states[row] == cel::Column::kOk;
  if (column.layout == cel::Column::Layout::kString) return there ? column.texts[row] : std::string_view();
  return text_of(column.at(row), room);
}

Known known_of(uint64_t told) { return told == 0 ? Known::kNot : (told & 1) != 0 ? Known::kBad : Known::kGood; }

}  // namespace

void Truth::Table::grow() {
  std::vector<Entry> old(entries_.empty() ? 64 : entries_.size() * 2);
  old.swap(entries_);
  for (const Entry& entry : old) {
    if (entry.key == 0) continue;
    size_t i = entry.key & (entries_.size() - 1);
    while (entries_[i].key != 0) i = (i + 1) & (entries_.size() - 1);
    entries_[i] = entry;
  }
}

void Truth::Table::set(std::string_view thing, uint32_t told, bool bad) {
  if (2 * (size_ + 1) > entries_.size()) grow();
  uint64_t key = std::max<uint64_t>(1, base::hash64(thing));
  size_t i = key & (entries_.size() - 1);
  while (entries_[i].key != 0 && entries_[i].key != key) i = (i + 1) & (entries_.size() - 1);
  size_ += entries_[i].key == 0 ? 1 : 0;
  entries_[i] = {key, uint64_t{told} * 2 + (bad ? 1 : 0)};
}

uint64_t Truth::Table::find(std::string_view thing) const {
  uint64_t key = std::max<uint64_t>(1, base::hash64(thing));
  size_t i = key & (entries_.size() - 1);
  while (entries_[i].key != 0) {
    if (entries_[i].key == key) return entries_[i].told;
    i = (i + 1) & (entries_.size() - 1);
  }
  return 0;
}

void Truth::add_event(std::string_view type, std::string_view id, std::string_view label) {
  auto table = events_.find(type);
  if (table == events_.end()) table = events_.emplace(std::string(type), Table()).first;
  table->second.set(id, ++told_, !is_good(label));
}

void Truth::add_entity(std::string_view kind, std::string_view value, std::string_view label) {
  auto table = entities_.find(kind);
  if (table == entities_.end()) table = entities_.emplace(std::string(kind), Table()).first;
  table->second.set(one_spelling(kind, value), ++told_, !is_good(label));
}

Known Truth::of_event(std::string_view type, std::string_view id) const {
  auto table = events_.find(type);
  uint64_t told = table == events_.end() ? 0 : table->second.find(id);
  return known_of(told);
}

Known Truth::of_entity(std::string_view kind, std::string_view value) const {
  auto table = entities_.find(kind);
  uint64_t told = table == entities_.end() ? 0 : table->second.find(value);
  return known_of(told);
}

size_t Truth::size() const {
  size_t size = 0;
  for (const auto& [type, table] : events_) size += table.size();
  for (const auto& [kind, table] : entities_) size += table.size();
  return size;
}

base::Status Truth::add_csv(std::string_view name, std::string_view text, base::LineFaults* faults) {
  for (bool adding : {false, true}) {  // the first time only to see whether it is all right
    Csv csv(name, text);
    std::vector<std::string_view> fields;
    TAMIS_TRY(any, csv.next(fields));
    if (!any) return tl::unexpected<base::Error>(csv.error(1, "the file is empty; expected a header line"));
    TAMIS_TRY(header, read_header(csv, fields));
    uint64_t usable = 0;
    std::optional<base::Error> first_fault;
    while (true) {
      TAMIS_TRY(more, csv.next(fields));
      if (!more) break;
      if (std::string why = fault_of(header, fields); !why.empty()) {
        base::Error fault = csv.error(csv.line(), std::move(why));
        if (faults == nullptr) return tl::unexpected<base::Error>(std::move(fault));
        if (adding) faults->add(fault.message);
        if (!first_fault) first_fault = std::move(fault);
        continue;
      }
      ++usable;
      if (!adding) continue;
      const std::string_view first = fields[header.first], second = fields[header.second];
      header.events ? add_event(first, second, fields[header.label]) : add_entity(first, second, fields[header.label]);
    }
    if (usable == 0 && first_fault) return tl::unexpected<base::Error>(std::move(*first_fault));
  }
  return {};
}

base::Status Truth::add_csv_file(const std::string& path, base::LineFaults* faults) {
  TAMIS_TRY(text, base::read_file(path, kTruthFileBytesMax));
  return add_csv(path, text, faults);
}

base::Status Truth::add_archive(const archive::Archive& archive, const std::function<bool()>& keep_going) {
  archive::QueryLimits limits;
  limits.time_ms = 600'000;
  limits.rows_max = kArchiveRowsMax;
  TAMIS_TRY(table, archive.query("SELECT kind, value, label FROM truth ORDER BY time", limits, keep_going));
  constexpr std::string_view kEvent = "event:";
  for (const std::vector<std::string>& row : table.rows) {
    if (row.size() != 3)
      return base::fail(base::Code::kInternal, "the table of truth has other columns than asked for");
    std::string_view kind = row[0];
    if (kind.starts_with(kEvent)) {
      add_event(kind.substr(kEvent.size()), row[1], row[2]);
    } else {
      add_entity(kind, row[1], row[2]);
    }
  }
  return {};
}

TruthOfType::TruthOfType(const Truth& truth, const policy::EventType& type) {
  auto events = truth.events_.find(type.schema.name);
  if (events != truth.events_.end()) events_ = &events->second;
  for (const policy::EntityField& entity : type.entities) {
    auto table = truth.entities_.find(entity.kind);
    if (table != truth.entities_.end()) entities_.emplace_back(entity.slot, &table->second);
  }
}

std::vector<int32_t> TruthOfType::slots() const {
  std::vector<int32_t> slots;
  for (const auto& [slot, table] : entities_) slots.push_back(slot);
  return slots;
}

Known TruthOfType::of(std::string_view id, std::span<const cel::Column> columns, uint32_t row) const {
  uint64_t told = events_ == nullptr || id.empty() ? 0 : events_->find(id);
  if (told == 0) {
    std::array<char, 24> room;
    for (const auto& [slot, table] : entities_) {
      if (static_cast<size_t>(slot) >= columns.size()) continue;
      std::string_view value = text_of(columns[static_cast<size_t>(slot)], row, room);
      if (!value.empty()) told = std::max(told, table->find(value));
    }
  }
  return known_of(told);
}

Known TruthOfType::of(std::string_view id, std::span<const Value> slots) const {
  uint64_t told = events_ == nullptr || id.empty() ? 0 : events_->find(id);
  if (told != 0) return known_of(told);
  std::array<char, 24> room;
  for (const auto& [slot, table] : entities_) {
    std::string_view value = text_of(slots[static_cast<size_t>(slot)], room);
    if (!value.empty()) told = std::max(told, table->find(value));
  }
  return known_of(told);
}

}  // namespace tamis::replay
