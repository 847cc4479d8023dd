#include "door/milter_wire.h"

#include "door/mail_text.h"

namespace tamis::door::milter {
namespace {

constexpr size_t kLengthBytes = 4;

uint32_t number_at(std::string_view data) {
  auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(data[i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

void append_number(std::string& out, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(number >> shift & 0xff));
}

void append_text(std::string& out, std::string_view text) {
  out.append(text.substr(0, text.find('\0')));
  out.push_back('\0');
}

}  // namespace

FrameState read_frame(std::string_view input, Frame& frame, size_t& consumed) {
  if (input.size() < kLengthBytes) return FrameState::kMore;
  uint32_t bytes = number_at(input);
  if (bytes == 0 || bytes > kFrameBytesMax) return FrameState::kBroken;
  if (input.size() - kLengthBytes < bytes) return FrameState::kMore;
  frame = {input[kLengthBytes], input.substr(kLengthBytes + 1, bytes - 1)};
  consumed = kLengthBytes + bytes;
  return FrameState::kDone;
}

std::optional<std::string_view> take_text(std::string_view& data) {
  size_t end = data.find('\0');
  if (end == std::string_view::npos) return {};
  std::string_view text = data.substr(0, end);
  data.remove_prefix(end + 1);
  return text;
}

std::optional<uint32_t> take_number(std::string_view& data) {
  if (data.size() < 4) return {};
  uint32_t number = number_at(data);
  data.remove_prefix(4);
  return number;
}

std::optional<Options> read_options(std::string_view data) {
  auto version = take_number(data), actions = take_number(data), steps = take_number(data);
  if (!version || !actions || !steps || *version < kVersionMin) return {};
  return Options{*version, *actions, *steps};
}

Options choose(const Options& offered) {
  constexpr uint32_t kActions = kActionAddHeaders | kActionRemoveRecipients | kActionChangeHeaders | kActionQuarantine;
  constexpr uint32_t kSteps = kStepNoUnknown | kStepNoData | kStepSkip | kNoReplyHeader | kNoReplyConnect |
                              kNoReplyHelo | kNoReplyMail | kNoReplyRecipient | kNoReplyData | kNoReplyUnknown |
                              kNoReplyEndOfHeader | kNoReplyBody | kHeaderLeadingSpace;
  Options chosen;
  chosen.version = offered.version < kVersionMax ? offered.version : kVersionMax;
  chosen.actions = offered.actions & (kActions | (chosen.version >= 6 ? kActionMacroList : 0));
  chosen.steps = offered.steps & kSteps;
  return chosen;
}

bool wants_reply(const Options& options, char command) {
  switch (command) {
    case kConnect:
      return (options.steps & kNoReplyConnect) == 0;
    case kHelo:
      return (options.steps & kNoReplyHelo) == 0;
    case kMail:
      return (options.steps & kNoReplyMail) == 0;
    case kRecipient:
      return (options.steps & kNoReplyRecipient) == 0;
    case kData:
      return (options.steps & kNoReplyData) == 0;
    case kUnknown:
      return (options.steps & kNoReplyUnknown) == 0;
    case kHeader:
      return (options.steps & kNoReplyHeader) == 0;
    case kEndOfHeader:
      return (options.steps & kNoReplyEndOfHeader) == 0;
    case kBody:
      return (options.steps & kNoReplyBody) == 0;
    case kEndOfBody:
    case kNegotiate:
      return true;
    default:
      return false;
  }
}

std::optional<ConnectInfo> read_connect(std::string_view data) {
  ConnectInfo info;
  auto name = take_text(data);
  if (!name || data.empty()) return {};
  char family = data.front();
  data.remove_prefix(1);
  // "unknown" and "[192.0.2.1]" stand for no name.
  if (!name->empty() && name->front() != '[' && !same_name(*name, "unknown")) info.name = *name;
  if (family == 'U' || family == 'L') return info;
  if (family != '4' && family != '6') return {};
  if (data.size() < 2) return {};
  data.remove_prefix(2);  // the port
  auto address = take_text(data);
  if (!address) return {};
  info.address = *address;
  if (info.address.size() > 5 && same_name(info.address.substr(0, 5), "IPv6:")) info.address.remove_prefix(5);
  if (info.address.size() > 2 && info.address.front() == '[')
    info.address = info.address.substr(1, info.address.size() - 2);
  return info;
}

void append_frame(std::string& out, char command, std::string_view data) {
  append_number(out, static_cast<uint32_t>(data.size() + 1));
  out.push_back(command);
  out.append(data);
}

void append_options(std::string& out, const Options& chosen, bool ask_macros) {
  std::string data;
  append_number(data, chosen.version);
  append_number(data, chosen.actions);
  append_number(data, chosen.steps);
  if (ask_macros && (chosen.actions & kActionMacroList) != 0) {
    // Which macros are sent at which stage: connect, helo, MAIL and end of message.
    constexpr std::pair<uint32_t, std::string_view> kLists[] = {
        {0, "j {daemon_name} {client_resolve}"},
        {1, "{tls_version}"},
        {2, "i {auth_authen} {tls_version}"},
        {5, "i"},
    };
    for (auto [stage, names] : kLists) {
      append_number(data, stage);
      append_text(data, names);
    }
  }
  append_frame(out, kNegotiate, data);
}

void append_header(std::string& out, const Options& options, std::string_view name, std::string_view value) {
  std::string data;
  bool inserts = options.version >= 3;
  if (inserts) append_number(data, 0);
  append_text(data, clean_name(name));
  std::string text = clean_value(value, "\n");
  bool with_blank = (options.steps & kHeaderLeadingSpace) != 0 && !text.empty() && text.front() != ' ';
  append_text(data, with_blank ? " " + text : text);
  append_frame(out, inserts ? kInsertHeader : kAddHeader, data);
}

void append_header_removal(std::string& out, std::string_view name, uint32_t index) {
  std::string data;
  append_number(data, index);
  append_text(data, name);
  append_text(data, {});
  append_frame(out, kChangeHeader, data);
}

void append_reply_code(std::string& out, std::string_view line) {
  std::string text;
  for (char c : line) {
    text.push_back(c);
    if (c == '%') text.push_back('%');  // a single one starts an escape
  }
  text.push_back('\0');
  append_frame(out, kReplyCode, text);
}

}  // namespace tamis::door::milter
