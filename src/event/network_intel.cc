// Prefixes become ranges without overlap: sorted starts, each with the facts that hold from it on. A lookup goes by the
// first 16 bits, then by as many further bits as the ranges there are worth, then searches the few that are left.
#include <algorithm>
#include <bit>
#include <charconv>
#include <deque>
#include <unordered_map>

#include "base/file.h"
#include "event/derive.h"
#include "event/ip.h"
#include "event/ndjson.h"

namespace tamis::event {
namespace {

__extension__ using Address = unsigned __int128;  // IPv4 in the upper 32 bits, so that both families work alike

constexpr size_t kFileBytesMax = size_t{1} << 30;
constexpr size_t kRowsMax = 50'000'000;
constexpr size_t kTagBytesMax = 64;
constexpr uint32_t kNoAsn = 0xFFFFFFFF;  // reserved (RFC 7300), so no network has it

// What is known, texts by their number; 0 is unknown. Small enough to stand beside the start of its range, which spares
// a lookup the wait for one more place in memory.
struct Known {
  uint32_t asn = kNoAsn;
  uint16_t country = 0;
  uint16_t tag = 0;
  bool operator==(const Known&) const = default;

  // For a /64 with ranges inside: the number of its Below.
  static constexpr uint16_t kBelow = 0xFFFF;
  static Known below(uint32_t number) { return {number, kBelow, kBelow}; }
  bool is_below() const { return country == kBelow; }
};
constexpr size_t kTextsMax = 0xFFFE;

struct Row {
  Address first;
  Address last;
  Known facts;
  uint32_t order;
};

struct Start {
  Address at;
  Known facts;
};

Address address_of(const IpData& ip) {
  Address address = 0;
  for (const char byte : ip_bytes(ip)) address = address << 8 | static_cast<uint8_t>(byte);
  return ip.is_v6 ? address : address << 96;
}

// The sorted starts of ranges by keys of 32 or 64 bits; the first key is 0.
template <class Key>
class RangeIndex {
 public:
  void add(Key key, Known value) { starts_.push_back({key, value}); }

  // Call once, after the last add().
  void finish() {
    if (starts_.empty()) return;
    starts_.shrink_to_fit();
    buckets_.resize(kBuckets);
    size_t at = 0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      const size_t begin = at;
      while (at < starts_.size() && starts_[at].key >> kBelowBits == bucket) ++at;
      if (at - begin > kFewMax) {
        add_cells(buckets_[bucket], begin, at);
      } else {
        buckets_[bucket] = {static_cast<uint32_t>(begin), 0, static_cast<uint16_t>(at - begin)};
      }
    }
  }

  Known find(Key key) const {
    if (starts_.empty()) return {};
    const Bucket& bucket = buckets_[key >> kBelowBits];
    size_t low = bucket.base, high = low + bucket.few;
    if (bucket.bits != 0) {
      const size_t cell = bucket.base + cell_of(key, bucket.bits);
      low = cells_[cell];
      high = cells_[cell + 1];
    }
    // The last start that is not behind the key; in front of all of them the range before goes on. Without branches, as
    // no processor could guess them.
    for (size_t count = high - low; count > 0;) {
      const size_t half = (count + 1) / 2;
      low += starts_[low + half - 1].key <= key ? half : 0;
      count -= half;
    }
    return starts_[low - 1].value;
  }

 private:
  static constexpr size_t kBuckets = 65536;
  static constexpr int kBelowBits = static_cast<int>(sizeof(Key)) * 8 - 16;
  struct Start {  // together, so that one cache line gives both
    Key key;
    Known value;
  };
  static constexpr size_t kFewMax = 8;
  struct Bucket {
    uint32_t base = 0;  // where its starts begin, if they are few; else where its cells begin
    uint16_t bits = 0;  // how many bits behind the first 16 choose the cell; 0: no cells
    uint16_t few = 0;
  };

  static size_t cell_of(Key key, int bits) {
    const Key below = static_cast<Key>(key << 16);
    return static_cast<size_t>(below >> (static_cast<int>(sizeof(Key)) * 8 - bits));
  }

  // Two to four starts to a cell, where they are spread evenly.
  void add_cells(Bucket& bucket, size_t begin, size_t end) {
    bucket.base = static_cast<uint32_t>(cells_.size());
    bucket.bits = static_cast<uint16_t>(std::min<int>(std::bit_width((end - begin) / 4), kBelowBits));
    size_t at = begin;
    for (size_t cell = 0; cell < size_t{1} << bucket.bits; ++cell) {
      while (at < end && cell_of(starts_[at].key, bucket.bits) < cell) ++at;
      cells_.push_back(static_cast<uint32_t>(at));
    }
    cells_.push_back(static_cast<uint32_t>(end));
  }

  std::vector<Start> starts_;
  std::vector<Bucket> buckets_;
  std::vector<uint32_t> cells_;
};

class IntelTable final : public NetworkIntel {
 public:
  Facts find(const IpData& ip) const override {
    const Address address = address_of(ip);
    const auto high = static_cast<uint64_t>(address >> 64);
    if (!ip.is_v6) return shown(v4_.find(static_cast<uint32_t>(high >> 32)));
    const Known known = v6_.find(high);
    if (!known.is_below()) return shown(known);
    return shown(find_below(belows_[known.asn], static_cast<uint64_t>(address)));
  }
  size_t size() const override { return size_; }
  const base::LineFaults& faults() const override { return faults_; }

 private:
  friend class IntelBuilder;

  // The few ranges inside one /64, by their lower 64 bits; the first begins at 0.
  struct Below {
    uint32_t begin, end;
  };
  Known find_below(const Below& below, uint64_t low) const {
    const auto begin = low_keys_.begin() + below.begin, end = low_keys_.begin() + below.end;
    return low_values_[static_cast<size_t>(std::upper_bound(begin, end, low) - low_keys_.begin()) - 1];
  }

  Facts shown(Known known) const {
    return {known.asn == kNoAsn ? -1 : int64_t{known.asn}, texts_[known.country], texts_[known.tag]};
  }

  RangeIndex<uint32_t> v4_;
  RangeIndex<uint64_t> v6_;
  std::vector<Below> belows_;
  std::vector<uint64_t> low_keys_;
  std::vector<Known> low_values_;
  std::deque<std::string> texts_;
  size_t size_ = 0;
  base::LineFaults faults_;
};

// The columns of one file.
struct Columns {
  int prefix = -1, asn = -1, country = -1, tag = -1;
  int count = 0;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

class IntelBuilder {
 public:
  IntelBuilder() : table_(std::make_shared<IntelTable>()) { table_->texts_.emplace_back(); }

  base::Status read(const std::string& file, const std::string& name, bool may_be_empty) {
    TAMIS_TRY(content, base::read_file(file, kFileBytesMax));
    const uint64_t faults_before = table_->faults_.count;
    const size_t rows_before = rows_v4_.size() + rows_v6_.size();
    std::string first_fault;
    NdjsonSplitter lines(4096);
    const bool has_mark = content.starts_with("\xEF\xBB\xBF");  // spreadsheets write a byte order mark
    lines.feed(std::string_view(content).substr(has_mark ? 3 : 0));
    lines.finish();
    Columns columns;
    std::string_view line;
    for (;;) {
      const NdjsonSplitter::Step step = lines.next(line);
      if (step == NdjsonSplitter::Step::kEnd) break;
      std::string why;
      if (step == NdjsonSplitter::Step::kTooLong) {
        why = "the line is too long";
      } else if (trimmed(line).empty() || trimmed(line).front() == '#') {
        continue;
      } else {
        why = columns.count == 0 ? read_header(line, columns) : read_row(line, columns);
      }
      if (why.empty()) continue;
      why = name + ":" + std::to_string(lines.line_number()) + ": " + why;
      if (columns.count == 0 || at_limit_) return base::invalid(std::move(why));
      if (table_->faults_.count == faults_before) first_fault = why;
      table_->faults_.add(std::move(why));
    }
    if (columns.count == 0) return base::invalid(name + ": expected a header line with the columns' names");
    if (rows_v4_.size() + rows_v6_.size() > rows_before) return {};
    if (first_fault.empty() && may_be_empty) return {};
    return base::invalid(first_fault.empty() ? name + ": expected lines with networks behind the header" : first_fault);
  }

  std::shared_ptr<const NetworkIntel> build() {
    for (const Start& start : starts_of(rows_v4_)) {
      table_->v4_.add(static_cast<uint32_t>(start.at >> 96), start.facts);
    }
    table_->v4_.finish();
    add_v6(starts_of(rows_v6_));
    table_->v6_.finish();
    return std::move(table_);
  }

 private:
  static std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> cells;
    for (size_t at = 0;;) {
      const size_t comma = std::min(line.find(',', at), line.size());
      cells.push_back(trimmed(line.substr(at, comma - at)));
      if (comma == line.size()) return cells;
      at = comma + 1;
    }
  }

  // These return what is wrong, or nothing.
  static std::string read_header(std::string_view line, Columns& columns) {
    const std::vector<std::string_view> names = split(line);
    for (size_t i = 0; i < names.size(); ++i) {
      int* column = names[i] == "prefix"    ? &columns.prefix
                    : names[i] == "asn"     ? &columns.asn
                    : names[i] == "country" ? &columns.country
                    : names[i] == "tag"     ? &columns.tag
                                            : nullptr;
      if (column == nullptr) {
        return "unknown column \"" + std::string(names[i]) + "\"; expected prefix, asn, country or tag";
      }
      if (*column >= 0) return "the column \"" + std::string(names[i]) + "\" occurs twice";
      *column = static_cast<int>(i);
    }
    if (columns.prefix < 0) return "expected a column \"prefix\"";
    columns.count = static_cast<int>(names.size());
    return {};
  }

  std::string read_row(std::string_view line, const Columns& columns) {
    const std::vector<std::string_view> cells = split(line);
    if (static_cast<int>(cells.size()) != columns.count) {
      return "expected " + std::to_string(columns.count) + " columns, found " + std::to_string(cells.size());
    }
    const auto cell = [&](int column) { return column < 0 ? std::string_view{} : cells[static_cast<size_t>(column)]; };
    IpData net;
    if (!parse_cidr(cell(columns.prefix), net) && !parse_ip(cell(columns.prefix), net)) {
      return "expected a network like 192.0.2.0/24, found \"" + std::string(cell(columns.prefix)) + "\"";
    }
    Row row;
    row.first = address_of(mask_ip(net, net.prefix));
    const int free_bits = 128 - net.prefix;  // the lower 96 of an IPv4 address count as free
    row.last = free_bits == 128 ? ~Address{0} : row.first | ((Address{1} << free_bits) - 1);
    if (std::string why = read_facts(cell(columns.asn), cell(columns.country), cell(columns.tag), row.facts);
        !why.empty()) {
      return why;
    }
    std::vector<Row>& rows = net.is_v6 ? rows_v6_ : rows_v4_;
    if (rows.size() >= kRowsMax) return limit("more than " + std::to_string(kRowsMax) + " prefixes");
    row.order = static_cast<uint32_t>(rows.size());
    rows.push_back(row);
    return {};
  }

  std::string read_facts(std::string_view asn, std::string_view country, std::string_view tag, Known& facts) {
    if (!asn.empty()) {
      std::string_view digits = asn;
      if (digits.starts_with("AS") || digits.starts_with("as")) digits.remove_prefix(2);
      uint32_t number = 0;
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (read.ec != std::errc{} || read.ptr != digits.data() + digits.size() || number == kNoAsn) {
        return "expected an AS number, found \"" + std::string(asn) + "\"";
      }
      facts.asn = number;
    }
    if (!country.empty()) {
      std::string code(country);
      for (char& c : code) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      const auto is_letter = [](char c) { return c >= 'A' && c <= 'Z'; };
      if (code.size() != 2 || !std::all_of(code.begin(), code.end(), is_letter)) {
        return "expected a country of two letters, found \"" + std::string(country) + "\"";
      }
      facts.country = intern(code);
    }
    if (tag.size() > kTagBytesMax) return "a tag has at most " + std::to_string(kTagBytesMax) + " bytes";
    if (!tag.empty()) facts.tag = intern(tag);
    if (table_->texts_.size() > kTextsMax) return limit("more than " + std::to_string(kTextsMax) + " different tags");
    return {};
  }

  // What no other line can mend.
  std::string limit(std::string why) {
    at_limit_ = true;
    return why;
  }

  uint16_t intern(std::string_view text) {
    const auto known = text_numbers_.find(text);
    if (known != text_numbers_.end()) return known->second;
    const auto number = static_cast<uint16_t>(table_->texts_.size());
    table_->texts_.emplace_back(text);  // a deque: texts stay where they are
    text_numbers_.emplace(table_->texts_.back(), number);
    return number;
  }

  static Known overlaid(Known below, const Known& above) {
    if (above.asn != kNoAsn) below.asn = above.asn;
    if (above.country != 0) below.country = above.country;
    if (above.tag != 0) below.tag = above.tag;
    return below;
  }

  static void emit(std::vector<Start>& starts, Address at, Known facts) {
    if (starts.back().at == at) starts.pop_back();
    if (starts.empty() || starts.back().facts != facts) starts.push_back({at, facts});
  }

  // A sweep over the prefixes in order: what is open is nested, the innermost on top.
  std::vector<Start> starts_of(std::vector<Row>& rows) {
    if (rows.empty()) return {};
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      if (a.first != b.first) return a.first < b.first;
      if (a.last != b.last) return a.last > b.last;
      return a.order < b.order;
    });
    struct Open {
      Address first, last;
      Known facts;
    };
    std::vector<Open> open;
    std::vector<Start> starts = {{0, {}}};
    const auto close = [&] {
      const Address last = open.back().last;
      open.pop_back();
      if (last != ~Address{0}) emit(starts, last + 1, open.empty() ? Known{} : open.back().facts);
    };
    for (const Row& row : rows) {
      while (!open.empty() && open.back().last < row.first) close();
      if (!open.empty() && open.back().first == row.first && open.back().last == row.last) {
        open.back().facts = overlaid(open.back().facts, row.facts);
      } else {
        ++table_->size_;
        open.push_back({row.first, row.last, overlaid(open.empty() ? Known{} : open.back().facts, row.facts)});
      }
      emit(starts, row.first, open.back().facts);
    }
    while (!open.empty()) close();
    rows.clear();
    rows.shrink_to_fit();
    return starts;
  }

  // Nearly all prefixes are of 64 bits or less: these make the index. What is longer hangs below its /64.
  void add_v6(const std::vector<Start>& starts) {
    Known before;  // what holds at the end of the last start
    size_t at = 0;
    while (at < starts.size()) {
      const auto high = static_cast<uint64_t>(starts[at].at >> 64);
      size_t end = at;
      while (end < starts.size() && static_cast<uint64_t>(starts[end].at >> 64) == high) ++end;
      const bool is_whole = end - at == 1 && static_cast<uint64_t>(starts[at].at) == 0;
      const Known after = starts[end - 1].facts;
      table_->v6_.add(high, is_whole ? after : add_below(starts, at, end, before));
      const bool next_begins = end < starts.size() && static_cast<uint64_t>(starts[end].at >> 64) == high + 1;
      if (!is_whole && !next_begins && high != ~uint64_t{0}) table_->v6_.add(high + 1, after);
      before = after;
      at = end;
    }
  }

  Known add_below(const std::vector<Start>& starts, size_t at, size_t end, Known before) {
    const auto begin = static_cast<uint32_t>(table_->low_keys_.size());
    const auto add = [&](uint64_t low, Known facts) {
      table_->low_keys_.push_back(low);
      table_->low_values_.push_back(facts);
    };
    if (static_cast<uint64_t>(starts[at].at) != 0) add(0, before);
    for (; at < end; ++at) add(static_cast<uint64_t>(starts[at].at), starts[at].facts);
    table_->belows_.push_back({begin, static_cast<uint32_t>(table_->low_keys_.size())});
    return Known::below(static_cast<uint32_t>(table_->belows_.size() - 1));
  }

  std::shared_ptr<IntelTable> table_;
  std::vector<Row> rows_v4_;
  std::vector<Row> rows_v6_;
  bool at_limit_ = false;
  std::unordered_map<std::string_view, uint16_t> text_numbers_;
};

}  // namespace

base::Result<std::shared_ptr<const NetworkIntel>> NetworkIntel::load(const std::vector<std::string>& csv_files,
                                                                     const std::vector<std::string>& names,
                                                                     bool may_be_empty) {
  IntelBuilder builder;
  for (size_t i = 0; i < csv_files.size(); ++i) {
    TAMIS_CHECK(builder.read(csv_files[i], i < names.size() ? names[i] : csv_files[i], may_be_empty));
  }
  return builder.build();
}

}  // namespace tamis::event
