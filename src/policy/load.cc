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

// Names of list files stay inside the folder: a policy that comes over the network must not reach others.
base::Status check_list_name(const std::string& name) {
  fs::path path(name);
  bool outside = path.is_absolute() || name.empty();
  for (const fs::path& part : path) outside = outside || part == "..";
  if (outside)
    return base::invalid(
        fmt::format("{}: a list file lies in the policy's folder and is named from there", policy::quoted(name)));
  return {};
}

bool is_yaml(const std::string& name) {
  std::string extension = fs::path(name).extension().string();
  return extension == ".yaml" || extension == ".yml";
}

// Where list files come from: a folder, or the files that came with the policy. What is read is kept.
struct ListFiles {
  std::string folder;  // empty: `given`
  const std::vector<SourceFile>* given = nullptr;
  std::vector<SourceFile> read;
};

base::Result<std::vector<state::ListEntry>> read_list(void* context, const std::string& name) {
  auto& source = *static_cast<ListFiles*>(context);
  TAMIS_CHECK(check_list_name(name));
  std::string text;
  if (source.given != nullptr) {
    auto same = [&](const SourceFile& file) { return file.name == name; };
    auto found = std::find_if(source.given->begin(), source.given->end(), same);
    if (found == source.given->end()) return base::fail(base::Code::kNotFound, "the list file did not come along");
    text = found->text;
  } else {
    TAMIS_TRY(from_disk, base::read_file((fs::path(source.folder) / name).string(), kListBytesMax));
    text = std::move(from_disk);
  }
  TAMIS_TRY(entries, state::read_list_text(name, text));
  bool known = std::any_of(source.read.begin(), source.read.end(), [&](const SourceFile& f) { return f.name == name; });
  if (!known) source.read.push_back({name, std::move(text)});
  return entries;
}

Loaded failed(std::string file, std::string message) {
  Diagnostics diagnostics;
  diagnostics.error_file(std::move(file), std::move(message));
  return {nullptr, diagnostics.take(), {}};
}

Loaded load(const std::vector<SourceFile>& files, ListFiles& lists) {
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
  Compiler compiler(source, diagnostics, read_list, &lists);
  loaded.policy = compiler.run(version);
  loaded.diagnostics = diagnostics.take();
  loaded.files = files;
  loaded.files.insert(loaded.files.end(), lists.read.begin(), lists.read.end());
  return loaded;
}

}  // namespace

Loaded load_files(const std::vector<SourceFile>& files) {
  ListFiles lists;
  lists.given = &files;
  std::vector<SourceFile> yaml;
  std::copy_if(files.begin(), files.end(), std::back_inserter(yaml),
               [](const SourceFile& f) { return is_yaml(f.name); });
  return load(yaml, lists);
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
  ListFiles lists;
  lists.folder = folder;
  return load(files, lists);
}

}  // namespace tamis::policy
