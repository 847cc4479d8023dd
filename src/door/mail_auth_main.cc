// door_mail_auth: authenticates messages by DNS and prints what came of it, to try a server's DNS by hand and to
// compare with other implementations (test/mail_auth_test.py).
//
//   door_mail_auth [--dns SERVERS] [--budget-ms N] [--now SECONDS] [--list "NAME ip|domain ZONE CODE=MEANING..."]...
//
// Reads lines of tab-separated text from standard input: client address, HELO, MAIL FROM ("<>" for the null sender, "-"
// where it is not known), file. All are asked at the same time; for each line one is printed, in order: the
// milliseconds it took, flags ("time", "off" or "-"), hits of DNS lists parted by commas or "-", and the value of
// Authentication-Results.
#include <fmt/format.h>

#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "door/mail_auth.h"

namespace {

namespace base = tamis::base;
namespace door = tamis::door;
namespace mail = tamis::mail;
namespace net = tamis::net;

struct Options {
  std::string dns = "system";
  int64_t now_s = 0;
  door::MailAuthSettings settings;
};

bool read_number(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0;
}

// What is wrong, or nothing.
std::string read_options(int count, char** words, Options& out) {
  for (int i = 1; i < count; i += 2) {
    const std::string_view name = words[i];
    if (i + 1 == count) return fmt::format("{} needs a value", name);
    const std::string_view value = words[i + 1];
    if (name == "--dns") {
      out.dns = value;
    } else if (name == "--budget-ms") {
      if (!read_number(value, out.settings.budget_ms)) return "--budget-ms is no number";
    } else if (name == "--now") {
      if (!read_number(value, out.now_s)) return "--now is no number";
    } else if (name == "--list") {
      auto list = mail::parse_dns_list(value);
      if (!list) return list.error().message;
      out.settings.checks.dns_lists.push_back(std::move(*list));
    } else {
      return fmt::format("no option {}, expected --dns, --budget-ms, --now or --list", name);
    }
  }
  return {};
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find('\t', at), line.size());
    out.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string shown(const mail::MailAuthResults& results) {
  std::string hits;
  for (const auto& hit : results.dns_list_hits) {
    hits += fmt::format("{}{}:{}:{}:{}", hits.empty() ? "" : ",", hit.list, hit.item, hit.where, hit.meaning);
  }
  return fmt::format("{:.1f}\t{}\t{}\t{}", results.took_ms,
                     results.dns_off       ? "off"
                     : results.out_of_time ? "time"
                                           : "-",
                     hits.empty() ? "-" : hits, results.to_authentication_results("mx.example.net", " "));
}

class Answers {
 public:
  void add(size_t line, std::string text) {
    const std::lock_guard lock(mutex_);
    if (lines_.size() <= line) lines_.resize(line + 1);
    lines_[line] = std::move(text);
    ++count_;
    changed_.notify_all();
  }
  const std::vector<std::string>& wait(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ == count; });
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  size_t count_ = 0;
};

}  // namespace

int main(int count, char** words) {
  Options options;
  const std::string fault = read_options(count, words, options);
  const base::SystemClock clock;
  Answers answers;  // outlives the resolver, which tells everybody when it ends
  auto resolver = net::open_resolver(options.dns, {}, clock);
  if (!fault.empty() || !resolver) {
    fmt::print(stderr, "door_mail_auth: {}\n", fault.empty() ? resolver.error().message : fault);
    return 2;
  }
  const door::MailAuthenticator authenticator(options.settings, **resolver, clock);
  mail::Analyser analyser;
  size_t lines = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const std::vector<std::string> fields = fields_of(line);
    std::ifstream file(fields.size() == 4 ? fields[3] : std::string(), std::ios::binary);
    if (!file) {
      fmt::print(stderr, "door_mail_auth: line {}: expected ADDRESS, HELO, SENDER and a FILE that can be read\n",
                 lines + 1);
      return 2;
    }
    const std::string message{std::istreambuf_iterator<char>(file), {}};
    mail::AuthEnvelope envelope;
    envelope.client_ip = fields[0];
    envelope.helo = fields[1];
    envelope.has_sender = fields[2] != "-";
    envelope.sender = fields[2] == "<>" || fields[2] == "-" ? "" : fields[2];
    envelope.receiver_name = "mx.example.net";
    envelope.now_s = options.now_s;
    authenticator.authenticate(analyser.analyse(message), envelope, [&answers, number = lines](const auto& results) {
      answers.add(number, shown(results));
    });
    ++lines;
  }
  for (const std::string& line : answers.wait(lines)) fmt::print("{}\n", line);
  return 0;
}
