// Runs the tests that a policy carries: those beside a rule (values in, verdict out, the rule taken as live) and those
// of the policy as a whole (events in order through a fresh engine).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "policy/policy.h"

namespace tamis::engine {

struct TestResult {
  std::string name;  // "rule bulk-signup, test 1" or the name of a policy test
  std::string file;
  uint32_t line = 0;
  bool passed = false;
  std::string failure;  // what was expected and what came
};

std::vector<TestResult> run_policy_tests(const std::shared_ptr<const policy::Policy>& policy);

}  // namespace tamis::engine
