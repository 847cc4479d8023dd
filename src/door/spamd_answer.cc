#include "door/spamd_answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "door/mail_text.h"

namespace tamis::door::spamd {
namespace {

constexpr std::string_view kOk = "SPAMD/1.1 0 EX_OK\r\n";
constexpr size_t kSymbolsShownMax = 500;

std::string spam_line(const MailVerdict& verdict) {
  return fmt::format("Spam: {} ; {:.1f} / {:.1f}\r\n", is_spam(verdict) ? "True" : "False", points_shown(verdict),
                     verdict.points_required);
}

std::string symbol_names(const MailVerdict& verdict, std::string_view between) {
  std::string names;
  size_t count = std::min(verdict.symbols.size(), kSymbolsShownMax);
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) names.append(between);
    for (char c : verdict.symbols[i].name) names.push_back(c > 0x20 && c < 0x7f && c != ',' && c != '=' ? c : '_');
  }
  return names;
}

std::string report(const MailVerdict& verdict, std::string_view line_end) {
  std::string text = fmt::format("Tamis judges this message as {}: {:.1f} points, from {:.1f} on it is spam.{}{}",
                                 verdict.verdict, points_shown(verdict), verdict.points_required, line_end, line_end);
  text += fmt::format(" pts rule name              description{}", line_end);
  text += fmt::format("---- ---------------------- ------------------------------------------------{}", line_end);
  size_t count = std::min(verdict.symbols.size(), kSymbolsShownMax);
  for (size_t i = 0; i < count; ++i) {
    const MailSymbol& symbol = verdict.symbols[i];
    text += fmt::format("{:4.1f} {:<22} {}{}", symbol.score, clean_value(symbol.name, " "),
                        clean_value(symbol.description, " "), line_end);
  }
  return text;
}

// The header that SpamAssassin's users know, and what the verdict adds of other names.
std::vector<MailHeader> headers_of(const MailVerdict& verdict) {
  bool spam = is_spam(verdict);
  std::vector<MailHeader> headers;
  auto add = [&](std::string_view name, std::string value) {
    bool there = std::any_of(verdict.add_headers.begin(), verdict.add_headers.end(),
                             [&](const MailHeader& header) { return same_name(header.name, name); });
    if (!there) headers.push_back({std::string(name), std::move(value)});
  };
  if (spam) add("X-Spam-Flag", "YES");
  double points = points_shown(verdict);
  if (points >= 1) add("X-Spam-Level", std::string(static_cast<size_t>(std::min(points, 50.0)), '*'));
  std::string names = symbol_names(verdict, ",\n\t");
  add("X-Spam-Status", fmt::format("{}, score={:.1f} required={:.1f} tests={}", spam ? "Yes" : "No", points,
                                   verdict.points_required, names.empty() ? "none" : names));
  add("X-Spam-Checker-Version", "Tamis");
  headers.insert(headers.end(), verdict.add_headers.begin(), verdict.add_headers.end());
  return headers;
}

std::string marked_message(const MailVerdict& verdict, std::string_view message, std::string_view own_name) {
  std::vector<std::string> names = verdict.remove_headers;
  for (const char* name : {"X-Spam-Flag", "X-Spam-Level", "X-Spam-Status", "X-Spam-Checker-Version"})
    names.emplace_back(name);
  return edited(message, removals_of(header_of(message), names, own_name), headers_of(verdict));
}

}  // namespace

void append_pong(std::string& out) { out.append("SPAMD/1.5 0 PONG\r\n"); }

void append_error(std::string& out, Exit exit, std::string_view text) {
  out.append(fmt::format("SPAMD/1.1 {} {}\r\n\r\n", static_cast<int>(exit), clean_value(text, " ")));
}

void append_verdict(std::string& out, Command command, const MailVerdict& verdict, std::string_view message,
                    std::string_view own_name) {
  std::string body;
  bool has_body = true;
  switch (command) {
    case Command::kSymbols:
      body = symbol_names(verdict, ",") + "\r\n";
      break;
    case Command::kReport:
      body = report(verdict, "\r\n");
      break;
    case Command::kReportIfSpam:
      if (is_spam(verdict)) body = report(verdict, "\r\n");
      break;
    case Command::kHeaders:
      body = header_of(marked_message(verdict, message, own_name));
      break;
    case Command::kProcess:
      body = marked_message(verdict, message, own_name);
      break;
    default:
      has_body = false;
  }
  out.append(kOk);
  if (has_body) out.append(fmt::format("Content-length: {}\r\n", body.size()));
  out.append(spam_line(verdict)).append("\r\n").append(body);
}

void append_told(std::string& out, const Request& request, bool learned) {
  out.append(kOk);
  if (learned && request.set_local) out.append("DidSet: local\r\n");
  if (learned && request.remove_local) out.append("DidRemove: local\r\n");
  out.append("Content-length: 0\r\n\r\n");
}

}  // namespace tamis::door::spamd
