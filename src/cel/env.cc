#include "cel/env.h"

#include <algorithm>
#include <cctype>

namespace tamis::cel {
namespace {

constexpr size_t kHints = 3;
constexpr size_t kNameBytesMax = 100;  // longer names get no hints

// The types that expressions can name (cel-spec, "Type Values").
const std::map<std::string, Variable, std::less<>>& type_names() {
  static const auto* const names = [] {
    auto* out = new std::map<std::string, Variable, std::less<>>;
    auto add = [&](const char* name, Type denoted) {
      out->emplace(name, Variable{name, Type::type(std::move(denoted)), -1, Value::type(name)});
    };
    add("bool", Type::boolean());
    add("int", Type::integer());
    add("uint", Type::uinteger());
    add("double", Type::real());
    add("string", Type::string());
    add("bytes", Type::bytes());
    add("null_type", Type::null());
    add("list", Type::list(Type::dyn()));
    add("map", Type::map(Type::dyn(), Type::dyn()));
    add("type", Type{Type::Kind::kType, {}, {}});
    add("optional_type", Type::optional(Type::dyn()));
    add("google.protobuf.Timestamp", Type::timestamp());
    add("google.protobuf.Duration", Type::duration());
    add("net.IP", Type::opaque("net.IP"));
    add("net.CIDR", Type::opaque("net.CIDR"));
    return out;
  }();
  return *names;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Edit distance with swaps of neighbours, or `limit` + 1 if it is larger.
size_t distance(std::string_view a, std::string_view b, size_t limit) {
  size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > limit) return limit + 1;
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    size_t best = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
    std::swap(before, above);
    std::swap(above, row);
  }
  return std::min(above[b.size()], limit + 1);
}

struct Ranked {
  size_t distance;
  std::string_view name;
};

class Ranking {
 public:
  explicit Ranking(std::string_view name) : wanted_(lower(name)), limit_(std::min<size_t>((name.size() + 2) / 3, 4)) {}

  void consider(std::string_view name) {
    if (name.size() > kNameBytesMax) return;
    std::string candidate = lower(name);
    size_t d = distance(wanted_, candidate, limit_);
    // Somebody who writes net24 may mean ip.net24.
    bool is_tail = candidate.size() > wanted_.size() && candidate.ends_with(wanted_) &&
                   candidate[candidate.size() - wanted_.size() - 1] == '.';
    if (is_tail) d = std::min<size_t>(d, 1);
    if (d <= limit_) ranked_.push_back({d, name});
  }

  std::vector<std::string> best() {
    std::stable_sort(ranked_.begin(), ranked_.end(),
                     [](const Ranked& a, const Ranked& b) { return a.distance < b.distance; });
    std::vector<std::string> out;
    for (const Ranked& r : ranked_) {
      if (out.size() == kHints) break;
      out.emplace_back(r.name);
    }
    return out;
  }

 private:
  std::string wanted_;
  size_t limit_;
  std::vector<Ranked> ranked_;
};

}  // namespace

Env::Env(Dialect dialect) : dialect_(dialect) {
  auto add = [&](const std::vector<Overload>& table) {
    for (const Overload& overload : table) {
      if (dialect == Dialect::kTamis || overload.strict_cel) overloads_[overload.function].push_back(&overload);
    }
  };
  add(standard_library());
  add(string_library());
  add(math_library());
  add(encoder_library());
  add(list_library());
  add(network_library());
  add(optional_library());
  if (dialect == Dialect::kTamis) add(tamis_library());
}

void Env::add_variable(Variable variable) {
  std::string name = variable.name;
  variables_.insert_or_assign(std::move(name), std::move(variable));
}

void Env::add_overload(Overload overload) {
  auto owned = std::make_shared<const Overload>(std::move(overload));
  auto& all = overloads_[owned->function];
  auto same = std::find_if(all.begin(), all.end(), [&](const Overload* o) { return o->id == owned->id; });
  if (same != all.end()) {
    *same = owned.get();
  } else {
    all.push_back(owned.get());
  }
  owned_.push_back(std::move(owned));
}

const Variable* Env::find_variable(std::string_view name) const {
  if (auto it = variables_.find(name); it != variables_.end()) return &it->second;
  const auto& types = type_names();
  if (auto it = types.find(name); it != types.end()) return &it->second;
  return nullptr;
}

const std::vector<const Overload*>& Env::find_overloads(std::string_view function) const {
  static const auto* const none = new std::vector<const Overload*>;
  auto it = overloads_.find(function);
  return it == overloads_.end() ? *none : it->second;
}

std::vector<std::string> Env::nearest_names(std::string_view name, Names which) const {
  if (name.empty() || name.size() > kNameBytesMax) return {};
  Ranking ranking(name);
  if (which == Names::kVariables) {
    for (const auto& [declared, variable] : variables_) ranking.consider(declared);
    for (const auto& [declared, variable] : type_names()) ranking.consider(declared);
  } else {
    for (const auto& [declared, overloads] : overloads_) {
      bool is_operator = declared.find_first_of("@!-=<>+*/%?|&[") != std::string::npos || declared == "_._";
      if (!is_operator) ranking.consider(declared);
    }
  }
  return ranking.best();
}

}  // namespace tamis::cel
