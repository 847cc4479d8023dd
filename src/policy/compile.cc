#include "policy/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "event/ip.h"
#include "policy/reader.h"

namespace tamis::policy {

using event::Type;

const EventType* Policy::find_type(std::string_view wanted) const {
  for (const EventType& type : types) {
    if (type.schema.name == wanted) return &type;
  }
  return nullptr;
}

Compiler::Compiler(const PolicySource& source, Diagnostics& diagnostics, NamedFiles* files)
    : source_(source),
      diagnostics_(diagnostics),
      files_(files),
      expressions_(diagnostics, [this](const Scope& scope, std::string_view name) { return explain(scope, name); }),
      policy_(std::make_shared<Policy>()) {
  policy_->memory = std::make_shared<base::Arena>();
}

std::shared_ptr<const Policy> Compiler::run(uint64_t version) {
  version_ = version;
  policy_->name = source_.name.text;
  if (source_.keep_days) policy_->keep_days = *source_.keep_days;
  if (source_.raw_days) policy_->raw_days = *source_.raw_days;
  if (source_.type_path) policy_->type_path = *source_.type_path;
  check_names();
  add_types();
  add_lists();
  add_entity_kinds();
  for (auto& draft : drafts_) fill_scope(*draft);
  add_features();
  add_detectors();
  offer_detectors();
  check_rules();
  for (auto& draft : drafts_) compile_type(*draft);
  add_rule_tests();
  add_policy_tests();
  if (diagnostics_.has_errors()) return nullptr;
  warn_of_unused();
  for (auto& draft : drafts_) policy_->types.push_back(std::move(draft->type));
  policy_->version = fmt::format("{:016x}", version_);
  return policy_;
}

// Says of each name that stands twice where it stood first.
template <class Sources>
void Compiler::check_unique(const Sources& sources, std::string_view what) {
  std::map<std::string_view, const Node*> first;
  for (const auto& source : sources) {
    const Name* name = nullptr;
    if constexpr (requires { source.id; }) {
      name = &source.id;
    } else {
      name = &source.name;
    }
    auto [it, is_new] = first.try_emplace(name->text, name->node);
    if (is_new) continue;
    const Node& other = *it->second;
    diagnostics_.error(*name->node, fmt::format("{} {} is declared twice, first at {}:{}", what, quoted(name->text),
                                                other.source->name, other.source->position(other.begin).line));
  }
}

void Compiler::check_names() {
  check_unique(source_.events, "event type");
  check_unique(source_.features, "feature");
  check_unique(source_.detectors, "detector");
  check_unique(source_.lists, "list");
  check_unique(source_.models, "model");
  check_unique(source_.rules, "rule");
  check_unique(source_.tests, "test");
  // A decision and its columns stay of a size that one can look at; a machine writes no policy beyond these.
  constexpr size_t kEventsMax = 200, kFeaturesMax = 5'000, kRulesMax = 100'000;
  if (source_.events.size() > kEventsMax)
    diagnostics_.error_file({}, fmt::format("more than {} event types", kEventsMax));
  if (source_.features.size() > kFeaturesMax)
    diagnostics_.error_file({}, fmt::format("more than {} features", kFeaturesMax));
  if (source_.rules.size() > kRulesMax) diagnostics_.error_file({}, fmt::format("more than {} rules", kRulesMax));
}

std::vector<std::string> Compiler::type_names() const {
  std::vector<std::string> names;
  for (const auto& draft : drafts_) names.push_back(draft->type.schema.name);
  return names;
}

Compiler::Draft* Compiler::find_draft(const Name& name) {
  for (auto& draft : drafts_) {
    if (draft->type.schema.name == name.text) return draft.get();
  }
  std::vector<std::string> names = type_names();
  std::string hint = did_you_mean(name.text, names);
  if (hint.empty() && !names.empty()) hint = fmt::format("event types: {}", one_of(names));
  for (const EventSource& event : source_.events) {
    if (event.name.text == name.text && event.is_abstract)
      hint = "it is abstract: other types extend it, no event is of it";
  }
  diagnostics_.error(*name.node, fmt::format("there is no event type {}", quoted(name.text)), hint);
  return nullptr;
}

namespace {

std::string_view kind_of(event::Attribute attribute) {
  using event::Attribute;
  switch (attribute) {
    case Attribute::kNet24:
    case Attribute::kNet16:
    case Attribute::kNet64:
      return "network";
    case Attribute::kAsn:
      return "asn";
    case Attribute::kEmailDomain:
    case Attribute::kRegistered:
    case Attribute::kHost:
      return "domain";
    default:
      return "";
  }
}

bool fits_kind(state::ListKind kind, const std::string& value, std::string& why) {
  int64_t number = 0;
  event::IpData network;
  switch (kind) {
    case state::ListKind::kInt:
      why = "a whole number";
      return parse_integer(value, number);
    case state::ListKind::kNetwork:
      why = "an address or network like `192.0.2.0/24`";
      return event::parse_cidr(value, network) || event::parse_ip(value, network);
    default:
      return true;
  }
}

}  // namespace

std::string_view entity_of(event::Attribute attribute) { return kind_of(attribute); }

void Compiler::add_entity_kinds() {
  auto add = [&](std::string_view kind) {
    auto& kinds = policy_->entity_kinds;
    if (!kind.empty() && std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.emplace_back(kind);
  };
  for (auto& draft : drafts_) {
    for (const event::Field& field : draft->type.schema.fields) {
      add(field.entity);
      for (const event::AttributeInfo& info : event::attributes_of(field.semantic)) add(kind_of(info.attribute));
    }
  }
  for (const DetectorSource& detector : source_.detectors) {
    const std::string& kind = detector.kind.given() ? detector.kind.text : detector.name.text;
    for (const DetectorKindInfo& info : detector_kinds()) {
      for (const DetectorOutput& output : info.outputs) add(info.name == kind ? output.entity : std::string_view());
    }
  }
}

// Entries are proven here, so that activating a policy cannot fail on them. Of texts any is one that is not too long:
// a million of them need not be taken in twice.
std::string Compiler::fault_of(state::List& proof, const state::ListEntry& entry) {
  constexpr size_t kAnyTextBytes = 1024;
  std::string wanted;
  if (!fits_kind(proof.kind(), entry.value, wanted)) return fmt::format("{} is not {}", quoted(entry.value), wanted);
  if (proof.kind() == state::ListKind::kString && !entry.value.empty() && entry.value.size() <= kAnyTextBytes)
    return {};
  auto status = proof.add(entry);
  return status ? std::string() : status.error().message;
}

void Compiler::check_entries(const ListSource& list, state::List& proof, ListDecl& out) {
  for (const ListSource::Entry& entry : list.entries) {
    if (std::string fault = fault_of(proof, entry.entry); !fault.empty()) diagnostics_.error(*entry.node, fault);
    out.entries.push_back(entry.entry);
  }
}

void Compiler::add_lists() {
  for (const ListSource& list : source_.lists) {
    ListDecl out;
    out.name = list.name.text;
    out.kind = list.kind;
    out.ignore_case = list.ignore_case;
    out.managed = list.managed;
    out.doc = list.doc;
    if (list.entries_max) out.entries_max = static_cast<uint64_t>(*list.entries_max);
    auto proof = state::List::make(list.name.text, list.kind, out.entries_max, list.ignore_case);
    check_entries(list, *proof, out);
    if (list.file.given()) {
      auto entries = files_ == nullptr
                         ? base::Result<std::vector<state::ListEntry>>(base::invalid("list files cannot be read here"))
                         : files_->list(list.file.text);
      if (!entries) {
        diagnostics_.error(*list.file.node, entries.error().message);
      } else {
        size_t wrong = 0;
        for (state::ListEntry& entry : *entries) {
          std::string fault = out.entries.size() < out.entries_max ? fault_of(*proof, entry) : std::string();
          if (!fault.empty() && ++wrong <= 5) {
            diagnostics_.error(*list.file.node, fmt::format("{}: {}", list.file.text, fault));
          }
          version_ = base::combine64(version_, base::hash64(entry.value, static_cast<uint64_t>(entry.expires_ms)));
          out.entries.push_back(std::move(entry));
        }
      }
    }
    if (out.entries.size() > out.entries_max) {
      diagnostics_.error(*list.name.node, fmt::format("list {} has {} entries, more than its {}",
                                                      quoted(list.name.text), out.entries.size(), out.entries_max));
    }
    list_numbers_.emplace(out.name, static_cast<uint32_t>(policy_->lists.size()));
    policy_->lists.push_back(std::move(out));
  }
}

NameProblem Compiler::explain_in(std::string_view name, std::string_view kind,
                                 const std::vector<std::string>& known) const {
  std::string hint = did_you_mean(name, known);
  if (hint.empty()) {
    hint = known.empty() ? fmt::format("declare it under `{}s:`", kind) : fmt::format("{}s: {}", kind, one_of(known));
  }
  return {fmt::format("{} {} is not declared", kind, quoted(name)), hint};
}

// The feature itself, or one of its windows.
static bool is_of_feature(std::string_view name, std::string_view feature) {
  return name.starts_with(feature) && (name.size() == feature.size() || name[feature.size()] == '_');
}

// Why a name is not known in a scope. Called for names that the checker stumbled over, for whatever reason.
NameProblem Compiler::explain(const Scope& scope, std::string_view name) const {
  const Symbol* symbol = scope.find_prefix(name);
  if (symbol != nullptr && symbol->name.size() == name.size()) return {};
  auto names_of = [](const auto& sources) {
    std::vector<std::string> out;
    for (const auto& source : sources) out.push_back(source.name.text);
    return out;
  };
  if (symbol != nullptr) {
    if (symbol->kind != Symbol::Kind::kField || symbol->type.kind != Type::Kind::kString) return {};
    std::string_view rest = name.substr(symbol->name.size() + 1);
    std::vector<std::string> attributes;
    std::string prefix = symbol->name + ".";
    for (const auto& [other, unused] : scope.symbols()) {
      if (other.starts_with(prefix)) attributes.push_back(other.substr(prefix.size()));
    }
    std::string hint = did_you_mean(rest, attributes);
    if (hint.empty() && !attributes.empty()) hint = fmt::format("attributes: {}", one_of(attributes));
    return {fmt::format("{} has no attribute {}", quoted(symbol->name), quoted(rest)), hint};
  }
  if (auto problem = explain_output(scope, name)) return *problem;
  if (name.starts_with("list.")) return explain_in(name.substr(5), "list", names_of(source_.lists));
  if (name.starts_with("model.")) {
    for (const ModelSource& model : source_.models) {
      if (model.name.text != name.substr(6)) continue;
      return {fmt::format("model {} is not given for {} events", quoted(model.name.text), quoted(scope.event_type())),
              ""};
    }
    return explain_in(name.substr(6), "model", names_of(source_.models));
  }
  if (name.starts_with("kind."))
    return {fmt::format("no field names an entity of kind {}", quoted(name.substr(5))), ""};
  if (checking_features_) {
    for (const FeatureSource& feature : source_.features) {
      if (feature.name.text == name || name.starts_with(feature.name.text + "_")) {
        return {"a feature looks at fields, lists and labels, not at other features", ""};
      }
    }
  }
  for (const std::string& broken : source_.broken_features) {
    if (is_of_feature(name, broken)) return {"", "", true};
  }
  for (size_t i = 0; i < features_.size(); ++i) {
    const Feature& feature = features_[i];
    if (!feature.good) {
      if (is_of_feature(name, feature.source->name.text)) return {"", "", true};
      continue;
    }
    const std::vector<std::string>& variables = policy_->features[i].variables;
    if (std::find(variables.begin(), variables.end(), name) != variables.end()) {
      auto why = feature.unreadable.find(scope.event_type());
      if (why == feature.unreadable.end()) return {};
      return {fmt::format("feature {} cannot be read in {}: {}", quoted(name), quoted(scope.event_type()), why->second),
              ""};
    }
    if (feature.source->name.text == name) {
      return {fmt::format("feature {} has several windows", quoted(name)), fmt::format("one of {}", one_of(variables))};
    }
  }
  std::string_view root = name.substr(0, name.find('.'));
  for (const auto& draft : drafts_) {
    for (const event::Field& field : draft->type.schema.fields) {
      if (field.name != root || draft->type.schema.name == scope.event_type()) continue;
      return {fmt::format("{} has no field {}; {} has one", quoted(scope.event_type()), quoted(root),
                          quoted(draft->type.schema.name)),
              ""};
    }
  }
  return {};
}

void Compiler::warn_of_unused() {
  for (const auto& draft : drafts_) {
    for (const auto& [name, symbol] : draft->scope.symbols()) {
      if (symbol.kind == Symbol::Kind::kList && symbol.read) lists_used_.insert(name.substr(5));
    }
  }
  for (const ListSource& list : source_.lists) {
    if (lists_used_.contains(list.name.text)) continue;
    diagnostics_.warning(*list.name.node, fmt::format("nothing uses list {}", quoted(list.name.text)));
  }
  for (const Detector& detector : detectors_) {
    if (detector.is_read) continue;
    diagnostics_.warning(*detector.source->name.node,
                         fmt::format("nothing reads detector {}", quoted(detector.source->name.text)),
                         "it watches all the same");
  }
  for (const Feature& feature : features_) {
    if (feature.is_read) continue;
    diagnostics_.warning(*feature.source->name.node,
                         fmt::format("nothing reads feature {}", quoted(feature.source->name.text)),
                         "it is counted all the same");
  }
}

}  // namespace tamis::policy
