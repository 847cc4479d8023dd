#include "action/audit_line.h"

#include <algorithm>

#include "action/digest.h"
#include "action/json_text.h"
#include "base/file.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::action {
namespace {

void add_netstring(std::string& out, std::string_view bytes) {
  out += std::to_string(bytes.size());
  out += ':';
  out += bytes;
  out += ',';
}

bool is_hex(std::string_view text, size_t bytes) {
  return text.size() == bytes && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string payload_sum(std::string_view salt, std::string_view text) {
  Sha256 digest;
  digest.add(salt);
  digest.add(":");
  digest.add(text);
  return digest.hex();
}

std::string ChainedLine::hash() const {
  std::string covered, n = std::to_string(line.n);
  for (std::string_view part : {std::string_view(n), std::string_view(time), std::string_view(line.who),
                                std::string_view(line.what), std::string_view(line.on), std::string_view(sum[0]),
                                std::string_view(sum[1]), std::string_view(sum[2]), std::string_view(prev)}) {
    add_netstring(covered, part);
  }
  return sha256_hex(covered);
}

std::string ChainedLine::fault() const {
  for (size_t i = 0; i < std::size(kPayload); ++i) {
    if (present[i] && (sum[i].empty() || payload_sum(salt[i], payload(i)) != sum[i])) {
      return "its \"" + std::string(kPayload[i]) + "\" does not fit its sum: it was changed";
    }
  }
  if (!is_hex(prev, kSha256HexBytes)) return "its \"prev\" is no hash";
  if (hash() != line.hash) return "its hash does not fit its content: it was changed";
  return {};
}

void ChainedLine::append_to(std::string& out) const {
  event::JsonWriter json(out);
  json.begin_object().key("n").uinteger(line.n).key("t").string(time).key("who").string(line.who);
  json.key("what").string(line.what).key("on").string(line.on);
  for (size_t i = 0; i < std::size(kPayload); ++i) {
    if (present[i]) {
      json.key(kPayload[i]).string(payload(i));
    } else if (!sum[i].empty()) {
      json.key(kPayload[i]).null();  // erased
    }
  }
  auto put = [&](std::string_view key, const std::array<std::string, 3>& texts) {
    json.key(key).begin_object();
    for (size_t i = 0; i < std::size(kPayload); ++i) {
      if (!texts[i].empty()) json.key(kPayload[i]).string(texts[i]);
    }
    json.end_object();
  };
  put("salt", salt);
  put("sum", sum);
  json.key("prev").string(prev).key("hash").string(line.hash).end_object();
  out += '\n';
}

base::Result<ChainedLine> read_chained_line(std::string_view text, base::Arena& arena) {
  TAMIS_TRY(json, JsonObject::read(text, arena));
  ChainedLine out;
  out.line.n = json.count("n");
  out.time = json.text("t");
  auto time_ms = event::parse_time_ms(out.time, event::TimeFormat::kRfc3339);
  if (out.line.n == 0 || !time_ms) return base::invalid("it has no number or no time");
  out.line.time_ms = *time_ms;
  out.line.who = json.text("who");
  out.line.what = json.text("what");
  out.line.on = json.text("on");
  JsonObject salts = json.object("salt"), sums = json.object("sum");
  for (size_t i = 0; i < std::size(kPayload); ++i) {
    out.payload(i) = json.text(kPayload[i]);
    out.present[i] = !out.payload(i).empty();
    out.salt[i] = salts.text(kPayload[i]);
    out.sum[i] = sums.text(kPayload[i]);
    out.line.erased = out.line.erased || (!out.present[i] && !out.sum[i].empty());
  }
  out.prev = json.text("prev");
  out.line.hash = json.text("hash");
  return out;
}

base::Result<std::vector<std::string>> list_months(const std::string& folder) {
  base::ListOptions options;
  options.depth_max = 2;
  TAMIS_TRY(files, base::list_files(folder, options));
  std::vector<std::string> months;
  for (const base::FoundFile& file : files) {
    std::string_view name = std::string_view(file.path).substr(file.path.rfind('/') + 1);
    if (name.size() != 13 || name.substr(7) != ".jsonl" || name[4] != '-') continue;
    std::string digits = std::string(name.substr(0, 4)) + std::string(name.substr(5, 2));
    if (digits.find_first_not_of("0123456789") == std::string::npos) months.emplace_back(name.substr(0, 7));
  }
  std::sort(months.begin(), months.end());
  return months;
}

}  // namespace tamis::action
