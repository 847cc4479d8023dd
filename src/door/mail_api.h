// The part of the HTTP API for mail: a message in, a verdict out, and corrections. docs/API.md is the reference. Wire
// format only.
#pragma once

#include "door/desk.h"
#include "door/mail_service.h"

namespace tamis::door {

class MailApi {
 public:
  // `desk` and `mail` outlive this. Stop the server first.
  MailApi(net::HttpServer& server, Desk& desk, MailService& mail, const MakeRoute& route);

 private:
  void scan(const net::Request& in, net::Response& out);
  void learn(const net::Request& in, net::Response& out);
  void take_back(const net::Request& in, net::Response& out);
  void finish_batch(const net::Request& in, net::Response& out);
  void put_golden(const net::Request& in, net::Response& out);
  void write_golden(std::string& out);
  void write_stats(std::string& out);

  Desk& desk_;
  MailService& mail_;
};

// A verdict as JSON.
void write_json(const MailVerdict& verdict, std::string& out);
std::string_view name_of(MailAction action);

}  // namespace tamis::door
