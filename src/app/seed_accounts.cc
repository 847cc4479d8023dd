#include "app/seed_accounts.h"

#include "event/ndjson.h"

namespace tamis::app {
namespace {

constexpr std::string_view kAccountType = "account";

// Of the first event that can be read; 0 where it has none.
base::Result<int64_t> first_time(const AccountsBefore& before, engine::PreparedEvent& event) {
  if (before.events == "-") return base::invalid("--accounts needs EVENTS in a file, to know when they begin");
  TAMIS_TRY(file, event::NdjsonFile::open(before.events, kLineBytesMax));
  std::string_view line;
  while (true) {
    base::Result<bool> more = file.next(line);
    if (!more && more.error().code == base::Code::kLimit) continue;
    if (!more) return tl::unexpected(more.error());
    if (!*more) return 0;
    if (!event.prepare(before.policy, {}, line, nullptr)) continue;
    return event.event().has_time ? event.event().time_ms : 0;
  }
}

}  // namespace

base::Result<uint64_t> seed_accounts(const AccountsBefore& before, engine::Engine& engine,
                                     engine::PreparedEvent& event) {
  if (before.policy->find_type(kAccountType) == nullptr) {
    return base::invalid("the policy has no event type \"" + std::string(kAccountType) + "\" for --accounts");
  }
  TAMIS_TRY(begin_ms, first_time(before, event));
  TAMIS_TRY(file, event::NdjsonFile::open(before.path, kLineBytesMax));
  uint64_t seeded = 0;
  std::string_view line;
  std::string first_fault;
  while (!Interrupt::requested()) {
    base::Result<bool> more = file.next(line);
    std::string fault;
    if (!more) {
      if (more.error().code != base::Code::kLimit) return tl::unexpected(more.error());
      fault = more.error().message;
    } else if (!*more) {
      break;
    } else if (base::Status ready = event.prepare(before.policy, kAccountType, line, before.intel); !ready) {
      fault = before.path + ":" + std::to_string(file.line_number()) + ": " + ready.error().message;
    }
    if (!fault.empty()) {
      if (first_fault.empty()) first_fault = fault;
      before.on_fault(fault);
      continue;
    }
    const engine::Decision& decision = engine.decide(event, begin_ms);
    if (before.on_decision) before.on_decision(decision);
    ++seeded;
  }
  if (seeded > 0 || Interrupt::requested()) return seeded;
  const std::string none = before.path + ": there is no account in it";
  return base::invalid(first_fault.empty() ? none : none + "; the first line: " + first_fault);
}

}  // namespace tamis::app
