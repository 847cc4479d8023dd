#include "replay/records.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::replay {

using event::JsonWriter;
using event::Kind;
using event::Value;

namespace {

constexpr size_t kIntelBytesMax = size_t{1} << 30;

std::string hex16(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

void append_number(std::string& out, int64_t number) { out += std::to_string(number); }

void begin(uint64_t number, int64_t receive_ms, std::string_view kind, std::string& out) {
  out += "{\"n\":";
  out += std::to_string(number);
  out += ",\"t\":";
  append_number(out, receive_ms);
  out.append(",\"k\":\"").append(kind).append("\"");
}

void append_on_one_line(std::string& out, std::string_view json) {
  const size_t from = out.size();
  out.append(json);
  // Nearly always there is none, which memchr finds out sixteen times as fast as a loop over bytes.
  for (const char end : {'\n', '\r'}) {
    if (json.find(end) != std::string_view::npos)
      std::replace(out.begin() + static_cast<std::ptrdiff_t>(from), out.end(), end, ' ');
  }
}

void write_event_as(std::string_view kind, uint64_t number, int64_t receive_ms, std::string_view type,
                    std::string_view json, std::string& out) {
  begin(number, receive_ms, kind, out);
  out.append(",\"type\":\"").append(type).append("\",\"e\":");
  append_on_one_line(out, json);
  out += '}';
}

// Takes `literal` off the front.
bool take(std::string_view& text, std::string_view literal) {
  if (text.substr(0, literal.size()) != literal) return false;
  text.remove_prefix(literal.size());
  return true;
}

template <class T>
bool take_number(std::string_view& text, T& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// Takes the text up to the next quote; names of types and versions have no escapes.
bool take_name(std::string_view& text, std::string_view& name) {
  size_t end = text.find('"');
  if (end == std::string_view::npos) return false;
  name = text.substr(0, end);
  text.remove_prefix(end + 1);
  return name.find('\\') == std::string_view::npos;
}

std::string policy_path(const std::string& data, const std::string& version) {
  return data + "/policies/" + version + ".json";
}

}  // namespace

void write_event(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out) {
  write_event_as("event", number, receive_ms, type, json, out);
}

void write_import(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out) {
  write_event_as("import", number, receive_ms, type, json, out);
}

void write_past(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out) {
  write_event_as("past", number, receive_ms, type, json, out);
}

void write_policy(uint64_t number, int64_t receive_ms, std::string_view version, uint64_t filled_from,
                  std::string& out) {
  begin(number, receive_ms, "policy", out);
  out.append(",\"version\":\"").append(version).append("\"");
  if (filled_from != 0) out.append(",\"from\":").append(std::to_string(filled_from));
  out += '}';
}

void write_batch(uint64_t number, int64_t receive_ms, std::string_view json, std::string& out) {
  begin(number, receive_ms, "batch", out);
  out += ",\"batch\":";
  append_on_one_line(out, json);
  out += '}';
}

void write_intel(uint64_t number, int64_t receive_ms, std::string_view version, std::string& out) {
  begin(number, receive_ms, "intel", out);
  out.append(",\"version\":\"").append(version).append("\"}");
}

void write_erased(uint64_t number, int64_t receive_ms, std::string& out) {
  begin(number, receive_ms, "erased", out);
  out += '}';
}

void write_forget(uint64_t number, int64_t receive_ms, int64_t before_ms, uint32_t part, uint32_t parts,
                  std::string& out) {
  begin(number, receive_ms, "forget", out);
  out.append(",\"before\":").append(std::to_string(before_ms));
  out.append(",\"part\":").append(std::to_string(part));
  out.append(",\"parts\":").append(std::to_string(parts)) += '}';
}

void write_act(uint64_t number, int64_t receive_ms, std::string_view act_json, std::string& out) {
  begin(number, receive_ms, "act", out);
  out += ",\"act\":";
  append_on_one_line(out, act_json);
  out += '}';
}

base::Result<Record> read_record(std::string_view line) {
  Record record;
  std::string_view rest = line, kind;
  bool good = take(rest, "{\"n\":") && take_number(rest, record.number) && take(rest, ",\"t\":") &&
              take_number(rest, record.receive_ms) && take(rest, ",\"k\":\"") && take_name(rest, kind) &&
              !rest.empty() && rest.back() == '}';
  if (good) rest.remove_suffix(1);
  if (good && (kind == "event" || kind == "past" || kind == "import")) {
    record.kind = kind == "past" ? Record::Kind::kPast : Record::Kind::kEvent;
    record.imported = kind == "import";
    good = take(rest, ",\"type\":\"") && take_name(rest, record.type) && take(rest, ",\"e\":");
    record.json = rest;
  } else if (good && (kind == "policy" || kind == "intel")) {
    record.kind = kind == "policy" ? Record::Kind::kPolicy : Record::Kind::kIntel;
    good = take(rest, ",\"version\":\"") && take_name(rest, record.version);
    if (good && take(rest, ",\"from\":")) good = take_number(rest, record.filled_from);
    good = good && rest.empty();
  } else if (good && kind == "act") {
    record.kind = Record::Kind::kAct;
    good = take(rest, ",\"act\":");
    record.json = rest;
  } else if (good && kind == "erased") {
    record.kind = Record::Kind::kErased;
    good = rest.empty();
  } else if (good && kind == "forget") {
    record.kind = Record::Kind::kForget;
    good = take(rest, ",\"before\":") && take_number(rest, record.before_ms) && take(rest, ",\"part\":") &&
           take_number(rest, record.part) && take(rest, ",\"parts\":") && take_number(rest, record.parts) &&
           rest.empty() && record.part < record.parts;
  } else if (good && kind == "batch") {
    record.kind = Record::Kind::kBatch;
    good = take(rest, ",\"batch\":");
    record.json = rest;
  } else {
    good = false;
  }
  if (!good) return base::invalid("not a record of a journal: " + std::string(line.substr(0, 80)));
  return record;
}

base::Status keep_policy(const std::string& data, const std::string& version,
                         const std::vector<policy::SourceFile>& files) {
  std::string path = policy_path(data, version);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return {};
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("files").begin_object();
  for (const policy::SourceFile& file : files) json.key(file.name).string(file.text);
  json.end_object().end_object();
  TAMIS_CHECK(base::make_folders(data + "/policies"));
  return base::write_file_atomically(path, out);
}

base::Result<std::vector<policy::SourceFile>> kept_policy(const std::string& data, const std::string& version) {
  std::string path = policy_path(data, version);
  TAMIS_TRY(text, base::read_file(path, uint64_t{2} << 30));
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = text.size() + 1;
  TAMIS_TRY(value, event::JsonReader::to_value(text, arena, limits));
  const Value* map = value.is(Kind::kMap) ? event::map_find(*value.map, Value::string("files")) : nullptr;
  if (map == nullptr || !map->is(Kind::kMap)) return base::invalid(path + " is not a kept policy");
  std::vector<policy::SourceFile> files;
  for (uint32_t i = 0; i < map->map->size; ++i) {
    const event::MapEntry& entry = map->map->entries[i];
    if (!entry.value.is(Kind::kString)) return base::invalid(path + " is not a kept policy");
    files.push_back({std::string(entry.key.str()), std::string(entry.value.str())});
  }
  return files;
}

base::Result<std::shared_ptr<const policy::Policy>> compile_kept_policy(const std::string& data,
                                                                        const std::string& version) {
  TAMIS_TRY(files, kept_policy(data, version));
  policy::Loaded loaded = policy::load_files(files);
  if (loaded.policy == nullptr) {
    std::string why = loaded.diagnostics.empty() ? "" : ": " + policy::to_string(loaded.diagnostics[0]);
    return base::invalid("the kept policy " + version + " does not compile any more" + why);
  }
  if (loaded.policy->version != version) return base::invalid("the kept policy " + version + " was changed");
  return loaded.policy;
}

base::Result<std::string> keep_intel(const std::string& data, const std::vector<std::string>& csv_files) {
  std::vector<std::string> contents;
  uint64_t hash = 0;
  for (const std::string& path : csv_files) {
    TAMIS_TRY(content, base::read_file(path, kIntelBytesMax));
    hash = base::combine64(hash, base::hash64(content));
    contents.push_back(std::move(content));
  }
  std::string version = hex16(hash);
  std::string folder = data + "/intel/" + version;
  TAMIS_CHECK(base::make_folders(folder));
  for (size_t i = 0; i < contents.size(); ++i) {
    std::string path = folder + "/" + std::to_string(i) + ".csv";
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) continue;
    TAMIS_CHECK(base::write_file_atomically(path, contents[i]));
  }
  return version;
}

base::Result<std::shared_ptr<const event::NetworkIntel>> kept_intel(const std::string& data, const std::string& version,
                                                                    const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  std::error_code ignored;
  uint64_t hash = 0;
  for (size_t i = 0;; ++i) {
    std::string path = data + "/intel/" + version + "/" + std::to_string(i) + ".csv";
    if (!std::filesystem::exists(path, ignored)) break;
    TAMIS_TRY(content, base::read_file(path, kIntelBytesMax));
    hash = base::combine64(hash, base::hash64(content));
    paths.push_back(std::move(path));
  }
  if (paths.empty()) return base::fail(base::Code::kNotFound, "the kept network facts " + version + " are not there");
  if (hex16(hash) != version) return base::invalid("the kept network facts " + version + " were changed");
  // What was in force stays readable, whatever is asked of new tables.
  return event::NetworkIntel::load(paths, names, names.empty());
}

}  // namespace tamis::replay
