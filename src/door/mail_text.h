// The header of a message as text: what the mail doors read and change of it. Private to this room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "door/mail_scanner.h"

namespace tamis::door {

bool same_name(std::string_view a, std::string_view b);  // letter case of ASCII aside
std::string_view trimmed(std::string_view text);
// "<a@b>" and "a@b" give a@b; what follows the ">" is dropped.
std::string_view without_brackets(std::string_view address);

struct HeaderField {
  std::string_view name;   // without blanks before the colon
  std::string_view value;  // from the colon to the line end, folds included
  size_t begin = 0, end = 0;
};

// Reads the fields of a message one after the other. Lines that are no field are skipped.
class HeaderFields {
 public:
  explicit HeaderFields(std::string_view message) : text_(message) {}
  bool next(HeaderField& field);
  // After the last field: where the empty line stands that ends the header, or the end of the text.
  size_t end() const { return at_; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

// The header with the empty line after it; the whole text if there is none.
std::string_view header_of(std::string_view message);
// Value of the first field of that name, unfolded and trimmed.
std::string header_value(std::string_view message, std::string_view name);

// One field to be taken out: the `index`th of its name, from 1.
struct HeaderRemoval {
  std::string name;
  uint32_t index;
};

// Which fields `names` of a verdict mean: all of a name, but of Authentication-Results only those that claim to be of
// `own_name` (as many as are named, from the top, where that is not known). In order of the message.
std::vector<HeaderRemoval> removals_of(std::string_view header, const std::vector<std::string>& names,
                                       std::string_view own_name);

// A value that cannot start a field of its own: line breaks stay only before a blank, as CRLF or LF.
std::string clean_value(std::string_view value, std::string_view line_end);
std::string clean_name(std::string_view name);

// The message with fields taken out and new ones on top, in its own line ends.
std::string edited(std::string_view message, const std::vector<HeaderRemoval>& removals,
                   const std::vector<MailHeader>& added);
std::string_view line_end_of(std::string_view message);

// One line of plain ASCII for an answer of SMTP: "550 5.7.1 text". The code may stand in `reply` already; then its
// class must be that of `fallback` ("550 5.7.1"), or it is not taken.
struct SmtpReply {
  std::string code, enhanced, text;
};
SmtpReply smtp_reply(std::string_view reply, std::string_view code, std::string_view enhanced,
                     std::string_view fallback_text);

// Whether the message counts as spam: tag or harsher, and of what is put off what would be that. All that protocols
// hear that know only yes and no.
bool is_spam(const MailVerdict& verdict);
// Points so that comparing them with the limit gives what is_spam() says, for clients that compare.
double points_shown(const MailVerdict& verdict);

}  // namespace tamis::door
