// Results as the text of an Authentication-Results header, and headers of others that pretend to be ours.
#include <algorithm>

#include "mail/ascii.h"
#include "mail/authentication.h"

namespace tamis::mail {
namespace {

constexpr size_t kValueBytesMax = 320;
constexpr size_t kDkimShownMax = 16;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// RFC 2045 token, with "@" for addresses of plain words.
bool is_plain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c <= '~' && std::string_view("()<>,;:\\\"/[]?=").find(c) == std::string_view::npos;
  });
}

std::string value_of(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

class Writer {
 public:
  explicit Writer(std::string_view fold) : fold_(fold) {}

  void method(std::string_view name, std::string_view result, std::string_view reason) {
    if (!out_.empty()) {
      out_ += ';';
      out_ += fold_;
    }
    out_ += name;
    out_ += '=';
    out_ += result;
    if (!reason.empty() && is_printable(reason)) property("reason", value_of(reason.substr(0, kValueBytesMax)));
  }
  // Our own words only.
  void comment(std::string_view text) { out_ += " (" + std::string(text) + ")"; }
  // What others wrote: left out unless it is printable, quoted unless it is plain.
  void text(std::string_view name, std::string_view value) {
    if (!value.empty() && value.size() <= kValueBytesMax && is_printable(value)) property(name, value_of(value));
  }
  std::string end() { return out_.empty() ? "none" : std::move(out_); }

 private:
  void property(std::string_view name, const std::string& value) {
    out_ += ' ';
    out_ += name;
    out_ += '=';
    out_ += value;
  }
  const std::string_view fold_;
  std::string out_;
};

// The address as it is if its local part is plain words, else its domain.
std::string_view shown_address(std::string_view address) {
  return is_plain(address) ? address : address.substr(std::min(address.rfind('@') + 1, address.size()));
}

// Skips white space and comments, which nest. False: a comment does not end.
bool skip_comments(std::string_view& text) {
  for (;;) {
    text = trim(text);
    if (!text.starts_with('(')) return true;
    size_t depth = 0, at = 0;
    for (; at < text.size(); ++at) {
      if (text[at] == '\\') {
        ++at;
      } else if (text[at] == '(') {
        ++depth;
      } else if (text[at] == ')' && --depth == 0) {
        break;
      }
    }
    if (at >= text.size()) return false;
    text.remove_prefix(at + 1);
  }
}

// The authserv-id of a header's value; empty: it cannot be told.
std::string server_of(std::string_view value) {
  std::string out;
  if (!skip_comments(value)) return out;
  if (!value.starts_with('"')) {
    const size_t end = std::min(value.find_first_of(" \t\r\n;("), value.size());
    return std::string(value.substr(0, end));
  }
  for (size_t at = 1; at < value.size(); ++at) {
    if (value[at] == '"') return out;
    if (value[at] == '\\' && at + 1 < value.size()) ++at;
    if (value[at] != '\r' && value[at] != '\n') out += value[at];
  }
  return {};
}

}  // namespace

std::string MailAuthResults::to_authentication_results(std::string_view authserv_id, std::string_view fold) const {
  const std::string text = results_text(fold);
  return value_of(authserv_id) + ";" + (text == "none" ? " " : std::string(fold)) + text;
}

DkimResult MailAuthResults::best_dkim() const {
  constexpr DkimResult order[] = {DkimResult::kPass,   DkimResult::kTempError, DkimResult::kFail,
                                  DkimResult::kPolicy, DkimResult::kPermError, DkimResult::kNeutral};
  for (const DkimResult result : order) {
    if (std::any_of(dkim.begin(), dkim.end(), [result](const Dkim& one) { return one.result == result; }))
      return result;
  }
  return DkimResult::kNone;
}

std::string MailAuthResults::results_text(std::string_view fold) const {
  Writer writer(fold);
  if (dns_off) return writer.end();
  if (!spf.domain.empty()) {
    writer.method("spf", name_of(spf.result), spf.result == SpfResult::kPass ? "" : spf.reason);
    if (spf.of_helo) {
      writer.text("smtp.helo", spf.domain);
    } else {
      writer.text("smtp.mailfrom", shown_address(spf.sender));
    }
    writer.text("smtp.remote-ip", spf.client_ip);
  }
  for (size_t i = 0; i < dkim.size() && i < kDkimShownMax; ++i) {
    const Dkim& one = dkim[i];
    writer.method("dkim", name_of(one.result), one.reason);
    if (one.testing) writer.comment("key in testing");
    if (one.body_cut) writer.comment("a part of the body is not signed");
    writer.text("header.d", one.domain);
    writer.text("header.i", shown_address(one.identity));
    writer.text("header.s", one.selector);
    writer.text("header.a", one.algorithm);
    writer.text("header.b", one.signature_start);
  }
  if (!dmarc.from_domain.empty() || dmarc.result != DmarcResult::kNone) {
    writer.method("dmarc", name_of(dmarc.result), dmarc.reason);
    if (!dmarc.domain.empty()) {
      writer.comment("p=" + std::string(name_of(dmarc.policy)) + " dis=" + std::string(name_of(dmarc.applied)));
    }
    writer.text("header.from", dmarc.from_domain);
  }
  if (arc.sets > 0) {
    writer.method("arc", name_of(arc.result), arc.reason);
    writer.comment("i=" + std::to_string(arc.sets));
    writer.text("smtp.remote-ip", spf.client_ip);
  }
  return writer.end();
}

std::vector<uint32_t> forged_authentication_results(const Message& message, std::string_view authserv_id) {
  std::vector<uint32_t> out;
  uint32_t number = 0;
  std::string ours(authserv_id);
  std::transform(ours.begin(), ours.end(), ours.begin(), to_lower);
  for (const Header& header : message.headers_of(message.parts[0])) {
    if (header.id != HeaderId::kAuthenticationResults) continue;
    ++number;
    const std::string server = server_of(header.value);
    if (server.empty() || equals_lower(server, ours)) out.push_back(number);
  }
  return out;
}

}  // namespace tamis::mail
