#include "archive/pages.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "archive/thrift.h"

namespace tamis::archive {
namespace {

using Kind = PageColumn::Kind;

constexpr int32_t kBooleanType = 0, kInt64Type = 2, kDoubleType = 5, kByteArrayType = 6;
constexpr uint64_t kPageBytesMax = 1u << 28;
constexpr size_t kPadding = 16;  // behind each page, so that eight bytes can be read at any of its bytes
constexpr unsigned kListLevel = 3;

enum Encoding : int64_t {
  kPlain = 0,
  kPlainDictionary = 2,
  kRle = 3,
  kDeltaPacked = 5,
  kDeltaLength = 6,
  kRleDictionary = 8,
  kSplit = 9,
};

struct PageHeader {
  enum Type : int64_t { kData = 0, kDictionary = 2 };
  int64_t type = -1, bytes = -1, packed_bytes = -1, values = -1, encoding = -1;
};

bool read_header(ThriftReader& thrift, PageHeader& header) {
  thrift.each_field([&](int32_t id, ThriftReader::Kind kind) {
    if (id == 5 || id == 7) {
      thrift.each_field([&](int32_t inner, ThriftReader::Kind) {
        if (inner == 1) return header.values = thrift.integer(), true;
        if (inner == 2) return header.encoding = thrift.integer(), true;
        return false;
      });
      return true;
    }
    if (kind != ThriftReader::kI32) return false;
    if (id == 1) return header.type = thrift.integer(), true;
    if (id == 2) return header.bytes = thrift.integer(), true;
    if (id == 3) return header.packed_bytes = thrift.integer(), true;
    return false;
  });
  return !thrift.failed() && header.bytes >= 0 && header.packed_bytes >= 0 && header.values >= 0 &&
         header.values <= INT32_MAX && static_cast<uint64_t>(header.bytes) <= kPageBytesMax;
}

uint64_t load64(const uint8_t* from) {
  uint64_t value;
  std::memcpy(&value, from, 8);
  return value;
}

// One a thread: making one costs more than a small page.
ZSTD_DCtx* zstd_context() {
  thread_local const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> kContext(ZSTD_createDCtx(), ZSTD_freeDCtx);
  return kContext.get();
}

// What is left of a page. Behind `end` there are kPadding bytes that may be read.
struct Left {
  const uint8_t* at = nullptr;
  const uint8_t* end = nullptr;

  size_t size() const { return static_cast<size_t>(end - at); }
  bool varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && at < end; shift += 7) {
      const uint8_t next = *at++;
      value |= static_cast<uint64_t>(next & 127) << shift;
      if ((next & 128) == 0) return true;
    }
    return false;
  }
  bool zigzag(int64_t& value) {
    uint64_t bits;
    if (!varint(bits)) return false;
    value = static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
    return true;
  }
  // The part that a length of four bytes in front announces.
  bool sized(Left& part) {
    if (size() < 4) return false;
    uint32_t length;
    std::memcpy(&length, at, 4);
    at += 4;
    if (length > size()) return false;
    part = {at, at + length};
    at += length;
    return true;
  }
};

// `width` bits a value, at most 64, lowest first.
template <class Put>
void unpack_bits(const uint8_t* from, unsigned width, size_t count, Put put) {
  const uint64_t mask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  uint64_t bit = 0;
  if (width <= 56) {
    for (size_t i = 0; i < count; ++i, bit += width) put(i, load64(from + bit / 8) >> (bit % 8) & mask);
    return;
  }
  for (size_t i = 0; i < count; ++i, bit += width) {
    const unsigned shift = bit % 8;
    uint64_t value = load64(from + bit / 8) >> shift;
    if (shift != 0) value |= static_cast<uint64_t>(from[bit / 8 + 8]) << (64 - shift);
    put(i, value & mask);
  }
}

// Runs and packed values in turn.
template <class T>
bool read_hybrid(Left left, unsigned width, size_t count, T* out) {
  if (width > 32) return false;
  const size_t run_bytes = (width + 7) / 8;
  while (count > 0) {
    uint64_t head;
    if (!left.varint(head)) return false;
    const uint64_t units = head >> 1;
    if (units == 0 || units > UINT32_MAX) return false;
    if ((head & 1) == 0) {
      if (left.size() < run_bytes) return false;
      uint32_t value = 0;
      std::memcpy(&value, left.at, run_bytes);
      left.at += run_bytes;
      const size_t taken = std::min<size_t>(count, units);
      std::fill(out, out + taken, static_cast<T>(value));
      out += taken, count -= taken;
      continue;
    }
    const size_t taken = std::min<size_t>(count, units * 8);
    const uint64_t bytes = units * width;
    // The last group may be cut off where nothing is in it any more.
    if (left.size() < (taken * width + 7) / 8) return false;
    unpack_bits(left.at, width, taken, [out](size_t i, uint64_t value) { out[i] = static_cast<T>(value); });
    left.at += std::min<uint64_t>(bytes, left.size());
    out += taken, count -= taken;
  }
  return true;
}

// Differences, packed in blocks. Reads `count` values and goes to the end of all.
bool read_delta(Left& left, size_t count, std::vector<int64_t>& out) {
  uint64_t block, minis, total;
  int64_t value;
  if (!left.varint(block) || !left.varint(minis) || !left.varint(total) || !left.zigzag(value)) return false;
  if (minis == 0 || minis > 256 || block == 0 || block > (1u << 20) || block % minis != 0 || (block / minis) % 8 != 0)
    return false;
  if (total < count || total > INT32_MAX) return false;
  const size_t mini = block / minis;
  const size_t base = out.size();
  out.resize(base + count);
  int64_t* to = out.data() + base;
  size_t done = 0, passed = 1;  // values given, and those that lie behind
  if (count > 0) to[done++] = value;
  auto current = static_cast<uint64_t>(value);
  while (passed < total) {
    int64_t least;
    if (!left.zigzag(least) || left.size() < minis) return false;
    const uint8_t* widths = left.at;
    left.at += minis;
    for (size_t m = 0; m < minis && passed < total; ++m) {
      const unsigned width = widths[m];
      const size_t bytes = mini * width / 8;
      if (width > 64 || left.size() < bytes) return false;
      const size_t taken = std::min(mini, count - done);
      auto put = [&](size_t i, uint64_t more) {
        current += static_cast<uint64_t>(least) + more;
        to[done + i] = static_cast<int64_t>(current);
      };
      unpack_bits(left.at, width, taken, put);
      done += taken;
      passed += mini;
      left.at += bytes;
    }
  }
  return done == count;
}

class PageDecoder {
 public:
  PageDecoder(const ParquetFile::Column& column, uint32_t rows, PageColumn& out)
      : column_(column), rows_(rows), out_(out), is_text_(column.physical == kByteArrayType) {}

  base::Status run(std::string_view chunk, bool zstd) {
    start();
    size_t at = 0;
    while (out_.rows < rows_ && at < chunk.size()) {
      ThriftReader thrift(chunk.substr(at));
      PageHeader header;
      if (!read_header(thrift, header)) return damaged();
      at += thrift.at();
      if (static_cast<uint64_t>(header.packed_bytes) > chunk.size() - at) return damaged();
      const std::string_view packed = chunk.substr(at, static_cast<size_t>(header.packed_bytes));
      at += packed.size();
      if (header.type != PageHeader::kData && header.type != PageHeader::kDictionary) return unknown();
      TAMIS_TRY(page, unpack(packed, header, zstd));
      TAMIS_CHECK(header.type == PageHeader::kDictionary ? read_dictionary(header, page) : read_data(header, page));
    }
    if (out_.rows != rows_) return damaged();
    finish();
    return {};
  }

 private:
  static tl::unexpected<base::Error> damaged() { return base::fail(base::Code::kUnavailable, "a damaged page"); }
  static tl::unexpected<base::Error> unknown() { return base::fail(base::Code::kNotFound, "an unknown kind of page"); }

  void start() {
    out_.kind = Kind::kNothing;
    out_.rows = 0;
    out_.any_null = false;
    out_.states.clear(), out_.bools.clear(), out_.numbers.clear(), out_.codes.clear(), out_.texts.clear();
    out_.lists = column_.list;
    out_.ends.clear();
    out_.kept.clear();
  }

  base::Result<Left> unpack(std::string_view packed, const PageHeader& header, bool zstd) {
    const auto bytes = static_cast<size_t>(header.bytes);
    // Not cleared: only what is written is read, but for padding whose bits are masked away.
    std::unique_ptr<char[]> room(new char[bytes + kPadding]);
    std::memset(room.get() + bytes, 0, kPadding);
    if (zstd) {
      const size_t size = ZSTD_decompressDCtx(zstd_context(), room.get(), bytes, packed.data(), packed.size());
      if (ZSTD_isError(size) != 0 || size != bytes) return damaged();
    } else {
      if (packed.size() != bytes) return damaged();
      std::memcpy(room.get(), packed.data(), bytes);
    }
    const auto* from = reinterpret_cast<const uint8_t*>(room.get());
    out_.kept.push_back(std::move(room));
    return Left{from, from + bytes};
  }

  base::Status read_dictionary(const PageHeader& header, Left left) {
    if (header.encoding != kPlain && header.encoding != kPlainDictionary) return unknown();
    if (has_dictionary_ || out_.rows != 0) return damaged();
    has_dictionary_ = true;
    const auto entries = static_cast<size_t>(header.values);
    if (is_text_) return plain_texts(left, entries);
    if (column_.physical == kBooleanType) return unknown();
    if (left.size() / 8 < entries) return damaged();
    numbers_.resize(entries);
    if (entries > 0) std::memcpy(numbers_.data(), left.at, entries * 8);
    return {};
  }

  base::Status plain_texts(Left left, size_t count) {
    if (count > left.size() / 4) return damaged();
    out_.texts.reserve(out_.texts.size() + count);
    for (Left part; count > 0; --count) {
      if (!left.sized(part)) return damaged();
      out_.texts.emplace_back(reinterpret_cast<const char*>(part.at), part.size());
    }
    return {};
  }

  base::Status read_data(const PageHeader& header, Left left) {
    const auto levels = static_cast<size_t>(header.values);
    size_t present = 0;
    TAMIS_CHECK(column_.list ? read_list_levels(left, levels, present) : read_levels(left, levels, present));
    if (present == 0) return {};
    return read_values(header, left, present);
  }

  // Which rows have a value.
  base::Status read_levels(Left& left, size_t levels, size_t& present) {
    Left part;
    if (!left.sized(part)) return damaged();
    const size_t take = std::min<size_t>(levels, rows_ - out_.rows);
    levels_.resize(take);
    if (!read_hybrid(part, 1, take, levels_.data())) return damaged();
    present = static_cast<size_t>(std::count(levels_.begin(), levels_.end(), uint8_t{1}));
    if (present != take && !out_.any_null) {
      out_.any_null = true;
      out_.states.assign(out_.rows, 0);
    }
    if (out_.any_null) {
      for (const uint8_t level : levels_) out_.states.push_back(level == 1 ? 0 : 1);
    }
    out_.rows += static_cast<uint32_t>(take);
    return {};
  }

  base::Status read_list_levels(Left& left, size_t levels, size_t& present) {
    Left repeats, there;
    if (!left.sized(repeats) || !left.sized(there)) return damaged();
    // A level has no byte of its own, so only the rows of the group bound them.
    constexpr size_t kLevelsMax = size_t{1} << 26;
    if (levels > kLevelsMax) return damaged();
    repeats_.resize(levels), levels_.resize(levels);
    if (!read_hybrid(repeats, 1, levels, repeats_.data()) || !read_hybrid(there, 2, levels, levels_.data()))
      return damaged();
    for (size_t i = 0; i < levels; ++i) {
      if (repeats_[i] == 0) {
        if (out_.rows == rows_) break;
        ++out_.rows;
        out_.ends.push_back(static_cast<uint32_t>(items_));
        if (levels_[i] == 0 && !out_.any_null) {
          out_.any_null = true;
          out_.states.assign(out_.rows - 1, 0);
        }
        if (out_.any_null) out_.states.push_back(levels_[i] == 0 ? 1 : 0);
      } else if (out_.rows == 0 || levels_[i] != kListLevel) {
        return damaged();
      }
      if (levels_[i] == 2) return unknown();  // an item without a text: the archive writes none
      if (levels_[i] != kListLevel) continue;
      ++present, ++items_;
      out_.ends.back() = static_cast<uint32_t>(items_);
    }
    return {};
  }

  base::Status read_values(const PageHeader& header, Left left, size_t present) {
    switch (header.encoding) {
      case kPlainDictionary:
      case kRleDictionary:
        return read_codes(left, present);
      case kPlain:
        if (is_text_ && has_dictionary_) return unknown();  // some pages with it, others without
        if (is_text_) return set(Kind::kTexts) ? plain_texts(left, present) : unknown();
        if (column_.physical == kBooleanType) return read_bits(left, present);
        if (left.size() / 8 < present) return damaged();
        dense_.resize(present);
        if (present > 0) std::memcpy(dense_.data(), left.at, present * 8);
        return put_numbers();
      case kRle: {
        Left part;
        if (column_.physical != kBooleanType) return unknown();
        bytes_.resize(present);
        if (!left.sized(part) || !read_hybrid(part, 1, present, bytes_.data())) return damaged();
        return put_bools();
      }
      case kDeltaPacked:
        if (column_.physical != kInt64Type) return unknown();
        dense_.clear();
        if (!read_delta(left, present, dense_)) return damaged();
        return put_numbers();
      case kDeltaLength:
        return read_delta_texts(left, present);
      case kSplit:
        return read_split(left, header, present);
      default:
        return unknown();
    }
  }

  bool set(Kind kind) {
    if (out_.kind != Kind::kNothing && out_.kind != kind) return false;
    out_.kind = kind;
    return true;
  }

  base::Status read_codes(Left left, size_t present) {
    if (!has_dictionary_ || left.size() == 0) return damaged();
    const unsigned width = *left.at++;
    const size_t entries = is_text_ ? out_.texts.size() : numbers_.size();
    codes_.resize(present);
    if (!read_hybrid(left, width, present, codes_.data())) return damaged();
    const uint32_t most = *std::max_element(codes_.begin(), codes_.end());
    if (most >= entries) return damaged();
    if (!is_text_) {
      dense_.resize(present);
      for (size_t i = 0; i < present; ++i) dense_[i] = numbers_[codes_[i]];
      return put_numbers();
    }
    if (!set(Kind::kCodes)) return unknown();
    put(codes_, out_.codes, uint32_t{0});
    return {};
  }

  base::Status read_bits(Left left, size_t present) {
    if (left.size() < (present + 7) / 8) return damaged();
    bytes_.resize(present);
    for (size_t i = 0; i < present; ++i) bytes_[i] = left.at[i / 8] >> (i % 8) & 1;
    return put_bools();
  }

  base::Status read_delta_texts(Left left, size_t present) {
    if (!is_text_ || has_dictionary_ || !set(Kind::kTexts)) return unknown();
    dense_.clear();
    if (!read_delta(left, present, dense_)) return damaged();
    const size_t before = out_.texts.size();
    out_.texts.reserve(before + present);
    const auto* from = reinterpret_cast<const char*>(left.at);
    size_t room = left.size();
    for (const int64_t length : dense_) {
      if (length < 0 || static_cast<uint64_t>(length) > room) return damaged();
      out_.texts.emplace_back(from, static_cast<size_t>(length));
      from += length, room -= static_cast<size_t>(length);
    }
    return {};
  }

  // The first bytes of all values, then the second ones...
  base::Status read_split(Left left, const PageHeader& header, size_t present) {
    if (column_.physical != kDoubleType && column_.physical != kInt64Type) return unknown();
    const size_t all = left.size() / 8;
    if (all < present || left.size() % 8 != 0 || all > static_cast<size_t>(header.values)) return damaged();
    dense_.resize(present);
    for (size_t i = 0; i < present; ++i) {
      uint64_t bits = 0;
      for (size_t byte = 0; byte < 8; ++byte) bits |= static_cast<uint64_t>(left.at[byte * all + i]) << (8 * byte);
      dense_[i] = static_cast<int64_t>(bits);
    }
    return put_numbers();
  }

  base::Status put_numbers() {
    if (is_text_ || column_.physical == kBooleanType || !set(Kind::kNumbers)) return unknown();
    put(dense_, out_.numbers, int64_t{0});
    return {};
  }
  base::Status put_bools() {
    if (!set(Kind::kBools)) return unknown();
    put(bytes_, out_.bools, uint8_t{0});
    return {};
  }

  // Values of the rows that have one, with `none` between them.
  template <class T>
  void put(const std::vector<T>& dense, std::vector<T>& to, T none) {
    if (column_.list || !out_.any_null) {
      to.insert(to.end(), dense.begin(), dense.end());
      return;
    }
    to.resize(out_.rows - levels_.size(), none);
    size_t next = 0;
    for (const uint8_t level : levels_) to.push_back(level == 1 ? dense[next++] : none);
  }

  void finish() {
    if (column_.list || !out_.any_null) return;
    switch (out_.kind) {
      case Kind::kBools:
        out_.bools.resize(rows_, 0);
        break;
      case Kind::kNumbers:
        out_.numbers.resize(rows_, 0);
        break;
      case Kind::kCodes:
        out_.codes.resize(rows_, 0);
        break;
      case Kind::kTexts: {
        // The texts came one after another.
        std::vector<std::string_view> spread(rows_);
        size_t next = 0;
        for (uint32_t row = 0; row < rows_; ++row) {
          if (out_.states[row] == 0 && next < out_.texts.size()) spread[row] = out_.texts[next++];
        }
        out_.texts = std::move(spread);
        break;
      }
      case Kind::kNothing:
        break;
    }
  }

  const ParquetFile::Column& column_;
  const uint32_t rows_;
  PageColumn& out_;
  const bool is_text_;
  bool has_dictionary_ = false;
  size_t items_ = 0;
  std::vector<int64_t> numbers_;  // the dictionary of numbers
  std::vector<int64_t> dense_;
  std::vector<uint32_t> codes_;
  std::vector<uint8_t> bytes_, levels_, repeats_;
};

}  // namespace

base::Status decode_pages(std::string_view chunk, const ParquetFile::Column& column, bool zstd, uint32_t rows_all,
                          uint32_t rows, PageColumn& out) {
  return PageDecoder(column, std::min(rows, rows_all), out).run(chunk, zstd);
}

}  // namespace tamis::archive
