#include "mail/trace.h"

#include <algorithm>
#include <cstring>

#include "event/domain.h"
#include "event/ip.h"
#include "mail/ascii.h"

namespace tamis::mail {
namespace {

std::string_view without_space(std::string_view text, base::Arena& arena) {
  text = trim(text);
  if (std::none_of(text.begin(), text.end(), is_space)) return text;
  char* out = arena.allocate_array<char>(text.size());
  size_t size = 0;
  for (const char c : text) {
    if (!is_space(c)) out[size++] = c;
  }
  return {out, size};
}

std::string_view lower(std::string_view text, base::Arena& arena) {
  char* out = arena.allocate_array<char>(text.size());
  for (size_t i = 0; i < text.size(); ++i) out[i] = to_lower(text[i]);
  return {out, text.size()};
}

bool is_tag_name(std::string_view name) {
  return !name.empty() && is_alpha(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '_'; });
}

// Words of a Received line: comments in one piece, with their brackets.
std::string_view next_piece(std::string_view text, size_t& at) {
  while (at < text.size() && is_space(text[at])) ++at;
  const size_t begin = at;
  if (at < text.size() && text[at] == '(') {
    size_t depth = 0;
    for (; at < text.size(); ++at) {
      if (text[at] == '(') ++depth;
      if (text[at] == ')' && --depth == 0) {
        ++at;
        break;
      }
    }
    return text.substr(begin, at - begin);
  }
  if (at < text.size() && text[at] == ';') return text.substr(at++, 1);
  while (at < text.size() && !is_space(text[at]) && text[at] != '(' && text[at] != ';') ++at;
  return text.substr(begin, at - begin);
}

std::string_view as_ip(std::string_view text, base::Arena& arena) {
  if (starts_lower(text, "ipv6:")) text = text.substr(5);
  if (text.size() < 3 || text.size() > 45) return {};
  event::IpData ip;
  return event::parse_ip(text, ip) ? event::format_ip(ip, arena) : std::string_view();
}

// "(host.example [192.0.2.1])", "(192.0.2.1)", "(HELO x) (192.0.2.1)", "(may be forged)".
void read_client_comment(std::string_view comment, base::Arena& arena, Received& out) {
  size_t at = 0;
  bool first = true;
  while (at < comment.size()) {
    while (at < comment.size() && (std::strchr(" \t()[]=,;@", comment[at]) != nullptr || comment[at] == '\0')) ++at;
    const size_t begin = at;
    while (at < comment.size() && comment[at] != '\0' && std::strchr(" \t()[]=,;@", comment[at]) == nullptr) ++at;
    const std::string_view word = comment.substr(begin, at - begin);
    if (word.empty()) continue;
    const std::string_view ip = as_ip(word, arena);
    if (!ip.empty()) {
      if (out.ip.empty()) out.ip = ip;
    } else if (first && word.find('.') != std::string_view::npos && out.host.empty()) {
      out.host = event::normalise_domain(word, arena);
    }
    first = false;
  }
}

}  // namespace

std::string_view TagList::find(std::string_view name) const {
  const Tag* tag = find_tag(name);
  return tag == nullptr ? std::string_view() : tag->value;
}
const TagList::Tag* TagList::find_tag(std::string_view name) const {
  for (const Tag& tag : tags) {
    if (tag.name == name) return &tag;
  }
  return nullptr;
}

void parse_tags(std::string_view text, base::Arena& arena, TagList& out) {
  out.tags.clear();
  out.broken = out.gaps = false;
  size_t at = 0;
  while (at < text.size() && out.tags.size() < 64) {
    size_t end = text.find(';', at);
    if (end == std::string_view::npos) end = text.size();
    const std::string_view one = text.substr(at, end - at);
    const size_t equals = one.find('=');
    if (equals == std::string_view::npos) {
      out.broken |= !trim(one).empty();
      out.gaps |= end < text.size();
    } else {
      TagList::Tag tag;
      tag.name = trim(one.substr(0, equals));
      tag.value = without_space(one.substr(equals + 1), arena);
      tag.begin = at + equals + 1;
      tag.end = end;
      out.broken |= !is_tag_name(tag.name) || out.find_tag(tag.name) != nullptr;
      out.tags.push_back(tag);
    }
    at = end + 1;
  }
}

Received parse_received(std::string_view value, base::Arena& arena) {
  Received out;
  const std::string_view text = unfold(value.substr(0, 4096), arena);
  enum class Clause { kNone, kFrom, kBy, kWith, kFor, kOther } clause = Clause::kNone;
  bool fresh = false;  // the word behind a keyword is its value
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view piece = next_piece(text, at);
    if (piece.empty()) continue;
    if (piece == ";") {
      out.has_date = parse_date(text.substr(at), out.date_s);
      break;
    }
    if (piece[0] == '(') {
      if (clause == Clause::kFrom) read_client_comment(piece, arena, out);
      if (find_lower(piece, "tls") != std::string_view::npos || find_lower(piece, "cipher") != std::string_view::npos) {
        out.tls = true;
      }
      continue;
    }
    if (!fresh || clause == Clause::kNone) {
      const Clause before = clause;
      clause = equals_lower(piece, "from")                               ? Clause::kFrom
               : equals_lower(piece, "by")                               ? Clause::kBy
               : equals_lower(piece, "with")                             ? Clause::kWith
               : equals_lower(piece, "for")                              ? Clause::kFor
               : equals_lower(piece, "id") || equals_lower(piece, "via") ? Clause::kOther
                                                                         : before;
      if (clause != before || equals_lower(piece, "from")) {
        fresh = true;
        continue;
      }
    }
    if (fresh && clause == Clause::kFrom) {
      out.helo = piece;
      const std::string_view inside = piece.size() > 2 && piece[0] == '[' ? piece.substr(1, piece.size() - 2) : piece;
      out.ip = as_ip(inside, arena);
    } else if (fresh && clause == Clause::kBy) {
      out.by = piece;
    } else if (fresh && clause == Clause::kWith) {
      char* upper = arena.allocate_array<char>(piece.size());
      for (size_t i = 0; i < piece.size(); ++i) {
        upper[i] = piece[i] >= 'a' && piece[i] <= 'z' ? static_cast<char>(piece[i] - 32) : piece[i];
      }
      out.with = {upper, piece.size()};
      if (out.with.starts_with("ESMTPS") || out.with.starts_with("UTF8SMTPS")) out.tls = true;
    } else if (fresh && clause == Clause::kFor) {
      out.for_address = piece.size() > 2 && piece[0] == '<' ? piece.substr(1, piece.size() - 2) : piece;
    }
    fresh = false;
  }
  return out;
}

void parse_authentication_results(std::string_view value, size_t results_max, base::Arena& arena,
                                  std::vector<AuthResult>& out) {
  const std::string_view text = unfold(value.substr(0, 8192), arena);
  size_t at = 0;
  char* copy = arena.allocate_array<char>(text.size());
  // Clauses are parted by ";", which comments and quoted strings may hold too.
  const auto next_clause = [&](std::string_view& one) {
    if (at >= text.size()) return false;
    size_t size = 0, depth = 0;
    bool quoted = false;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '\\' && (quoted || depth > 0) && at + 1 < text.size()) {
        ++at;
        if (quoted) copy[size++] = is_space(text[at]) ? '_' : text[at];
      } else if (quoted) {
        // A quoted string is one word: what stands in it is no property of its own.
        if (c == '"') {
          quoted = false;
        } else {
          copy[size++] = is_space(c) ? '_' : c;
        }
      } else if (c == '"' && depth == 0) {
        quoted = true;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && depth > 0) {
        if (--depth == 0) copy[size++] = ' ';
      } else if (depth == 0) {
        if (c == ';') break;
        copy[size++] = c;
      }
    }
    ++at;
    one = trim({copy, size});
    copy += size;
    return true;
  };
  std::string_view clause;
  if (!next_clause(clause)) return;
  std::string_view server = lower(clause.substr(0, clause.find_first_of(" \t")), arena);
  bool first_is_result = server.find('=') != std::string_view::npos;  // no authserv-id, which some leave out
  if (first_is_result) server = {};
  for (size_t clauses = 0; clauses < 64 && (first_is_result || next_clause(clause)); ++clauses) {
    first_is_result = false;
    AuthResult result;
    result.server = server;
    size_t word_at = 0;
    bool first = true;
    while (word_at < clause.size()) {
      while (word_at < clause.size() && is_space(clause[word_at])) ++word_at;
      const size_t begin = word_at;
      while (word_at < clause.size() && !is_space(clause[word_at])) ++word_at;
      const std::string_view word = clause.substr(begin, word_at - begin);
      const size_t equals = word.find('=');
      if (equals == std::string_view::npos) continue;
      const std::string_view name = word.substr(0, equals);
      std::string_view data = word.substr(equals + 1);
      if (first) {
        result.method = lower(name.substr(0, name.find('/')), arena);
        result.result = lower(data, arena);
        first = false;
      } else if (result.domain.empty() && (equals_lower(name, "header.d") || equals_lower(name, "smtp.mailfrom") ||
                                           equals_lower(name, "smtp.helo") || equals_lower(name, "header.from") ||
                                           equals_lower(name, "header.i"))) {
        const size_t address = data.rfind('@');
        if (address != std::string_view::npos) data = data.substr(address + 1);
        result.domain = event::normalise_domain(data, arena);
      }
    }
    if (!result.method.empty() && !result.result.empty() && out.size() < results_max) out.push_back(result);
  }
}

}  // namespace tamis::mail
