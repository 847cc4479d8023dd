#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "engine/policy_tests.h"
#include "event/json_writer.h"
#include "policy/policy.h"

namespace tamis::app {
namespace {

struct Options {
  std::string folder;
  bool json = false;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("POLICY", options.folder, "Folder of the policy")->required();
  app.add_flag("--json", options.json, "As JSON, on stdout");
}

size_t errors_in(const policy::Loaded& loaded) {
  size_t errors = 0;
  for (const auto& d : loaded.diagnostics) errors += d.severity == policy::Diagnostic::Severity::kError;
  return errors;
}

void write_diagnostics(const policy::Loaded& loaded, event::JsonWriter& json) {
  json.key("diagnostics").begin_array();
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    json.begin_object();
    json.key("severity").string(d.severity == policy::Diagnostic::Severity::kError ? "error" : "warning");
    json.key("file").string(d.file).key("line").uinteger(d.line).key("column").uinteger(d.column);
    json.key("message").string(d.message).key("hint").string(d.hint).end_object();
  }
  json.end_array();
}

void print_summary(const policy::Policy& policy) {
  size_t rules = 0;
  for (const auto& type : policy.types) rules += type.rules.size();
  std::printf("policy %s is good: %zu event types, %zu rules, %zu features, %zu lists\n", policy.version.c_str(),
              policy.types.size(), rules, policy.features.size(), policy.lists.size());
}

int check(const Options& options) {
  policy::Loaded loaded = policy::load_folder(options.folder);
  bool good = loaded.policy != nullptr;
  if (options.json) {
    std::string out;
    event::JsonWriter json(out);
    json.begin_object().key("ok").boolean(good);
    if (good) json.key("policy").string(loaded.policy->version);
    write_diagnostics(loaded, json);
    json.end_object();
    std::printf("%s\n", out.c_str());
    return good ? kGood : kNo;
  }
  print_diagnostics(loaded, options.folder);
  if (good) {
    print_summary(*loaded.policy);
  } else {
    size_t errors = errors_in(loaded);
    std::fprintf(stderr, "%zu error%s\n", errors, errors == 1 ? "" : "s");
  }
  return good ? kGood : kNo;
}

int test(const Options& options) {
  policy::Loaded loaded = policy::load_folder(options.folder);
  if (!options.json) print_diagnostics(loaded, options.folder);
  if (loaded.policy == nullptr) {
    if (options.json) std::printf("{\"ok\":false,\"passed\":0,\"failed\":0,\"error\":\"the policy has errors\"}\n");
    return kNo;
  }
  std::vector<engine::TestResult> results = engine::run_policy_tests(loaded.policy);
  size_t failed = 0;
  for (const auto& result : results) failed += !result.passed;
  if (options.json) {
    std::string out;
    event::JsonWriter json(out);
    json.begin_object().key("ok").boolean(failed == 0);
    json.key("passed").uinteger(results.size() - failed).key("failed").uinteger(failed).key("tests").begin_array();
    for (const auto& r : results) {
      json.begin_object().key("name").string(r.name).key("file").string(r.file).key("line").uinteger(r.line);
      json.key("passed").boolean(r.passed).key("failure").string(r.failure).end_object();
    }
    json.end_array().end_object();
    std::printf("%s\n", out.c_str());
  } else {
    for (const auto& r : results) {
      if (!r.passed)
        std::printf("%s:%u: FAILED %s\n    %s\n", r.file.c_str(), r.line, r.name.c_str(), r.failure.c_str());
    }
    std::printf("%zu passed, %zu failed\n", results.size() - failed, failed);
  }
  return failed == 0 ? kGood : kNo;
}

}  // namespace

Command add_check(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_options(app, *options);
  return [options] { return check(*options); };
}

Command add_test(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_options(app, *options);
  return [options] { return test(*options); };
}

}  // namespace tamis::app
