#include "model/trees.h"

#include <charconv>
#include <cmath>
#include <string>

namespace tamis::model {
namespace {

// The words of a line.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}
  std::string_view next() {
    const size_t from = rest_.find_first_not_of(' ');
    if (from == std::string_view::npos) return rest_ = {};
    rest_.remove_prefix(from);
    const std::string_view word = rest_.substr(0, rest_.find(' '));
    rest_.remove_prefix(word.size());
    return word;
  }
  template <class T>
  bool next(T& number) {
    const std::string_view word = next();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    return error == std::errc() && end == word.data() + word.size();
  }

 private:
  std::string_view rest_;
};

auto wrong(size_t line, const char* expected) {
  return base::invalid("trees, line " + std::to_string(line) + ": expected " + expected);
}

}  // namespace

base::Result<Trees> Trees::parse(std::string_view text) {
  if (text.size() > kTextBytesMax) return base::invalid("trees: more than 64 MiB");
  Trees out;
  size_t number = 0, root = 0;
  bool has_base = false;
  // Whether all children that nodes of the tree name are there.
  const auto is_whole = [&] {
    for (size_t i = root; i < out.nodes_.size(); ++i)
      if (out.nodes_[i].feature >= 0 &&
          (out.nodes_[i].left >= out.nodes_.size() || out.nodes_[i].right >= out.nodes_.size()))
        return false;
    return out.roots_.empty() || out.nodes_.size() > root;
  };
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    Words words(line);
    if (++number == 1) {
      if (line != "tamis-trees 1") return wrong(number, "\"tamis-trees 1\"");
    } else if (number == 2) {
      if (words.next() != "features") return wrong(number, "the names of the features");
      for (std::string_view name = words.next(); !name.empty(); name = words.next()) out.features_.emplace_back(name);
      if (out.features_.empty() || out.features_.size() > kFeaturesMax) return wrong(number, "1 to 4096 features");
    } else if (number == 3) {
      if (words.next() != "base" || !words.next(out.base_) || !std::isfinite(out.base_))
        return wrong(number, "\"base\" and a number");
      has_base = true;
    } else if (number == 4 && line.substr(0, 6) == "scale ") {
      words.next();
      if (!words.next(out.factor_) || !words.next(out.shift_) || !std::isfinite(out.factor_) ||
          !std::isfinite(out.shift_) || !words.next().empty())
        return wrong(number, "\"scale\" and two numbers");
    } else if (line == "tree") {
      if (!is_whole()) return wrong(number, "the nodes that the tree before names");
      root = out.nodes_.size();
      out.roots_.push_back(static_cast<uint32_t>(root));
    } else {
      uint32_t node = 0;
      if (out.roots_.empty() || !words.next(node) || node != out.nodes_.size() - root)
        return wrong(number, "\"tree\" or the next node's number");
      if (out.nodes_.size() >= kNodesMax) return wrong(number, "at most 4 million nodes");
      Node n{0, -1, 0, 0, 0};
      const std::string_view feature = words.next();
      if (feature == "leaf") {
        if (!words.next(n.value) || !std::isfinite(n.value)) return wrong(number, "a leaf's value");
      } else {
        const auto [last, error] = std::from_chars(feature.data(), feature.data() + feature.size(), n.feature);
        if (error != std::errc() || last != feature.data() + feature.size() || n.feature < 0 ||
            static_cast<size_t>(n.feature) >= out.features_.size())
          return wrong(number, "\"leaf\" or a feature's number");
        if (!words.next(n.value) || std::isnan(n.value) || !words.next(n.left) || !words.next(n.right) ||
            !words.next(n.missing) || n.left <= node || n.right <= node || n.left > kNodesMax || n.right > kNodesMax ||
            (n.missing != n.left && n.missing != n.right))
          return wrong(number, "threshold, left, right, missing; children come later");
        for (uint32_t* child : {&n.left, &n.right, &n.missing}) *child += static_cast<uint32_t>(root);
      }
      if (!words.next().empty()) return wrong(number, "nothing more");
      out.nodes_.push_back(n);
    }
  }
  if (!has_base || out.roots_.empty()) return wrong(number + 1, "features, base and a tree at least");
  if (!is_whole()) return wrong(number + 1, "the nodes that the last tree names");
  return out;
}

float Trees::score(std::span<const float> row) const {
  float sum = base_;
  for (uint32_t root : roots_) {
    const Node* n = &nodes_[root];
    while (n->feature >= 0) {
      const float v = row[static_cast<size_t>(n->feature)];
      n = &nodes_[std::isnan(v) ? n->missing : v < n->value ? n->left : n->right];
    }
    sum += n->value;
  }
  return sum;
}

}  // namespace tamis::model
