// Detectors: which event types feed them with what, and what can be read of them where.
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "model/trees.h"
#include "policy/compile.h"

namespace tamis::policy {

using event::Type;

namespace {

constexpr size_t kDetectorsMax = 16;

bool fits(const Type& type, const Type& wanted) {
  using Kind = Type::Kind;
  if (type.is_dyn() || type == wanted) return true;
  if (wanted.is_dyn()) return type.kind == Kind::kString || type.kind == Kind::kInt || type.kind == Kind::kUint;
  if (wanted.kind == Kind::kInt) return type.kind == Kind::kUint || type.kind == Kind::kDouble;
  return false;
}

std::string_view words_for(const Type& type) { return type.is_dyn() ? "text or a whole number" : ""; }

std::vector<std::string> part_names(const DetectorKindInfo& info) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kDetectorParts; ++i) {
    const auto part = static_cast<DetectorPart>(i);
    if ((info.parts & bit_of(part)) != 0) names.emplace_back(name_of(part));
  }
  return names;
}

// The part of that name, if the detector watches it.
std::optional<DetectorPart> part_named(const DetectorKindInfo& info, std::string_view name) {
  for (size_t i = 0; i < kDetectorParts; ++i) {
    const auto part = static_cast<DetectorPart>(i);
    if (name_of(part) == name && (info.parts & bit_of(part)) != 0) return part;
  }
  return std::nullopt;
}

}  // namespace

void Compiler::add_detectors() {
  if (source_.detectors.size() > kDetectorsMax) {
    diagnostics_.error_file({}, fmt::format("more than {} detectors", kDetectorsMax));
    return;
  }
  for (const DetectorSource& source : source_.detectors) {
    Detector detector;
    detector.source = &source;
    DetectorDecl decl;
    decl.name = source.name.text;
    decl.doc = source.doc;
    const Name& kind = source.kind.given() ? source.kind : source.name;
    std::vector<std::string> kinds;
    for (const DetectorKindInfo& info : detector_kinds()) {
      kinds.emplace_back(info.name);
      if (info.name == kind.text) detector.info = &info;
    }
    if (detector.info == nullptr) {
      std::string hint = did_you_mean(kind.text, kinds);
      if (hint.empty()) hint = fmt::format("kinds: {}", one_of(kinds));
      diagnostics_.error(*kind.node, fmt::format("there is no kind of detector {}", quoted(kind.text)), hint);
    } else {
      decl.kind = detector.info->kind;
      fill_limits(detector, decl);
      read_model(detector, decl);
      check_name(source.name);
      find_feeds(detector);
      check_inputs(detector);
    }
    detectors_.push_back(std::move(detector));
    policy_->detectors.push_back(std::move(decl));
  }
}

// The name must be nothing else, in any event type.
void Compiler::check_name(const Name& name) {
  for (const auto& draft : drafts_) {
    const Symbol* other = draft->scope.find_prefix(name.text);
    if (other == nullptr) continue;
    diagnostics_.error(*name.node, fmt::format("{} means something else in {} already", quoted(name.text),
                                               quoted(draft->type.schema.name)));
    return;
  }
}

void Compiler::fill_limits(Detector& detector, DetectorDecl& out) {
  const DetectorKindInfo& info = *detector.info;
  std::vector<std::string> names;
  for (const DetectorLimit& limit : info.limits) {
    out.limits.push_back(limit.fallback);
    names.emplace_back(limit.name);
  }
  for (const auto& [name, number] : detector.source->limits) {
    auto found = std::find(names.begin(), names.end(), name.text);
    if (found == names.end()) {
      std::string hint = did_you_mean(name.text, names);
      if (hint.empty()) hint = fmt::format("limits: {}", one_of(names));
      diagnostics_.error(*name.node, fmt::format("{} has no limit {}", quoted(info.name), quoted(name.text)), hint);
      continue;
    }
    const size_t place = static_cast<size_t>(found - names.begin());
    const DetectorLimit& limit = info.limits[place];
    if (number < limit.least || number > limit.most) {
      diagnostics_.error(*name.node,
                         fmt::format("{} is between {} and {}", quoted(name.text), limit.least, limit.most));
      continue;
    }
    out.limits[place] = number;
  }
  out.fingerprint = base::combine64(base::hash64(info.name), info.state_version);
  for (int64_t limit : out.limits) out.fingerprint = base::combine64(out.fingerprint, static_cast<uint64_t>(limit));
}

// Trees over what the detector computes itself. Their text is part of the policy, and of its version.
void Compiler::read_model(const Detector& detector, DetectorDecl& out) {
  const Name& file = detector.source->model;
  if (!file.given()) return;
  const std::span<const std::string_view> wanted = detector.info->model_features;
  if (wanted.empty()) {
    diagnostics_.error(*file.node, fmt::format("{} takes no model", quoted(detector.info->name)));
    return;
  }
  if (files_ == nullptr) {
    diagnostics_.error(*file.node, "model files cannot be read here");
    return;
  }
  const auto text = files_->text(file.text, model::Trees::kTextBytesMax);
  if (!text) {
    diagnostics_.error(*file.node, text.error().message);
    return;
  }
  version_ = base::combine64(version_, base::hash64(*text, base::hash64(file.text)));
  auto trees = model::Trees::parse(*text);
  if (!trees) {
    diagnostics_.error(*file.node, fmt::format("{}: {}", file.text, trees.error().message));
    return;
  }
  const auto& has = trees->features();
  if (!std::equal(has.begin(), has.end(), wanted.begin(), wanted.end())) {
    const auto [other, own] = std::mismatch(has.begin(), has.end(), wanted.begin(), wanted.end());
    diagnostics_.error(*file.node,
                       fmt::format("{}: the trees read {}, where {} gives {}", file.text,
                                   other == has.end() ? "nothing more" : quoted(*other), quoted(detector.info->name),
                                   own == wanted.end() ? "nothing more" : quoted(*own)),
                       "train it anew on this version: `tamis train accounts`");
    return;
  }
  out.model_file = file.text;
  out.model = std::make_shared<const model::Trees>(std::move(*trees));
}

void Compiler::find_feeds(Detector& detector) {
  const DetectorKindInfo& info = *detector.info;
  detector.part.assign(drafts_.size(), std::nullopt);
  if (detector.source->on.empty()) {
    for (size_t i = 0; i < drafts_.size(); ++i) {
      detector.part[i] = part_named(info, drafts_[i]->type.schema.name);
    }
    bool any = std::any_of(detector.part.begin(), detector.part.end(), [](const auto& p) { return p.has_value(); });
    if (any) return;
    diagnostics_.error(*detector.source->name.node,
                       fmt::format("no event type has the name of a part of {}", quoted(info.name)),
                       fmt::format("say which plays what: `on: {{TYPE: PART}}`; parts: {}", one_of(part_names(info))));
    return;
  }
  for (const auto& [type, part] : detector.source->on) {
    Draft* draft = find_draft(type);
    const Name& named = part.given() ? part : type;
    auto known = part_named(info, named.text);
    if (!known) {
      std::string hint = did_you_mean(named.text, part_names(info));
      if (hint.empty()) hint = fmt::format("parts: {}", one_of(part_names(info)));
      diagnostics_.error(*named.node, fmt::format("{} has no part {}", quoted(info.name), quoted(named.text)), hint);
    }
    if (draft == nullptr || !known) continue;
    size_t place = 0;
    while (drafts_[place].get() != draft) ++place;
    if (detector.part[place]) {
      diagnostics_.error(*type.node, fmt::format("{} stands in `on` twice", quoted(type.text)));
    }
    detector.part[place] = known;
  }
}

// What stands for an input in an event type; nothing: it is not given there.
std::optional<Expression> Compiler::input_of(const Detector& detector, DetectorInput input, const Draft& draft) const {
  const DetectorInputInfo& info = info_of(input);
  for (const auto& [name, from] : detector.source->inputs) {
    if (name.text == info.name) return from;
  }
  for (std::string_view name : {info.name, info.fallback}) {
    if (name.empty()) continue;
    auto symbol = draft.scope.symbols().find(name);
    if (symbol == draft.scope.symbols().end()) continue;
    if (symbol->second.kind > Symbol::Kind::kAttribute) continue;
    return Expression{std::string(name), detector.source->name.node, 0};
  }
  return std::nullopt;
}

// A mapped input must make sense in some event type that takes it, with the right type wherever it does; elsewhere, as
// where a field is not there, it is not given.
void Compiler::check_inputs(Detector& detector) {
  const DetectorSource& source = *detector.source;
  std::vector<std::string> known;
  std::vector<DetectorInput> taken;
  for (size_t i = 0; i < drafts_.size(); ++i) {
    if (!detector.part[i]) continue;
    for (DetectorInput input : inputs_of(*detector.part[i])) {
      if (std::find(taken.begin(), taken.end(), input) != taken.end()) continue;
      taken.push_back(input);
      known.emplace_back(info_of(input).name);
    }
  }
  for (const auto& [name, from] : source.inputs) {
    if (std::find(known.begin(), known.end(), name.text) != known.end()) continue;
    std::string hint = did_you_mean(name.text, known);
    if (hint.empty()) hint = fmt::format("inputs: {}", one_of(known));
    diagnostics_.error(*name.node, fmt::format("{} takes no input {}", quoted(detector.info->name), quoted(name.text)),
                       hint);
  }
  for (DetectorInput input : taken) check_input(detector, input);
}

void Compiler::check_input(Detector& detector, DetectorInput input) {
  const DetectorInputInfo& info = info_of(input);
  const Draft* refused = nullptr;
  std::optional<Expression> mapped;
  bool given = false;
  for (size_t i = 0; i < drafts_.size(); ++i) {
    if (!detector.part[i]) continue;
    const auto takes = inputs_of(*detector.part[i]);
    if (std::find(takes.begin(), takes.end(), input) == takes.end()) continue;
    auto from = input_of(detector, input, *drafts_[i]);
    std::string why;
    std::optional<Type> type;
    if (from) type = expressions_.try_compile(*from, drafts_[i]->scope, feature_envs_[i], why);
    if (type && fits(*type, info.type)) {
      given = true;
      detector.inputs.insert({{i, input}, *from});
    } else if (type) {
      std::string wanted(words_for(info.type));
      if (wanted.empty()) wanted = event::to_string(info.type);
      diagnostics_.error(*from->node, fmt::format("input {} is {}, and in {} this is {}", quoted(info.name), wanted,
                                                  quoted(drafts_[i]->type.schema.name), event::to_string(*type)));
      given = true;
    } else if (from) {
      refused = drafts_[i].get();
      mapped = from;
    }
    if (input == DetectorInput::kAccount && !type) {
      diagnostics_.error(*detector.source->name.node,
                         fmt::format("detector {} needs the account of {}", quoted(detector.source->name.text),
                                     quoted(drafts_[i]->type.schema.name)),
                         "name the field under `inputs:`, as `account: FIELD`");
    }
  }
  if (given || refused == nullptr || input == DetectorInput::kAccount) return;
  const size_t place = static_cast<size_t>(
      std::find_if(drafts_.begin(), drafts_.end(), [&](const auto& d) { return d.get() == refused; }) -
      drafts_.begin());
  (void)expressions_.compile(*mapped, refused->scope, feature_envs_[place], Expect::kAny, info.name);
}

// Each event type that plays a part gets the names that the part has.
void Compiler::offer_detectors() {
  for (uint32_t number = 0; number < detectors_.size(); ++number) {
    const Detector& detector = detectors_[number];
    if (detector.info == nullptr) continue;
    for (size_t i = 0; i < drafts_.size() && i < detector.part.size(); ++i) {
      if (!detector.part[i]) continue;
      for (uint32_t output = 0; output < detector.info->outputs.size(); ++output) {
        const DetectorOutput& info = detector.info->outputs[output];
        if ((info.parts & bit_of(*detector.part[i])) == 0) continue;
        Symbol symbol;
        symbol.name = fmt::format("{}.{}", detector.source->name.text, info.name);
        symbol.type = info.type;
        symbol.kind = Symbol::Kind::kDetector;
        symbol.index = number;
        symbol.window = output;
        symbol.entity = info.entity;
        drafts_[i]->scope.add(symbol);
      }
    }
  }
}

// Why a name that begins like a detector's is none; nothing: it does not begin like one.
std::optional<NameProblem> Compiler::explain_output(const Scope& scope, std::string_view name) const {
  for (const Detector& detector : detectors_) {
    const std::string& own = detector.source->name.text;
    if (detector.info == nullptr || !name.starts_with(own)) continue;
    if (name.size() > own.size() && name[own.size()] != '.') continue;
    std::vector<std::string> outputs;
    for (const auto& [other, symbol] : scope.symbols()) {
      if (symbol.kind == Symbol::Kind::kDetector && other.starts_with(own + ".")) {
        outputs.push_back(other.substr(own.size() + 1));
      }
    }
    if (outputs.empty()) {
      return NameProblem{fmt::format("detector {} says nothing of {} events", quoted(own), quoted(scope.event_type())),
                         ""};
    }
    if (name.size() <= own.size() + 1) {
      return NameProblem{fmt::format("{} is a detector; expressions read what it gives", quoted(own)),
                         fmt::format("one of {}", one_of(outputs))};
    }
    const std::string_view rest = name.substr(own.size() + 1);
    for (const DetectorOutput& output : detector.info->outputs) {
      if (output.name != rest) continue;
      return NameProblem{fmt::format("detector {} does not give {} for {} events", quoted(own), quoted(rest),
                                     quoted(scope.event_type())),
                         fmt::format("it gives {}", one_of(outputs))};
    }
    std::string hint = did_you_mean(rest, outputs);
    if (hint.empty()) hint = fmt::format("it gives {}", one_of(outputs));
    return NameProblem{fmt::format("detector {} does not give {}", quoted(own), quoted(rest)), hint};
  }
  return std::nullopt;
}

void Compiler::mark_inputs(Draft& draft) {
  size_t place = 0;
  while (drafts_[place].get() != &draft) ++place;
  for (const Detector& detector : detectors_) {
    for (const auto& [key, from] : detector.inputs) {
      if (key.first == place) expressions_.mark(from, draft.scope);
    }
  }
}

// Where anything that a detector gives is read, its score is told with all that adds up to it.
void Compiler::mark_explaining(Draft& draft) {
  std::set<uint32_t> heeded;
  for (const auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind == Symbol::Kind::kDetector && symbol.read) heeded.insert(symbol.index);
  }
  for (auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind != Symbol::Kind::kDetector || symbol.read || !heeded.contains(symbol.index)) continue;
    const DetectorOutput& output = detectors_[symbol.index].info->outputs[symbol.window];
    symbol.read = symbol.is_quiet = output.term != DetectorTerm::kNone;
  }
}

void Compiler::compile_detectors(Draft& draft, const cel::Env& env) {
  size_t place = 0;
  while (drafts_[place].get() != &draft) ++place;
  for (uint32_t number = 0; number < detectors_.size(); ++number) {
    const Detector& detector = detectors_[number];
    if (detector.info == nullptr || place >= detector.part.size() || !detector.part[place]) continue;
    DetectorFeed feed;
    feed.detector = number;
    feed.part = *detector.part[place];
    for (DetectorInput input : inputs_of(feed.part)) {
      auto from = detector.inputs.find({place, input});
      if (from == detector.inputs.end()) continue;
      feed.inputs.emplace_back(input, add(from->second, draft, draft.scope, env, Expect::kAny, info_of(input).name));
    }
    draft.type.feeds.push_back(std::move(feed));
  }
  for (const auto& [name, symbol] : draft.scope.symbols()) {
    if (symbol.kind != Symbol::Kind::kDetector || !symbol.read) continue;
    detectors_[symbol.index].is_read = true;
    draft.type.detector_reads.push_back({symbol.index, symbol.window, symbol.slot, name, symbol.is_quiet});
  }
}

// `show`: names of the event under names of the decision.
void Compiler::mark_shown(Draft& draft) {
  for (const auto& [name, of] : draft.source.shown) expressions_.mark(of, draft.scope);
}

void Compiler::compile_shown(Draft& draft) {
  for (const auto& [name, of] : draft.source.shown) {
    const std::string_view plain = plain_name(of.text);
    auto symbol = draft.scope.symbols().find(plain);
    if (plain.empty()) {
      diagnostics_.error(*of.node, "what is shown is a name: a field, attribute, feature or output of a detector");
    } else if (symbol == draft.scope.symbols().end() || symbol->second.kind > Symbol::Kind::kModel) {
      NameProblem problem = explain(draft.scope, plain);
      if (problem.is_told) continue;
      if (problem.message.empty()) {
        std::vector<std::string> names;
        for (const auto& [other, s] : draft.scope.symbols()) {
          if (s.kind <= Symbol::Kind::kModel) names.push_back(other);
        }
        problem = {fmt::format("{} has nothing named {}", quoted(draft.type.schema.name), quoted(plain)),
                   did_you_mean(plain, names)};
      }
      diagnostics_.error(*of.node, problem.message, problem.hint);
    } else {
      draft.type.shown.push_back({name.text, std::string(plain), symbol->second.slot});
    }
  }
}

}  // namespace tamis::policy
