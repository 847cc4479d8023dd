#include "door/rspamd_wire.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "cel/utf8.h"
#include "door/mail_text.h"
#include "event/json_writer.h"

namespace tamis::door::rspamd {
namespace {

constexpr size_t kWordBytesMax = 1'024;  // of a name or an address
constexpr unsigned kWindowLogMax = 24;   // 16 MiB: what unpacking may take beside the message

std::string word(const net::Request& in, std::string_view name) {
  std::string out(trimmed(in.header(name)).substr(0, kWordBytesMax));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return out;
}

// JSON is UTF-8, and what a sender wrote need not be.
std::string utf8(std::string_view text) {
  std::string out(text);
  if (!cel::is_valid_utf8(text))
    for (char& c : out)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return out;
}

bool says_zstd(std::string_view value) { return same_name(trimmed(value), "zstd"); }

std::string_view action_name(const MailVerdict& verdict, bool quarantines) {
  switch (verdict.action) {
    case MailAction::kAccept:
      return verdict.verdict == "discard" ? "discard" : "no action";
    case MailAction::kGreylist:
      return "soft reject";
    case MailAction::kTag:
      return "add header";
    case MailAction::kQuarantine:
      return quarantines ? "quarantine" : "add header";
    case MailAction::kDefer:
      return "soft reject";
    case MailAction::kReject:
      return "reject";
  }
  return "no action";
}

double finite(double number) { return std::isfinite(number) ? number : 0; }

void write_symbols(event::JsonWriter& json, const MailVerdict& verdict) {
  json.key("symbols").begin_object();
  for (const MailSymbol& symbol : verdict.symbols) {
    json.key(utf8(symbol.name)).begin_object();
    json.key("name").string(utf8(symbol.name));
    json.key("score").real(finite(symbol.score));
    json.key("metric_score").real(finite(symbol.score));
    json.key("description").string(utf8(symbol.description));
    json.end_object();
  }
  json.end_object();
}

void write_header(event::JsonWriter& json, const MailHeader& header) {
  json.begin_object();
  json.key("value").string(utf8(clean_value(header.value, "\n")));
  json.key("order").integer(1);  // on top of all others
  json.end_object();
}

// Fields of one name stand in one list. The topmost comes last, since each is put above those before.
void write_added(event::JsonWriter& json, const std::vector<MailHeader>& headers) {
  std::vector<std::pair<std::string, std::vector<const MailHeader*>>> by_name;
  for (auto it = headers.rbegin(); it != headers.rend(); ++it) {
    std::string name = clean_name(it->name);
    auto found = std::find_if(by_name.begin(), by_name.end(), [&](const auto& known) { return known.first == name; });
    if (found == by_name.end()) found = by_name.insert(found, {name, {}});
    found->second.push_back(&*it);
  }
  json.key("add_headers").begin_object();
  for (const auto& [name, values] : by_name) {
    json.key(name);
    if (values.size() == 1) {
      write_header(json, *values.front());
      continue;
    }
    json.begin_array();
    for (const MailHeader* header : values) write_header(json, *header);
    json.end_array();
  }
  json.end_object();
}

// Which fields of a name go: 0 for all of them, else the places of some.
void write_removed(event::JsonWriter& json, const std::vector<HeaderRemoval>& removals, std::string_view header) {
  json.key("remove_headers").begin_object();
  for (size_t i = 0; i < removals.size(); ++i) {
    auto same = [&](const HeaderRemoval& other) { return same_name(other.name, removals[i].name); };
    if (std::any_of(removals.begin(), removals.begin() + static_cast<ptrdiff_t>(i), same)) continue;
    std::vector<uint32_t> places;
    for (const HeaderRemoval& one : removals)
      if (same(one)) places.push_back(one.index);
    size_t all = 0;
    HeaderFields fields(header);
    HeaderField field;
    while (fields.next(field)) all += same_name(field.name, removals[i].name) ? 1 : 0;
    json.key(utf8(removals[i].name));
    if (places.size() == all) {
      json.integer(0);
    } else if (places.size() == 1) {
      json.uinteger(places[0]);
    } else {
      json.begin_array();
      for (uint32_t place : places) json.uinteger(place);
      json.end_array();
    }
  }
  json.end_object();
}

void write_milter(event::JsonWriter& json, const MailVerdict& verdict, const Shown& shown) {
  auto removals = removals_of(shown.header, verdict.remove_headers, shown.own_name);
  if (verdict.add_headers.empty() && removals.empty()) return;
  json.key("milter").begin_object();
  if (!verdict.add_headers.empty()) write_added(json, verdict.add_headers);
  if (!removals.empty()) write_removed(json, removals, shown.header);
  json.end_object();
}

}  // namespace

base::Status refuse_foreign(const net::Request& in) {
  constexpr std::string_view kForeign[] = {"File", "Path", "Shm", "Shm-Offset", "Shm-Length"};
  for (std::string_view name : kForeign)
    if (in.has_header(name))
      return base::fail(base::Code::kDenied,
                        fmt::format("the header {} asks to read what is on this machine, which is never done: send the "
                                    "message as the body",
                                    name));
  if (in.has_header("Key"))
    return base::invalid("encrypted requests (HTTPCrypt) are not understood: send the message as it is");
  return {};
}

base::Result<std::string> unpack_zstd(std::string_view packed, size_t bytes_max) {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  if (context == nullptr) return base::fail(base::Code::kUnavailable, "zstd has no memory");
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, static_cast<int>(kWindowLogMax));
  std::string out;
  std::array<char, 64 * 1024> piece;
  ZSTD_inBuffer from{packed.data(), packed.size(), 0};
  size_t left = 1;
  while (from.pos < from.size || left != 0) {
    ZSTD_outBuffer to{piece.data(), piece.size(), 0};
    size_t before = from.pos;
    left = ZSTD_decompressStream(context.get(), &to, &from);
    if (ZSTD_isError(left)) return base::invalid(fmt::format("the body is not zstd: {}", ZSTD_getErrorName(left)));
    out.append(piece.data(), to.pos);
    if (out.size() > bytes_max)
      return base::fail(base::Code::kLimit,
                        fmt::format("the message is larger than {} bytes once unpacked", bytes_max));
    if (to.pos == 0 && from.pos == before) break;
  }
  if (left != 0) return base::invalid("the body is zstd that is cut short");
  return out;
}

base::Result<std::string> read_message(const net::Request& in, size_t bytes_max) {
  std::string_view compression = in.header("Compression"), encoding = in.header("Content-Encoding");
  for (std::string_view value : {compression, encoding})
    if (!value.empty() && !says_zstd(value) && !same_name(trimmed(value), "identity"))
      return base::invalid(fmt::format("the body is packed as `{}`: expected zstd or nothing", value.substr(0, 40)));
  if (says_zstd(compression) || says_zstd(encoding)) return unpack_zstd(in.body(), bytes_max);
  if (in.body().size() > bytes_max)
    return base::fail(base::Code::kLimit, fmt::format("the message is larger than {} bytes", bytes_max));
  return std::string(in.body());
}

MailRequest read_envelope(const net::Request& in, size_t recipients_max) {
  MailRequest request;
  if (in.has_header("From")) {
    request.sender = std::string(without_brackets(word(in, "From")));
    request.has_sender = true;
  }
  for (const net::Header& header : in.headers()) {
    if (!same_name(header.name, "Rcpt") || request.recipients.size() >= recipients_max) continue;
    std::string_view address = without_brackets(header.value).substr(0, kWordBytesMax);
    if (!address.empty()) request.recipients.emplace_back(address);
  }
  request.client_ip = word(in, "IP");
  std::string& ip = request.client_ip;
  if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') ip = ip.substr(1, ip.size() - 2);
  request.helo = word(in, "Helo");
  request.client_name = word(in, "Hostname");
  if (same_name(request.client_name, "unknown")) request.client_name.clear();
  request.user = word(in, "User");
  request.queue_id = word(in, "Queue-Id");
  request.tls_version = word(in, "TLS-Version");
  request.received_by = word(in, "MTA-Name");
  if (request.recipients.empty() && in.has_header("Deliver-To")) {
    std::string mailbox(without_brackets(word(in, "Deliver-To")));
    if (!mailbox.empty()) request.recipients.push_back(std::move(mailbox));
  }
  if (!request.user.empty()) request.direction = MailDirection::kOut;
  return request;
}

std::string verdict_json(const MailVerdict& verdict, const Shown& shown) {
  std::string out;
  out.reserve(512 + 160 * verdict.symbols.size());
  event::JsonWriter json(out);
  json.begin_object();
  json.key("is_skipped").boolean(false);
  json.key("score").real(points_shown(verdict));
  json.key("required_score").real(finite(verdict.points_required));
  json.key("action").string(action_name(verdict, shown.quarantines));
  json.key("thresholds").begin_object();
  json.key("add header").real(finite(verdict.points_required));
  json.end_object();
  write_symbols(json, verdict);
  json.key("messages").begin_object();
  const bool reject = verdict.action == MailAction::kReject;
  if (reject || verdict.action == MailAction::kGreylist || verdict.action == MailAction::kDefer) {
    SmtpReply reply = smtp_reply(verdict.reply, reject ? "550" : "451", reject ? "5.7.1" : "4.7.1",
                                 reject ? "The message was refused as spam" : "Try again later");
    json.key("smtp_message").string(utf8(reply.text));
  }
  json.end_object();
  json.key("message-id").string(utf8(without_brackets(header_value(shown.header, "Message-ID"))));
  json.key("time_real").real(shown.seconds);
  write_milter(json, verdict, shown);
  json.key("tamis").begin_object();
  json.key("id").string(utf8(verdict.id));
  json.key("verdict").string(utf8(verdict.verdict));
  json.key("points").real(finite(verdict.points));
  json.key("probability").real(finite(verdict.probability));
  json.key("recipients_refused").begin_array();
  for (const std::string& recipient : verdict.recipients_refused) json.string(utf8(recipient));
  json.end_array();
  if (!verdict.explanation_json.empty()) json.key("explanation").raw(verdict.explanation_json);
  json.end_object();
  json.end_object();
  out.push_back('\n');
  return out;
}

std::string stat_json(const MailStats& stats, int64_t now_ms) {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object();
  json.key("version").string("3.4");  // of the protocol's shape; clients compare it
  json.key("config_id").string("tamis");
  json.key("server").string("tamis");
  json.key("read_only").boolean(false);
  json.key("uptime").integer(std::max<int64_t>(0, now_ms - stats.started_ms) / 1000);
  json.key("scanned").uinteger(stats.scanned);
  json.key("learned").uinteger(stats.learned);
  json.key("spam_count").uinteger(stats.tagged + stats.quarantined + stats.rejected);
  json.key("ham_count").uinteger(stats.accepted + stats.greylisted);
  json.key("connections").integer(0);
  json.key("control_connections").integer(0);
  json.key("actions").begin_object();
  json.key("reject").uinteger(stats.rejected);
  json.key("soft reject").uinteger(stats.greylisted + stats.deferred);
  json.key("rewrite subject").integer(0);
  json.key("add header").uinteger(stats.tagged + stats.quarantined);
  json.key("greylist").integer(0);
  json.key("no action").uinteger(stats.accepted);
  json.end_object();
  for (const char* name : {"pools_allocated", "pools_freed", "bytes_allocated", "chunks_allocated",
                           "shared_chunks_allocated", "chunks_freed", "chunks_oversized", "fragmented"})
    json.key(name).integer(0);
  json.key("statfiles").begin_array();
  for (auto [name, learned, is_spam_class] :
       {std::tuple("spam", stats.spam_learned, true), std::tuple("ham", stats.ham_learned, false)}) {
    json.begin_object();
    json.key("symbol").string(is_spam_class ? "TAMIS_SPAM" : "TAMIS_HAM");
    json.key("type").string(name);
    json.key("revision").uinteger(learned);
    json.key("used").integer(0);
    json.key("total").integer(0);
    json.key("size").integer(0);
    json.key("languages").integer(0);
    json.key("users").integer(1);
    json.end_object();
  }
  json.end_array();
  json.key("total_learns").uinteger(stats.learned);
  json.key("fuzzy_hashes").begin_object().end_object();
  json.end_object();
  out.push_back('\n');
  return out;
}

std::string error_json(std::string_view code, std::string_view sentence) {
  std::string out;
  event::JsonWriter json(out);
  json.begin_object();
  json.key("error").string(utf8(sentence));
  json.key("code").string(code);
  json.end_object();
  out.push_back('\n');
  return out;
}

}  // namespace tamis::door::rspamd
