// A scanner that judges by a word in the message, for tests, fuzzers and the program that real clients are tried on:
//
//   tamis-test:tag (or greylist, quarantine, reject, discard, fail, busy, never), tamis-test:refuse=ADDRESS
//
// Everything else is accepted. It answers before the call returns; `never` is answered by release() or not at all.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "door/mail_scanner.h"

namespace tamis::door {

class FakeScanner : public MailScanner {
 public:
  explicit FakeScanner(size_t message_bytes_max = 1 << 20) : message_bytes_max_(message_bytes_max) {}

  void scan(MailRequest request, bool explain, ScanDone done) override {
    base::Result<MailVerdict> result = judge(request, explain);
    bool never = std::string_view(request.message).find("tamis-test:never") != std::string_view::npos;
    {
      std::lock_guard lock(mutex_);
      ++stats_.scanned;
      if (keep) requests.push_back(std::move(request));
      if (never) {
        waiting_.emplace_back(std::move(result), std::move(done));
        return;
      }
    }
    done(std::move(result));
  }
  void learn(MailCorrection correction, LearnDone done) override {
    base::Status status;
    std::string_view text = correction.message;
    if (correction.id == "gone") status = base::fail(base::Code::kNotFound, "no decision `gone` is remembered");
    if (text.find("tamis-test:denied") != text.npos) status = base::fail(base::Code::kDenied, "you may not teach");
    if (text.find("tamis-test:known") != text.npos) status = base::fail(base::Code::kNotFound, "nothing to learn");
    {
      std::lock_guard lock(mutex_);
      ++stats_.learned;
      if (keep) corrections.push_back(std::move(correction));
    }
    done(std::move(status));
  }
  MailStats stats() const override {
    std::lock_guard lock(mutex_);
    return stats_;
  }
  size_t message_bytes_max() const override { return message_bytes_max_; }

  // Answers what waits; returns how many those were.
  size_t release() {
    std::vector<std::pair<base::Result<MailVerdict>, ScanDone>> waiting;
    {
      std::lock_guard lock(mutex_);
      waiting.swap(waiting_);
    }
    for (auto& [result, done] : waiting) done(std::move(result));
    return waiting.size();
  }
  size_t waiting() const {
    std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  MailRequest last() const {
    std::lock_guard lock(mutex_);
    return requests.empty() ? MailRequest{} : requests.back();
  }
  MailCorrection last_correction() const {
    std::lock_guard lock(mutex_);
    return corrections.empty() ? MailCorrection{} : corrections.back();
  }

  bool show_envelope = false;  // as a header of the answer
  bool keep = true;            // what was asked, in the next two
  std::vector<MailRequest> requests;
  std::vector<MailCorrection> corrections;
  std::string reply;  // of refusals

 private:
  static std::string envelope(const MailRequest& request) {
    std::string text = request.direction == MailDirection::kOut ? "out" : "in";
    for (const std::string* word : {&request.client_ip, &request.helo, &request.sender, &request.user})
      text += " <" + *word + ">";
    for (const std::string& recipient : request.recipients) text += " " + recipient;
    return text;
  }
  base::Result<MailVerdict> judge(const MailRequest& request, bool explain) const {
    std::string_view text = request.message;
    size_t at = text.find("tamis-test:");
    std::string_view word = at == text.npos ? std::string_view() : text.substr(at + 11);
    word = word.substr(0, word.find_first_of(" \r\n"));
    if (word == "fail") return base::fail(base::Code::kInternal, "the scanner failed");
    if (word == "busy") return base::fail(base::Code::kUnavailable, "the scanner is overloaded");
    MailVerdict verdict;
    verdict.id = "id-1";
    verdict.verdict = "accept";
    verdict.points = 1.5;
    verdict.points_required = 5;
    verdict.probability = 0.125;
    verdict.symbols = {{"seen", 1.5, "every message"}};
    verdict.reply = reply;
    std::pair<std::string_view, MailAction> actions[] = {
        {"tag", MailAction::kTag},     {"greylist", MailAction::kGreylist}, {"quarantine", MailAction::kQuarantine},
        {"defer", MailAction::kDefer}, {"defer-clean", MailAction::kDefer}, {"reject", MailAction::kReject}};
    for (auto [name, action] : actions) {
      if (word != name) continue;
      verdict.action = action;
      verdict.verdict = name;
      verdict.points = action == MailAction::kGreylist || word == "defer-clean" ? 4 : 15;
      verdict.deferred_spam = word == "defer";
      verdict.symbols.push_back({"test-word", verdict.points - 1.5, "the message asks for it"});
    }
    if (word == "discard") verdict.verdict = "discard";
    if (word.substr(0, 7) == "refuse=") verdict.recipients_refused.emplace_back(word.substr(7));
    std::string own = request.received_by.empty() ? "mx.example" : request.received_by;
    verdict.add_headers = {{"Authentication-Results", own + ";\n\tspf=none"},
                           {"X-Spam-Flag", verdict.points >= 5 ? "YES" : "NO"}};
    verdict.remove_headers = {"X-Spam-Flag", "Authentication-Results"};
    if (show_envelope) verdict.add_headers.push_back({"X-Fake-Envelope", envelope(request)});
    if (explain) verdict.explanation_json = "{\"because\":\"test\"}";
    return verdict;
  }

  const size_t message_bytes_max_;
  mutable std::mutex mutex_;  // guards what follows and the public records
  MailStats stats_;
  std::vector<std::pair<base::Result<MailVerdict>, ScanDone>> waiting_;
};

}  // namespace tamis::door
