#include "learn/look_alikes.h"

#include <algorithm>
#include <array>

#include "cel/utf8.h"
#include "event/domain.h"
#include "mail/punycode.h"
#include "mail/text.h"

namespace tamis::learn {
namespace {

// Each name once, and never the one that is looked at.
struct Names {
  std::string_view own;
  std::vector<std::string> found;

  void add(std::string name) {
    if (name == own || name.empty()) return;
    if (std::find(found.begin(), found.end(), name) == found.end()) found.push_back(std::move(name));
  }
};

// As a reader takes it: without marks, letters of other scripts as those that they look like.
std::string plain_of(std::string_view domain) {
  const std::string shown = mail::shown_domain(domain);  // in mail such names are written as xn--...
  std::string plain;
  for (size_t at = 0; at < shown.size();) {
    const mail::FoldedPoint folded = mail::fold_point(cel::decode_code_point(shown, at));
    if (folded.dropped) continue;
    std::array<char, 4> bytes{};
    const uint32_t point = folded.look_alike != 0 ? folded.look_alike : folded.point;
    plain.append(bytes.data(), cel::encode_code_point(point, bytes.data()));
  }
  return plain;
}

std::string letters_of(std::string text) {
  for (char& c : text) c = c == '0' ? 'o' : c == '1' ? 'l' : c == '3' ? 'e' : c == '5' ? 's' : c;
  return text;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The label that ends where `name` does, also without what stands before each of its hyphens, under `suffix`.
void add_label(std::string_view name, std::string_view suffix, Names& names) {
  std::string_view label = name.substr(name.rfind('.') + 1);  // npos + 1 is 0
  for (;;) {
    if (!label.empty()) names.add(std::string(label) + "." + std::string(suffix));
    const size_t hyphen = label.find('-');
    if (hyphen == std::string_view::npos) return;
    label.remove_prefix(hyphen + 1);
  }
}

// Domains that stand in front of the host's own public suffix, with dots or with hyphens.
void add_borrowed(std::string_view host, Names& names) {
  const std::string_view own = event::public_suffix(host);
  // Lists write "example.com.invalid" over domains that refuse mail from lists.
  if (own.empty() || own.size() >= host.size() || own == "invalid") return;
  const std::string_view front = host.substr(0, host.size() - own.size() - 1);
  size_t last = std::string_view::npos;  // the separator before the one at `begin - 1`
  for (size_t begin = front.find_first_of(".-"); begin != std::string_view::npos;) {
    ++begin;
    const size_t end = std::min(front.find_first_of(".-", begin), front.size());
    const std::string_view suffix = front.substr(begin, end - begin);
    if (event::is_public_suffix(suffix)) add_label(front.substr(0, begin - 1), suffix, names);
    if (last != std::string_view::npos) {
      std::string two(front.substr(last + 1, end - last - 1));
      std::replace(two.begin(), two.end(), '-', '.');
      if (event::is_public_suffix(two)) add_label(front.substr(0, last), two, names);
    }
    last = begin - 1;
    begin = end == front.size() ? std::string_view::npos : end;
  }
}

}  // namespace

std::vector<std::string> look_alikes(std::string_view host, std::string_view domain) {
  Names names{domain, {}};
  const std::string plain_host = plain_of(host), letters_host = letters_of(plain_host);
  add_borrowed(plain_host, names);
  if (letters_host != plain_host) add_borrowed(letters_host, names);
  const std::string plain = plain_of(domain), letters = letters_of(plain);
  const std::string joined = replaced(replaced(letters, "rn", "m"), "vv", "w");
  names.add(plain);
  names.add(letters);
  names.add(replaced(letters, "l", "i"));
  names.add(joined);
  names.add(replaced(plain, "i", "l"));
  names.add(replaced(joined, "-", ""));
  for (size_t i = 1; i < letters.size(); ++i) {  // "paypall": a letter twice
    if (letters[i] == letters[i - 1] && letters[i] != '.') names.add(letters.substr(0, i) + letters.substr(i + 1));
  }
  const size_t dot = plain.find('.');
  if (dot != std::string::npos) {  // "bank-secure.example": the part before a hyphen
    const size_t hyphen = letters.find('-');
    if (hyphen != std::string::npos && hyphen < dot) names.add(letters.substr(0, hyphen) + letters.substr(dot));
  }
  return std::move(names.found);
}

std::vector<std::string> under_home_endings(std::string_view domain) {
  constexpr std::string_view cheap[] = {"top",      "xyz",    "icu",   "buzz",    "vip",    "click",  "cyou", "cfd",
                                        "sbs",      "rest",   "bond",  "monster", "quest",  "lol",    "win",  "bid",
                                        "loan",     "men",    "date",  "review",  "stream", "online", "site", "website",
                                        "download", "racing", "party", "trade",   "webcam", "tk",     "ml",   "ga",
                                        "cf",       "gq",     "pw",    "cam"};
  constexpr std::string_view home[] = {"com", "net", "org", "de", "co.uk",  "fr",     "it",    "es",
                                       "nl",  "ch",  "at",  "eu", "com.br", "com.au", "co.jp", "in"};
  const size_t dot = domain.find('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  if (std::find(std::begin(cheap), std::end(cheap), domain.substr(dot + 1)) == std::end(cheap)) return {};
  Names names{domain, {}};
  const std::string plain = plain_of(domain.substr(0, dot)), letters = letters_of(plain);
  for (const std::string_view ending : home) {
    names.add(plain + "." + std::string(ending));
    names.add(letters + "." + std::string(ending));
  }
  return std::move(names.found);
}

}  // namespace tamis::learn
