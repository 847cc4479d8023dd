// What of a standing may be shown to whom.
#include <algorithm>
#include <array>

#include "event/json_event.h"
#include "event/time_text.h"
#include "replay/standing.h"

namespace tamis::replay {
namespace {

using event::JsonWriter;

constexpr int64_t kDayMs = 86'400'000;
constexpr size_t kSaysMax = 2;

// "21 November 2026": people read days, not time stamps.
std::string day_of(int64_t time_ms) {
  constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                        "May",       "June",     "July",     "August",
                                                        "September", "October",  "November", "December"};
  int64_t days = time_ms >= 0 ? time_ms / kDayMs : -((kDayMs - 1 - time_ms) / kDayMs);
  event::CivilDate date = event::civil_from_days(days);
  return std::to_string(date.day) + " " + std::string(kMonths[static_cast<size_t>(date.month - 1)]) + " " +
         std::to_string(date.year);
}

// "08:14 UTC"
std::string hour_of(int64_t time_ms) { return event::format_time_ms(time_ms).substr(11, 5) + " UTC"; }

std::string noun_of(std::string_view on) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNouns = {{{"account", "account"},
                                                                                    {"ip", "internet address"},
                                                                                    {"network", "network"},
                                                                                    {"domain", "domain"},
                                                                                    {"device", "device"},
                                                                                    {"email", "mail address"},
                                                                                    {"asn", "network"}}};
  for (auto [kind, noun] : kNouns) {
    if (kind == on) return "this " + std::string(noun);
  }
  if (on == "event:mail") return "this message";
  return on.substr(0, 6) == "event:" ? "this " + std::string(on.substr(6)) : "this " + std::string(on);
}

void write_time(JsonWriter& json, std::string_view key, int64_t time_ms) {
  json.key(key);
  bool is_time = time_ms != 0 && time_ms != state::kNeverExpires;
  is_time ? json.string(event::format_time_ms(time_ms)) : json.null();
}

void write_mark(const Mark& mark, Reader reader, bool with_entity, JsonWriter& json) {
  json.begin_object();
  if (with_entity) json.key("on").string(mark.on);
  if (with_entity || !mark.list.empty()) json.key("value").string(mark.value);
  if (!mark.name.empty()) json.key("name").string(mark.name);
  if (!mark.list.empty()) json.key("list").string(mark.list).key("of").string(mark.of_policy ? "policy" : "run_time");
  write_time(json, "since", mark.since_ms);
  write_time(json, "until", mark.expires_ms);
  json.key("by").string(mark.by);
  // What rules write into a label is made for analysts: it may hold counts and values of others.
  bool of_rule = mark.by.substr(0, 5) == "rule:";
  if (!mark.reason.empty() && (reader == Reader::kAnalyst || !of_rule)) json.key("reason").string(mark.reason);
  if (mark.is_over) json.key("over").boolean(true);
  if (!mark.say.empty() && !mark.is_over) json.key("say").string(mark.say);
  json.end_object();
}

void write_marks(JsonWriter& json, std::string_view key, const std::vector<Mark>& marks, Reader reader,
                 bool with_entity) {
  json.key(key).begin_array();
  for (const Mark& mark : marks) write_mark(mark, reader, with_entity, json);
  json.end_array();
}

void write_texts(JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.key(key).begin_array();
  for (const std::string& text : texts) json.string(text);
  json.end_array();
}

void write_decision(const PastDecision& decision, Reader reader, JsonWriter& json) {
  json.begin_object().key("type").string(decision.type).key("id").string(decision.id);
  write_time(json, "time", decision.time_ms);
  json.key("verdict").string(decision.verdict);
  if (!decision.revised.empty()) json.key("revised").string(decision.revised);
  if (reader == Reader::kAnalyst) {
    write_texts(json, "rules", decision.rules);
    write_texts(json, "reasons", decision.reasons);
    json.key("points").real(decision.points).key("score").real(decision.score).key("policy").string(decision.policy);
  }
  if (decision.is_over) json.key("over").boolean(true);
  if (!decision.say.empty() && !decision.is_over) write_texts(json, "say", decision.say);
  json.end_object();
}

void write_act(const PastAct& act, JsonWriter& json) {
  json.begin_object().key("act").string(act.act);
  if (!act.list.empty()) json.key("list").string(act.list);
  if (!act.name.empty()) json.key("name").string(act.name);
  write_time(json, "time", act.time_ms);
  json.key("by").string(act.by);
  if (!act.reason.empty()) json.key("reason").string(act.reason);
  if (!act.batch.empty()) json.key("batch").string(act.batch);
  json.end_object();
}

}  // namespace

base::Result<Reader> reader_named(std::string_view name) {
  if (name == "analyst") return Reader::kAnalyst;
  if (name == "support") return Reader::kSupport;
  if (name == "customer") return Reader::kCustomer;
  return base::invalid("\"" + std::string(name.substr(0, 64)) + "\": expected analyst, support or customer");
}

// What a verdict of the ready policies did, of an event.
std::string_view deed_of(std::string_view verdict) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kDeeds = {
      {{"accept", "let it through"},
       {"allow", "let it through"},
       {"notify", "let it through and told the owner of the account"},
       {"tag", "marked it as probably unwanted; it was delivered"},
       {"quarantine", "put it aside as probably unwanted"},
       {"greylist", "asked the sender's server to try again some minutes later"},
       {"defer", "asked the sender's server to try again later"},
       {"delay", "let it wait a little"},
       {"challenge", "asked for one more proof before it could go on"},
       {"hold", "held it back"},
       {"lock", "closed the sessions of the account"},
       {"reject", "refused it"}}};
  for (auto [name, deed] : kDeeds) {
    if (name == verdict) return deed;
  }
  return verdict == "refuse" ? "refused it" : "stepped in";
}

// How hard a verdict of the ready policies is for people; 0: it is not known.
int hardness_of(std::string_view verdict) {
  constexpr std::array<std::string_view, 12> kHardest = {"accept",   "allow",      "notify",    "tag",
                                                         "greylist", "delay",      "challenge", "defer",
                                                         "hold",     "quarantine", "reject",    "lock"};
  const auto* at = std::find(kHardest.begin(), kHardest.end(), verdict == "refuse" ? "reject" : verdict);
  return at == kHardest.end() ? 0 : static_cast<int>(at - kHardest.begin()) + 1;
}

// Of an event: what was done with it, and what whoever asks can do.
void add_event_words(const Standing& standing, const std::string& noun, std::vector<std::string>& words) {
  if (standing.decisions.empty()) {
    words.push_back(standing.events == 0 ? "We have no record of " + noun + "; it may be too long ago."
                                         : "Our automatic checks let " + noun + " through.");
    return;
  }
  const PastDecision& decision = standing.decisions.front();
  words.push_back("On " + day_of(decision.time_ms) + ", " + hour_of(decision.time_ms) +
                  ", our automatic checks looked at " + noun + " and " + std::string(deed_of(decision.verdict)) + ".");
  const std::string& now = decision.revised.empty() ? decision.verdict : decision.revised;
  if (now != decision.verdict) {
    words.push_back("That was looked at again since, and changed: now they would have " +
                    std::string(now == "accept" || now == "allow" ? "let it through" : "done otherwise") + ".");
  } else if (decision.is_over) {
    words.push_back("The account was looked at since, and what was held against it was taken back.");
  } else if (standing.on == "event:mail" && (now == "tag" || now == "quarantine")) {
    words.push_back("If that was wrong, mark it as wanted or tell us so: the checks learn from it.");
  }
}

// Only of what is in force and how often checks have stepped in: nothing here names a rule, a list, a label, a number
// that a rule compares with, or anybody else. What the policy's `say:` allows to be told is told as it stands.
std::vector<std::string> customer_words(const Standing& standing) {
  const std::string noun = noun_of(standing.on);
  const bool is_event = standing.on.starts_with("event:");
  std::vector<std::string> words, says;
  int64_t since_ms = INT64_MAX, until_ms = 0;
  size_t marks = 0;
  auto hear = [&](const std::string& say) {
    bool is_new = !say.empty() && std::find(says.begin(), says.end(), say) == says.end();
    if (is_new && says.size() < kSaysMax) says.push_back(say);
  };
  // First what hurt most: of the hardest decision the last rule, as rules go from mild to hard. Nothing of what is
  // over.
  const PastDecision* hardest = nullptr;
  for (const PastDecision& decision : standing.decisions) {
    const bool is_harder = hardest == nullptr || hardness_of(hardest->verdict) < hardness_of(decision.verdict);
    if (!decision.is_over && is_harder) hardest = &decision;
  }
  if (hardest != nullptr && !hardest->say.empty()) hear(hardest->say.back());
  for (const std::vector<Mark>* part : {&standing.labels, &standing.entries, &standing.around}) {
    for (auto mark = part->rbegin(); mark != part->rend(); ++mark) {
      if (mark->is_over) continue;
      ++marks;
      if (mark->since_ms != 0) since_ms = std::min(since_ms, mark->since_ms);
      // How long a rule slows somebody down is nothing to wait for: an owner is told what to do, anybody else nothing.
      const bool is_passing = mark->by.starts_with("rule:") && mark->expires_ms - mark->since_ms <= kDayMs;
      if (!is_passing) until_ms = std::max(until_ms, mark->expires_ms);
      hear(mark->say);
    }
  }
  for (const PastDecision& decision : standing.decisions) {
    for (const std::string& say : decision.say) {
      if (!decision.is_over) hear(say);
    }
  }
  if (marks > 0) {
    words.push_back((since_ms == INT64_MAX ? std::string("At present our systems take")
                                           : "Since " + day_of(since_ms) + " our systems have taken") +
                    " a note about " + noun + " into account.");
    if (until_ms == state::kNeverExpires) {
      words.push_back("It stays until a member of our team takes it back.");
    } else if (until_ms != 0) {
      words.push_back("It ends by itself on " + day_of(until_ms) + ", " + hour_of(until_ms) + ".");
    }
  } else if (is_event) {
    add_event_words(standing, noun, words);
  } else {
    words.push_back("At present nothing is in force on " + noun + ".");
  }
  if (!is_event && standing.intervened > 0 && !standing.decisions.empty()) {
    words.push_back("Automatic checks stepped in when " + noun + " was used in the last " +
                    std::to_string(standing.window_ms / kDayMs) + " days, most recently on " +
                    day_of(standing.decisions.front().time_ms) + ".");
  }
  const bool is_settled = std::any_of(standing.decisions.begin(), standing.decisions.end(),
                                      [&](const PastDecision& d) { return d.time_ms <= standing.settled_ms; });
  if (standing.truth == "good" && marks == 0) {
    words.push_back("A member of our team has looked at it and found it in order.");
  } else if (!is_event && is_settled && marks == 0) {
    words.push_back("What was held against it was taken back on " + day_of(standing.settled_ms) + ".");
  }
  for (std::string& say : says) words.push_back(std::move(say));
  return words;
}

void write_json(const Standing& standing, Reader reader, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("on").string(standing.on).key("value").string(standing.value);
  if (reader != Reader::kCustomer) {
    write_time(json, "now", standing.now_ms);
    write_marks(json, "labels", standing.labels, reader, false);
    write_marks(json, "entries", standing.entries, reader, false);
    write_marks(json, "around", standing.around, reader, true);
    write_marks(json, "revisions", standing.revisions, reader, true);
    json.key("days").integer(standing.window_ms / kDayMs).key("events").uinteger(standing.events);
    json.key("intervened").uinteger(standing.intervened).key("decisions").begin_array();
    for (const PastDecision& decision : standing.decisions) write_decision(decision, reader, json);
    json.end_array().key("acts").begin_array();
    for (const PastAct& act : standing.acts) write_act(act, json);
    json.end_array().key("truth");
    standing.truth.empty() ? json.null() : json.string(standing.truth);
  }
  write_texts(json, "words", customer_words(standing));
  json.end_object();
}

}  // namespace tamis::replay
