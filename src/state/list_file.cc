#include <fstream>

#include "event/json_event.h"
#include "state/list.h"

namespace tamis::state {

namespace {

constexpr size_t kErrorsMax = 20;

std::string_view trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// A comment starts at the line's start or behind white space, so that "a#b" stays an entry.
std::string_view without_comment(std::string_view line) {
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) return line.substr(0, i);
  }
  return line;
}

}  // namespace

base::Result<ListEntry> read_list_line(std::string_view line) {
  line = trim(without_comment(line));
  ListEntry entry;
  size_t option = line.rfind(" expires=");
  if (option == std::string_view::npos) option = line.rfind("\texpires=");
  if (option != std::string_view::npos) {
    TAMIS_TRY(expires, event::parse_time_ms(trim(line.substr(option + 9)), event::TimeFormat::kRfc3339));
    entry.expires_ms = expires;
    line = trim(line.substr(0, option));
  }
  entry.value = std::string(line);
  return entry;
}

base::Result<std::vector<ListEntry>> read_list_text(std::string_view name, std::string_view text) {
  std::vector<ListEntry> entries;
  std::string errors;
  size_t error_count = 0, number = 0;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty() && error_count < kErrorsMax) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    base::Result<ListEntry> entry = read_list_line(line);
    if (!entry) {
      errors +=
          (error_count++ ? "\n" : "") + std::string(name) + ":" + std::to_string(number) + ": " + entry.error().message;
    } else if (!entry->value.empty()) {
      entries.push_back(std::move(*entry));
    }
  }
  if (error_count > 0) return base::invalid(errors);
  return entries;
}

base::Result<std::vector<ListEntry>> read_list_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::fail(base::Code::kNotFound, "cannot open the list file " + path);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return base::fail(base::Code::kUnavailable, "cannot read the list file " + path);
  return read_list_text(path, text);
}

}  // namespace tamis::state
