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

base::Result<std::vector<state::ListEntry>> read_list_in(void* context, const std::string& name) {
  TAMIS_CHECK(check_list_name(name));
  return state::read_list_file((fs::path(*static_cast<std::string*>(context)) / name).string());
}

Loaded failed(std::string file, std::string message) {
  Diagnostics diagnostics;
  diagnostics.error_file(std::move(file), std::move(message));
  return {nullptr, diagnostics.take()};
}

}  // namespace

Loaded load_files(const std::vector<SourceFile>& files, ReadList read_list, void* context) {
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
  Compiler compiler(source, diagnostics, read_list, context);
  loaded.policy = compiler.run(version);
  loaded.diagnostics = diagnostics.take();
  return loaded;
}

Loaded load_folder(const std::string& folder) {
  base::ListOptions options;
  options.files_max = 100'000;
  auto found = base::list_files(folder, options);
  if (!found) return failed({}, found.error().message);
  std::vector<SourceFile> files;
  uint64_t bytes = 0;
  for (const base::FoundFile& file : *found) {
    fs::path path(file.path);
    if (path.extension() != ".yaml" && path.extension() != ".yml") continue;
    std::string name = path.lexically_relative(folder).generic_string();
    if (files.size() >= kFilesMax) return failed({}, fmt::format("a policy has at most {} files", kFilesMax));
    auto text = base::read_file(file.path, kBytesMax - bytes);
    if (!text) return failed(name, text.error().message);
    bytes += text->size();
    files.push_back({std::move(name), std::move(*text)});
  }
  if (files.empty()) return failed({}, fmt::format("{} has no .yaml files", folder));
  std::string context = folder;
  return load_files(files, read_list_in, &context);
}

}  // namespace tamis::policy
