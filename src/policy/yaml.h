// YAML as the policy compiler sees it: a tree of nodes that know where they stand, so that each message can name file,
// line and column, down to a byte inside a multi-line expression. The YAML library is met in yaml.cc alone.
//
// Only what a policy needs is taken: mappings with text keys, sequences, scalars. Anchors and aliases work (an alias is
// a copy); merge keys, tags and repeated keys are errors. Limits on size, depth and number of nodes hold off bombs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tamis::policy {

class Diagnostics;

struct Position {
  uint32_t line = 1;    // from 1
  uint32_t column = 1;  // from 1, in code points
};

// One file, kept for messages as long as the compiler runs.
struct SourceText {
  SourceText(std::string file_name, std::string content);
  Position position(uint32_t offset) const;
  std::string_view line(uint32_t number) const;  // without its end

  std::string name;
  std::string text;
  std::vector<uint32_t> line_starts;
};

struct Node {
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };
  enum class Style : uint8_t { kPlain, kSingleQuoted, kDoubleQuoted, kLiteral, kFolded };

  Kind kind = Kind::kNull;
  Style style = Style::kPlain;
  uint32_t begin = 0;  // byte of the source
  const SourceText* source = nullptr;
  std::string text;         // of a scalar, folded and unescaped
  std::vector<Node> items;  // of a sequence; of a map: key, value, key, value, ...

  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_sequence() const { return kind == Kind::kSequence; }
  bool is_map() const { return kind == Kind::kMap; }
  bool is_plain() const { return kind == Kind::kScalar && style == Style::kPlain; }
  size_t entries() const { return items.size() / 2; }
  const Node& key(size_t i) const { return items[2 * i]; }
  const Node& value(size_t i) const { return items[2 * i + 1]; }
  const Node* find(std::string_view name) const;  // value under a key of a map, or null
};

struct YamlLimits {
  uint32_t file_bytes_max = 16 << 20;
  uint32_t depth_max = 48;
  uint32_t nodes_max = 2'000'000;  // aliases counted as what they stand for
};

// The documents of a file; empty ones are left out. Errors go to `diagnostics`; what was read before one is returned.
std::vector<Node> parse_yaml(const SourceText& source, Diagnostics& diagnostics, const YamlLimits& limits = {});

// For each byte of a scalar's value, and its end, the byte of the source where it stands. The inverse of folding,
// escapes and indentation. Costs a pass over the scalar: for messages, not for every node.
std::vector<uint32_t> scalar_offsets(const Node& scalar);

// "a mapping", "a list", "text", "nothing": for messages.
std::string_view kind_name(const Node& node);

}  // namespace tamis::policy
