// Drives a MilterSession or a SpamdSession with bytes instead of a socket, for tests and fuzzers.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "door/mail_context.h"
#include "door/mail_scanner_test_kit.h"
#include "net/byte_session.h"
#include "net/loop.h"

namespace tamis::door {

template <class SessionType>
class MailSessionDriver {
 public:
  explicit MailSessionDriver(MailDoorOptions options = {}, size_t message_bytes_max = 1 << 20,
                             const char* peer_address = nullptr)
      : scanner(message_bytes_max), context(scanner, options), session(env, context) {
    env.now_ms = 1'000'000;
    env.limits.input_bytes_max = 1 << 20;
    if (peer_address != nullptr) {
      peer.family = net::PeerAddress::Family::kIp4;
      peer.bytes = {192, 0, 2, 1};
      peer.text_bytes = static_cast<uint8_t>(std::strlen(peer_address));
      std::memcpy(peer.text_buffer.data(), peer_address, peer.text_bytes);
    }
    open();
  }
  ~MailSessionDriver() { session.close(); }

  void open() { session.open(peer, net::SessionLink(mailbox, 7)); }

  // Feeds bytes, as far as the session takes them, and collects the output.
  void feed(std::string_view bytes) {
    while (!bytes.empty() && session.wants_read()) {
      auto space = session.read_space();
      size_t n = std::min(space.size(), bytes.size());
      std::memcpy(space.data(), bytes.data(), n);
      session.received(n);
      bytes.remove_prefix(n);
      settle();
    }
  }
  void feed_eof() {
    if (session.wants_read()) session.received_eof();
    settle();
  }
  // Runs what was posted and takes the output, until nothing happens any more.
  void settle() {
    for (;;) {
      std::vector<std::function<void()>> tasks;
      std::vector<net::Mailbox::Letter> letters;
      uint64_t stop_ms = 0;
      mailbox->drain(tasks, letters, stop_ms);
      for (auto& letter : letters) letter.task(session);
      bool wrote = session.wants_write();
      while (session.wants_write()) {
        std::string_view text = session.output();
        output.append(text);
        session.sent(text.size());
      }
      if (letters.empty() && !wrote) return;
    }
  }
  // Lets time pass; true when the session's deadline fired.
  bool advance(uint64_t ms) {
    env.now_ms += ms;
    if (session.finished() || env.now_ms < session.deadline_ms()) return false;
    session.on_timeout();
    settle();
    return true;
  }
  std::string take_output() { return std::exchange(output, {}); }

  FakeScanner scanner;
  MailContext context;
  net::ByteEnv env;
  net::PeerAddress peer;
  std::shared_ptr<net::Mailbox> mailbox = std::make_shared<net::Mailbox>();
  std::string output;
  SessionType session;
};

}  // namespace tamis::door
