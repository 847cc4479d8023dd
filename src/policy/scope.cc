#include "policy/scope.h"

namespace tamis::policy {

void Scope::remove(std::string_view name) {
  if (auto it = symbols_.find(name); it != symbols_.end()) symbols_.erase(it);
}

Symbol* Scope::find(std::string_view name) {
  auto it = symbols_.find(name);
  return it == symbols_.end() ? nullptr : &it->second;
}

Symbol* Scope::find_prefix(std::string_view dotted) {
  while (!dotted.empty()) {
    if (Symbol* symbol = find(dotted)) return symbol;
    size_t dot = dotted.rfind('.');
    dotted = dot == std::string_view::npos ? std::string_view() : dotted.substr(0, dot);
  }
  return nullptr;
}

cel::Env Scope::env(const cel::Env& base) const {
  cel::Env out = base;
  for (const auto& [name, symbol] : symbols_) {
    cel::Variable variable;
    variable.name = name;
    variable.type = symbol.type;
    variable.slot = symbol.has_slot() ? std::max(symbol.slot, 0) : -1;
    variable.constant = symbol.constant;
    out.add_variable(std::move(variable));
  }
  return out;
}

}  // namespace tamis::policy
