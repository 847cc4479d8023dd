// Lines of the audit trail, of action batches and their logs, and addresses of channels, as a damaged disk or a wrong
// setting gives them. What is accepted says the same after being written again.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "action/audit_line.h"
#include "action/batch_file.h"
#include "action/webhook.h"
#include "base/assert.h"

namespace tamis::action {
namespace {

std::string_view without_end(const std::string& line) {
  TAMIS_ASSERT(line.ends_with('\n'));
  TAMIS_ASSERT(line.find('\n') == line.size() - 1);
  return std::string_view(line).substr(0, line.size() - 1);
}

void audit(std::string_view text) {
  base::Arena arena;
  auto read = read_chained_line(text, arena);
  if (!read) return;
  (void)read->fault();
  std::string line, twice;
  read->append_to(line);
  auto again = read_chained_line(without_end(line), arena);
  TAMIS_ASSERT(again.has_value());
  again->append_to(twice);
  TAMIS_ASSERT(line == twice);
  TAMIS_ASSERT(read->hash() == again->hash());
}

void header(std::string_view text) {
  base::Arena arena;
  auto read = read_header(text, arena);
  if (!read) return;
  std::string line, twice;
  append_header(line, *read);
  auto again = read_header(without_end(line), arena);
  TAMIS_ASSERT(again.has_value());
  append_header(twice, *again);
  TAMIS_ASSERT(line == twice);
}

void item(std::string_view text) {
  base::Arena arena;
  auto read = read_item(text, arena);
  if (!read) return;
  std::string line, twice;
  append_item(line, *read);
  auto again = read_item(without_end(line), arena);
  TAMIS_ASSERT(again.has_value());
  append_item(twice, *again);
  TAMIS_ASSERT(line == twice);
}

void log(std::string_view text) {
  const int fd = ::memfd_create("log", MFD_CLOEXEC);
  TAMIS_ASSERT(fd >= 0);
  TAMIS_ASSERT(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  BatchInfo info;
  BatchLog read;
  if (read_log("/proc/self/fd/" + std::to_string(fd), info, &read)) {
    (void)read.touched();
    for (uint64_t number : {uint64_t{0}, read.touched(), UINT64_MAX}) (void)read.chunk_of(number);
  }
  ::close(fd);
}

void channel(std::string_view text) {
  ChannelOptions options;
  options.name = "c";
  options.url = std::string(text);
  auto opened = open_channel(options);
  if (opened) {
    TAMIS_ASSERT(opened->origin.find("://") != std::string::npos);
    TAMIS_ASSERT(opened->path.starts_with("/"));
  } else {
    TAMIS_ASSERT(!opened.error().message.empty());
  }
}

}  // namespace
}  // namespace tamis::action

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  using Run = void (*)(std::string_view);
  constexpr Run kRuns[] = {tamis::action::audit, tamis::action::header, tamis::action::item, tamis::action::log,
                           tamis::action::channel};
  kRuns[data[0] % 5](text);
  return 0;
}
