#include "app/read_only.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace tamis::app {
namespace {

constexpr size_t kFilesMax = 10'000'000;

// The newest of a folder, by name: the file that is written on.
std::string newest_in(const std::vector<base::FoundFile>& files, const std::string& folder, std::string_view end) {
  std::string newest;
  for (const base::FoundFile& file : files) {
    if (file.path.starts_with(folder) && file.path.ends_with(end) && file.path > newest) newest = file.path;
  }
  return newest;
}

}  // namespace

bool ReadOnlyFolder::is_needed(const std::string& data) {
  std::error_code ignored;
  return std::filesystem::is_directory(data, ignored) && ::access(data.c_str(), W_OK) != 0 &&
         (errno == EROFS || errno == EACCES);
}

base::Result<std::unique_ptr<ReadOnlyFolder>> ReadOnlyFolder::open(const std::string& data) {
  std::unique_ptr<ReadOnlyFolder> folder(new ReadOnlyFolder);
  std::error_code error;
  const std::string real = std::filesystem::canonical(data, error).string();
  if (error) return base::fail(base::Code::kDenied, data + ": " + error.message());
  folder->lock_ = ::open((real + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (folder->lock_ >= 0 && ::flock(folder->lock_, LOCK_SH | LOCK_NB) != 0)
    return base::fail(base::Code::kUnavailable, data + " is in use by another process");
  std::string name = (std::filesystem::temp_directory_path(error) / "tamis-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) return tl::unexpected(base::system_error("make", name, errno));
  folder->path_ = name;
  TAMIS_CHECK(folder->fill(real));
  return folder;
}

base::Status ReadOnlyFolder::fill(const std::string& data) {
  base::ListOptions options;
  options.files_max = kFilesMax;
  TAMIS_TRY(files, base::list_files(data, options));
  const std::string copied[] = {data + "/archive/manifest.json", newest_in(files, data + "/journal/", ".jsonl.zst"),
                                newest_in(files, data + "/audit/", ".jsonl")};
  for (const base::FoundFile& file : files) {
    const std::string_view name = std::string_view(file.path).substr(data.size() + 1);
    // What leaves is no matter of a command that only asks.
    if (name == "lock" || name.ends_with("/lock") || name.starts_with("outbox/")) continue;
    const std::string to = path_ + "/" + std::string(name);
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(to).parent_path(), error);
    if (!error && std::find(std::begin(copied), std::end(copied), file.path) != std::end(copied)) {
      std::filesystem::copy_file(file.path, to, error);
      if (!error)
        std::filesystem::permissions(to, std::filesystem::perms::owner_write, std::filesystem::perm_options::add,
                                     error);
    } else if (!error) {
      std::filesystem::create_symlink(file.path, to, error);
    }
    if (error) return base::fail(base::Code::kUnavailable, "cannot make " + to + ": " + error.message());
  }
  return {};
}

ReadOnlyFolder::~ReadOnlyFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace tamis::app
