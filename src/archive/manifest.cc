#include "archive/manifest.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::archive {
namespace {

using event::Kind;
using event::Value;

constexpr size_t kManifestBytesMax = size_t{1} << 30;
constexpr int64_t kVersion = 1;

void write_layout(const Layout& layout, event::JsonWriter& json) {
  json.begin_array();
  for (const ColumnSpec& spec : layout.columns) {
    json.begin_object().key("name").string(spec.name);
    if (spec.column != spec.name) json.key("column").string(spec.column);
    json.key("type").string(name_of(spec.type));
    if (spec.fingerprint != 0) json.key("declared").string(fmt::format("{:016x}", spec.fingerprint));
    if (spec.secret) json.key("private").boolean(true);
    if (spec.keep_days != 0) json.key("keep_days").integer(spec.keep_days);
    if (!spec.entity.empty()) json.key("entity").string(spec.entity);
    if (spec.tokened) json.key("tokened").boolean(true);
    if (spec.dropped) json.key("dropped").boolean(true);
    json.end_object();
  }
  json.end_array();
}

// Reads members of an object; the first that is not as expected is kept as the fault.
class Members {
 public:
  Members(Value object, std::string& fault) : object_(object), fault_(fault) {}
  Value get(std::string_view key) const {
    if (!object_.is(Kind::kMap)) return Value::absent();
    const Value* found = event::map_find(*object_.map, Value::string(key));
    return found == nullptr ? Value::absent() : *found;
  }
  std::string text(std::string_view key, bool needed = true) const {
    const Value value = get(key);
    if (value.is(Kind::kString)) return std::string(value.str());
    if (needed) miss(key, "a text");
    return {};
  }
  int64_t integer(std::string_view key) const {
    const Value value = get(key);
    if (value.is(Kind::kInt)) return value.i;
    if (value.is(Kind::kUint)) return static_cast<int64_t>(value.u);
    miss(key, "a whole number");
    return 0;
  }
  bool flag(std::string_view key) const { return get(key).is_true(); }
  std::span<const Value> list(std::string_view key) const {
    const Value value = get(key);
    if (value.is(Kind::kList)) return value.list_items();
    miss(key, "a list");
    return {};
  }

 private:
  void miss(std::string_view key, std::string_view expected) const {
    if (fault_.empty()) fault_ = fmt::format("\"{}\" is not {}", key, expected);
  }
  Value object_;
  std::string& fault_;
};

std::shared_ptr<const Layout> read_layout(Value value, std::string& fault) {
  auto layout = std::make_shared<Layout>();
  if (!value.is(Kind::kList)) fault = "a layout is no list";
  for (const Value& item : value.is(Kind::kList) ? value.list_items() : std::span<const Value>{}) {
    const Members members(item, fault);
    ColumnSpec spec;
    spec.name = members.text("name");
    spec.column = members.text("column", false);
    if (spec.column.empty()) spec.column = spec.name;
    if (!column_type_named(members.text("type"), spec.type)) fault = "a column has an unknown type";
    const std::string declared = members.text("declared", false);
    std::from_chars(declared.data(), declared.data() + declared.size(), spec.fingerprint, 16);
    spec.secret = members.flag("private");
    if (members.get("keep_days").is(Kind::kInt)) spec.keep_days = static_cast<int32_t>(members.integer("keep_days"));
    spec.entity = members.text("entity", false);
    spec.tokened = members.flag("tokened");
    spec.dropped = members.flag("dropped");
    layout->columns.push_back(std::move(spec));
  }
  return layout;
}

// Within the folder, whatever a damaged manifest says.
bool is_plain_path(const std::string& path) {
  return !path.empty() && path[0] != '/' && path.find("..") == std::string::npos && path.ends_with(".parquet");
}

FilePointer read_file_entry(Value value, const std::string& folder,
                            const std::vector<std::shared_ptr<const Layout>>& layouts, std::string& fault) {
  const Members members(value, fault);
  auto file = std::make_shared<DataFile>();
  file->path = members.text("path");
  file->type = members.text("type", false);
  file->day = members.integer("day");
  file->first = static_cast<uint64_t>(members.integer("first"));
  file->last = static_cast<uint64_t>(members.integer("last"));
  file->rows = static_cast<uint64_t>(members.integer("rows"));
  file->bytes = static_cast<uint64_t>(members.integer("bytes"));
  file->from_ms = members.integer("from_ms");
  file->to_ms = members.integer("to_ms");
  file->absolute = folder + "/" + file->path;
  if (const std::string footer = members.text("footer", false); !footer.empty()) {
    uint64_t hash = 0;
    const auto read = std::from_chars(footer.data(), footer.data() + footer.size(), hash, 16);
    if (read.ec != std::errc() || read.ptr != footer.data() + footer.size()) fault = "a hash is none";
    file->footer_hash = hash;
  }
  const auto layout = static_cast<uint64_t>(members.integer("layout"));
  if (!fault.empty()) return file;
  if (!is_plain_path(file->path)) fault = fmt::format("\"{}\" is no path of a file of the archive", file->path);
  if (layout >= layouts.size()) {
    fault = fmt::format("\"{}\" has layout {}, and there are {}", file->path, layout, layouts.size());
  } else {
    file->layout = layouts[layout];
    if (!file->type.empty() && file->layout->columns.size() < kSystemColumns) fault = "a layout is too short";
  }
  return file;
}

}  // namespace

base::Result<std::shared_ptr<const ParquetFile>> DataFile::parquet() const {
  std::lock_guard lock(parquet_mutex_);
  if (parquet_ == nullptr) {
    TAMIS_TRY(opened, ParquetFile::open(absolute, footer_hash));
    parquet_ = std::move(opened);
  }
  return parquet_;
}

DataFile::Stamp DataFile::stamp() const {
  struct stat status = {};
  if (::stat(absolute.c_str(), &status) != 0) return {};
  return {static_cast<int64_t>(status.st_ino), static_cast<int64_t>(status.st_size),
          status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::string DataFile::damage() const {
  if (!was_damaged_) return {};  // asked for all files, often
  std::lock_guard lock(damage_mutex_);
  if (damage_.empty() || stamp() == damage_stamp_) return damage_;
  return damage_ = {};  // another file lies there by now
}

base::Result<uint64_t> DataFile::verify(const std::set<std::string>* columns, const std::function<bool()>& keep_going,
                                        bool again) const {
  std::lock_guard lock(verify_mutex_);
  const Stamp now = stamp();
  if (again || now != verified_stamp_) {
    verified_.clear();
    std::lock_guard parquet_lock(parquet_mutex_);
    parquet_.reset();
  }
  verified_stamp_ = now;
  auto read = verify_now(columns, keep_going);
  if (!read && read.error().code == base::Code::kUnavailable) {
    verified_.clear();
    std::lock_guard damage_lock(damage_mutex_);
    was_damaged_ = true;
    damage_ = read.error().message;
    damage_stamp_ = now;
  }
  return read;
}

base::Result<uint64_t> DataFile::verify_now(const std::set<std::string>* columns,
                                            const std::function<bool()>& keep_going) const {
  auto opened = parquet();
  // Columns of a kind that only DuckDB knows: nothing tells them apart.
  if (!opened && opened.error().code == base::Code::kNotFound) return uint64_t{0};
  if (!opened) return tl::unexpected<base::Error>(std::move(opened).error());
  const ParquetFile& file = **opened;
  const size_t between = file.columns().size();
  if (verified_.size() != between + 1) verified_.assign(between + 1, false);
  std::vector<bool> wanted(between + 1, true);
  for (size_t i = 0; i <= between; ++i) {
    if (i < between && columns != nullptr && !columns->contains(file.columns()[i].name)) wanted[i] = false;
    if (verified_[i]) wanted[i] = false;
  }
  const Descriptor descriptor(absolute, O_RDONLY);
  if (descriptor.get() < 0) return tl::unexpected<base::Error>(base::system_error("open", absolute, errno));
  uint64_t read = 0;
  for (const ParquetFile::Part& part : file.parts()) {
    if (!wanted[part.column < 0 ? between : static_cast<size_t>(part.column)]) continue;
    if (keep_going && !keep_going()) return base::fail(base::Code::kLimit, "verifying files was stopped");
    TAMIS_TRY(hash, hash_at(descriptor.get(), absolute, part.offset, part.bytes));
    if (hash != part.hash) return tl::unexpected<base::Error>(damaged_file(absolute, file.name_of(part)));
    read += part.bytes;
  }
  for (size_t i = 0; i <= between; ++i) {
    if (wanted[i]) verified_[i] = true;
  }
  return read;
}

DataFile::~DataFile() {
  if (doomed) ::unlink(absolute.c_str());
}

void Manifest::sort() {
  std::stable_sort(files.begin(), files.end(), [](const FilePointer& a, const FilePointer& b) {
    if (a->type != b->type) return a->type < b->type;
    if (a->first != b->first) return a->first < b->first;
    return a->path < b->path;
  });
}

std::vector<FilePointer> Manifest::files_of(std::string_view type) const {
  std::vector<FilePointer> out;
  for (const FilePointer& file : files) {
    if (file->type == type) out.push_back(file);
  }
  return out;
}

// The first line holds a hash of all that follows it.
std::string to_json(const Manifest& manifest) {
  std::vector<const Layout*> layouts;
  std::vector<size_t> layout_of_file;
  auto number_of = [&](const Layout* layout) {
    size_t at = 0;
    while (at < layouts.size() && layouts[at] != layout && !(*layouts[at] == *layout)) ++at;
    if (at == layouts.size()) layouts.push_back(layout);
    return at;
  };
  for (const FilePointer& file : manifest.files) layout_of_file.push_back(number_of(file->layout.get()));
  for (const auto& [type, layout] : manifest.bare) number_of(layout.get());
  std::string rest = fmt::format("\"version\": {}, \"upto\": {},\n\"layouts\": [", kVersion, manifest.upto);
  for (size_t i = 0; i < layouts.size(); ++i) {
    rest += i == 0 ? "\n" : ",\n";
    event::JsonWriter json(rest);
    write_layout(*layouts[i], json);
  }
  rest += "],\n";
  if (!manifest.bare.empty()) {
    rest += "\"bare\": ";
    event::JsonWriter json(rest);
    json.begin_array();
    for (const auto& [type, layout] : manifest.bare)
      json.begin_object().key("type").string(type).key("layout").uinteger(number_of(layout.get())).end_object();
    json.end_array();
    rest += ",\n";
  }
  rest += "\"files\": [";
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const DataFile& file = *manifest.files[i];
    rest += i == 0 ? "\n" : ",\n";
    event::JsonWriter json(rest);
    json.begin_object().key("path").string(file.path).key("type").string(file.type).key("day").integer(file.day);
    json.key("first").uinteger(file.first).key("last").uinteger(file.last).key("rows").uinteger(file.rows);
    json.key("bytes").uinteger(file.bytes).key("from_ms").integer(file.from_ms).key("to_ms").integer(file.to_ms);
    if (file.footer_hash) json.key("footer").string(fmt::format("{:016x}", *file.footer_hash));
    json.key("layout").uinteger(layout_of_file[i]).end_object();
  }
  rest += "]}\n";
  return fmt::format("{{\"hash\": \"{:016x}\",\n", base::hash64(rest)) + rest;
}

base::Result<Manifest> parse_manifest(std::string_view text, const std::string& folder) {
  auto damaged = [&](std::string_view why) {
    return base::invalid(fmt::format("{}/{} is damaged: {}", folder, kManifestName, why));
  };
  const size_t line = text.find('\n');
  if (line == std::string_view::npos || text.find(fmt::format("{:016x}", base::hash64(text.substr(line + 1)))) > line)
    return damaged("its hash does not fit its content");
  base::Arena arena;
  event::JsonLimits limits;
  limits.bytes_max = kManifestBytesMax;
  limits.list_items_max = 100'000'000;
  auto value = event::JsonReader::to_value(text, arena, limits);
  if (!value) return damaged(value.error().message);
  std::string fault;
  const Members members(*value, fault);
  if (const int64_t version = members.integer("version"); fault.empty() && version != kVersion)
    return damaged(fmt::format("version {}, expected {}", version, kVersion));
  Manifest manifest;
  manifest.upto = static_cast<uint64_t>(members.integer("upto"));
  std::vector<std::shared_ptr<const Layout>> layouts;
  for (const Value& layout : members.list("layouts")) layouts.push_back(read_layout(layout, fault));
  const Value bare = members.get("bare");
  for (const Value& item : bare.is(Kind::kList) ? bare.list_items() : std::span<const Value>{}) {
    const Members one(item, fault);
    const std::string type = one.text("type");
    const auto layout = static_cast<uint64_t>(one.integer("layout"));
    if (layout >= layouts.size() || layouts[layout]->columns.size() < kSystemColumns)
      return damaged("a bare type without columns");
    manifest.bare.emplace(type, layouts[layout]);
  }
  for (const Value& file : members.list("files")) {
    manifest.files.push_back(read_file_entry(file, folder, layouts, fault));
    if (!fault.empty()) break;
  }
  if (!fault.empty()) return damaged(fault);
  manifest.sort();
  return manifest;
}

base::Result<Manifest> read_manifest(const std::string& folder) {
  const std::string path = folder + "/" + kManifestName;
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) return Manifest{};
  TAMIS_TRY(text, base::read_file(path, kManifestBytesMax));
  return parse_manifest(text, folder);
}

base::Status write_manifest(const std::string& folder, const Manifest& manifest) {
  return base::write_file_atomically(folder + "/" + kManifestName, to_json(manifest));
}

base::Status remove_leftovers(const std::string& folder, const Manifest& manifest) {
  std::set<std::string> named;
  for (const FilePointer& file : manifest.files) named.insert(file->absolute);
  base::ListOptions options;
  options.files_max = 10'000'000;
  options.hidden = true;
  TAMIS_TRY(found, base::list_files(folder, options));
  for (const base::FoundFile& file : found) {
    const std::string_view name = std::string_view(file.path).substr(folder.size() + 1);
    const bool ours =
        (name.ends_with(".parquet") && name.find('/') != std::string_view::npos) || name.starts_with(".tmp/");
    if (!ours || named.contains(file.path)) continue;
    if (::unlink(file.path.c_str()) != 0 && errno != ENOENT)
      return tl::unexpected<base::Error>(base::system_error("remove", file.path, errno));
  }
  return {};
}

void lost_files(const Manifest& manifest) {
  for (const FilePointer& file : manifest.files) {
    struct stat status = {};
    const bool there = ::stat(file->absolute.c_str(), &status) == 0;
    file->lost = !there || static_cast<uint64_t>(status.st_size) != file->bytes;
  }
}

base::Error lost_error(const DataFile& file) {
  struct stat status = {};
  const std::string what = ::stat(file.absolute.c_str(), &status) == 0
                               ? fmt::format("has {} bytes, expected {}", status.st_size, file.bytes)
                               : std::string("is missing");
  return {base::Code::kUnavailable,
          fmt::format("{} of the archive {}: put a copy of the file in its place, from a backup", file.path, what)};
}

std::string damage_of(const Manifest& manifest) {
  std::string out;
  size_t count = 0;
  for (const FilePointer& file : manifest.files) {
    const std::string damage = file->lost ? lost_error(*file).message : file->damage();
    if (!damage.empty() && ++count == 1) out = damage;
  }
  if (count > 1) out += fmt::format("; and {} more files are missing or damaged", count - 1);
  return out;
}

base::Status sync_path(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return tl::unexpected<base::Error>(base::system_error("open", path, errno));
  const int status = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (status != 0) return tl::unexpected<base::Error>(base::system_error("sync", path, error));
  return {};
}

}  // namespace tamis::archive
