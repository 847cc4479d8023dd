// The Sendmail milter protocol on the wire, versions 2 to 6: frames of a length (4 bytes, network order, of what
// follows), a letter and data. From its published description (the constants of Sendmail's mfdef.h, Postfix's
// MILTER_README). Private to this room.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tamis::door::milter {

constexpr uint32_t kVersionMin = 2, kVersionMax = 6;
constexpr size_t kFrameBytesMax = 1 << 20;

// What the mail server says.
enum Command : char {
  kAbort = 'A',
  kBody = 'B',
  kConnect = 'C',
  kMacro = 'D',
  kEndOfBody = 'E',
  kHelo = 'H',
  kQuitNewConnection = 'K',
  kHeader = 'L',
  kMail = 'M',
  kEndOfHeader = 'N',
  kNegotiate = 'O',
  kQuit = 'Q',
  kRecipient = 'R',
  kData = 'T',
  kUnknown = 'U',
};

// What the filter says.
enum Reply : char {
  kAddRecipient = '+',
  kRemoveRecipient = '-',
  kAccept = 'a',
  kContinue = 'c',
  kDiscard = 'd',
  kAddHeader = 'h',
  kInsertHeader = 'i',
  kChangeHeader = 'm',
  kProgress = 'p',
  kQuarantine = 'q',
  kReject = 'r',
  kSkip = 's',
  kTempfail = 't',
  kReplyCode = 'y',
};

// Actions: what a filter may do to a message.
constexpr uint32_t kActionAddHeaders = 0x01, kActionRemoveRecipients = 0x08, kActionChangeHeaders = 0x10,
                   kActionQuarantine = 0x20, kActionMacroList = 0x100;
// Steps that the mail server leaves out, or does not wait for.
constexpr uint32_t kStepNoUnknown = 0x100, kStepNoData = 0x200, kStepSkip = 0x400;
constexpr uint32_t kNoReplyHeader = 0x80, kNoReplyConnect = 0x1000, kNoReplyHelo = 0x2000, kNoReplyMail = 0x4000,
                   kNoReplyRecipient = 0x8000, kNoReplyData = 0x10000, kNoReplyUnknown = 0x20000,
                   kNoReplyEndOfHeader = 0x40000, kNoReplyBody = 0x80000;
constexpr uint32_t kHeaderLeadingSpace = 0x100000;  // values of headers come and go with the blank after the colon

struct Frame {
  char command = 0;
  std::string_view data;
};
enum class FrameState : uint8_t { kMore, kDone, kBroken };
// Cuts the first frame off `input`; kBroken: its length is none, or beyond kFrameBytesMax.
FrameState read_frame(std::string_view input, Frame& frame, size_t& consumed);

// Takes the text before the next NUL off `data`; nothing when there is no NUL.
std::optional<std::string_view> take_text(std::string_view& data);
std::optional<uint32_t> take_number(std::string_view& data);

struct Options {
  uint32_t version = 0, actions = 0, steps = 0;
};
// What the mail server offers; nothing when it is no offer.
std::optional<Options> read_options(std::string_view data);
// What we take of it: all that we can use and it has.
Options choose(const Options& offered);
// Whether a reply to the command is waited for.
bool wants_reply(const Options& options, char command);

struct ConnectInfo {
  std::string_view name, address;  // empty: not known
};
std::optional<ConnectInfo> read_connect(std::string_view data);

void append_frame(std::string& out, char command, std::string_view data = {});
void append_options(std::string& out, const Options& chosen, bool ask_macros);
void append_header(std::string& out, const Options& options, std::string_view name, std::string_view value);
void append_header_removal(std::string& out, std::string_view name, uint32_t index);
void append_reply_code(std::string& out, std::string_view line);

}  // namespace tamis::door::milter
