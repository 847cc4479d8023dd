#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace tamis::base {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  // For files that were written: the last errors may come with the close.
  int close() {
    const int status = ::close(number_);
    number_ = -1;
    return status;
  }

 private:
  int number_;
};

tl::unexpected<Error> failed(std::string_view what, const std::string& path) {
  return tl::unexpected<Error>(system_error(what, path, errno));
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status write_all(int descriptor, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("write", path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

// Opens a new file beside `path` whose name nobody else uses now; a crashed predecessor may have left some behind.
int create_temporary(const std::string& path, std::string& name) {
  constexpr int kNamesMax = 1000;
  for (int i = 0; i < kNamesMax; ++i) {
    name = path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(i);
    const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

// Fills, syncs and closes the temporary file and gives it its name; removing it after a failure is the caller's part.
Status write_and_rename(Descriptor& file, const std::string& temporary, const std::string& path,
                        std::string_view content) {
  struct stat old;
  if (::stat(path.c_str(), &old) == 0 && ::fchmod(file.number(), old.st_mode & 07777) != 0) {
    return failed("set the mode of", temporary);
  }
  if (Status written = write_all(file.number(), content, temporary); !written) return written;
  if (::fsync(file.number()) != 0) return failed("sync", temporary);
  if (file.close() != 0) return failed("close", temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("replace", path);
  return {};
}

// A device or pipe would be lost if a file took its name, and so would a link like /dev/stdout.
bool must_stay(const std::string& path) {
  struct stat facts;
  if (::stat(path.c_str(), &facts) != 0 || S_ISDIR(facts.st_mode)) return false;
  if (!S_ISREG(facts.st_mode)) return true;
  return path.rfind("/dev/", 0) == 0 && ::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode);
}

Status write_into(const std::string& path, std::string_view content) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file.is_open()) return failed("open", path);
  if (Status written = write_all(file.number(), content, path); !written) return written;
  if (file.close() != 0) return failed("close", path);
  return {};
}

// Whoever opens a pipe waits until somebody writes to it, and a device may have no end.
Status check_is_file(const std::string& path, mode_t mode) {
  const char* kind = S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
  if (S_ISREG(mode) || S_ISDIR(mode)) return {};
  for (const std::string_view given : {"/dev/stdin", "/dev/null"}) {
    if (path == given) return {};
  }
  for (const std::string_view given : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.rfind(given, 0) == 0) return {};
  }
  return invalid("cannot read " + path + ": it is " + kind + ", expected a file");
}

struct Lister {
  const ListOptions& options;
  std::vector<FoundFile> found;

  Status list(const std::string& folder, int depth) {
    if (depth > options.depth_max) {
      return fail(Code::kLimit, folder + ": folders are nested deeper than " + std::to_string(options.depth_max));
    }
    DIR* directory = ::opendir(folder.c_str());
    if (directory == nullptr) return failed("open folder", folder);
    Status status;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory);
      if (entry == nullptr) {
        if (errno != 0) status = failed("read folder", folder);
        break;
      }
      status = take(folder, entry->d_name, depth);
      if (!status) break;
    }
    ::closedir(directory);
    return status;
  }

  Status take(const std::string& folder, std::string_view name, int depth) {
    if (name == "." || name == ".." || (!options.hidden && name.front() == '.')) return {};
    const std::string path = folder + (folder.back() == '/' ? "" : "/") + std::string(name);
    struct stat link;
    struct stat facts;
    if (::lstat(path.c_str(), &link) != 0) return errno == ENOENT ? Status{} : Status(failed("look at", path));
    if (S_ISDIR(link.st_mode)) return list(path, depth + 1);
    if (::stat(path.c_str(), &facts) != 0) return failed("look at", path);
    if (!S_ISREG(facts.st_mode)) return {};
    if (found.size() >= options.files_max) {
      return fail(Code::kLimit, folder + ": there are more than " + std::to_string(options.files_max) + " files");
    }
    found.push_back({path, static_cast<uint64_t>(facts.st_size),
                     int64_t{facts.st_mtim.tv_sec} * 1'000'000'000 + facts.st_mtim.tv_nsec});
    return {};
  }
};

}  // namespace

Error system_error(std::string_view what, const std::string& path, int errno_value) {
  Code code = Code::kUnavailable;
  if (errno_value == ENOENT || errno_value == ENOTDIR) code = Code::kNotFound;
  if (errno_value == EACCES || errno_value == EPERM || errno_value == EROFS) code = Code::kDenied;
  if (errno_value == EISDIR || errno_value == ENAMETOOLONG || errno_value == ELOOP) code = Code::kInvalid;
  return {code, "cannot " + std::string(what) + " " + path + ": " + std::generic_category().message(errno_value)};
}

Result<std::string> read_file(const std::string& path, size_t bytes_max) {
  struct stat facts;
  if (::stat(path.c_str(), &facts) == 0) TAMIS_CHECK(check_is_file(path, facts.st_mode));
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return failed("open", path);
  if (::fstat(file.number(), &facts) != 0) return failed("look at", path);
  const auto too_large = [&] {
    return fail(Code::kLimit, path + " has more than the allowed " + std::to_string(bytes_max) + " bytes");
  };
  std::string content;
  size_t size = 0;
  if (S_ISREG(facts.st_mode)) {
    if (static_cast<uint64_t>(facts.st_size) > bytes_max) return too_large();
    // One byte more, so that the end is seen without another allocation.
    content.resize(static_cast<size_t>(facts.st_size) + 1);
  }
  for (;;) {
    if (size == content.size()) content.resize(std::max<size_t>(4096, content.size() * 2));
    const ssize_t got = ::read(file.number(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("read", path);
    if (got == 0) break;
    size += static_cast<size_t>(got);
    if (size > bytes_max) return too_large();
  }
  content.resize(size);
  return content;
}

Status write_file_atomically(const std::string& path, std::string_view content) {
  if (must_stay(path)) return write_into(path, content);
  std::string temporary;
  Descriptor file(create_temporary(path, temporary));
  if (!file.is_open()) return failed("create", temporary);
  if (Status written = write_and_rename(file, temporary, path, content); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  const std::string folder_path = folder_of(path);
  Descriptor folder(::open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return failed("open folder", folder_path);
  // Some file systems cannot sync a folder and say EINVAL; there is nothing better to be done there.
  if (::fsync(folder.number()) != 0 && errno != EINVAL) return failed("sync folder", folder_path);
  return {};
}

Result<std::vector<FoundFile>> list_files(const std::string& root, const ListOptions& options) {
  if (root.empty()) return invalid("an empty path names no folder");
  Lister lister{options, {}};
  TAMIS_CHECK(lister.list(root, 1));
  std::sort(lister.found.begin(), lister.found.end(),
            [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
  return std::move(lister.found);
}

Status make_folders(const std::string& path, unsigned mode) {
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    const bool is_last = path.find_first_not_of('/', end) == std::string::npos;
    if (::mkdir(part.c_str(), is_last ? mode : 0755) == 0) continue;
    const int why = errno;
    struct stat facts;
    if (::stat(part.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) continue;
    return tl::unexpected<Error>(system_error("create folder", part, why));
  }
  return {};
}

}  // namespace tamis::base
