#include "door/spamd_session.h"

#include <fmt/format.h>

#include "base/log.h"
#include "door/mail_text.h"

namespace tamis::door {
namespace {

using spamd::Command;
using spamd::Exit;

constexpr size_t kKeptBodyBytes = 64 * 1024;
constexpr std::string_view kBusy = "Too many messages are in progress, try again later";

bool is_of_this_machine(const net::PeerAddress& peer) {
  using Family = net::PeerAddress::Family;
  if (peer.family == Family::kUnix) return true;
  if (peer.family == Family::kIp4) return peer.bytes[0] == 127;
  return peer.text() == "::1";
}

}  // namespace

void SpamdSession::on_open() {
  stage_ = Stage::kHead;
  request_ = {};
}

void SpamdSession::on_close() {
  body_.clear();
  if (body_.capacity() > kKeptBodyBytes) body_.shrink_to_fit();
  message_ = {};
  share_.release();
}

size_t SpamdSession::on_input(std::string_view data) {
  switch (stage_) {
    case Stage::kHead:
      return read_head(data);
    case Stage::kBody:
      return read_body(data);
    case Stage::kDone:
      break;
  }
  return data.size();
}

size_t SpamdSession::read_head(std::string_view data) {
  size_t consumed = 0;
  std::string error;
  switch (spamd::read_head(data, request_, consumed, error)) {
    case spamd::ParseState::kMore:
      return 0;
    case spamd::ParseState::kError:
      refuse(Exit::kProtocol, error);
      return data.size();
    case spamd::ParseState::kDone:
      break;
  }
  if (request_.command == Command::kPing || request_.command == Command::kSkip) {
    if (request_.command == Command::kPing) spamd::append_pong(out());
    answered();
    return data.size();
  }
  size_t bytes_max = context_.message_bytes_max;
  if (request_.content_length && *request_.content_length > bytes_max) {
    context_.spamd.oversized.fetch_add(1, std::memory_order_relaxed);
    refuse(Exit::kData,
           fmt::format("The message has {} bytes, at most {} are taken", *request_.content_length, bytes_max));
    return data.size();
  }
  if (request_.command == Command::kTell && !may_tell()) return data.size();
  stage_ = Stage::kBody;
  if (request_.content_length == 0u) handle();
  return consumed;
}

size_t SpamdSession::read_body(std::string_view data) {
  // What goes beyond the announced length shows that the length is wrong.
  size_t before = body_.size();
  if (request_.content_length && data.size() > *request_.content_length - before) {
    refuse(Exit::kData, fmt::format("Content-length is {}, but more bytes follow", *request_.content_length));
    return data.size();
  }
  if (before + data.size() > context_.message_bytes_max) {
    context_.spamd.oversized.fetch_add(1, std::memory_order_relaxed);
    refuse(Exit::kData, fmt::format("The message has more than {} bytes", context_.message_bytes_max));
    return data.size();
  }
  if (!share_.hold(before + data.size())) {
    context_.spamd.overloaded.fetch_add(1, std::memory_order_relaxed);
    refuse(Exit::kTempfail, kBusy);
    return data.size();
  }
  body_.append(data);
  if (request_.content_length && body_.size() == *request_.content_length) handle();
  return data.size();
}

void SpamdSession::on_eof(std::string_view data) {
  if (stage_ == Stage::kBody && !request_.content_length) return handle();
  if (stage_ == Stage::kBody) {
    refuse(Exit::kData,
           fmt::format("Content-length is {}, but only {} bytes came", *request_.content_length, body_.size()));
  } else if (stage_ == Stage::kHead && !data.empty()) {
    refuse(Exit::kProtocol, "Bad header line: the request ends before its header does");
  }
}

void SpamdSession::on_overrun() { refuse(Exit::kProtocol, "Bad header line: too long"); }
void SpamdSession::on_request_late() {
  context_.spamd.late.fetch_add(1, std::memory_order_relaxed);
  refuse(Exit::kTimeout, "The request did not arrive in time");
}
void SpamdSession::on_wait_over() {
  context_.spamd.late.fetch_add(1, std::memory_order_relaxed);
  refuse(Exit::kTempfail, "The answer was not ready in time, try again later");
}

void SpamdSession::refuse(Exit exit, std::string_view text) {
  context_.spamd.broken.fetch_add(1, std::memory_order_relaxed);
  spamd::append_error(out(), exit, text);
  answered();
}

void SpamdSession::refuse(const base::Error& error) {
  context_.spamd.failed.fetch_add(1, std::memory_order_relaxed);
  switch (error.code) {
    case base::Code::kDenied:
      return refuse(Exit::kDenied, error.message);
    case base::Code::kInvalid:
    case base::Code::kLimit:
      return refuse(Exit::kData, error.message);
    default:
      return refuse(Exit::kTempfail, error.message);
  }
}

void SpamdSession::answered() {
  stage_ = Stage::kDone;
  ++env().stats.requests;
  share_.release();
  finish();
}

bool SpamdSession::may_tell() {
  if (request_.message_class == spamd::MessageClass::kNone && !request_.remove_local) {
    refuse(Exit::kUsage, "TELL needs Message-class, or Remove");
  } else if (!request_.set_local && !request_.remove_local) {
    refuse(Exit::kUsage, "TELL needs `Set: local` or `Remove: local`: nothing is reported to other places");
  } else if (!context_.options.tell_from_network && !is_of_this_machine(peer())) {
    refuse(Exit::kUnavailable, "TELL is taken from this machine only");
  } else {
    return true;
  }
  return false;
}

void SpamdSession::handle() {
  stage_ = Stage::kDone;
  if (request_.zlib) {
    auto unpacked = spamd::unpack_zlib(body_, context_.message_bytes_max);
    if (!unpacked) return refuse(unpacked.error());
    body_ = std::move(*unpacked);
    if (!share_.hold(body_.size())) return refuse(Exit::kTempfail, kBusy);
  }
  if (request_.command == Command::kTell)
    tell();
  else
    scan();
}

void SpamdSession::scan() {
  MailRequest request;
  // The user is whose mail this is; clients that scan for everybody say "nobody".
  request.direction = direction();
  if (!request_.user.empty() && request_.user != "nobody") {
    if (request.direction == MailDirection::kOut)
      request.user = request_.user;
    else
      request.recipients.push_back(request_.user);
  }
  request.received_by = context_.options.own_name;
  bool gives_back = request_.command == Command::kProcess || request_.command == Command::kHeaders;
  if (gives_back && !share_.hold(2 * body_.size())) return refuse(Exit::kTempfail, kBusy);
  if (gives_back) message_ = body_;
  request.message = std::move(body_);
  body_.clear();
  uint64_t number = wait(context_.options.scan_timeout_ms);
  context_.scanner.scan(std::move(request), false, [to = link(), number](base::Result<MailVerdict> result) {
    to.post([number, result = std::move(result)](net::Session& session) {
      auto& self = static_cast<SpamdSession&>(session);
      if (!self.proceed(number)) return;
      if (result) {
        self.context_.spamd.scanned.fetch_add(1, std::memory_order_relaxed);
        spamd::append_verdict(self.out(), self.request_.command, *result, self.message_,
                              self.context_.options.own_name);
        self.answered();
      } else {
        self.refuse(result.error());
      }
      self.go_on();
    });
  });
}

void SpamdSession::tell() {
  MailCorrection correction;
  correction.label = request_.set_local && request_.message_class == spamd::MessageClass::kHam
                         ? MailCorrection::Label::kHam
                         : MailCorrection::Label::kSpam;
  if (!request_.set_local) correction.label = MailCorrection::Label::kForget;
  correction.message = std::move(body_);
  correction.reporter = request_.user;
  correction.recipient = request_.user;
  uint64_t number = wait(context_.options.scan_timeout_ms);
  context_.scanner.learn(std::move(correction), [to = link(), number](base::Status status) {
    to.post([number, status = std::move(status)](net::Session& session) {
      auto& self = static_cast<SpamdSession&>(session);
      if (!self.proceed(number)) return;
      if (status || status.error().code == base::Code::kNotFound) {
        spamd::append_told(self.out(), self.request_, status.has_value());
        self.answered();
      } else {
        self.refuse(status.error());
      }
      self.go_on();
    });
  });
}

}  // namespace tamis::door
