// Rows: what add() leaves behind until a flush. One packed record a row, one block after another, so that adding is a
// copy and a flush reads memory in order. No DuckDB here. Private.
//
// A row: its length (4 bytes), a bit for each column that has a value (8-byte words), then these values in order: 1
// byte for bool, 8 bytes for numbers and times, length (4 bytes) and bytes for text and JSON.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "archive/layout.h"
#include "engine/act.h"
#include "engine/decision.h"
#include "engine/engine.h"

namespace tamis::archive {

// Packs one row after another into a buffer that it keeps.
class RowWriter {
 public:
  void begin(size_t columns);
  void integer(int64_t value) { bits64(static_cast<uint64_t>(value)); }
  void uinteger(uint64_t value) { bits64(value); }
  void real(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits64(bits);
  }
  void boolean(bool value) {
    mark();
    buffer_[size_++] = value ? 1 : 0;
  }
  void text(std::string_view value);
  void null() { ++column_; }
  // The value as a column of this type; what does not fit the type is null.
  void value(ColumnType type, const event::Value& value);
  std::string_view finish();

 private:
  void bits64(uint64_t bits) {
    mark();
    std::memcpy(buffer_.data() + size_, &bits, 8);
    size_ += 8;
  }
  void mark() {
    if (buffer_.size() < size_ + 16) buffer_.resize(buffer_.size() * 2 + 64);
    buffer_[4 + column_ / 8] = static_cast<char>(buffer_[4 + column_ / 8] | (1 << (column_ % 8)));
    ++column_;
  }
  std::vector<char> buffer_ = std::vector<char>(4096);
  size_t size_ = 0, column_ = 0;
  std::string json_;
};

inline size_t mask_bytes(size_t columns) { return (columns + 63) / 64 * 8; }

// Rows of one layout.
class RowBuffer {
 public:
  explicit RowBuffer(std::shared_ptr<const Layout> layout) : layout_(std::move(layout)) {}
  void add(std::string_view row);
  const Layout& layout() const { return *layout_; }
  std::shared_ptr<const Layout> shared_layout() const { return layout_; }
  uint64_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }
  void collect(std::vector<const char*>& out) const;  // where each row begins
  // Both are the first two columns of every layout and never null.
  uint64_t n_of(const char* row) const;
  uint64_t last_n() const { return last_n_; }
  // Takes the rows behind record `upto` out, into a buffer of their own. Copies those of a few blocks.
  RowBuffer split(uint64_t upto);
  // Puts the rows of another buffer of this layout before its own, without copying them.
  void prepend(RowBuffer&& earlier);
  int64_t time_us_of(const char* row) const;

 private:
  struct Block {
    std::unique_ptr<char[]> memory;
    size_t size = 0, capacity = 0;
    uint64_t rows = 0, last_n = 0;
  };
  void take(Block&& block);
  static void collect(const Block& block, std::vector<const char*>& out);
  std::shared_ptr<const Layout> layout_;
  std::vector<Block> blocks_;
  uint64_t rows_ = 0, bytes_ = 0, last_n_ = 0;
};

// Makes rows out of events and acts, one layout for each policy and type that it has seen lately.
class RowMaker {
 public:
  struct Made {
    std::string_view row;  // valid until the next call
    std::shared_ptr<const Layout> layout;
    const std::string* type = nullptr;
    int64_t time_ms = 0;
  };
  base::Result<Made> of_event(const engine::PreparedEvent& event, const engine::Decision* decision, uint64_t record,
                              int64_t receive_ms);
  Made of_act(uint64_t record, int64_t receive_ms, const engine::Act& act);

 private:
  struct Known {
    std::shared_ptr<const policy::Policy> policy;  // keeps the address taken
    const policy::EventType* type = nullptr;
    TypeLayout layout;
    std::shared_ptr<const Layout> shared;
  };
  const Known& known(const std::shared_ptr<const policy::Policy>& policy, const policy::EventType* type);
  void system_part(const event::Event& event, const engine::Decision* decision, uint64_t record, int64_t time_ms,
                   int64_t receive_ms);
  void rule_ids(const engine::Decision& decision, bool acts);
  void reasons(const engine::Decision& decision);
  void values(const engine::Decision& decision);
  void effects(const engine::Decision& decision);

  std::vector<std::unique_ptr<Known>> known_;
  std::shared_ptr<const Layout> acts_;
  RowWriter writer_;
  std::string text_;
};

}  // namespace tamis::archive
