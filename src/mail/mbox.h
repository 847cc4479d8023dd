// The messages of an mbox: files in which mail programs keep many messages one behind the other. Called by the `tamis
// mail` commands with whole files of any origin.
//
// A message begins behind a separator: a line "From ", the sender and a date, at the top or behind an empty line (RFC
// 4155, appendix A). Archives write that date in several ways and are read in all that are known: that of asctime()
// with or without seconds and with a zone before or behind the year, that of RFC 5322 and that of ISO 8601; the sender
// may be missing, quoted, "-", or "user at host" (Pipermail); "remote from HOST" may follow (UUCP). A body line that
// begins with "From " without being one of these splits nothing, quoted or not. Some programs write no date at all: a
// file whose very first line has none is split at lines without a date as well ("From ", "From -", "From " and one
// word), where a field of a header follows. Content-Length is not looked at: it is often wrong.
//
// Lines that were escaped by a ">" (mboxrd) come back as they were. Cost: one pass over the text. Not thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tamis::mail {

// Whether the text is an mbox: its first line begins with "From ", as no header can.
bool is_mbox(std::string_view text);

// What stands behind the "From " of a line: whether it ends with a date as separators have it.
bool is_dated_separator(std::string_view behind_from);

class MboxReader {
 public:
  // Of a text that is_mbox(); it must outlive the reader.
  explicit MboxReader(std::string_view text);

  // The next message without its separator; false at the end.
  bool next(std::string& message);
  // Whether one message is all, so that the file may as well be taken as it stands.
  bool has_one() const { return separator_of(begin_) == std::string_view::npos; }

 private:
  // Where the next separator line begins, from `at` on.
  size_t separator_of(size_t at) const;
  bool is_separator(size_t line) const;

  std::string_view text_;
  size_t begin_ = 0;  // of the next message
  bool undated_ = false;
};

}  // namespace tamis::mail
