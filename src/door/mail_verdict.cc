#include "door/mail_verdict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "door/mail_service.h"
#include "event/json_writer.h"
#include "mail/trace.h"
#include "model/features.h"

#include <fmt/format.h>

namespace tamis::door {
namespace {

constexpr size_t kTestsBytesMax = 800;  // of the names in X-Spam-Status
constexpr std::array<std::string_view, 5> kActions = {"accept", "greylist", "tag", "quarantine", "reject"};
constexpr std::array<std::string_view, 5> kOurHeaders = {"X-Spam-Flag", "X-Spam-Score", "X-Spam-Level", "X-Spam-Status",
                                                         "X-Spam-Id"};

bool same_name(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// Where harsher verdicts begin by points.
std::optional<double> threshold_of(const policy::EventType& type, int32_t from_place) {
  std::optional<double> found;
  for (const auto& [points, place] : type.thresholds) {
    if (place >= from_place && (!found || points < *found)) found = points;
  }
  return found;
}

// Which copies of our headers came with the message. Doors take copies out from the top, so a forged
// Authentication-Results takes those above it along.
void find_forged(const mail::Message& message, std::string_view host, MailVerdict& verdict) {
  base::Arena arena;
  size_t results = 0, forged_results = 0;
  for (const mail::Header& header : message.headers_of(message.parts[0])) {
    for (const std::string_view name : kOurHeaders) {
      if (same_name(header.name, name)) verdict.remove_headers.emplace_back(name);
    }
    if (header.id != mail::HeaderId::kAuthenticationResults) continue;
    ++results;
    std::vector<mail::AuthResult> claims;
    mail::parse_authentication_results(header.value, 64, arena, claims);
    const std::string_view value = mail::unfold(header.value, arena);
    const bool ours = !claims.empty() ? same_name(claims[0].server, host)
                                      : same_name(value.substr(0, value.find_first_of("; ")), host);
    if (ours) forged_results = results;
  }
  for (size_t i = 0; i < forged_results; ++i) verdict.remove_headers.emplace_back("Authentication-Results");
}

std::string results_of(const MailRequest& request, const learn::MailAuthentication& found) {
  if (!found.header.empty()) return found.header;
  if (!found.dns) return "none";
  std::string out = "spf=" + found.spf;
  if (!request.sender.empty()) out += " smtp.mailfrom=" + request.sender.substr(request.sender.rfind('@') + 1);
  out += "; dkim=" + found.dkim;
  if (!found.dkim_domains.empty()) out += " header.d=" + found.dkim_domains[0];
  return out + "; dmarc=" + found.dmarc + "; arc=" + found.arc;
}

// A header's value: one line, printable ASCII.
std::string header_text(std::string text) {
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

}  // namespace

MailAction mail_action(std::string_view verdict, const std::vector<std::string>& ladder) {
  for (size_t i = 0; i < kActions.size(); ++i) {
    if (verdict == kActions[i]) return static_cast<MailAction>(i);
  }
  const auto place = std::find(ladder.begin(), ladder.end(), verdict);
  if (place == ladder.end() || ladder.size() < 2) return MailAction::kAccept;
  const auto index = static_cast<size_t>(place - ladder.begin());
  // Between two verdicts that we know it is the milder of them; at the ends the ladder's ends are ours.
  if (index + 1 == ladder.size()) return MailAction::kReject;
  for (size_t i = index; i-- > 0;) {
    for (size_t k = 0; k < kActions.size(); ++k) {
      if (ladder[i] == kActions[k]) return static_cast<MailAction>(k);
    }
  }
  return index == 0 ? MailAction::kAccept : MailAction::kTag;
}

void take_decision(const engine::Decision& decision, MailVerdict& verdict) {
  const policy::EventType& type = *decision.type;
  verdict.id = decision.id;
  verdict.verdict = decision.verdict_name();
  verdict.action = mail_action(verdict.verdict, type.ladder);
  verdict.points = decision.points;
  const auto tag = std::find(type.ladder.begin(), type.ladder.end(), "tag");
  const auto place = tag == type.ladder.end() ? 1 : static_cast<int32_t>(tag - type.ladder.begin());
  verdict.points_required = threshold_of(type, place).value_or(0);
  for (const engine::Match& match : decision.matches) {
    if (!match.acts) continue;
    const policy::Rule& rule = type.rules[match.rule];
    verdict.symbols.push_back({rule.id, match.points, std::string(match.reason)});
    if (rule.verdict == decision.verdict && verdict.reply.empty()) verdict.reply = rule.say;
  }
}

void dress_verdict(const MailRequest& request, const std::string& host, const learn::MailAuthentication& found,
                   const mail::Message& message, MailVerdict& verdict) {
  const bool refused = verdict.action == MailAction::kReject || verdict.action == MailAction::kGreylist;
  if (!refused) {
    verdict.reply.clear();
  } else {
    if (verdict.reply.empty()) {
      verdict.reply = verdict.action == MailAction::kGreylist
                          ? "Not yet known here, please try again in some minutes"
                          : "This message is not accepted; if that is wrong, tell the recipient";
    }
    verdict.reply = header_text(verdict.reply + " (ref " + verdict.id + ")");
  }
  const std::string& own = request.received_by.empty() ? host : request.received_by;
  if (!message.parts.empty()) find_forged(message, own, verdict);
  if (request.direction == MailDirection::kOut) return;  // what others see of our judgement is theirs to make
  const bool spam = verdict.action >= MailAction::kTag;
  std::string tests;
  for (const MailSymbol& symbol : verdict.symbols) {
    if (tests.size() + symbol.name.size() > kTestsBytesMax) break;
    tests += (tests.empty() ? "" : ",") + symbol.name;
  }
  auto& headers = verdict.add_headers;
  headers.push_back({"Authentication-Results", header_text(own + "; " + results_of(request, found))});
  if (spam) headers.push_back({"X-Spam-Flag", "YES"});
  headers.push_back({"X-Spam-Score", fmt::format("{:.2f}", verdict.points)});
  const auto stars = static_cast<size_t>(std::clamp(verdict.points, 0.0, 50.0));
  if (stars > 0) headers.push_back({"X-Spam-Level", std::string(stars, '*')});
  headers.push_back({"X-Spam-Status", header_text(fmt::format(
                                          "{}, score={:.2f} required={:.2f} tests={}", spam ? "Yes" : "No",
                                          verdict.points, verdict.points_required, tests.empty() ? "none" : tests))});
  headers.push_back({"X-Spam-Id", header_text(verdict.id)});
}

std::string explain_json(const std::string& decision_json, const learn::MailLearner::Scored& scored,
                         const learn::MailAuthentication& found, const MailVerdict& verdict,
                         const learn::MailFilter& filter) {
  const model::SpamScore& score = scored.score;
  const mail::MessageFacts& facts = filter.analysis().facts;
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("decision").raw(decision_json);
  json.key("rules").begin_array();
  for (const MailSymbol& symbol : verdict.symbols) {
    json.begin_object().key("rule").string(symbol.name).key("points").real(symbol.score);
    json.key("reason").string(symbol.description).end_object();
  }
  json.end_array();
  json.key("model").begin_object().key("version").string(scored.version);
  json.key("probability").real(static_cast<double>(score.probability));
  json.key("logit").real(static_cast<double>(score.logit)).key("threshold").real(static_cast<double>(scored.threshold));
  // They add up to the logit.
  json.key("contributions").begin_object();
  for (size_t place = 0; place < model::kPlaces; ++place) {
    json.key(model::place_name(static_cast<model::Place>(place)));
    json.real(static_cast<double>(score.linear_by_place[place]));
  }
  json.key("counts_of_words").real(static_cast<double>(score.bayes));
  json.key("like_past_messages").real(static_cast<double>(score.neighbours));
  json.key("threshold_by_feedback").real(static_cast<double>(score.bias)).end_object().end_object();
  json.key("authentication").begin_object().key("dns").boolean(found.dns);
  json.key("spf").string(found.spf).key("dkim").string(found.dkim).key("dmarc").string(found.dmarc);
  json.key("arc").string(found.arc);
  for (const auto& [name, values] : {std::pair("ip_lists", &found.ip_lists), {"domain_lists", &found.domain_lists}}) {
    json.key(name).begin_array();
    for (const std::string& value : *values) json.string(value);
    json.end_array();
  }
  json.end_object();
  json.key("campaign").begin_object();
  json.key("text_digest").string(fmt::format("{:016x}", facts.text_digest));
  json.key("structure_digest").string(fmt::format("{:016x}", facts.structure_digest)).end_object();
  json.end_object();
  return out;
}

}  // namespace tamis::door
