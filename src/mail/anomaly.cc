#include "mail/anomaly.h"

#include <iterator>

namespace tamis::mail {
namespace {

constexpr std::string_view kNames[] = {
    "mbox_line",
    "header_without_colon",
    "header_name_invalid",
    "header_8bit",
    "header_8bit_not_utf8",
    "header_control",
    "header_line_long",
    "header_duplicate",
    "header_fold_blank",
    "headers_too_many",
    "header_too_long",
    "encoded_word_broken",
    "parameter_duplicate",
    "parameter_broken",
    "no_blank_line",
    "bare_cr",
    "mixed_line_ends",
    "nul_byte",
    "boundary_missing",
    "boundary_never_seen",
    "multipart_unterminated",
    "multipart_empty",
    "preamble",
    "epilogue",
    "parts_too_many",
    "depth_too_deep",
    "content_type_broken",
    "content_type_mismatch",
    "encoding_unknown",
    "encoding_on_multipart",
    "base64_broken",
    "quoted_printable_broken",
    "uuencode_broken",
    "body_8bit",
    "charset_unknown",
    "charset_mismatch",
    "text_too_long",
    "attachment_too_long",
    "decoded_too_much",
    "message_too_long",
    "archive_broken",
    "archive_members_too_many",
    "html_too_deep",
    "html_too_many_tags",
    "links_too_many",
    "addresses_too_many",
    "address_broken",
    "date_broken",
    "no_from",
    "no_body",
    "nested_encoded_message",
};
static_assert(std::size(kNames) == static_cast<size_t>(Anomaly::kCount));

}  // namespace

std::string_view name_of(Anomaly anomaly) {
  const size_t index = static_cast<size_t>(anomaly);
  return index < std::size(kNames) ? kNames[index] : std::string_view("unknown");
}

}  // namespace tamis::mail
