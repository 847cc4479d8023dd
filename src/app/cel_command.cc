#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "app/command.h"
#include "cel/conformance.h"
#include "cel/plan.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::Value;

struct Options {
  std::string expression, conformance, variables;
  bool batch = false, strict = false, type = false, quiet = false;
};

int run_conformance(const Options& options) {
  std::ifstream file(options.conformance, std::ios::binary);
  if (!file) return complain("cannot open " + options.conformance);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto report = [&](const cel::CaseReport& one) {
    if (options.quiet && one.outcome == cel::CaseOutcome::kPass) return;
    std::printf("%s\n", cel::to_line(one).c_str());
  };
  auto totals = cel::run_conformance(text, report);
  if (!totals) return complain(options.conformance + ": " + totals.error().message);
  std::printf("%zu passed, %zu failed, %zu skipped\n", totals->passed, totals->failed, totals->skipped);
  return totals->failed == 0 ? kGood : kNo;
}

int run_batch() {
  std::ios::sync_with_stdio(false);
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.empty()) continue;
    std::string out = cel::evaluate_case(line);
    out += '\n';
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);  // a peer that asks line by line gets its answer at once
  }
  return kGood;
}

void show_issues(const std::string& source, const std::vector<cel::Issue>& issues) {
  for (const cel::Issue& issue : issues) {
    size_t line_start = source.rfind('\n', issue.begin == 0 ? 0 : issue.begin - 1);
    line_start = line_start == std::string::npos || issue.begin == 0 ? 0 : line_start + 1;
    size_t line_end = source.find('\n', issue.begin);
    std::string line = source.substr(line_start, line_end == std::string::npos ? line_end : line_end - line_start);
    std::string caret(issue.begin - line_start, ' ');
    caret.append(std::max<size_t>(1, std::min<size_t>(issue.end, line_start + line.size()) - issue.begin), '^');
    std::fprintf(stderr, "error: %s\n  %s\n  %s\n", issue.message.c_str(), line.c_str(), caret.c_str());
    if (!issue.hint.empty()) std::fprintf(stderr, "  %s\n", issue.hint.c_str());
  }
}

// Evaluates one expression; its variables are the keys of a JSON object.
int evaluate(const Options& options) {
  base::Arena arena;
  cel::Env env(options.strict ? cel::Dialect::kStrict : cel::Dialect::kTamis);
  std::vector<Value> slots;
  if (!options.variables.empty()) {
    auto variables = event::JsonReader::to_value(options.variables, arena);
    if (!variables) return complain("--vars: " + variables.error().message);
    if (!variables->is(Kind::kMap)) return complain("--vars: expected a JSON object");
    for (uint32_t i = 0; i < variables->map->size; ++i) {
      const event::MapEntry& entry = variables->map->entries[i];
      env.add_variable({std::string(entry.key.str()), event::Type::dyn(), static_cast<int32_t>(i), {}});
      slots.push_back(entry.value);
    }
  }
  cel::Compiled compiled = cel::compile(env, options.expression);
  if (!compiled.ok()) {
    show_issues(options.expression, compiled.issues);
    return kNo;
  }
  if (options.type) {
    std::printf("%s\n", event::to_string(compiled.type()).c_str());
    return kGood;
  }
  cel::PlanBuilder builder;
  cel::NodeId root = builder.add(compiled);
  cel::Plan plan = builder.build();
  cel::Frame frame(plan);
  frame.begin(slots.data(), arena, nullptr);
  Value value = plan.eval(root, frame);
  if (value.is_error()) {
    std::fprintf(stderr, "error: %.*s\n", static_cast<int>(value.error_data->message.size()),
                 value.error_data->message.data());
    return kNo;
  }
  std::string out;
  event::JsonWriter(out).value(value);
  std::printf("%s\n", out.c_str());
  return kGood;
}

}  // namespace

Command add_cel(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("EXPRESSION", options->expression, "An expression to evaluate");
  app.add_option("--vars", options->variables, "Its variables: a JSON object, like '{\"x\": 3}'");
  app.add_flag("--type", options->type, "Print the type of the expression instead of its value");
  app.add_flag("--strict", options->strict, "The language of the specification alone, without Tamis' extensions");
  app.add_option("--conformance", options->conformance, "Run the conformance cases of a JSON file, a line for each");
  app.add_flag("-q,--quiet", options->quiet, "With --conformance: only cases that do not pass");
  app.add_flag("--batch", options->batch, "Read one conformance case a line on stdin, answer each with a line of JSON");
  return [options] {
    if (!options->conformance.empty()) return run_conformance(*options);
    if (options->batch) return run_batch();
    if (options->expression.empty()) return complain("expected EXPRESSION, --conformance FILE or --batch; see --help");
    return evaluate(*options);
  };
}

}  // namespace tamis::app
