#include "mail/links.h"

#include <algorithm>
#include <cstring>

#include "event/domain.h"
#include "mail/ascii.h"
#include "mail/charset.h"
#include "mail/text.h"

namespace tamis::mail {
namespace {

bool is_host_byte(char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_' || (c & 0x80) != 0; }

// "host.name" at the beginning of `text`: its length, 0 if it is none. Two labels at least, the last one of letters.
size_t host_bytes(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && end < 254 && is_host_byte(text[end])) ++end;
  while (end > 0 && !is_alnum(text[end - 1]) && (text[end - 1] & 0x80) == 0) --end;
  const size_t dot = text.substr(0, end).rfind('.');
  if (dot == std::string_view::npos || dot == 0 || end - dot < 3) return 0;
  for (size_t i = dot + 1; i < end; ++i) {
    if (!is_alpha(text[i]) && (text[i] & 0x80) == 0) return 0;
  }
  return end;
}

// The endings under which a host without a scheme is taken for a link, besides those with a path.
bool common_ending(std::string_view host) {
  constexpr std::string_view endings[] = {"com", "net", "org",  "info",   "biz",  "edu",  "gov", "io", "de",  "uk",
                                          "ru",  "cn",  "fr",   "eu",     "nl",   "it",   "es",  "br", "xyz", "top",
                                          "app", "dev", "site", "online", "shop", "club", "me",  "co", "us",  "ca"};
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return std::any_of(std::begin(endings), std::end(endings),
                     [&](std::string_view ending) { return equals_lower(last, ending); });
}

constexpr ByteSet kEndsUrl([](char c) {
  return is_space(c) || c == '<' || c == '>' || c == '"' || c == '`' || c == '|' || c == '^' || c == '{' || c == '}';
});
constexpr ByteSet kBeforeToken([](char c) { return kEndsUrl.has(c) || c == '(' || c == '[' || c == ',' || c == '\''; });
constexpr ByteSet kMarksLink([](char c) { return c == ':' || c == '.' || c == '@'; });

// Text with brackets and punctuation that belong to the sentence taken off its end.
std::string_view without_sentence_end(std::string_view url) {
  for (;;) {
    if (url.empty()) return url;
    const char last = url.back();
    const bool bracket = (last == ')' && url.find('(') == std::string_view::npos) ||
                         (last == ']' && url.find('[') == std::string_view::npos);
    if (!bracket && last != '.' && last != ',' && last != ';' && last != ':' && last != '!' && last != '?' &&
        last != '\'' && last != '*' && last != '_') {
      return url;
    }
    url.remove_suffix(1);
  }
}

bool is_web(std::string_view scheme) { return scheme == "http" || scheme == "https" || scheme == "ftp"; }

// The host as it stands in the target, for comparison with the one form.
std::string_view written_host(std::string_view target) {
  const size_t begin = target.find("//");
  if (begin == std::string_view::npos) return {};
  std::string_view rest = target.substr(begin + 2);
  rest = rest.substr(0, rest.find_first_of("/\\?#"));
  const size_t at = rest.rfind('@');
  if (at != std::string_view::npos) rest = rest.substr(at + 1);
  if (!rest.starts_with('[')) rest = rest.substr(0, rest.find(':'));
  return rest;
}

bool mixed_script(std::string_view host) {
  size_t at = 0;
  bool latin = false, alike = false;
  while (at < host.size()) {
    if ((host[at] & 0x80) == 0) {
      if (host[at] == '.') {
        if (latin && alike) return true;
        latin = alike = false;
      }
      latin |= is_alpha(host[at++]);
    } else {
      alike |= fold_point(next_code_point(host, at)).look_alike != 0;
    }
  }
  return latin && alike;
}

void add(Link& link, LinkTrick trick) { link.tricks |= static_cast<uint16_t>(trick); }

bool has_email(std::string_view text) {
  for (size_t at = text.find_first_of("@%"); at != std::string_view::npos; at = text.find_first_of("@%", at + 1)) {
    size_t behind = at + 1;
    if (text[at] == '%') {
      if (!starts_lower(text.substr(at), "%40")) continue;
      behind = at + 3;
    }
    if (at > 0 && is_alnum(text[at - 1]) && host_bytes(text.substr(behind)) > 0) return true;
  }
  return false;
}

// A public suffix of two labels or a well-known one in front of the domain, where names of others are borrowed.
bool domain_in_subdomain(std::string_view host, std::string_view domain) {
  if (host.size() <= domain.size() + 1) return false;
  const std::string_view front = host.substr(0, host.size() - domain.size() - 1);
  for (const std::string_view suffix : {".com", ".net", ".org", ".co.uk", ".gov", ".de"}) {
    const size_t found = front.find(suffix);
    if (found == std::string_view::npos || found == 0) continue;
    const size_t behind = found + suffix.size();
    if (behind == front.size() || front[behind] == '.' || front[behind] == '-') return true;
  }
  return false;
}

void judge_host(Link& link, const event::UrlParts& parts, base::Arena& arena) {
  if (parts.host_is_address) add(link, LinkTrick::kHostIsAddress);
  if (parts.host.find("xn--") != std::string_view::npos) add(link, LinkTrick::kPunycode);
  if (mixed_script(parts.host)) add(link, LinkTrick::kHostMixedScript);
  const std::string_view written = written_host(link.target);
  if (!written.empty() && !parts.host_is_address && event::normalise_domain(written, arena) != parts.host) {
    add(link, LinkTrick::kHostObfuscated);
  }
  if (parts.host_is_address && !written.starts_with('[') && written != parts.host) {
    add(link, LinkTrick::kHostObfuscated);
  }
  if (parts.port > 0 && parts.port != 80 && parts.port != 443 && is_web(parts.scheme)) add(link, LinkTrick::kPortOdd);
  if (parts.host_is_address || link.domain.empty()) return;
  if (domain_in_subdomain(parts.host, link.domain)) add(link, LinkTrick::kDomainInSubdomain);
  const auto dots = std::count(parts.host.begin(), parts.host.end(), '.');
  const auto own = std::count(link.domain.begin(), link.domain.end(), '.');
  if (dots - own >= 4) add(link, LinkTrick::kHostDeep);
}

void judge_shown(Link& link, base::Arena& arena) {
  if (link.kind != LinkKind::kAnchor || link.shown.empty() || link.shown.size() > 512) return;
  std::string_view shown = link.shown;
  const size_t scheme = shown.find("://");
  const size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const size_t host = host_bytes(shown.substr(begin));
  if (host == 0 || (begin == 0 && host < shown.size() && is_space(shown[host]))) return;
  if (begin == 0 && host < shown.size() && shown[host] == '@') return;
  if (begin == 0 && !starts_lower(shown, "www.") && !common_ending(shown.substr(0, host))) return;
  const std::string_view name = event::normalise_domain(shown.substr(begin, host), arena);
  if (name.empty()) return;
  add(link, LinkTrick::kShownIsUrl);
  link.shown_domain = event::registered_domain(name);
  if (!link.shown_domain.empty() && !link.domain.empty() && link.shown_domain != link.domain) {
    add(link, LinkTrick::kShownDiffers);
  }
}

}  // namespace

std::string_view name_of(LinkTrick trick) {
  constexpr std::string_view names[] = {"shown_differs",
                                        "host_is_address",
                                        "host_obfuscated",
                                        "user_info",
                                        "punycode",
                                        "host_mixed_script",
                                        "port_odd",
                                        "url_in_url",
                                        "email_in_url",
                                        "scheme_odd",
                                        "hidden",
                                        "host_deep",
                                        "domain_in_subdomain",
                                        "shown_is_url"};
  static_assert(std::size(names) == kLinkTricks);
  return names[__builtin_ctz(static_cast<unsigned>(trick))];
}

Link make_link(const HtmlLink& given, base::Arena& arena) {
  Link link;
  link.target = given.target.substr(0, event::kUrlBytesMax);
  link.shown = given.shown;
  link.kind = given.kind;
  if (given.hidden) add(link, LinkTrick::kHidden);
  if (starts_lower(link.target, "mailto:")) {
    link.scheme = "mailto";
    std::string_view address = link.target.substr(7);
    address = address.substr(0, address.find('?'));
    event::EmailParts parts;
    if (event::parse_email(address, arena, parts)) {
      link.host = parts.domain;
      link.domain = event::registered_domain(parts.domain);
    }
    return link;
  }
  event::UrlParts parts;
  if (!event::parse_url(link.target, arena, parts)) return link;
  link.scheme = parts.scheme;
  link.host = parts.host;
  link.path = parts.path;
  link.query = parts.query;
  if (!parts.scheme.empty() && !is_web(parts.scheme) && parts.scheme != "tel" && parts.scheme != "cid" &&
      parts.scheme != "sms") {
    add(link, LinkTrick::kSchemeOdd);
  }
  if (parts.host.empty()) return link;
  link.domain = parts.host_is_address ? parts.host : event::registered_domain(parts.host);
  judge_host(link, parts, arena);
  const size_t authority = link.target.find("//");
  if (authority != std::string_view::npos) {
    const std::string_view rest = link.target.substr(authority + 2);
    const size_t end = std::min(rest.find_first_of("/\\?#"), rest.size());
    if (rest.substr(0, end).find('@') != std::string_view::npos) add(link, LinkTrick::kUserInfo);
    const std::string_view tail = rest.substr(end);
    if (find_lower(tail.substr(0, 2048), "http") != std::string_view::npos &&
        (tail.find("://") != std::string_view::npos ||
         find_lower(tail.substr(0, 2048), "%3a%2f") != std::string_view::npos)) {
      add(link, LinkTrick::kUrlInUrl);
    }
    if (has_email(tail.substr(0, 2048))) add(link, LinkTrick::kEmailInUrl);
  }
  judge_shown(link, arena);
  return link;
}

size_t find_in_text(std::string_view text, size_t found_max, base::Arena& arena, std::vector<FoundText>& out) {
  size_t more = 0;
  const size_t out_begin = out.size();
  const auto give = [&](std::string_view found, bool email) {
    if (out.size() - out_begin < found_max) {
      out.push_back({found, email});
    } else {
      ++more;
    }
  };
  size_t token_begin = 0;
  size_t at = 0;
  while (at < text.size()) {
    // A token between white space and brackets, and the characters in it that can make it a link.
    while (at < text.size() && kBeforeToken.has(text[at])) ++at;
    token_begin = at;
    size_t colon = std::string_view::npos, dot = std::string_view::npos, address = std::string_view::npos;
    for (; at < text.size() && !kEndsUrl.has(text[at]); ++at) {
      const char c = text[at];
      if (!kMarksLink.has(c)) continue;
      if (c == ':' && colon == std::string_view::npos) colon = at;
      if (c == '.' && dot == std::string_view::npos) dot = at;
      if (c == '@' && address == std::string_view::npos) address = at;
    }
    if (dot == std::string_view::npos && colon == std::string_view::npos) continue;
    std::string_view token = text.substr(token_begin, at - token_begin);
    if (colon != std::string_view::npos && text.substr(colon).starts_with("://")) {
      size_t scheme = colon;
      while (scheme > token_begin && is_alpha(text[scheme - 1])) --scheme;
      std::string_view url = without_sentence_end(text.substr(scheme, at - scheme));
      if (starts_lower(url, "hxxp")) {  // written so that nobody clicks
        char* copy = arena.allocate_array<char>(url.size());
        std::memcpy(copy, url.data(), url.size());
        std::memcpy(copy, "http", 4);
        url = {copy, url.size()};
      }
      if (url.size() > colon - scheme + 3 && colon > scheme) give(url, false);
      continue;
    }
    if (address != std::string_view::npos && dot != std::string_view::npos) {
      size_t begin = address;
      while (begin > token_begin && (is_alnum(text[begin - 1]) || std::strchr("._+-=%", text[begin - 1]) != nullptr))
        --begin;
      const size_t host = host_bytes(text.substr(address + 1, at - address - 1));
      if (host > 0 && begin < address) give(text.substr(begin, address + 1 + host - begin), true);
      continue;
    }
    if (dot == std::string_view::npos) continue;
    const size_t host = host_bytes(token);
    if (host == 0) continue;
    const bool has_path = host < token.size() && token[host] == '/';
    if (starts_lower(token, "www.") || has_path || common_ending(token.substr(0, host))) {
      if (has_path && !common_ending(token.substr(0, host)) && token.size() < host + 3) continue;
      give(without_sentence_end(has_path ? token : token.substr(0, host)), false);
    }
  }
  return more;
}

}  // namespace tamis::mail
