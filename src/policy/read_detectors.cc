// `detectors:` documents.
#include <fmt/format.h>

#include "policy/reader.h"

namespace tamis::policy {
namespace {

void read_on(const Node& node, DetectorSource& detector, Diagnostics& diagnostics) {
  if (node.is_map()) {
    for (size_t i = 0; i < node.entries(); ++i) {
      auto part = read_name(node.value(i), "the part that an event type plays", diagnostics);
      if (part) detector.on.emplace_back(Name{node.key(i).text, &node.key(i)}, *part);
    }
    return;
  }
  auto add = [&](const Node& item) {
    auto type = read_name(item, "each of `on`", diagnostics);
    if (type) detector.on.emplace_back(*type, Name{});
  };
  if (!node.is_sequence()) return add(node);
  if (node.items.empty()) diagnostics.error(node, "`on` names nothing");
  for (const Node& item : node.items) add(item);
}

void read_inputs(const Node& node, DetectorSource& detector, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(
        node, fmt::format("`inputs` maps inputs to expressions, like {{net: ip_class}}, not {}", kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    auto from = read_expression(node.value(i), fmt::format("input {}", quoted(node.key(i).text)), diagnostics);
    if (from) detector.inputs.emplace_back(Name{node.key(i).text, &node.key(i)}, *from);
  }
}

void read_limits(const Node& node, DetectorSource& detector, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, fmt::format("`limits` maps names to whole numbers, not {}", kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) {
    int64_t number = 0;
    if (!node.value(i).is_plain() || !parse_integer(node.value(i).text, number)) {
      diagnostics.error(node.value(i), "a limit is a whole number");
      continue;
    }
    detector.limits.emplace_back(Name{node.key(i).text, &node.key(i)}, number);
  }
}

void read_detector(const Node& key, const Node& value, PolicySource& policy, Diagnostics& diagnostics) {
  // What these mean in expressions is settled.
  static constexpr std::string_view kReserved[] = {"event", "list", "model", "kind", "points"};
  DetectorSource detector;
  detector.name = {key.text, &key};
  if (!check_identifier(detector.name, "the name of a detector", diagnostics)) return;
  for (std::string_view reserved : kReserved) {
    if (key.text != reserved) continue;
    diagnostics.error(
        key, fmt::format("{} has a meaning of its own in expressions and cannot be a detector", quoted(key.text)));
    return;
  }
  MapReader map(value, fmt::format("detector {}", quoted(key.text)), {"kind", "on", "inputs", "limits", "model", "doc"},
                diagnostics);
  if (!map.ok()) return;
  detector.kind = map.name("kind");
  if (const Node* on = map.get("on")) read_on(*on, detector, diagnostics);
  if (const Node* inputs = map.get("inputs")) read_inputs(*inputs, detector, diagnostics);
  if (const Node* limits = map.get("limits")) read_limits(*limits, detector, diagnostics);
  detector.model = map.name("model");
  detector.doc = map.text("doc").value_or("");
  policy.detectors.push_back(std::move(detector));
}

}  // namespace

void read_detectors(const Node& node, PolicySource& policy, Diagnostics& diagnostics) {
  if (!node.is_map()) {
    diagnostics.error(node, fmt::format("`detectors` maps names to detectors, not {}", kind_name(node)));
    return;
  }
  for (size_t i = 0; i < node.entries(); ++i) read_detector(node.key(i), node.value(i), policy, diagnostics);
}

}  // namespace tamis::policy
