// What a message and its decision become for a mail server: points, symbols, headers, the reply to a refusal. Private
// to this room.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "door/mail_origin.h"
#include "door/mail_scanner.h"
#include "engine/decision.h"
#include "learn/mail_filter.h"
#include "learn/mail_learner.h"

namespace tamis::door {

// A message between being read and being decided: nothing of its content, but all that its verdict is made of.
struct MailJudgement {
  MailVerdict verdict;  // with id and remove_headers
  MailOrigin origin;
  learn::MailLearner::Scored scored;
  std::string event_json;  // to be ended with what authentication says
  std::vector<model::FeatureId> features;
  uint64_t text_key = 0;
  mail::MailAuthResults authentication;
  // For explanations only.
  model::SpamExplanation why;
  std::vector<std::pair<std::string, float>> strongest;  // what spoke loudest, as text
  uint64_t text_digest = 0, structure_digest = 0;
};

// Headers of the message that only we may set: as MailVerdict::remove_headers names them.
std::vector<std::string> forged_headers(const mail::Message& message, std::string_view own_name);
// Takes the score apart, with the message still at hand.
void explain_score(const learn::MailFilter& filter, const learn::MailLearner& learner,
                   model::SpamModel::Scratch& scratch, MailJudgement& out);
// The parts that come from the engine; runs under its lock, so it only copies.
void take_decision(const engine::Decision& decision, MailVerdict& verdict);
// The headers and the reply, once the rest is there.
void dress_verdict(const MailRequest& request, const std::string& own_name, MailJudgement& judgement);
// The decision with what the model and authentication said, as one JSON object: for `tamis mail explain` and
// analysts. It has all that an evader would like to know, and the strongest features as words.
std::string explain_json(const std::string& decision_json, const MailJudgement& judgement);

}  // namespace tamis::door
