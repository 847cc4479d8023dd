// rspamd's configuration: maps, local lists, composites and thresholds of local.d and override.d.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "app/filter_import.h"
#include "base/file.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

using filter_import::cel_of_names;
using filter_import::cel_pattern;
using filter_import::cel_string;
using filter_import::id_of;
using filter_import::pattern_of_glob;

constexpr size_t kFileBytesMax = 16 << 20;
constexpr size_t kEntriesMax = 1'000'000;
constexpr size_t kExpressionsMax = 500;  // of one map; each becomes a rule
constexpr int kDepthMax = 16;

// What UCL says, as far as configurations of rspamd use it: names with values, lists and blocks.
struct Node {
  std::string name, value;
  size_t line = 0;
  bool is_block = false;
  std::vector<Node> children;  // of a block, or of a list, whose items have no name

  const Node* find(std::string_view wanted) const {
    for (const Node& child : children) {
      if (child.name == wanted) return &child;
    }
    return nullptr;
  }
  std::string text(std::string_view wanted) const {
    const Node* found = find(wanted);
    return found == nullptr ? std::string() : found->value;
  }
};

class Ucl {
 public:
  explicit Ucl(std::string_view text) : text_(text) {}
  // Reads what it understands; `broken` is the line where it stopped, or 0.
  std::vector<Node> read(size_t& broken) {
    std::vector<Node> out;
    block(out, 0);
    broken = at_ < text_.size() || bad_ ? line_ : 0;
    return out;
  }

 private:
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') ++line_;
      if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || c == ',') {
        ++at_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        const size_t end = std::min(text_.find("*/", at_), text_.size());
        line_ += static_cast<size_t>(
            std::count(text_.begin() + static_cast<ptrdiff_t>(at_), text_.begin() + static_cast<ptrdiff_t>(end), '\n'));
        at_ = std::min(end + 2, text_.size());
      } else {
        return;
      }
    }
  }

  std::string word(bool is_value) {
    std::string out;
    const char quote = at_ < text_.size() ? text_[at_] : 0;
    if (quote == '"' || quote == '\'') {
      for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
        if (text_[at_] == '\n') ++line_;
        if (text_[at_] == '\\' && at_ + 1 < text_.size() && (text_[at_ + 1] == quote || text_[at_ + 1] == '\\')) ++at_;
        out += text_[at_];
      }
      at_ = std::min(at_ + 1, text_.size());
      return out;
    }
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n' || c == ';' || c == '{' || c == '}' || c == '#' || c == ']' || c == ',') break;
      if (!is_value && (std::isspace(static_cast<unsigned char>(c)) != 0 || c == '=' || c == ':')) break;
      out += c;
      ++at_;
    }
    while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back())) != 0) out.pop_back();
    return out;
  }

  void value(Node& node, int depth) {
    const char c = at_ < text_.size() ? text_[at_] : 0;
    if (c == '{') {
      ++at_;
      node.is_block = true;
      block(node.children, depth + 1);
      if (at_ < text_.size() && text_[at_] == '}') {
        ++at_;
      } else {
        bad_ = true;
      }
    } else if (c == '[') {
      ++at_;
      for (skip(); at_ < text_.size() && text_[at_] != ']' && !bad_; skip()) {
        if (depth > kDepthMax) bad_ = true;
        Node item;
        item.line = line_;
        const size_t before = at_;
        value(item, depth + 1);
        if (at_ == before) bad_ = true;
        node.children.push_back(std::move(item));
      }
      if (at_ < text_.size()) ++at_;
    } else {
      node.value = word(true);
    }
  }

  void block(std::vector<Node>& out, int depth) {
    for (skip(); at_ < text_.size() && text_[at_] != '}' && !bad_; skip()) {
      if (depth > kDepthMax) {
        bad_ = true;
        return;
      }
      Node node;
      node.line = line_;
      if (text_[at_] == '.') {  // .include and its like
        at_ = std::min(text_.find('\n', at_), text_.size());
        continue;
      }
      const size_t before = at_;
      node.name = word(false);
      blanks();
      // `symbol "NAME" {`: the second word is the name that counts.
      if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) {
        const size_t begin = at_;
        const std::string label = word(false);
        blanks();
        if (at_ < text_.size() && text_[at_] == '{') {
          node.name = label;
        } else {
          at_ = begin;
        }
      }
      if (at_ < text_.size() && (text_[at_] == '=' || text_[at_] == ':')) ++at_;
      blanks();
      value(node, depth);
      if (at_ == before) {
        bad_ = true;
        return;
      }
      out.push_back(std::move(node));
    }
  }

  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  std::string_view text_;
  size_t at_ = 0, line_ = 1;
  bool bad_ = false;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// What of the event a kind of map looks at, and what list holds its values.
struct Look {
  const char* kind = nullptr;
  std::string of, why_not;
  bool many = false;      // `of` is a list
  bool by_parts = false;  // an address is found whole, by its domain, or by what stands before it
};

Look look_of(const Node& map) {
  const std::string type = map.text("type"), filter = map.text("filter");
  const bool mime = map.text("extract_from") == "mime" || map.text("extract_from") == "both";
  const std::string from = mime ? "from" : "sender";
  if (type == "ip") return {"network", "ip", "", false};
  if (type == "from" && filter.empty()) return {"string", from, "", false, true};
  if (type == "from" && (filter == "email" || filter == "email:addr")) return {"string", from, "", false};
  // A registrable domain on a list counts for all below it.
  if (type == "from" && filter == "email:domain:tld")
    return {"domain", mime ? "from.domain" : "sender.domain", "", false};
  if (type == "from" && filter == "email:domain") {
    if (mime) return {"domain", "from.domain", "", false};
    return {"string", "sender.split(\"@\")[1]", "", false};
  }
  if (type == "rcpt" && filter.empty()) return {"string", "recipient", "", false, true};
  if (type == "rcpt" && (filter == "email" || filter == "email:addr")) return {"string", "recipient", "", false};
  if (type == "helo") return {"string", "helo", "", false};
  if (type == "hostname") return {"string", "client_name", "", false};
  if (type == "user") return {"string", "user", "", false};
  if (type == "url" && (filter == "tld" || filter.empty())) return {"domain", "link_domains", "", true};
  if (type == "filename" && (filter == "extension" || filter == "ext")) {
    return {"string", "attachment_extensions", "", true};
  }
  if (type == "header" && lower(map.text("header")) == "from" && filter == "email:addr") {
    return {"string", "from", "", false};
  }
  if (type == "header" && lower(map.text("header")) == "from" && filter.starts_with("email:domain")) {
    return {"domain", "from.domain", "", false};
  }
  return {nullptr, "",
          "a map of type " + (type.empty() ? "?" : type) + (filter.empty() ? "" : " with filter " + filter) +
              ": an event does not keep what it looks at",
          false};
}

class Reader {
 public:
  explicit Reader(std::string folder) : folder_(std::move(folder)) {
    out_.from = "rspamd";
    out_.threshold = 6;
  }

  base::Result<ImportedFilter> read() {
    TAMIS_TRY(files, base::list_files(folder_));
    // With rspamd's own folder, what rspamd ships lies beside; only what the operator wrote is his own.
    bool is_whole = false;
    for (const base::FoundFile& file : files) {
      const std::string_view name = std::string_view(file.path).substr(folder_.size() + 1);
      is_whole |= name == "rspamd.conf" || name.starts_with("local.d/") || name.starts_with("override.d/");
    }
    bool any = is_whole;
    for (const base::FoundFile& file : files) {
      const std::string name = file.path.substr(folder_.size() + 1);
      const std::string base_name = name.substr(name.rfind('/') == std::string::npos ? 0 : name.rfind('/') + 1);
      if (!base_name.ends_with(".conf") && !base_name.ends_with(".inc")) {
        const bool is_own =
            !is_whole || name == base_name || name.starts_with("local.d/") || name.starts_with("lua.local.d/");
        if (is_own && base_name.ends_with(".lua"))
          leave(name + ":1", base_name, "a program in Lua; write its rules as a policy");
        continue;
      }
      if (is_whole && !name.starts_with("local.d/") && !name.starts_with("override.d/")) continue;
      if (name.find("maps.d/") != std::string::npos) continue;  // maps, not settings
      any = true;
      TAMIS_TRY(text, base::read_file(file.path, kFileBytesMax));
      read_file(name, base_name, text);
    }
    if (!any)
      return base::invalid(folder_ + ": no settings; expected rspamd's folder with local.d or override.d in it");
    join_composites();
    return std::move(out_);
  }

 private:
  void leave(const std::string& where, const std::string& what, const std::string& why) {
    out_.left_behind.push_back({where, what, why});
  }

  void read_file(const std::string& name, const std::string& base_name, std::string_view text) {
    size_t broken = 0;
    std::vector<Node> nodes = Ucl(text).read(broken);
    if (broken > 0) leave(fmt::format("{}:{}", name, broken), base_name, "not understood from here on");
    file_ = name;
    const std::string kind = base_name.substr(0, base_name.rfind('.'));
    // A file of local.d stands inside its block; others name it.
    if (nodes.size() == 1 && nodes[0].is_block && nodes[0].name == kind) nodes = std::move(nodes[0].children);
    if (kind == "multimap") {
      for (const Node& node : nodes) multimap(node);
    } else if (kind == "actions" || kind == "metrics") {
      for (const Node& node : nodes) action(node);
    } else if (kind == "composites") {
      for (const Node& node : nodes) composite(node);
    } else if (kind == "options") {
      for (const Node& node : nodes) option(node);
    } else if (kind == "groups" || kind.ends_with("_group")) {
      for (const Node& node : nodes) weights(node);
    } else {
      for (const Node& node : nodes) {
        leave(at(node), kind + ": " + node.name, "a setting of rspamd's own, which has no counterpart here");
      }
    }
  }

  std::string at(const Node& node) const { return fmt::format("{}:{}", file_, node.line); }

  static bool number_of(std::string_view text, double& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size();
  }

  void action(const Node& node) {
    if (node.is_block) {
      for (const Node& child : node.children) action(child);
      return;
    }
    double score = 0;
    if (!number_of(node.value, score) || score <= 0) {
      return leave(at(node), "actions: " + node.name, "no threshold above 0");
    }
    if (node.name == "add_header") {
      out_.threshold = score;
    } else if (node.name == "reject") {
      out_.reject = score;
    } else {
      leave(at(node), "actions: " + node.name, "Tamis greylists by rules, and does not rewrite subjects");
    }
  }

  void option(const Node& node) {
    if (node.name != "local_addrs" && node.name != "local_networks") {
      return leave(at(node), "options: " + node.name, "a setting of rspamd's own, which has no counterpart here");
    }
    std::vector<std::string> values;
    for (const Node& child : node.children) values.push_back(child.value);
    if (node.children.empty()) values.push_back(node.value);
    for (const std::string& words : values) {
      if (words.starts_with('/') || words.find("://") != std::string::npos) {
        leave(at(node), node.name + " " + words, "a map; name its networks in the list own_networks");
        continue;
      }
      for (size_t at = 0; at < words.size();) {  // "10.0.0.0/8, 192.168.0.0/16"
        const size_t begin = words.find_first_not_of(" ,;\t", at);
        if (begin == std::string::npos) break;
        at = std::min(words.find_first_of(" ,;\t", begin), words.size());
        out_.entries["own_networks"].push_back(words.substr(begin, at - begin));
      }
    }
  }

  // Weights of symbols that come from maps and composites of the same folder count; others are rspamd's own rules.
  void weights(const Node& node) {
    if (node.name == "symbols" || !node.find("weight")) {
      for (const Node& child : node.children) {
        if (child.is_block) weights(child);
      }
      return;
    }
    double weight = 0;
    if (!number_of(node.text("weight"), weight)) return leave(at(node), node.name, "its weight is no number");
    weights_[node.name] = {weight, at(node)};
  }

  // A path below the folder, or empty.
  std::string path_of(std::string map) const {
    for (const std::string_view front : {"file://", "fallback+file://", "regexp;", "glob;", "map;"}) {
      if (map.starts_with(front)) map.erase(0, front.size());
    }
    if (map.starts_with("/$")) map.erase(0, 1);  // as many write it; the variable is an absolute path
    for (const std::string_view front :
         {"$LOCAL_CONFDIR/", "${LOCAL_CONFDIR}/", "$CONFDIR/", "${CONFDIR}/", "/etc/rspamd/"}) {
      if (map.starts_with(front)) map.erase(0, front.size());
    }
    if (map.empty() || map[0] == '/' || map[0] == '$' || map.find("..") != std::string::npos) return {};
    if (map.find("://") != std::string::npos) return {};
    return map;
  }

  // A map may name its source or have its values in place; networks have a slash as well.
  static bool names_a_file(std::string_view value) {
    for (const std::string_view end : {".map", ".inc", ".txt", ".list", ".conf"}) {
      if (value.ends_with(end)) return true;
    }
    return value.starts_with('/') || value.starts_with('$') || value.find("://") != std::string_view::npos ||
           value.find(';') != std::string_view::npos;
  }

  // The entries of a map, without comments and what a score may follow.
  bool entries_of(const Node& map, const std::string& name, std::vector<std::pair<std::string, std::string>>& out) {
    const Node* source = map.find("map");
    if (source == nullptr) return leave(at(map), name, "it has no map"), false;
    std::vector<const Node*> sources;
    for (const Node& child : source->children) sources.push_back(&child);
    if (source->children.empty()) sources.push_back(source);
    bool any = false;
    for (const Node* one : sources) {
      const bool is_path = names_a_file(one->value);
      if (!is_path) {  // values in place
        out.emplace_back(one->value, at(*one));
        any = true;
        continue;
      }
      const std::string path = path_of(one->value);
      if (path.empty()) {
        leave(at(*one), name + ": " + one->value,
              "a map from elsewhere; nothing is fetched: put a copy below the folder");
        continue;
      }
      auto text = base::read_file(folder_ + "/" + path, kFileBytesMax);
      if (!text) {
        leave(at(*one), name + ": " + one->value, text.error().message);
        continue;
      }
      any = true;
      size_t number = 0;
      for (size_t begin = 0; begin < text->size() && out.size() < kEntriesMax;) {
        const size_t end = std::min(text->find('\n', begin), text->size());
        std::string line = text->substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.starts_with('#')) continue;
        if (const size_t comment = line.find(" #"); comment != std::string::npos) line.resize(comment);
        const size_t first = line.find_first_not_of(" \t\r\"");
        if (first == std::string::npos) continue;
        line.erase(0, first);
        if (!line.starts_with('/')) line.resize(std::min(line.find_first_of(" \t\r\""), line.size()));
        while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back())) != 0) line.pop_back();
        if (!line.empty()) out.emplace_back(line, fmt::format("{}:{}", path, number));
      }
    }
    return any;
  }

  void multimap(const Node& map) {
    if (!map.is_block) return leave(at(map), "multimap: " + map.name, "expected a block");
    const std::string name = map.text("symbol").empty() ? map.name : map.text("symbol");
    const Look look = look_of(map);
    if (look.kind == nullptr) return leave(at(map), name, look.why_not);
    if (map.find("require_symbols") || map.find("symbols_set") || map.find("skip_archives")) {
      leave(at(map), name + ": its conditions",
            "the rule is brought over without them: see whether it is still meant so");
    }
    std::vector<std::pair<std::string, std::string>> entries;
    if (!entries_of(map, name, entries)) return;
    ImportedRule rule;
    rule.name = name;
    rule.where = at(map);
    rule.doc = map.text("description");
    double score = 0;
    rule.score = number_of(map.text("score"), score) ? score : 1;
    rule.say = map.text("message");
    if (map.text("type") == "rcpt")
      leave(at(map), name + ": its recipients", "of several recipients of a message the first alone is looked at");
    const std::string action = map.text("action");
    if (action == "accept" || action == "no action" || action == "no_action") rule.verdict = "accept";
    if (action == "reject") rule.verdict = "reject";
    if (action == "add header" || action == "add_header" || action == "rewrite subject") rule.verdict = "tag";
    if (action == "greylist") rule.verdict = "greylist";
    if (action == "soft reject") rule.verdict = "defer";
    if (action == "quarantine" || action == "discard") rule.verdict = action == "discard" ? "reject" : action;
    const bool patterns = map.text("regexp") == "true" || map.text("glob") == "true" ||
                          map.text("map").starts_with("regexp;") || map.text("map").starts_with("glob;");
    const bool of_sender = look.of.starts_with("sender"), of_from = look.of.starts_with("from");
    proof_.clear();
    if ((rule.score < 0 || rule.verdict == "accept") && (of_sender || of_from)) {
      proof_ = of_sender ? "(spf == \"pass\" || aligned || !dns) && " : "(dmarc == \"pass\" || aligned || !dns) && ";
      leave(at(map), name + ": senders that nothing proves",
            "it counts for those that authentication proves, where DNS is asked");
    }
    if (patterns) return pattern_map(map, look, rule, entries);
    list_map(look, rule, entries);
  }

  void list_map(const Look& look, ImportedRule& rule, const std::vector<std::pair<std::string, std::string>>& entries) {
    std::string list = id_of("rspamd_", rule.name);
    std::replace(list.begin(), list.end(), '-', '_');
    ImportedFilter::List& into = out_.own_lists[list];
    into.kind = look.kind;
    into.doc = "the map " + rule.name + " of " + rule.where;
    for (const auto& [value, where] : entries) {
      std::string entry = lower(value);
      if (look.kind == std::string_view("domain")) {  // subdomains count in any case
        while (entry.starts_with('*') || entry.starts_with('.')) entry.erase(0, 1);
      }
      if (entry.find_first_of("*?/ ") != std::string::npos && look.kind != std::string_view("network")) {
        leave(where, rule.name + ": " + value, "no plain value, in a map that is not said to have expressions");
        continue;
      }
      into.entries.push_back(std::move(entry));
    }
    const std::string of = look.of.substr(0, look.of.find('.'));
    std::string test = fmt::format("{} in list.{}", look.of, list);
    if (look.by_parts)
      test = fmt::format("({0} || string({1}.domain) in list.{2} || {1}.local in list.{2})", test, look.of, list);
    test = look.many ? fmt::format("{}.exists(v, v in list.{})", look.of, list) : "has(" + of + ") && " + test;
    add_rule(std::move(rule), proof_ + test);
  }

  void pattern_map(const Node& map, const Look& look, const ImportedRule& rule,
                   const std::vector<std::pair<std::string, std::string>>& entries) {
    size_t count = 0;
    const bool globs = map.text("glob") == "true" || map.text("map").starts_with("glob;");
    std::string joined;
    for (const auto& [value, where] : entries) {
      if (++count > kExpressionsMax) {
        leave(where, rule.name, fmt::format("more than {} expressions in a map", kExpressionsMax));
        break;
      }
      std::string pattern = globs ? pattern_of_glob(lower(value)) : value, flags = "i";
      if (!globs && value.starts_with('/') && value.rfind('/') > 0) {
        pattern = value.substr(1, value.rfind('/') - 1);
        flags = value.substr(value.rfind('/') + 1);
        flags.resize(std::min(flags.find_first_of(" \t"), flags.size()));
        std::erase_if(flags, [](char c) { return c == 'u' || c == 'r' || c == 'f' || c == 'O' || c == 'L'; });
      }
      auto cel = cel_pattern(pattern, flags);
      if (!cel) {
        leave(where, rule.name + ": " + value, cel.error().message);
        continue;
      }
      ImportedRule one = rule;
      one.where = where;
      const std::string of = look.of.substr(0, look.of.find('.'));
      add_rule(std::move(one), proof_ + (look.many ? fmt::format("{}.exists(v, v.matches({}))", look.of, *cel)
                                                   : fmt::format("has({}) && {}.matches({})", of, look.of, *cel)));
    }
  }

  void add_rule(ImportedRule rule, const std::string& test) {
    rule.id = id_of("rspamd-", rule.name);
    rule.when = "direction == \"in\" && " + test;
    std::string& known = known_[rule.name];
    known += (known.empty() ? "(" : " || (") + test + ")";
    out_.rules.push_back(std::move(rule));
  }

  void composite(const Node& node) {
    if (!node.is_block) return leave(at(node), "composites: " + node.name, "expected a block");
    composites_.push_back({node, file_});
  }

  void join_composites() {
    for (const auto& [node, file] : composites_) {
      file_ = file;
      auto cel = cel_of_names(node.text("expression"), known_);
      if (!cel || node.text("expression").empty()) {
        leave(at(node), node.name, cel ? "it has no expression" : cel.error().message);
        continue;
      }
      ImportedRule rule;
      rule.name = node.name;
      rule.where = at(node);
      rule.doc = node.text("description");
      double score = 0;
      rule.score = number_of(node.text("score"), score) ? score : 0;
      add_rule(std::move(rule), *cel);
    }
    for (ImportedRule& rule : out_.rules) {
      if (const auto weight = weights_.find(rule.name); weight != weights_.end()) rule.score = weight->second.first;
    }
    for (const auto& [name, weight] : weights_) {
      if (known_.count(name) == 0)
        leave(weight.second, name, "a symbol of rspamd's own rules; the ready policy weighs its own");
    }
  }

  std::string folder_, file_;
  ImportedFilter out_;
  std::map<std::string, std::pair<double, std::string>> weights_;
  std::map<std::string, std::string> known_;  // symbols as CEL
  std::vector<std::pair<Node, std::string>> composites_;
  std::string proof_;  // what the rule of the map at hand asks besides
};

}  // namespace

base::Result<ImportedFilter> read_rspamd(const std::string& folder) {
  std::string root = folder;
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  return Reader(root).read();
}

}  // namespace tamis::app
