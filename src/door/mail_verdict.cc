#include "door/mail_verdict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "door/mail_service.h"
#include "door/mail_text.h"
#include "event/json_writer.h"
#include "learn/message_features.h"
#include "mail/features.h"
#include "mail/trace.h"
#include "model/features.h"

#include <fmt/format.h>

namespace tamis::door {
namespace {

constexpr size_t kTestsBytesMax = 800;  // of the names in X-Spam-Status
constexpr std::array<std::string_view, kMailActions> kActions = {"accept",     "greylist", "tag",
                                                                 "quarantine", "defer",    "reject"};
constexpr std::array<std::string_view, 5> kOurHeaders = {"X-Spam-Flag", "X-Spam-Score", "X-Spam-Level", "X-Spam-Status",
                                                         "X-Spam-Id"};

// Where harsher verdicts begin by points.
std::optional<double> threshold_of(const policy::EventType& type, int32_t from_place) {
  std::optional<double> found;
  for (const auto& [points, place] : type.thresholds) {
    if (place >= from_place && (!found || points < *found)) found = points;
  }
  return found;
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
  const int32_t tag = type.place_of("tag");
  verdict.points_required = threshold_of(type, tag < 0 ? 1 : tag).value_or(0);
  for (const engine::Match& match : decision.matches) {
    if (!match.acts) continue;
    const policy::Rule& rule = type.rules[match.rule];
    verdict.symbols.push_back({rule.id, match.points, std::string(match.reason)});
    if (rule.verdict == decision.verdict && verdict.reply.empty()) verdict.reply = rule.say;
    if (verdict.action == MailAction::kDefer && rule.verdict >= 0) {
      const MailAction other = mail_action(type.ladder[static_cast<size_t>(rule.verdict)], type.ladder);
      verdict.deferred_spam |= other >= MailAction::kTag && other != MailAction::kDefer;
    }
  }
  verdict.deferred_spam |=
      verdict.action == MailAction::kDefer && verdict.points_required > 0 && verdict.points >= verdict.points_required;
}

std::vector<std::string> forged_headers(const mail::Message& message, std::string_view own_name) {
  std::vector<std::string> names;
  if (message.parts.empty()) return names;
  for (const mail::Header& header : message.headers_of(message.parts[0])) {
    for (const std::string_view name : kOurHeaders) {
      const bool is_new = std::find(names.begin(), names.end(), name) == names.end();
      if (is_new && same_name(header.name, name)) names.emplace_back(name);
    }
  }
  const size_t forged = mail::forged_authentication_results(message, own_name).size();
  names.insert(names.end(), forged, "Authentication-Results");
  return names;
}

void explain_score(const learn::MailFilter& filter, const learn::MailLearner& learner,
                   model::SpamModel::Scratch& scratch, MailJudgement& out) {
  const mail::Analysis& analysis = filter.analysis();
  out.why = learner.explain(filter.features(), scratch);
  out.text_digest = analysis.facts.text_digest;
  out.structure_digest = analysis.facts.structure_digest;
  std::vector<mail::Feature> features;
  std::vector<std::string> texts;
  mail::collect_features(analysis, {}, features, &texts);
  for (const model::SpamExplanation::Part& part : out.why.strongest) {
    for (size_t i = 0; i < features.size(); ++i) {
      if (model::feature_id(learn::model_place(features[i].place), features[i].hash) != part.feature) continue;
      out.strongest.emplace_back(texts[i], part.logit);
      break;
    }
  }
}

void dress_verdict(const MailRequest& request, const std::string& own_name, MailJudgement& judgement) {
  MailVerdict& verdict = judgement.verdict;
  const bool refused = verdict.action == MailAction::kReject || verdict.action == MailAction::kGreylist ||
                       verdict.action == MailAction::kDefer;
  if (!refused) {
    verdict.reply.clear();
  } else {
    if (verdict.reply.empty()) {
      verdict.reply = verdict.action == MailAction::kGreylist ? "Not yet known here, please try again in some minutes"
                      : verdict.action == MailAction::kDefer
                          ? "Too many messages at once, please try again later"
                          : "This message is not accepted; if that is wrong, tell the recipient";
    }
    verdict.reply = header_text(verdict.reply + " (ref " + verdict.id + ")");
  }
  if (request.direction == MailDirection::kOut) return;  // what others see of our judgement is theirs to make
  const bool spam = is_spam(verdict);
  std::string tests;
  for (const MailSymbol& symbol : verdict.symbols) {
    if (tests.size() + symbol.name.size() > kTestsBytesMax) break;
    tests += (tests.empty() ? "" : ",") + symbol.name;
  }
  auto& headers = verdict.add_headers;
  const std::string results = judgement.authentication.results_text();
  headers.push_back({"Authentication-Results", header_text(own_name + "; " + results)});
  if (spam) headers.push_back({"X-Spam-Flag", "YES"});
  headers.push_back({"X-Spam-Score", fmt::format("{:.2f}", verdict.points)});
  const auto stars = static_cast<size_t>(std::clamp(verdict.points, 0.0, 50.0));
  if (stars > 0) headers.push_back({"X-Spam-Level", std::string(stars, '*')});
  const std::string status = fmt::format("{}, score={:.2f} required={:.2f} tests={}", spam ? "Yes" : "No",
                                         verdict.points, verdict.points_required, tests.empty() ? "none" : tests);
  headers.push_back({"X-Spam-Status", header_text(status)});
  headers.push_back({"X-Spam-Id", header_text(verdict.id)});
}

namespace {

void write_model(const MailJudgement& judgement, event::JsonWriter& json) {
  const model::SpamExplanation& why = judgement.why;
  json.key("model").begin_object().key("version").string(judgement.scored.version);
  json.key("probability").real(static_cast<double>(judgement.scored.score.probability));
  json.key("logit").real(static_cast<double>(why.logit));
  json.key("threshold").real(static_cast<double>(judgement.scored.threshold));
  if (judgement.scored.own_word) json.key("recipient_said").string(*judgement.scored.own_word ? "spam" : "ham");
  // They add up to the logit.
  json.key("contributions").begin_object();
  for (size_t place = 0; place < model::kPlaces; ++place) {
    json.key(model::place_name(static_cast<model::Place>(place))).real(static_cast<double>(why.by_place[place]));
  }
  json.key("like_past_messages").real(static_cast<double>(why.neighbours));
  json.key("threshold_by_feedback").real(static_cast<double>(why.bias)).end_object();
  json.key("strongest").begin_array();
  for (const auto& [what, logit] : judgement.strongest) {
    json.begin_object().key("what").string(what).key("logit").real(static_cast<double>(logit)).end_object();
  }
  json.end_array().end_object();
}

void write_authentication(const mail::MailAuthResults& found, event::JsonWriter& json) {
  json.key("authentication").begin_object().key("dns").boolean(!found.dns_off);
  json.key("spf").string(mail::name_of(found.spf.result)).key("dkim").string(mail::name_of(found.best_dkim()));
  json.key("dmarc").string(mail::name_of(found.dmarc.result)).key("arc").string(mail::name_of(found.arc.result));
  json.key("results").string(found.results_text()).key("dns_lists").begin_array();
  for (const auto& hit : found.dns_list_hits) {
    json.begin_object().key("list").string(hit.list).key("item").string(hit.item).key("where").string(hit.where);
    json.key("meaning").string(hit.meaning).end_object();
  }
  json.end_array().end_object();
}

}  // namespace

std::string explain_json(const std::string& decision_json, const MailJudgement& judgement) {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object().key("decision").raw(decision_json);
  json.key("rules").begin_array();
  for (const MailSymbol& symbol : judgement.verdict.symbols) {
    json.begin_object().key("rule").string(symbol.name).key("points").real(symbol.score);
    json.key("reason").string(symbol.description).end_object();
  }
  json.end_array();
  write_model(judgement, json);
  write_authentication(judgement.authentication, json);
  json.key("campaign").begin_object();
  json.key("text_digest").string(fmt::format("{:016x}", judgement.text_digest));
  json.key("structure_digest").string(fmt::format("{:016x}", judgement.structure_digest)).end_object();
  json.end_object();
  return out;
}

}  // namespace tamis::door
