#include "archive/archive_impl.h"

namespace tamis::archive {

base::Result<Archive::RetentionReport> ArchiveImpl::retain(const policy::Policy&, const Retention&,
                                                           const std::function<bool()>&) {
  return base::fail(base::Code::kUnavailable, "not yet");
}
base::Result<uint64_t> ArchiveImpl::erase(const policy::Policy&, std::string_view, std::string_view,
                                          const std::function<std::string(std::string_view day)>&) {
  return base::fail(base::Code::kUnavailable, "not yet");
}

}  // namespace tamis::archive
