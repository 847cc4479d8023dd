// SpamdSession: one connection of spamd's protocol, which is one request. Private to this room.
#pragma once

#include <string>
#include <string_view>

#include "door/mail_context.h"
#include "door/spamd_answer.h"
#include "door/spamd_request.h"
#include "net/byte_session.h"

namespace tamis::door {

class SpamdSession : public net::ByteSession {
 public:
  SpamdSession(net::ByteEnv& env, MailContext& context) : ByteSession(env), context_(context), share_(context.budget) {}
  ~SpamdSession() override { close(); }

 protected:
  size_t on_input(std::string_view data) override;
  void on_eof(std::string_view data) override;
  void on_overrun() override;
  void on_request_late() override;
  void on_wait_over() override;
  void on_open() override;
  void on_close() override;
  bool in_request() const override { return stage_ == Stage::kBody; }
  virtual MailDirection direction() const { return MailDirection::kIn; }

 private:
  enum class Stage : uint8_t { kHead, kBody, kDone };

  size_t read_head(std::string_view data);
  size_t read_body(std::string_view data);
  void handle();
  bool may_tell();
  void scan();
  void tell();
  void refuse(spamd::Exit exit, std::string_view text);
  void refuse(const base::Error& error);
  void answered();

  MailContext& context_;
  Stage stage_ = Stage::kHead;
  spamd::Request request_;
  std::string body_;
  std::string message_;  // kept for PROCESS and HEADERS, while the scanner has its own
  BudgetShare share_;
};

// Where one's own users' mail is asked about: `User` is who sends it.
class SpamdOutSession final : public SpamdSession {
 public:
  using SpamdSession::SpamdSession;
  ~SpamdOutSession() override { close(); }

 private:
  MailDirection direction() const override { return MailDirection::kOut; }
};

}  // namespace tamis::door
