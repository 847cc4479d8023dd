// A folder, or files in memory, to a Policy.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "policy/compile.h"

namespace tamis::policy {

namespace {

namespace fs = std::filesystem;

constexpr size_t kFilesMax = 2'000;
constexpr uint64_t kBytesMax = 64 << 20;
constexpr uint64_t kListBytesMax = 1 << 30;

// Names of files that a policy names stay inside the folder: a policy that comes over the network must not reach
// others.
base::Status check_file_name(const std::string& name) {
  fs::path path(name);
  bool outside = path.is_absolute() || name.empty();
  for (const fs::path& part : path) outside = outside || part == "..";
  if (outside)
    return base::invalid(
        fmt::format("{}: files lie in the policy's folder and are named from there", policy::quoted(name)));
  return {};
}

bool is_yaml(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  return extension == ".yaml" || extension == ".yml";
}

// Where files that the policy names come from: a folder, or the files that came with it. What is read is kept.
class PolicyFiles final : public NamedFiles {
 public:
  explicit PolicyFiles(std::string folder) : folder_(std::move(folder)) {}
  explicit PolicyFiles(const std::vector<SourceFile>* given) : given_(given) {}

  base::Result<std::vector<state::ListEntry>> list(const std::string& name) override {
    TAMIS_TRY(content, text(name, kListBytesMax));
    return state::read_list_text(name, content);
  }
  base::Result<std::string_view> text(const std::string& name, uint64_t bytes_max) override {
    TAMIS_CHECK(check_file_name(name));
    auto same = [&](const SourceFile& file) { return file.name == name; };
    auto known = std::find_if(read_.begin(), read_.end(), same);
    if (known == read_.end()) {
      if (given_ != nullptr) {
        auto found = std::find_if(given_->begin(), given_->end(), same);
        if (found == given_->end()) {
          return base::fail(base::Code::kNotFound, fmt::format("{}: the file did not come along", name));
        }
        read_.push_back(*found);
      } else {
        TAMIS_TRY(from_disk, base::read_file((fs::path(folder_) / name).string(), bytes_max));
        read_.push_back({name, std::move(from_disk)});
      }
      known = std::prev(read_.end());
    }
    if (known->text.size() > bytes_max) {
      return base::fail(base::Code::kLimit, fmt::format("{} has more than {} bytes", name, bytes_max));
    }
    return std::string_view(known->text);
  }

  const std::deque<SourceFile>& read() const { return read_; }

 private:
  std::string folder_;
  const std::vector<SourceFile>* given_ = nullptr;
  std::deque<SourceFile> read_;  // stays where it is
};

Loaded failed(std::string file, std::string message) {
  Diagnostics diagnostics;
  diagnostics.error_file(std::move(file), std::move(message));
  return {nullptr, diagnostics.take(), {}};
}

Loaded load(const std::vector<SourceFile>& files, PolicyFiles& named) {
  Diagnostics diagnostics;
  std::deque<SourceText> texts;
  std::deque<std::vector<Node>> documents;  // stay where they are: what is read points to nodes
  PolicySource source;
  uint64_t version = base::hash64("tamis policy 1"), bytes = 0;
  std::vector<const SourceFile*> sorted;
  for (const SourceFile& file : files) sorted.push_back(&file);
  std::sort(sorted.begin(), sorted.end(), [](const SourceFile* a, const SourceFile* b) { return a->name < b->name; });
  if (sorted.size() > kFilesMax) return failed({}, fmt::format("a policy has at most {} files", kFilesMax));
  for (const SourceFile* file : sorted) {
    bytes += file->text.size();
    if (bytes > kBytesMax) return failed(file->name, fmt::format("a policy has at most {} bytes", kBytesMax));
    version = base::combine64(version, base::hash64(file->name));
    version = base::combine64(version, base::hash64(file->text));
    // A byte order mark means nothing in UTF-8.
    bool has_mark = file->text.starts_with("\xef\xbb\xbf");
    texts.emplace_back(file->name, has_mark ? file->text.substr(3) : file->text);
    documents.push_back(parse_yaml(texts.back(), diagnostics));
  }
  for (const std::vector<Node>& file : documents) {
    for (const Node& document : file) read_document(document, source, diagnostics);
  }
  Loaded loaded;
  Compiler compiler(source, diagnostics, &named);
  loaded.policy = compiler.run(version);
  loaded.diagnostics = diagnostics.take();
  loaded.files = files;
  loaded.files.insert(loaded.files.end(), named.read().begin(), named.read().end());
  return loaded;
}

}  // namespace

Loaded load_files(const std::vector<SourceFile>& files) {
  PolicyFiles named(&files);
  std::vector<SourceFile> yaml;
  std::copy_if(files.begin(), files.end(), std::back_inserter(yaml),
               [](const SourceFile& f) { return is_yaml(f.name); });
  return load(yaml, named);
}

Loaded load_folder(const std::string& folder) {
  base::ListOptions options;
  options.files_max = 100'000;
  auto found = base::list_files(folder, options);
  if (!found) return failed({}, found.error().message);
  std::vector<SourceFile> files;
  uint64_t bytes = 0;
  for (const base::FoundFile& file : *found) {
    if (!is_yaml(file.path)) continue;
    std::string name = fs::path(file.path).lexically_relative(folder).generic_string();
    if (files.size() >= kFilesMax) return failed({}, fmt::format("a policy has at most {} files", kFilesMax));
    auto text = base::read_file(file.path, kBytesMax - bytes);
    if (!text) return failed(name, text.error().message);
    bytes += text->size();
    files.push_back({std::move(name), std::move(*text)});
  }
  if (files.empty()) return failed({}, fmt::format("{} has no .yaml files", folder));
  PolicyFiles named(folder);
  return load(files, named);
}

}  // namespace tamis::policy
