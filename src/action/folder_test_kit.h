// For tests: a folder that is gone when the test is over. In memory where there is such a place, since tests of crashes
// sync thousands of times.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tamis::action {

class TestFolder {
 public:
  TestFolder() {
    std::filesystem::path memory = "/dev/shm";
    bool fast = std::filesystem::is_directory(memory) && ::access(memory.c_str(), W_OK) == 0;
    std::string name = ((fast ? memory : std::filesystem::temp_directory_path()) / "tamis-action-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string read_test_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_test_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

}  // namespace tamis::action
