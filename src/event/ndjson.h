// NDJSON: one JSON text per line. Lines of a buffer, of the chunks of an HTTP body, of a file or of standard input, as
// views where they lie: only a line that spans two chunks is copied. Lines end in LF or CRLF, the last one may have no
// end; blank lines are skipped, but counted; a byte order mark before the first line is passed over. What a line holds
// is not looked at. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::event {

class NdjsonSplitter {
 public:
  explicit NdjsonSplitter(size_t line_bytes_max = 1 << 20) : line_bytes_max_(line_bytes_max) {}

  // Gives the next chunk, which must stay in place until next() has said kMore. Only call it at the start and after
  // kMore.
  void feed(std::string_view chunk) { rest_ = chunk; }
  // Nothing more comes: what is left is the last line.
  void finish() { finished_ = true; }

  enum class Step {
    kLine,     // `line` is valid until the next call of next() or feed()
    kTooLong,  // a line beyond the limit was found; the rest of it will be skipped; told once per line
    kMore,     // give the next chunk, or finish
    kEnd,      // after finish()
  };
  Step next(std::string_view& line);

  // Of the line given last, counted from 1.
  uint64_t line_number() const { return line_number_; }

 private:
  Step deliver(std::string_view whole, std::string_view& line);

  size_t line_bytes_max_;
  std::string_view rest_;
  std::string carry_;         // the beginning of a line whose end is in a later chunk
  bool carry_given_ = false;  // the last line given lies in carry_
  bool skipping_ = false;     // within a line that is too long
  bool finished_ = false;
  uint64_t line_number_ = 0;
};

// The lines of a file, read in large pieces. "-" is standard input.
class NdjsonFile {
 public:
  static base::Result<NdjsonFile> open(const std::string& path, size_t line_bytes_max = 1 << 20);
  NdjsonFile(NdjsonFile&&) noexcept;
  NdjsonFile& operator=(NdjsonFile&&) noexcept;
  ~NdjsonFile();

  // True with the next line, valid until the next call; false at the end. Errors: reading failed, or a line is too long
  // ("PATH:LINE: ..."); after the latter, reading can go on with the line behind it.
  base::Result<bool> next(std::string_view& line);

  uint64_t line_number() const;
  // For progress: how much was read of how much; the total is 0 where it cannot be known (pipes).
  uint64_t bytes_read() const;
  uint64_t bytes_total() const;
  const std::string& path() const;

 private:
  struct Impl;
  explicit NdjsonFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tamis::event
