#include "policy/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <stdexcept>
#include <unordered_map>

#include "policy/diagnostics.h"

namespace tamis::policy {

SourceText::SourceText(std::string file_name, std::string content)
    : name(std::move(file_name)), text(std::move(content)) {
  line_starts.push_back(0);
  for (uint32_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') line_starts.push_back(i + 1);
  }
}

Position SourceText::position(uint32_t offset) const {
  offset = std::min<uint32_t>(offset, text.size());
  auto after = std::upper_bound(line_starts.begin(), line_starts.end(), offset);
  Position at;
  at.line = static_cast<uint32_t>(after - line_starts.begin());
  for (uint32_t i = *(after - 1); i < offset; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) ++at.column;
  }
  return at;
}

std::string_view SourceText::line(uint32_t number) const {
  if (number == 0 || number > line_starts.size()) return {};
  size_t begin = line_starts[number - 1];
  size_t end = number < line_starts.size() ? line_starts[number] - 1 : text.size();
  if (end > begin && text[end - 1] == '\r') --end;
  return std::string_view(text).substr(begin, end - begin);
}

const Node* Node::find(std::string_view name) const {
  if (!is_map()) return nullptr;
  for (size_t i = 0; i < entries(); ++i) {
    if (key(i).text == name) return &value(i);
  }
  return nullptr;
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kScalar:
      return "text";
    case Node::Kind::kSequence:
      return "a list";
    case Node::Kind::kMap:
      return "a mapping";
  }
  return "something else";
}

namespace {

// Thrown inside this file only, to leave the YAML library at the first thing that cannot go on.
struct Stop : std::exception {
  Stop(uint32_t where, std::string why, std::string advice = {})
      : offset(where), message(std::move(why)), hint(std::move(advice)) {}
  uint32_t offset;
  std::string message, hint;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const SourceText& source, Diagnostics& diagnostics, const YamlLimits& limits)
      : source_(source), diagnostics_(diagnostics), limits_(limits) {}

  std::vector<Node> documents;

  // Anchors belong to one document.
  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    attach(make(Node::Kind::kNull, mark, "?"), anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = make(Node::Kind::kScalar, mark, tag);
    node.text = value;
    char first = node.begin < source_.text.size() ? source_.text[node.begin] : ' ';
    if (tag == "!") {  // not plain
      node.style = first == '\''  ? Node::Style::kSingleQuoted
                   : first == '|' ? Node::Style::kLiteral
                   : first == '>' ? Node::Style::kFolded
                                  : Node::Style::kDoubleQuoted;
    }
    attach(std::move(node), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw Stop(offset(mark), "an alias cannot stand inside what it names");
    count(offset(mark), it->second.nodes);
    if (stack_.size() + it->second.depth > limits_.depth_max) too_deep(offset(mark));
    attach(it->second.node, YAML::NullAnchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::kSequence, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override {
    check_keys(stack_.back().node);
    close();
  }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    uint32_t nodes_before;
  };
  struct Anchored {
    Node node;
    uint32_t nodes = 1;
    uint32_t depth = 0;
  };

  static uint32_t offset(const YAML::Mark& mark) { return mark.pos < 0 ? 0 : static_cast<uint32_t>(mark.pos); }

  void count(uint32_t where, uint32_t more) {
    if (more > limits_.nodes_max - nodes_) throw Stop(where, fmt::format("more than {} values", limits_.nodes_max));
    nodes_ += more;
  }
  [[noreturn]] void too_deep(uint32_t where) const {
    throw Stop(where, fmt::format("nested more than {} deep", limits_.depth_max));
  }

  Node make(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    Node node;
    node.kind = kind;
    node.source = &source_;
    node.begin = skip_properties(offset(mark));
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Stop(offset(mark), "YAML reads a leading `!` as a tag, and tags have no meaning here",
                 "put the expression in quotes: \"!...\"");
    }
    count(node.begin, 1);
    return node;
  }

  // The mark of a node with an anchor or tag points at that.
  uint32_t skip_properties(uint32_t at) const {
    const std::string& text = source_.text;
    while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
      uint32_t next = at;
      while (next < text.size() && !is_space(text[next])) ++next;
      while (next < text.size() && is_space(text[next])) ++next;
      if (next >= text.size()) break;
      at = next;
    }
    return at;
  }
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (stack_.size() >= limits_.depth_max) too_deep(offset(mark));
    uint32_t before = nodes_;
    stack_.push_back({make(kind, mark, tag), anchor, before});
  }
  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    if (done.anchor != YAML::NullAnchor) {
      count(done.node.begin, nodes_ - done.nodes_before);  // the copy kept for aliases
      anchors_[done.anchor] = {done.node, nodes_ - done.nodes_before, depth(done.node)};
    }
    attach(std::move(done.node), YAML::NullAnchor);
  }
  void attach(Node node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {node, 1, 0};
    if (stack_.empty()) {
      if (!node.is_null()) documents.push_back(std::move(node));
    } else {
      stack_.back().node.items.push_back(std::move(node));
    }
  }
  static uint32_t depth(const Node& node) {
    uint32_t deepest = 0;
    for (const Node& item : node.items) deepest = std::max(deepest, depth(item));
    return node.items.empty() ? 0 : deepest + 1;
  }

  // Of a key that stands twice only the first is kept, so that what follows has one meaning.
  void check_keys(Node& map) {
    std::unordered_map<std::string_view, size_t> first;
    std::vector<size_t> keep;
    for (size_t i = 0; i + 1 < map.items.size(); i += 2) {
      const Node& key = map.items[i];
      if (!key.is_scalar()) {
        throw Stop(key.begin, fmt::format("a key must be text, not {}", kind_name(key)),
                   "an expression that contains braces or brackets goes in quotes");
      }
      if (key.text == "<<" && key.is_plain()) {
        diagnostics_.error(key, "merge keys (`<<`) are not supported", "events share fields with `extends:`");
        continue;
      }
      auto [it, is_new] = first.try_emplace(key.text, i);
      if (is_new) {
        keep.push_back(i);
        continue;
      }
      uint32_t line = source_.position(map.items[it->second].begin).line;
      diagnostics_.error(key, fmt::format("{} stands here twice, first in line {}", quoted(key.text), line));
    }
    if (keep.size() * 2 == map.items.size()) return;
    std::vector<Node> kept;
    kept.reserve(keep.size() * 2);
    for (size_t i : keep) {
      kept.push_back(std::move(map.items[i]));
      kept.push_back(std::move(map.items[i + 1]));
    }
    map.items = std::move(kept);
  }

  const SourceText& source_;
  Diagnostics& diagnostics_;
  const YamlLimits& limits_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  uint32_t nodes_ = 0;
};

// Byte of the first sequence that is not UTF-8, or of a control character that no policy needs; npos if all is well.
size_t find_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    unsigned char c = text[i];
    if (c < 0x80) {
      if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f) return i;
      ++i;
      continue;
    }
    size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc2 || c > 0xf4 || more >= text.size() - i) return i;
    uint32_t point = c & (0x3f >> more);
    for (size_t k = 1; k <= more; ++k) {
      unsigned char d = text[i + k];
      if ((d & 0xc0) != 0x80) return i;
      point = point << 6 | (d & 0x3f);
    }
    static constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return i;
    i += more + 1;
  }
  return std::string_view::npos;
}

// What most often is behind a YAML error in a line that holds an expression.
// The tab that a line up to `end` is indented with; npos: none is.
size_t tab_in_indent(std::string_view text, size_t end) {
  for (size_t begin = 0; begin <= std::min(end, text.size());) {
    size_t at = text.find_first_not_of(' ', begin);
    if (at != std::string_view::npos && text[at] == '\t') return at;
    size_t newline = text.find('\n', begin);
    if (newline == std::string_view::npos) break;
    begin = newline + 1;
  }
  return std::string_view::npos;
}

std::string yaml_hint(std::string_view line) {
  size_t colon = line.find(": ");
  if (colon == std::string_view::npos) return {};
  size_t at = line.find_first_not_of(' ', colon + 1);
  if (at == std::string_view::npos) return {};
  std::string_view value = line.substr(at);
  if (std::string_view("\"'[{!&*%@`").find(value[0]) != std::string_view::npos) {
    return fmt::format("an expression that begins with {} goes in quotes as a whole, or in a block after `|`",
                       value[0] == '`' ? "a back-quote" : fmt::format("`{}`", value[0]));
  }
  if (value.find(": ") != std::string_view::npos) {
    return "text that contains `: ` goes in quotes, or in a block after `|`";
  }
  return {};
}

}  // namespace

std::vector<Node> parse_yaml(const SourceText& source, Diagnostics& diagnostics, const YamlLimits& limits) {
  if (source.text.size() > limits.file_bytes_max) {
    diagnostics.error_file(source.name, fmt::format("the file is larger than {} bytes", limits.file_bytes_max));
    return {};
  }
  if (size_t bad = find_bad_byte(source.text); bad != std::string_view::npos) {
    uint32_t at = static_cast<uint32_t>(bad);
    bool control = static_cast<unsigned char>(source.text[bad]) < 0x80;
    diagnostics.error_at(source, at, at + 1,
                         control ? fmt::format("a control character (0x{:02x}) has no place in a policy",
                                               static_cast<unsigned char>(source.text[bad]))
                                 : "the file is not UTF-8 here");
    return {};
  }
  TreeBuilder builder(source, diagnostics, limits);
  try {
    std::istringstream in(source.text);
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    diagnostics.error_at(source, stop.offset, stop.offset + 1, stop.message, stop.hint);
  } catch (const YAML::Exception& e) {
    uint32_t at = e.mark.pos < 0 ? 0 : static_cast<uint32_t>(e.mark.pos);
    if (size_t tab = tab_in_indent(source.text, at); tab != std::string_view::npos) {
      at = static_cast<uint32_t>(tab);
      diagnostics.error_at(source, at, at + 1, "this line is indented with a tab: YAML takes spaces alone");
      return std::move(builder.documents);
    }
    diagnostics.error_at(source, at, at + 1, fmt::format("not YAML: {}", e.msg),
                         yaml_hint(source.line(source.position(at).line)));
  } catch (const std::exception& e) {
    diagnostics.error_file(source.name, fmt::format("not YAML: {}", e.what()));
  }
  return std::move(builder.documents);
}

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Walks a scalar's value and its source side by side. Never reads beyond either; where they disagree, the rest of the
// value is mapped to where that happened.
class Aligner {
 public:
  explicit Aligner(const Node& node) : value_(node.text), source_(node.source->text), at_(node.begin) {
    map_.reserve(value_.size() + 1);
  }

  std::vector<uint32_t> run(Node::Style style) {
    switch (style) {
      case Node::Style::kPlain:
        flow('\0');
        break;
      case Node::Style::kSingleQuoted:
        flow('\'');
        break;
      case Node::Style::kDoubleQuoted:
        flow('"');
        break;
      case Node::Style::kLiteral:
        block(false);
        break;
      case Node::Style::kFolded:
        block(true);
        break;
    }
    while (map_.size() <= value_.size()) map_.push_back(at_);
    return std::move(map_);
  }

 private:
  char look(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }
  bool done() const { return map_.size() >= value_.size(); }
  void emit(size_t bytes) {  // `bytes` of the value come from here
    for (size_t i = 0; i < bytes && !done(); ++i) map_.push_back(at_);
  }

  // True if only blanks are left on this line of the source.
  bool at_fold() const {
    size_t i = at_;
    while (i < source_.size() && is_blank(source_[i])) ++i;
    return i < source_.size() && (source_[i] == '\n' || source_[i] == '\r');
  }
  // Passes blanks and line ends up to the next content; returns how many lines ended.
  size_t pass_lines() {
    size_t lines = 0;
    while (at_ < source_.size() && (is_blank(source_[at_]) || source_[at_] == '\n' || source_[at_] == '\r')) {
      lines += source_[at_++] == '\n';
    }
    return lines;
  }

  void flow(char quote) {
    if (quote != '\0') ++at_;
    while (!done()) {
      if (at_ >= source_.size()) return;
      if (at_fold()) {
        uint32_t begin = at_;
        size_t lines = pass_lines();
        uint32_t next = at_;
        at_ = begin;
        emit(lines > 1 ? lines - 1 : 1);
        at_ = next;
      } else if (quote == '\'' && look() == '\'') {
        if (look(1) != '\'') return;
        emit(1);
        at_ += 2;
      } else if (quote == '"' && look() == '\\') {
        escape();
      } else {
        if (look() != value_[map_.size()]) return;
        emit(1);
        ++at_;
      }
    }
  }

  void escape() {
    char c = look(1);
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == '\n' || c == '\r') {
      ++at_;
      pass_lines();
      return;
    }
    size_t bytes = c == 'N' || c == '_' ? 2 : c == 'L' || c == 'P' ? 3 : 1;
    if (digits > 0) {
      uint32_t point = 0;
      for (size_t i = 0; i < digits; ++i) {
        char h = look(2 + i);
        point = point * 16 + static_cast<uint32_t>(h <= '9' ? h - '0' : (h | 0x20) - 'a' + 10);
      }
      bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    }
    emit(bytes);
    at_ += static_cast<uint32_t>(2 + digits);
  }

  void block(bool folds) {
    while (at_ < source_.size() && source_[at_] != '\n') ++at_;  // the header
    size_t indent = std::string::npos;
    bool line_start = true;
    while (!done() && at_ < source_.size()) {
      if (line_start) {
        line_start = false;
        if (look() == '\n') ++at_;
        if (indent == std::string::npos) indent = find_indent();
        for (size_t i = 0; i < indent && look() == ' '; ++i) ++at_;
      }
      char v = value_[map_.size()];
      if (look() == '\r') {
        ++at_;
      } else if (look() == '\n') {
        emit(1);
        if (folds && !next_is_break()) skip_blank_lines(indent);
        line_start = true;
      } else if (look() == v) {
        emit(1);
        ++at_;
      } else {
        return;
      }
    }
  }
  bool next_is_break() const { return !done() && value_[map_.size()] == '\n'; }
  // Folding may have taken lines that the value does not show: n + 1 line ends around n blank lines.
  void skip_blank_lines(size_t indent) {
    size_t i = at_ + 1, kept = at_;
    while (i < source_.size()) {
      size_t end = i;
      while (end < source_.size() && is_blank(source_[end])) ++end;
      if (end >= source_.size() || source_[end] != '\n' || end - i > indent) break;
      kept = end;
      i = end + 1;
    }
    at_ = static_cast<uint32_t>(kept);
  }
  // The indentation: what the first line with content has more than the same line of the value.
  size_t find_indent() const {
    size_t in_value = leading_spaces(value_, std::min(map_.size(), value_.size()));
    size_t in_source = leading_spaces(source_, at_);
    return in_source > in_value ? in_source - in_value : 0;
  }
  static size_t leading_spaces(std::string_view text, size_t from) {
    size_t content = text.find_first_not_of(" \r\n", from);
    if (content == std::string_view::npos) return 0;
    size_t line = content;
    while (line > from && text[line - 1] != '\n') --line;
    return content - line;
  }

  std::string_view value_;
  std::string_view source_;
  uint32_t at_;
  std::vector<uint32_t> map_;
};

}  // namespace

std::vector<uint32_t> scalar_offsets(const Node& scalar) {
  if (scalar.source == nullptr) return std::vector<uint32_t>(scalar.text.size() + 1, 0);
  return Aligner(scalar).run(scalar.style);
}

}  // namespace tamis::policy
