// MilterSession: one connection of a mail server that speaks the milter protocol: any number of messages, one after the
// other. Private to this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "door/mail_context.h"
#include "door/milter_wire.h"
#include "net/byte_session.h"

namespace tamis::door {

class MilterSession final : public net::ByteSession {
 public:
  MilterSession(net::ByteEnv& env, MailContext& context)
      : ByteSession(env), context_(context), share_(context.budget) {}
  ~MilterSession() override { close(); }

 protected:
  size_t on_input(std::string_view data) override;
  void on_eof(std::string_view) override {}
  void on_overrun() override;
  void on_request_late() override;
  void on_wait_over() override;
  void on_open() override;
  void on_close() override;
  bool in_request() const override { return false; }

 private:
  void handle(const milter::Frame& frame);
  bool negotiate(std::string_view data);
  bool read_macros(std::string_view data);
  bool read_connect(std::string_view data);
  bool read_mail(std::string_view data);
  bool read_recipient(std::string_view data);
  bool read_header(std::string_view data);
  void read_body(std::string_view data);
  void end_of_header();
  void end_of_body(std::string_view data);
  void append_message(std::string_view text);
  bool fits(size_t more);
  void scan();
  void answer(const base::Result<MailVerdict>& result);
  void answer_verdict(const MailVerdict& verdict);
  void change_header(const MailVerdict& verdict);
  void remove_recipients(const MailVerdict& verdict);
  void reply(std::string_view text, std::string_view code, std::string_view enhanced, std::string_view fallback);
  void reply_oversized();
  void new_message();
  void new_connection();
  void broken(std::string_view why);

  MailContext& context_;
  milter::Options options_;
  bool negotiated_ = false;
  // Of the SMTP connection.
  std::string client_ip_, client_name_, helo_, received_by_, daemon_name_, tls_version_;
  // Of the message.
  MailRequest request_;
  std::string user_, queue_id_;
  std::string header_;                   // kept while the scanner has the message
  std::vector<std::string> recipients_;  // as the mail server wrote them
  bool anything_ = false, header_ended_ = false, oversized_ = false, overloaded_ = false;
  BudgetShare share_;
};

}  // namespace tamis::door
