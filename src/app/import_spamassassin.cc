// SpamAssassin's configuration: what of *.cf and user_prefs is the operator's own.
#include <algorithm>
#include <charconv>
#include <set>

#include "app/filter_import.h"
#include "app/spamassassin_conditions.h"
#include "base/file.h"
#include "event/domain.h"

#include <fmt/format.h>

namespace tamis::app {
namespace {

using filter_import::cel_of_names;
using filter_import::cel_pattern;
using filter_import::cel_string;
using filter_import::id_of;
using filter_import::pattern_of_glob;

constexpr size_t kFileBytesMax = 16 << 20;
constexpr size_t kRulesMax = 20'000;
constexpr size_t kConditionShownMax = 120;

std::string_view next_word(std::string_view& rest) {
  const size_t begin = rest.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return rest = {};
  const size_t end = std::min(rest.find_first_of(" \t", begin), rest.size());
  const std::string_view word = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  const size_t behind = rest.find_first_not_of(" \t");
  rest.remove_prefix(behind == std::string_view::npos ? rest.size() : behind);
  return word;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// "/x/i", "m{x}i", "m!x!": the pattern and its modifiers.
bool take_literal(std::string_view text, std::string_view& pattern, std::string_view& modifiers) {
  if (text.starts_with("m") && text.size() > 1 && text[1] != '/') text.remove_prefix(1);
  if (text.starts_with("m/")) text.remove_prefix(1);
  if (text.size() < 2) return false;
  const char open = text[0];
  const char close = open == '{' ? '}' : open == '(' ? ')' : open == '<' ? '>' : open == '[' ? ']' : open;
  const size_t end = text.rfind(close);
  if (end == 0 || end == std::string_view::npos) return false;
  pattern = text.substr(1, end - 1);
  modifiers = text.substr(end + 1);
  while (!modifiers.empty() && (modifiers.back() == ' ' || modifiers.back() == '\t')) modifiers.remove_suffix(1);
  return modifiers.size() <= 6 && modifiers.find_first_of(" \t") == std::string_view::npos;
}

// Fields of the event for the headers of which it keeps enough.
std::vector<std::string> fields_of(std::string_view header) {
  const std::string name = lower(header);
  if (name == "from:addr") return {"from"};
  if (name == "from:name") return {"from_name"};
  if (name == "from") return {"from", "from_name"};
  if (name == "reply-to:addr" || name == "reply-to") return {"reply_to"};
  if (name == "envelopefrom" || name == "envelopefrom:addr" || name == "return-path:addr") return {"sender"};
  if (name == "x-mailer" || name == "user-agent") return {"mailer"};
  return {};
}

class Reader {
 public:
  explicit Reader(std::string folder) : folder_(std::move(folder)) { out_.from = "spamassassin"; }

  base::Result<ImportedFilter> read() {
    TAMIS_TRY(files, base::list_files(folder_));
    std::vector<std::pair<std::string, std::string>> own;
    for (const base::FoundFile& file : files) {
      const std::string name = file.path.substr(folder_.size() + 1);
      const bool is_own = name.ends_with(".cf") || name.ends_with("user_prefs");
      if (!is_own && !name.ends_with(".pre")) continue;
      TAMIS_TRY(text, base::read_file(file.path, kFileBytesMax));
      conditions_.note_file(name);
      each_line(text,
                [&](size_t, const std::string& word, std::string_view rest) { conditions_.note_line(word, rest); });
      if (is_own) own.emplace_back(name, std::move(text));
    }
    for (const auto& [name, text] : own) read_file(name, text);
    if (own.empty())
      return base::invalid(folder_ + ": no .cf file and no user_prefs; expected SpamAssassin's configuration");
    write_rules();
    return std::move(out_);
  }

 private:
  struct Rule {
    std::string name, where;
    std::string when;     // CEL; empty: it did not translate
    std::string why_not;  // set where it did not
    std::string meta;     // to be joined once all names are known
    bool is_meta = false;
  };

  void leave(const std::string& what, const std::string& why) { out_.left_behind.push_back({where_, what, why}); }

  // Each directive with its number, its word in lower case and what stands behind it; without comments.
  template <class Use>
  static void each_line(std::string_view text, const Use& use) {
    size_t number = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      std::string line(text.substr(at, end - at));
      at = end + 1;
      ++number;
      for (size_t i = 0; i < line.size(); ++i) {  // a comment, unless its # is escaped
        if (line[i] == '#' && (i == 0 || line[i - 1] != '\\')) line.resize(i);
      }
      while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.pop_back();
      std::string_view rest = line;
      const std::string word = lower(next_word(rest));
      if (!word.empty()) use(number, word, rest);
    }
  }

  // A branch of an `if` in which the reader is.
  struct Branch {
    using Truth = SpamAssassinConditions::Truth;
    Truth truth = Truth::kYes;
    std::string where, what, why;
    size_t first = 0, last = 0;  // lines of it that were left out
  };

  void read_file(const std::string& name, std::string_view text) {
    std::vector<Branch> branches;
    each_line(text, [&](size_t number, const std::string& word, std::string_view rest) {
      where_ = fmt::format("{}:{}", name, number);
      if (word == "if" || word == "ifplugin") {
        branches.push_back(branch_of(word, rest));
      } else if (word == "else" && !branches.empty()) {
        turn(branches.back());
      } else if (word == "endif" && !branches.empty()) {
        tell(branches.back());
        branches.pop_back();
      } else {
        const auto closed = std::find_if(branches.begin(), branches.end(),
                                         [](const Branch& one) { return one.truth != Branch::Truth::kYes; });
        if (closed == branches.end()) return directive(word, rest);
        if (closed->first == 0) closed->first = number;
        closed->last = number;
      }
    });
    for (const Branch& open : branches) {
      tell(open);
      out_.left_behind.push_back({open.where, open.what, "there is no endif for it"});
    }
  }

  Branch branch_of(const std::string& word, std::string_view rest) const {
    Branch branch;
    branch.where = where_;
    branch.what = fmt::format("{} {}", word, rest.substr(0, kConditionShownMax));
    const auto decided = conditions_.decide(word == "if" ? std::string(rest) : fmt::format("plugin({})", rest));
    branch.truth = decided.truth;
    branch.why = decided.why;
    return branch;
  }

  // To its other side.
  void turn(Branch& branch) {
    using Truth = Branch::Truth;
    tell(branch);
    branch.first = branch.last = 0;
    branch.where = where_;
    if (branch.truth != Truth::kUnknown) {
      branch.why = "its condition holds";
      branch.truth = branch.truth == Truth::kYes ? Truth::kNo : Truth::kYes;
    }
    branch.what = "else of " + branch.what;
  }

  void tell(const Branch& branch) {
    if (branch.first == 0) return;
    const std::string lines = branch.first == branch.last
                                  ? fmt::format("line {} is", branch.first)
                                  : fmt::format("lines {} to {} are", branch.first, branch.last);
    out_.left_behind.push_back({branch.where, branch.what, fmt::format("{}; {} left out", branch.why, lines)});
  }

  void directive(const std::string& word, std::string_view rest) {
    if (word == "score") return read_score(rest);
    if (word == "describe") {
      const std::string name(next_word(rest));
      descriptions_[name] = rest;
    } else if (word == "required_score" || word == "required_hits") {
      (void)number_of(next_word(rest), out_.threshold);
      if (out_.threshold <= 0) out_.threshold = 5;
    } else if (word == "header" || word == "uri" || word == "meta" || word == "body" || word == "rawbody" ||
               word == "full" || word == "mimeheader") {
      read_rule(word, rest);
    } else if (word.ends_with("list_from") || word.ends_with("list_auth") || word.ends_with("list_from_spf") ||
               word.ends_with("list_from_dkim") || word.ends_with("list_from_rcvd")) {
      read_senders(word, rest);
    } else if (word.ends_with("list_to") || word == "more_spam_to" || word == "all_spam_to") {
      read_recipients(word, rest);
    } else if (word == "trusted_networks" || word == "internal_networks") {
      for (std::string_view one = next_word(rest); !one.empty(); one = next_word(rest)) {
        if (one[0] == '!') {
          leave(word + " " + std::string(one), "an exception from a network; name the smaller networks instead");
        } else {
          out_.entries["own_networks"].push_back(network_of(one));
        }
      }
    } else if (word == "lang" || word == "tflags" || word == "test" || word == "require_version") {
      return;  // says nothing about what is spam
    } else {
      leave(word, "a setting of SpamAssassin's own, which has no counterpart");
    }
  }

  // "192.168." and "192.168/16" are 192.168.0.0/16.
  static std::string network_of(std::string_view text) {
    if (const size_t slash = text.find('/');
        slash != std::string_view::npos && text.find(':') == std::string_view::npos) {
      std::string address(text.substr(0, slash));
      if (address.ends_with('.')) address.pop_back();
      for (auto dots = std::count(address.begin(), address.end(), '.'); dots < 3; ++dots) address += ".0";
      return address.append(text.substr(slash));
    }
    std::string out(text);
    const auto dots = std::count(out.begin(), out.end(), '.');
    if (out.empty() || out.back() != '.' || dots > 3) return out;
    for (auto i = dots; i < 4; ++i) out += i == 3 ? "0" : "0.";
    return out + "/" + std::to_string(8 * dots);
  }

  static bool number_of(std::string_view text, double& number) {
    if (text.starts_with('(') && text.ends_with(')')) text = text.substr(1, text.size() - 2);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size();
  }

  // Of four scores the last is that for Bayes and network tests, which is what Tamis has.
  void read_score(std::string_view rest) {
    const std::string name(next_word(rest));
    double score = 0, last = 0;
    size_t count = 0;
    for (std::string_view one = next_word(rest); !one.empty(); one = next_word(rest)) {
      if (!number_of(one, score)) return leave("score " + name, "it is no number");
      last = score;
      ++count;
    }
    if (count == 0) return leave("score " + name, "no number");
    scores_[name] = {last, where_};
  }

  void read_senders(const std::string& word, std::string_view rest) {
    const bool un = word.starts_with("un");
    const bool blocks = word.starts_with("black") || word.starts_with("block");
    if (un) return leave(word, "it takes back another line; leave that out instead");
    // These believe nobody whose address is not proven, as the lists of the ready policy do where there is no DNS.
    const bool proven = !blocks && !word.ends_with("list_from");
    for (std::string_view one = next_word(rest); !one.empty(); one = next_word(rest)) {
      const std::string address = lower(one);
      if (proven) {
        std::string proof = "(dmarc == \"pass\" || aligned)";
        if (word.ends_with("_dkim")) {
          if (const std::string_view signer = next_word(rest); !signer.empty())
            proof = fmt::format("dkim_domains.exists(d, d == {})", cel_string(lower(signer)));
        }
        allow_proven(word, address, proof);
        if (!word.ends_with("_auth") && !word.ends_with("_spf")) return;  // what follows was part of this entry
        continue;
      }
      const std::string_view domain = std::string_view(address).substr(address.find('@') + 1);
      const bool globs_domain = domain.find_first_of("*?") != std::string_view::npos;
      if (address.find_first_of("*?") == std::string::npos && address.find('@') != std::string::npos) {
        out_.entries[blocks ? "blocked_senders" : "allowed_senders"].push_back(address);
      } else if (address.starts_with("*@") && !globs_domain && is_registrable(domain)) {
        out_.entries[blocks ? "blocked_domains" : "allowed_domains"].emplace_back(domain);
      } else {
        ImportedRule rule;
        rule.name = word + " " + address;
        rule.id = id_of(blocks ? "sa-blocked-" : "sa-allowed-", address);
        rule.where = where_;
        // As the ready policy has it: a name in From proves nothing by itself.
        rule.when = fmt::format("has(from) && {}direction == \"in\" && from.matches({})",
                                blocks ? "" : "(dmarc == \"pass\" || !dns) && ", cel_string(pattern_of_glob(address)));
        rule.verdict = blocks ? "reject" : "accept";
        out_.rules.push_back(std::move(rule));
      }
    }
  }

  // Of `_rcvd` the relay's name is left out: authentication proves more.
  void allow_proven(const std::string& word, const std::string& address, const std::string& proof) {
    ImportedRule rule;
    rule.name = word + " " + address;
    rule.id = id_of("sa-allowed-", address);
    rule.where = where_;
    rule.when = fmt::format("has(from) && direction == \"in\" && {} && from.matches({})", proof,
                            cel_string(pattern_of_glob(address)));
    rule.verdict = "accept";
    out_.rules.push_back(std::move(rule));
  }

  static bool is_registrable(std::string_view domain) {
    return !domain.empty() && event::registered_domain(domain) == domain;
  }

  void read_recipients(const std::string& word, std::string_view rest) {
    leave(word + ": its recipients", "of several recipients of a message the first alone is looked at");
    const bool blocks = word.starts_with("black") || word.starts_with("block");
    // What SpamAssassin's own rules for these give.
    const double score = blocks ? 10 : word.starts_with("all_spam") ? -100 : word.starts_with("more_spam") ? -20 : -6;
    for (std::string_view one = next_word(rest); !one.empty(); one = next_word(rest)) {
      ImportedRule rule;
      rule.name = word + " " + lower(one);
      rule.id = id_of("sa-to-", lower(one));
      rule.where = where_;
      rule.when = fmt::format("has(recipient) && direction == \"in\" && recipient.matches({})",
                              cel_string(pattern_of_glob(lower(one))));
      rule.score = score;
      out_.rules.push_back(std::move(rule));
    }
  }

  void read_rule(const std::string& kind, std::string_view rest) {
    Rule rule;
    rule.name = next_word(rest);
    rule.where = where_;
    if (rules_.size() >= kRulesMax) return leave(kind + " " + rule.name, "more rules than are read");
    if (kind == "meta") {
      rule.is_meta = true;
      rule.meta = rest;
    } else if (kind == "header") {
      header_rule(rest, rule);
    } else if (kind == "uri") {
      uri_rule(rest, rule);
    } else {
      rule.why_not =
          "an event keeps no text of a message; the spam model reads it, and learns such words from corrections";
    }
    // A later definition replaces an earlier one, as there.
    if (const auto known = by_name_.find(rule.name); known != by_name_.end()) {
      rules_[known->second] = std::move(rule);
    } else {
      by_name_[rule.name] = rules_.size();
      rules_.push_back(std::move(rule));
    }
  }

  // An expression that needs the name and the address at once, or what stands around them.
  static bool looks_at_the_whole(std::string_view pattern) {
    if (pattern.find_first_of("<>^$\"") != std::string_view::npos) return true;
    if (pattern.find('@') == std::string_view::npos) return false;
    for (const std::string_view gap : {".*", ".+", ".{", " ", "\\s"}) {
      if (pattern.find(gap) != std::string_view::npos) return true;
    }
    return false;
  }

  // Letters that only match capitals: "FREE", "[A-Z]"; not "\\S".
  static bool has_capital(std::string_view pattern) {
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] == '\\') {
        ++i;
      } else if (pattern[i] >= 'A' && pattern[i] <= 'Z') {
        return true;
      }
    }
    return false;
  }

  void header_rule(std::string_view rest, Rule& rule) {
    std::string_view header = next_word(rest);
    if (header.starts_with("eval:")) {
      rule.why_not = "a function of SpamAssassin's code";
      return;
    }
    if (header.starts_with("exists:")) {
      const std::string name = lower(header.substr(7));
      if (name == "list-id") rule.when = "mailing_list";
      if (name == "list-unsubscribe") rule.when = "list_unsubscribe";
      if (name == "x-mailer") rule.when = "has(mailer)";
      if (name == "reply-to") rule.when = "has(reply_to)";
      if (rule.when.empty()) rule.why_not = "an event does not say whether " + name + " is there";
      return;
    }
    const bool negated = rest.starts_with("!~");
    if (!negated && !rest.starts_with("=~")) {
      rule.why_not = "expected =~ or !~ behind the name of the header";
      return;
    }
    rest.remove_prefix(2);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (const size_t unset = rest.find("[if-unset:"); unset != std::string_view::npos) {
      rule.why_not = "[if-unset]";
      return;
    }
    const std::vector<std::string> fields = fields_of(header);
    if (fields.empty()) {
      rule.why_not = "an event does not keep the header " + std::string(header);
      return;
    }
    std::string_view pattern, modifiers;
    if (!take_literal(rest, pattern, modifiers)) {
      rule.why_not = "no expression between delimiters";
      return;
    }
    if (fields.size() > 1 && looks_at_the_whole(pattern)) {
      rule.why_not = "it looks at how From is written; write it for From:addr or From:name";
      return;
    }
    for (const std::string& field : fields) {
      // Addresses are in lower case in events; names are as they were written, and a rule may be about just that.
      std::string flags(modifiers);
      if (flags.find('i') == std::string::npos && field != "mailer" && field != "from_name") {
        if (fields.size() > 1 && has_capital(pattern)) continue;  // about the name
        flags += 'i';
      }
      auto cel = cel_pattern(pattern, flags);
      if (!cel) {
        rule.why_not = cel.error().message;
        return;
      }
      rule.when += fmt::format("{}(has({}) && {}.matches({}))", rule.when.empty() ? "" : " || ", field, field, *cel);
    }
    if (negated) rule.when = "!(" + rule.when + ")";
  }

  // Only of whole domains: an event has the registrable domains of links.
  void uri_rule(std::string_view rest, Rule& rule) {
    std::string_view pattern, modifiers;
    if (!take_literal(rest, pattern, modifiers)) {
      rule.why_not = "no expression between delimiters";
      return;
    }
    std::string domain;
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] == '\\' && i + 1 < pattern.size()) {
        const char next = pattern[++i];
        if (next == 'b') continue;
        domain += next;
      } else {
        domain += pattern[i];
      }
    }
    // Without a scheme in front "login.php" would be taken for a domain.
    bool whole = false;
    for (const std::string_view front :
         {"^", "https?://", "http://", "https://", "//", "(?:www.)?", "(www.)?", "www."}) {
      if (!domain.starts_with(front)) continue;
      domain.erase(0, front.size());
      whole |= front.find("//") != std::string_view::npos || front.find("www") != std::string_view::npos;
    }
    for (const std::string_view end : {"$", "/", "(?:/|$)", "(/|$)"}) {
      if (domain.ends_with(end)) domain.resize(domain.size() - end.size());
    }
    domain = lower(domain);
    const bool plain = std::all_of(domain.begin(), domain.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    });
    if (!whole || !plain || domain.find('.') == std::string::npos || !is_registrable(domain)) {
      rule.why_not = "an event has the registrable domains of links, no hosts below them and no paths";
      return;
    }
    rule.when = cel_string(domain) + " in link_domains";
  }

  void join_metas() {
    std::map<std::string, std::string> known;
    for (const Rule& rule : rules_) {
      if (!rule.is_meta && !rule.when.empty()) known[rule.name] = rule.when;
    }
    // Metas may name metas: again until nothing new is known.
    for (bool more = true; more;) {
      more = false;
      for (Rule& rule : rules_) {
        if (!rule.is_meta || !rule.when.empty()) continue;
        auto cel = cel_of_names(rule.meta, known);
        if (!cel) {
          rule.why_not = cel.error().message;
          continue;
        }
        rule.when = *cel;
        known[rule.name] = *cel;
        more = true;
      }
    }
  }

  void write_rules() {
    join_metas();
    for (const Rule& rule : rules_) {
      const auto scored = scores_.find(rule.name);
      const bool part = rule.name.starts_with("__");  // of others, without a score of its own
      const double score = scored != scores_.end() ? scored->second.first : rule.name.starts_with("T_") ? 0.01 : 1;
      where_ = rule.where;
      if (rule.when.empty()) {
        leave(rule.name, rule.why_not);
      } else if (!part && score != 0) {
        ImportedRule out;
        out.id = id_of("sa-", rule.name);
        out.name = rule.name;
        out.where = rule.where;
        out.when = "direction == \"in\" && (" + rule.when + ")";
        out.score = score;
        if (const auto text = descriptions_.find(rule.name); text != descriptions_.end()) out.doc = text->second;
        out_.rules.push_back(std::move(out));
      }
    }
    for (const auto& [name, score] : scores_) {
      if (by_name_.count(name) > 0) continue;
      out_.left_behind.push_back(
          {score.second, "score " + name, "a rule that is not in this folder; the ready policy weighs its own"});
    }
  }

  std::string folder_, where_;
  SpamAssassinConditions conditions_;
  ImportedFilter out_;
  std::vector<Rule> rules_;
  std::map<std::string, size_t> by_name_;
  std::map<std::string, std::pair<double, std::string>> scores_;
  std::map<std::string, std::string> descriptions_;
};

}  // namespace

base::Result<ImportedFilter> read_spamassassin(const std::string& folder) {
  std::string root = folder;
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  return Reader(root).read();
}

}  // namespace tamis::app
