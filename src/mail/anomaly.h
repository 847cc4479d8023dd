// What is odd about the form of a message. Mail in the wild is broken in many ways and must still be judged, so an
// anomaly is never an error: it is a fact that a rule or a model may weigh.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::mail {

enum class Anomaly : uint8_t {
  kMboxLine,               // "From someone date" before the headers
  kHeaderWithoutColon,     // a line among the headers that is none
  kHeaderNameInvalid,      // characters that no header name has, or white space before the colon
  kHeader8Bit,             // bytes over 127 in a header, not in an encoded word
  kHeader8BitNotUtf8,      // and they are not UTF-8
  kHeaderControl,          // control characters in a header
  kHeaderLineLong,         // a header line over 998 bytes
  kHeaderDuplicate,        // a header twice that may stand once (From, Subject, Date, ...)
  kHeaderFoldBlank,        // a continuation line of white space only
  kHeadersTooMany,         // limits: headers left out
  kHeaderTooLong,          // limits: a header cut
  kEncodedWordBroken,      // an RFC 2047 word with a bad charset or encoding, or cut
  kParameterDuplicate,     // a MIME parameter twice
  kParameterBroken,        // a parameter that does not follow the grammar
  kNoBlankLine,            // the body begins without an empty line
  kBareCr,                 // CR without LF
  kMixedLineEnds,          // CRLF and bare LF
  kNulByte,                // NUL anywhere
  kBoundaryMissing,        // a multipart without a boundary parameter
  kBoundaryNeverSeen,      // whose boundary does not occur
  kMultipartUnterminated,  // whose last boundary does not occur
  kMultipartEmpty,         // without parts
  kPreamble,               // text before the first part of a multipart, more than the customary sentence
  kEpilogue,               // text after its last part
  kPartsTooMany,           // limits
  kDepthTooDeep,           // limits
  kContentTypeBroken,      // a Content-Type that does not follow the grammar
  kContentTypeMismatch,    // the bytes are another kind than declared
  kEncodingUnknown,        // a Content-Transfer-Encoding that does not exist
  kEncodingOnMultipart,    // base64 or quoted-printable on a multipart
  kBase64Broken,           // foreign characters, wrong padding, a cut
  kQuotedPrintableBroken,  // "=" without two hexadecimal digits
  kUuencodeBroken,         // bad line, no end
  kBody8Bit,               // bytes over 127 where 7bit was declared
  kCharsetUnknown,         // a charset that we do not know
  kCharsetMismatch,        // bytes that are impossible in the declared charset
  kTextTooLong,            // limits: text cut
  kAttachmentTooLong,      // limits: the attachment was judged by its beginning
  kDecodedTooMuch,         // limits: parts left undecoded
  kMessageTooLong,         // limits
  kArchiveBroken,          // an archive whose directory cannot be read
  kArchiveMembersTooMany,  // limits
  kHtmlTooDeep,            // limits
  kHtmlTooManyTags,        // limits
  kLinksTooMany,           // limits
  kAddressesTooMany,       // limits
  kAddressBroken,          // an address header that does not follow the grammar
  kDateBroken,             // no date, or not a date
  kNoFrom,                 // no From, or an empty one
  kNoBody,                 // nothing behind the headers
  kNestedEncodedMessage,   // message/rfc822 in base64 or quoted-printable
  kCount
};

// "html_too_deep": the name in features, policies and documents. One word per anomaly, stable.
std::string_view name_of(Anomaly anomaly);

class AnomalySet {
 public:
  void add(Anomaly a) { bits_ |= uint64_t{1} << static_cast<unsigned>(a); }
  bool has(Anomaly a) const { return (bits_ >> static_cast<unsigned>(a)) & 1; }
  bool empty() const { return bits_ == 0; }
  uint64_t bits() const { return bits_; }
  int count() const { return __builtin_popcountll(bits_); }

 private:
  uint64_t bits_ = 0;
};
static_assert(static_cast<unsigned>(Anomaly::kCount) <= 64);

}  // namespace tamis::mail
