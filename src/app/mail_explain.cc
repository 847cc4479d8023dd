#include "app/mail_explain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "app/json_view.h"
#include "door/mail_text.h"
#include "event/json_writer.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

using event::JsonWriter;

const char* in_words(door::MailAction action) {
  switch (action) {
    case door::MailAction::kAccept:
      return "The message is delivered.";
    case door::MailAction::kGreylist:
      return "The message has to be sent again in some minutes; mail servers do so by themselves.";
    case door::MailAction::kTag:
      return "The message is delivered, and marked as unwanted.";
    case door::MailAction::kQuarantine:
      return "The message is put aside; its recipient can have it.";
    case door::MailAction::kDefer:
      return "The message has to be sent again later; mail servers do so by themselves.";
    case door::MailAction::kReject:
      return "The message is refused; its sender is told so.";
  }
  return "";
}

// Five steps instead of a number: nobody can tune a message by them.
const char* leaning(double probability) {
  return probability < 0.02   ? "clearly like wanted mail"
         : probability < 0.3  ? "rather like wanted mail"
         : probability < 0.7  ? "neither like spam nor like wanted mail"
         : probability < 0.98 ? "rather like spam"
                              : "clearly like spam";
}

const policy::Rule* rule_of(const policy::Policy& policy, const std::string& id) {
  const policy::EventType* type = policy.find_type("mail");
  if (type == nullptr) return nullptr;
  for (const policy::Rule& rule : type->rules) {
    if (rule.id == id) return &rule;
  }
  return nullptr;
}

// The file that a rule stands in names what kind of reason it is.
std::string group_of(const policy::Rule& rule) {
  std::string name = rule.file.substr(rule.file.rfind('/') + 1);
  name.resize(std::min(name.find('.'), name.size()));
  return name;
}

struct Reasons {
  std::vector<std::string> said;    // sentences for customers
  std::vector<std::string> groups;  // kinds of reasons
};

Reasons reasons_of(const door::MailVerdict& verdict, const policy::Policy& policy) {
  Reasons reasons;
  auto add = [](std::vector<std::string>& to, const std::string& text) {
    if (!text.empty() && std::find(to.begin(), to.end(), text) == to.end()) to.push_back(text);
  };
  const policy::EventType* type = policy.find_type("mail");
  const int32_t decided = type == nullptr ? -1 : type->place_of(verdict.verdict);
  for (const door::MailSymbol& symbol : verdict.symbols) {
    const policy::Rule* rule = rule_of(policy, symbol.name);
    if (rule == nullptr) continue;
    if (rule->speaks_of(decided)) add(reasons.said, rule->say);
    add(reasons.groups, group_of(*rule));
  }
  return reasons;
}

std::string for_people(const std::string& name, const door::MailVerdict& verdict, const policy::Policy& policy,
                       MailDepth depth, const JsonView& all) {
  const Reasons reasons = reasons_of(verdict, policy);
  std::string out = name + "\n" + in_words(verdict.action) + "\n";
  for (const std::string& sentence : reasons.said) out += sentence + "\n";
  if (door::is_spam(verdict) && reasons.said.empty()) {
    out += verdict.probability >= 0.5 ? "It looks like mail that other people did not want."
                                      : "It has marks of mail that is dangerous or that nobody asked for.";
    out += " If that is wrong, say so: the filter learns from it.\n";
  }
  if (depth == MailDepth::kUser) return out;
  out += fmt::format("The learned model finds it {}.\n", leaning(verdict.probability));
  const JsonView authentication = all["authentication"];
  if (authentication["dns"].truth()) {
    out += fmt::format("Sender: SPF {}, DKIM {}, DMARC {}, ARC {}.\n", authentication["spf"].text(),
                       authentication["dkim"].text(), authentication["dmarc"].text(), authentication["arc"].text());
  } else {
    out += "Sender: not authenticated, DNS was not asked.\n";
  }
  out += "Kinds of reasons:";
  for (const std::string& group : reasons.groups) out += " " + group;
  return out + "\n";
}

std::string for_people_json(const std::string& name, const door::MailVerdict& verdict, const policy::Policy& policy,
                            MailDepth depth, const JsonView& all) {
  const Reasons reasons = reasons_of(verdict, policy);
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("file").string(name).key("verdict").string(verdict.verdict);
  json.key("what").string(in_words(verdict.action));
  json.key("say").begin_array();
  for (const std::string& sentence : reasons.said) json.string(sentence);
  json.end_array();
  if (depth == MailDepth::kSupport) {
    json.key("model").string(leaning(verdict.probability));
    json.key("reasons").begin_array();
    for (const std::string& group : reasons.groups) json.string(group);
    json.end_array().key("authentication").begin_object();
    for (const char* method : {"spf", "dkim", "dmarc", "arc"}) {
      json.key(method).string(all["authentication"][method].text());
    }
    json.end_object();
  }
  json.end_object();
  return out + "\n";
}

void write_rules(const door::MailVerdict& verdict, const policy::Policy& policy, const JsonView& all,
                 std::string& out) {
  for (const door::MailSymbol& symbol : verdict.symbols) {
    const policy::Rule* rule = rule_of(policy, symbol.name);
    const policy::EventType* type = policy.find_type("mail");
    std::string gives = fmt::format("{:+8.2f}", symbol.score);
    if (rule != nullptr && type != nullptr && rule->verdict >= 0) {
      gives += "  " + type->ladder[static_cast<size_t>(rule->verdict)];
    }
    out += fmt::format("  {}  {}: {}\n", gives, symbol.name, symbol.description);
    const JsonView conditions = all["decision"]["conditions"];
    for (const event::Value& one : conditions.items()) {
      const JsonView condition = conditions.item(one);
      if (condition["rule"].text() != symbol.name) continue;
      out += "            " + condition["when"].text();
      const JsonView read = condition["read"];
      const event::Value values = read.value();
      if (values.is(event::Kind::kMap) && values.map->size > 0) {
        out += "   with";
        for (uint32_t i = 0; i < values.map->size; ++i) {
          std::string value;
          JsonWriter(value).value(values.map->entries[i].value);
          out += fmt::format(" {}={}", values.map->entries[i].key.str(), value);
        }
      }
      out += "\n";
    }
  }
}

std::string for_analysts(const std::string& name, const door::MailVerdict& verdict, const policy::Policy& policy,
                         const JsonView& all) {
  std::string out = fmt::format("{}\n{}: {:.2f} points, {:.2f} needed to tag\n", name, verdict.verdict, verdict.points,
                                verdict.points_required);
  out += "rules\n";
  write_rules(verdict, policy, all, out);
  const JsonView model = all["model"];
  out += fmt::format("model {}: probability {:.4f}, logit {:+.3f}, made of\n", model["version"].text(),
                     model["probability"].number(), model["logit"].number());
  const event::Value parts = model["contributions"].value();
  if (parts.is(event::Kind::kMap)) {
    for (uint32_t i = 0; i < parts.map->size; ++i) {
      const JsonView part = model["contributions"][parts.map->entries[i].key.str()];
      out += fmt::format("  {:+8.3f}  {}\n", part.number(), parts.map->entries[i].key.str());
    }
  }
  for (const event::Value& one : model["strongest"].items()) {
    const JsonView part = model["strongest"].item(one);
    out += fmt::format("  {:+8.3f}    {}\n", part["logit"].number(), part["what"].text());
  }
  const JsonView authentication = all["authentication"];
  out += fmt::format("authentication: spf={} dkim={} dmarc={} arc={}{}\n", authentication["spf"].text(),
                     authentication["dkim"].text(), authentication["dmarc"].text(), authentication["arc"].text(),
                     authentication["dns"].truth() ? "" : " (DNS was not asked)");
  out += fmt::format("campaign: text {} structure {}\n", all["campaign"]["text_digest"].text(),
                     all["campaign"]["structure_digest"].text());
  const event::Value features = all["decision"]["features"].value();
  if (features.is(event::Kind::kMap)) {
    out += "counted\n";
    for (uint32_t i = 0; i < features.map->size; ++i) {
      std::string value;
      JsonWriter(value).value(features.map->entries[i].value);
      if (value != "null") out += fmt::format("  {} = {}\n", features.map->entries[i].key.str(), value);
    }
  }
  return out;
}

}  // namespace

base::Result<std::string> explain_mail(const std::string& name, const door::MailVerdict& verdict,
                                       const policy::Policy& policy, MailDepth depth, bool json) {
  TAMIS_TRY(all, JsonView::parse(verdict.explanation_json));
  if (depth == MailDepth::kAnalyst && json) {
    std::string out;
    event::append_json_string(out, name);
    return fmt::format("{{\"file\":{},\"verdict\":\"{}\",\"explanation\":{}}}\n", out, verdict.verdict,
                       verdict.explanation_json);
  }
  if (depth == MailDepth::kAnalyst) return for_analysts(name, verdict, policy, all);
  return json ? for_people_json(name, verdict, policy, depth, all) : for_people(name, verdict, policy, depth, all);
}

}  // namespace tamis::app
