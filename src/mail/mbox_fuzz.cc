// Mailboxes of any bytes: each message lies in the file behind a separator, in order, and no byte but separators and
// escapes is lost. A mailbox written from messages with dated separators gives the same messages again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "mail/mbox.h"

using tamis::mail::MboxReader;

namespace {

std::vector<std::string> messages_of(std::string_view text, size_t& bytes) {
  std::vector<std::string> out;
  MboxReader reader(text);
  const bool has_one = reader.has_one();
  bytes = 0;
  for (std::string message; reader.next(message);) {
    bytes += message.size();
    out.push_back(message);
  }
  TAMIS_ASSERT(!has_one || out.size() <= 1);
  return out;
}

// Escaped as mboxrd has it.
std::string written(const std::vector<std::string>& messages) {
  std::string out;
  for (const std::string& message : messages) {
    out += "From a@b.example Mon Nov  2 10:00:00 2026\n";
    for (size_t at = 0; at < message.size();) {
      const size_t end = std::min(message.find('\n', at), message.size() - 1) + 1;
      const std::string_view line = std::string_view(message).substr(at, end - at);
      const size_t quotes = line.find_first_not_of('>');
      if (quotes != std::string_view::npos && line.substr(quotes).starts_with("From ")) out += '>';
      out += line;
      at = end;
    }
    if (&message != &messages.back()) out += "\n\n";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)tamis::mail::is_dated_separator(text);
  if (!tamis::mail::is_mbox(text)) return 0;
  size_t bytes = 0;
  const std::vector<std::string> messages = messages_of(text, bytes);
  TAMIS_ASSERT(bytes <= size);
  if (messages.empty()) return 0;
  size_t bytes_again = 0;
  const std::vector<std::string> again = messages_of(written(messages), bytes_again);
  // A last message of no byte is not there, as nothing stands behind its separator.
  TAMIS_ASSERT(again.size() == messages.size() - (messages.back().empty() ? 1 : 0));
  for (size_t i = 0; i < again.size(); ++i) {
    TAMIS_ASSERT(again[i] == messages[i] + (i + 1 < messages.size() ? "\n\n" : ""));
  }
  return 0;
}
