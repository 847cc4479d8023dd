#include "door/milter_session.h"

#include "base/log.h"
#include "door/mail_text.h"

namespace tamis::door {
namespace {

using milter::Frame;

constexpr size_t kWordBytesMax = 1'024;  // of a name, an address or a macro that is kept
constexpr size_t kKeptMessageBytes = 64 * 1024;

std::string kept(std::string_view text) { return std::string(text.substr(0, kWordBytesMax)); }

}  // namespace

void MilterSession::on_open() {
  negotiated_ = false;
  options_ = {};
  new_connection();
}

void MilterSession::on_close() { new_connection(); }

void MilterSession::new_connection() {
  for (std::string* text : {&client_ip_, &client_name_, &helo_, &received_by_, &daemon_name_, &tls_version_})
    text->clear();
  new_message();
}

void MilterSession::new_message() {
  std::string message = std::move(request_.message);
  request_ = {};
  if (message.capacity() <= kKeptMessageBytes) {
    message.clear();
    request_.message = std::move(message);
  }
  header_.clear();
  user_.clear();
  queue_id_.clear();
  recipients_.clear();
  anything_ = header_ended_ = oversized_ = overloaded_ = false;
  share_.release();
}

// A frame that a mail server would not send: nothing that follows can be trusted.
void MilterSession::broken(std::string_view why) {
  context_.milter.broken.fetch_add(1, std::memory_order_relaxed);
  TAMIS_LOG(kWarn, "door", "milter: connection closed: {}", why).field("peer", peer().text());
  abort();
}

void MilterSession::on_overrun() { broken("a frame is larger than 1 MiB"); }
void MilterSession::on_request_late() { broken("a frame did not arrive in time"); }

size_t MilterSession::on_input(std::string_view data) {
  Frame frame;
  size_t consumed = 0;
  switch (milter::read_frame(data, frame, consumed)) {
    case milter::FrameState::kMore:
      return 0;
    case milter::FrameState::kBroken:
      broken("the length of a frame is 0 or more than 1 MiB");
      return 0;
    case milter::FrameState::kDone:
      break;
  }
  made_progress();
  handle(frame);
  return consumed;
}

void MilterSession::handle(const Frame& frame) {
  if (!negotiated_ && frame.command != milter::kNegotiate && frame.command != milter::kQuit)
    return broken("the first frame is no option negotiation");
  bool good = true;
  switch (frame.command) {
    case milter::kNegotiate:
      if (!negotiate(frame.data)) broken("option negotiation: expected a version from 2 on, actions and steps");
      return;
    case milter::kMacro:
      good = read_macros(frame.data);
      break;
    case milter::kConnect:
      good = read_connect(frame.data);
      break;
    case milter::kHelo:
      helo_ = kept(frame.data.substr(0, frame.data.find('\0')));
      break;
    case milter::kMail:
      good = read_mail(frame.data);
      break;
    case milter::kRecipient:
      good = read_recipient(frame.data);
      break;
    case milter::kHeader:
      good = read_header(frame.data);
      break;
    case milter::kEndOfHeader:
      end_of_header();
      break;
    case milter::kBody:
      return read_body(frame.data);
    case milter::kEndOfBody:
      return end_of_body(frame.data);
    case milter::kAbort:
      return new_message();
    case milter::kQuitNewConnection:
      return new_connection();
    case milter::kQuit:
      return finish();
    case milter::kData:
    case milter::kUnknown:
      break;
    default:
      return broken("a command that the protocol does not have");
  }
  if (!good) return broken(fmt::format("the data of the command {} is cut short", frame.command));
  if (milter::wants_reply(options_, frame.command)) milter::append_frame(out(), milter::kContinue);
}

bool MilterSession::negotiate(std::string_view data) {
  auto offered = milter::read_options(data);
  if (!offered) return false;
  new_connection();
  options_ = milter::choose(*offered);
  negotiated_ = true;
  constexpr uint32_t kNeeded = milter::kActionAddHeaders | milter::kActionChangeHeaders;
  if ((options_.actions & kNeeded) != kNeeded)
    TAMIS_LOG(kWarn, "door", "milter: the mail server lets nobody add or change headers: mail will not be marked")
        .field("peer", peer().text());
  milter::append_options(out(), options_, true);
  return true;
}

bool MilterSession::read_macros(std::string_view data) {
  if (data.empty()) return false;
  data.remove_prefix(1);  // the command that they come before
  while (!data.empty()) {
    auto name = milter::take_text(data), value = milter::take_text(data);
    if (!name || !value) return false;
    if (name->size() > 2 && name->front() == '{' && name->back() == '}') name = name->substr(1, name->size() - 2);
    if (*name == "i")
      queue_id_ = kept(*value);
    else if (*name == "j")
      received_by_ = kept(*value);
    else if (*name == "auth_authen")
      user_ = kept(*value);
    else if (*name == "tls_version")
      tls_version_ = kept(*value);
    else if (*name == "daemon_name")
      daemon_name_ = kept(*value);
    else if (*name == "client_resolve" && same_name(*value, "FORGED"))
      client_name_.clear();
  }
  return true;
}

bool MilterSession::read_connect(std::string_view data) {
  auto info = milter::read_connect(data);
  if (!info) return false;
  client_ip_ = kept(info->address);
  client_name_ = kept(info->name);
  return true;
}

bool MilterSession::read_mail(std::string_view data) {
  auto sender = milter::take_text(data);
  if (!sender) return false;
  // The macros of this command came before it.
  std::string user = std::move(user_), queue_id = std::move(queue_id_);
  new_message();
  user_ = std::move(user);
  queue_id_ = std::move(queue_id);
  anything_ = true;
  request_.sender = kept(without_brackets(*sender));
  request_.has_sender = true;
  return true;
}

bool MilterSession::read_recipient(std::string_view data) {
  auto recipient = milter::take_text(data);
  if (!recipient) return false;
  anything_ = true;
  if (recipients_.size() >= context_.options.recipients_max) return true;
  recipients_.push_back(kept(*recipient));
  request_.recipients.push_back(kept(without_brackets(*recipient)));
  return true;
}

// Whether the message may grow by so much. It never grows again once it may not.
bool MilterSession::fits(size_t more) {
  if (oversized_ || overloaded_) return false;
  size_t bytes = request_.message.size() + more;
  oversized_ = bytes > context_.message_bytes_max;
  overloaded_ = !oversized_ && !share_.hold(bytes);
  if (!oversized_ && !overloaded_) return true;
  request_.message = {};
  share_.release();
  return false;
}

bool MilterSession::read_header(std::string_view data) {
  auto name = milter::take_text(data), value = milter::take_text(data);
  if (!name || !value) return false;
  anything_ = true;
  if (header_ended_ || !fits(name->size() + 2 * value->size() + 4)) return true;
  std::string& message = request_.message;
  message.append(*name).append(":");
  if ((options_.steps & milter::kHeaderLeadingSpace) == 0 && !value->empty()) message.push_back(' ');
  // Folds come with bare line feeds.
  char before = 0;
  for (char c : *value) {
    if (c == '\n' && before != '\r') message.push_back('\r');
    message.push_back(before = c);
  }
  message.append("\r\n");
  return true;
}

void MilterSession::end_of_header() {
  anything_ = true;
  if (!header_ended_ && fits(2)) request_.message.append("\r\n");
  header_ended_ = true;
}

void MilterSession::read_body(std::string_view data) {
  if (!header_ended_) end_of_header();
  if (fits(data.size())) request_.message.append(data);
  if (!milter::wants_reply(options_, milter::kBody)) return;
  // No more of this body is of use.
  bool skip = (oversized_ || overloaded_) && (options_.steps & milter::kStepSkip) != 0;
  milter::append_frame(out(), skip ? milter::kSkip : milter::kContinue);
}

void MilterSession::end_of_body(std::string_view data) {
  if (!anything_) return milter::append_frame(out(), milter::kContinue);
  if (!header_ended_) end_of_header();
  if (!data.empty() && fits(data.size())) request_.message.append(data);
  if (oversized_) return reply_oversized();
  if (overloaded_) {
    context_.milter.overloaded.fetch_add(1, std::memory_order_relaxed);
    reply({}, "451", "4.3.2", "The mail filter is busy, try again later");
    return new_message();
  }
  scan();
}

void MilterSession::scan() {
  request_.client_ip = client_ip_;
  request_.client_name = client_name_;
  request_.helo = helo_;
  request_.user = user_;
  request_.queue_id = queue_id_;
  request_.tls_version = tls_version_;
  request_.received_by = received_by_.empty() ? context_.options.own_name : received_by_;
  if (!user_.empty() || same_name(daemon_name_, "ORIGINATING")) request_.direction = MailDirection::kOut;
  header_.assign(header_of(request_.message));
  uint64_t number = wait(context_.options.scan_timeout_ms);
  context_.scanner.scan(std::move(request_), false, [to = link(), number](base::Result<MailVerdict> result) {
    to.post([number, result = std::move(result)](net::Session& session) {
      auto& self = static_cast<MilterSession&>(session);
      if (!self.proceed(number)) return;
      self.answer(result);
      self.go_on();
    });
  });
}

void MilterSession::on_wait_over() {
  context_.milter.late.fetch_add(1, std::memory_order_relaxed);
  reply({}, "451", "4.3.2", "The mail filter did not answer in time, try again later");
  new_message();
}

void MilterSession::reply_oversized() {
  context_.milter.oversized.fetch_add(1, std::memory_order_relaxed);
  ++env().stats.requests;
  switch (context_.options.oversize) {
    case MailOversize::kAccept:
      TAMIS_LOG(kInfo, "door", "milter: a message beyond the limit passes unseen").field("queue_id", queue_id_);
      milter::append_frame(out(), milter::kAccept);
      break;
    case MailOversize::kTempfail:
      reply({}, "452", "4.3.4", "The message is larger than the mail filter takes");
      break;
    case MailOversize::kReject:
      reply({}, "552", "5.3.4", "The message is larger than the mail filter takes");
      break;
  }
  new_message();
}

void MilterSession::answer(const base::Result<MailVerdict>& result) {
  if (result) {
    context_.milter.scanned.fetch_add(1, std::memory_order_relaxed);
    answer_verdict(*result);
  } else {
    context_.milter.failed.fetch_add(1, std::memory_order_relaxed);
    TAMIS_LOG(kWarn, "door", "milter: a message was put off: {}", result.error().message);
    reply({}, "451", "4.3.0", "The mail filter cannot judge this message now, try again later");
  }
  new_message();
}

void MilterSession::reply(std::string_view text, std::string_view code, std::string_view enhanced,
                          std::string_view fallback) {
  ++env().stats.requests;
  SmtpReply line = smtp_reply(text, code, enhanced, fallback);
  milter::append_reply_code(out(), line.code + " " + line.enhanced + " " + line.text);
}

void MilterSession::answer_verdict(const MailVerdict& verdict) {
  bool all_refused = !verdict.recipients_refused.empty();
  for (const std::string& recipient : recipients_) {
    bool refused = false;
    for (const std::string& name : verdict.recipients_refused) refused |= without_brackets(recipient) == name;
    all_refused &= refused;
  }
  if (verdict.action == MailAction::kReject || (all_refused && !recipients_.empty()))
    return reply(verdict.reply, "550", "5.7.1", "The message was refused as spam");
  if (verdict.action == MailAction::kGreylist || verdict.action == MailAction::kDefer)
    return reply(verdict.reply, "451", "4.7.1", "Try again later");
  ++env().stats.requests;
  if (verdict.verdict == "discard") return milter::append_frame(out(), milter::kDiscard);
  change_header(verdict);
  remove_recipients(verdict);
  if (verdict.action == MailAction::kQuarantine && (options_.actions & milter::kActionQuarantine) != 0) {
    SmtpReply why = smtp_reply(verdict.reply, "550", "5.7.1", "held as spam");
    milter::append_frame(out(), milter::kQuarantine, why.text + '\0');
  }
  milter::append_frame(out(), milter::kAccept);
}

void MilterSession::change_header(const MailVerdict& verdict) {
  if ((options_.actions & milter::kActionChangeHeaders) != 0) {
    std::string_view own_name = received_by_.empty() ? context_.options.own_name : received_by_;
    auto removals = removals_of(header_, verdict.remove_headers, own_name);
    // From the last on, so that the places of the others stay what they are.
    for (auto it = removals.rbegin(); it != removals.rend(); ++it)
      milter::append_header_removal(out(), it->name, it->index);
  }
  if ((options_.actions & milter::kActionAddHeaders) == 0) return;
  bool inserts = options_.version >= 3;
  size_t count = verdict.add_headers.size();
  for (size_t i = 0; i < count; ++i) {
    const MailHeader& header = verdict.add_headers[inserts ? count - 1 - i : i];
    milter::append_header(out(), options_, header.name, header.value);
  }
}

void MilterSession::remove_recipients(const MailVerdict& verdict) {
  if ((options_.actions & milter::kActionRemoveRecipients) == 0) return;
  for (const std::string& recipient : recipients_) {
    for (const std::string& name : verdict.recipients_refused) {
      if (without_brackets(recipient) != name) continue;
      milter::append_frame(out(), milter::kRemoveRecipient, recipient + '\0');
      break;
    }
  }
}

}  // namespace tamis::door
