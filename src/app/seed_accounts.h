// Accounts that were there before the first event of a file: one JSON object a line, events of the type that the policy
// names `account`, at the time of the first event. What `--accounts` of `tamis replay` and `tamis eval` gives.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/command.h"
#include "base/result.h"
#include "engine/engine.h"
#include "policy/policy.h"

namespace tamis::app {

struct AccountsBefore {
  std::string path;
  std::string events;  // the file whose first event says when they are taken
  std::shared_ptr<const policy::Policy> policy;
  const event::NetworkIntel* intel = nullptr;
  std::function<void(const engine::Decision&)> on_decision = nullptr;
  std::function<void(const std::string&)> on_fault = nullptr;  // of a line that is no account
};

// How many there were. Errors: a policy without such a type, and a file without any account.
base::Result<uint64_t> seed_accounts(const AccountsBefore& before, engine::Engine& engine,
                                     engine::PreparedEvent& event);

}  // namespace tamis::app
