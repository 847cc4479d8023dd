#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "engine/policy_tests.h"
#include "event/json_writer.h"
#include "policy/private_values.h"

namespace tamis::app {
namespace {

struct Options {
  std::string folder;
  bool json = false, look_back = false;
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
    json.key("message").string(d.message).key("source").string(d.source_line).key("hint").string(d.hint).end_object();
  }
  json.end_array();
}

void print_summary(const policy::Policy& policy) {
  size_t rules = 0;
  for (const auto& type : policy.types) rules += type.rules.size();
  std::printf("policy %s is good: %zu event types, %zu rules, %zu features, %zu lists\n", policy.version.c_str(),
              policy.types.size(), rules, policy.features.size(), policy.lists.size());
}

// How many days of the past a rule can be tried on: what it reads must still be there with its value.
struct LookBack {
  int32_t days = 0;
  std::string because;  // the field that goes first; empty: the events themselves
};

LookBack look_back(const policy::Policy& policy, const policy::EventType& type, const policy::Rule& rule) {
  LookBack back{policy.keep_days, {}};
  auto bound = [&](int32_t days, const std::string& name) {
    if (days > 0 && days < back.days) back = {days, name};
  };
  const std::vector<event::Field>& fields = type.schema.fields;
  for (int32_t slot : type.plan.slots_read(rule.when)) {
    for (const policy::FeatureRead& read : type.reads) {
      if (read.slot == slot && policy::gives_private_values(policy, read.feature)) bound(policy.raw_days, read.name);
    }
    int32_t source = slot;
    for (const event::Derived& attribute : type.schema.derived) {
      if (attribute.slot == slot) source = attribute.source;
    }
    if (static_cast<size_t>(source) >= fields.size()) continue;  // other features are kept with the event
    const event::Field& field = fields[static_cast<size_t>(source)];
    bound(field.keep_days, field.name);
    const char* attributes = source == slot ? "" : " (its attributes that give it away, too)";
    if (policy::is_private(type, slot)) bound(policy.raw_days, field.name + attributes);
  }
  return back;
}

void print_look_back(const policy::Policy& policy) {
  std::printf("how far back each rule can be tried on stored events:\n");
  for (const policy::EventType& type : policy.types) {
    for (const policy::Rule& rule : type.rules) {
      LookBack back = look_back(policy, type, rule);
      std::printf("  %-10s %-40s %4d days%s%s\n", type.schema.name.c_str(), rule.id.c_str(), back.days,
                  back.because.empty() ? "" : ", then without ", back.because.c_str());
    }
  }
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
    if (options.look_back) print_look_back(*loaded.policy);
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
  app.add_flag("--look-back", options->look_back,
               "Tell how far back each rule can look, by the retention of what it reads");
  return [options] { return check(*options); };
}

Command add_test(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_options(app, *options);
  return [options] { return test(*options); };
}

}  // namespace tamis::app
