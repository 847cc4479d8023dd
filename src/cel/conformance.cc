#include "cel/conformance.h"

#include <simdjson.h>

#include <algorithm>
#include <vector>

#include "cel/plan.h"
#include "cel/tagged_value.h"

namespace tamis::cel {

namespace {

using simdjson::SUCCESS;
using Json = simdjson::dom::element;

std::string text_of(Json json, const char* key) {
  std::string_view text;
  return json[key].get(text) == SUCCESS ? std::string(text) : std::string();
}

bool flag_of(Json json, const char* key) {
  bool flag = false;
  return json[key].get(flag) == SUCCESS && flag;
}

bool has(Json json, const char* key) { return json[key].error() == SUCCESS; }

// What a case evaluates to: a value in the arena, the words of an error, or only a type.
struct Answer {
  enum class What { kValue, kError, kType };
  What what = What::kError;
  Value value;
  std::string text;  // the error
  std::string type;  // the deduced type, where checking was on
};

Answer failed(std::string text) {
  Answer a;
  a.text = std::move(text);
  return a;
}

base::Status declare_function(Env& env, Json declaration) {
  std::string name = text_of(declaration, "name");
  simdjson::dom::array overloads;
  if (declaration["overloads"].get(overloads) != SUCCESS)
    return base::invalid("function `" + name + "` has no overloads");
  for (Json o : overloads) {
    Overload overload;
    overload.id = text_of(o, "id");
    overload.function = name;
    overload.member = flag_of(o, "member");
    TAMIS_TRY(result, event::parse_type(text_of(o, "result")));
    overload.result = result;
    simdjson::dom::array params;
    if (o["params"].get(params) == SUCCESS) {
      for (Json p : params) {
        std::string_view text;
        if (p.get(text) != SUCCESS) return base::invalid("a parameter type must be text");
        TAMIS_TRY(type, event::parse_type(text));
        overload.params.push_back(type);
      }
    }
    env.add_overload(std::move(overload));
  }
  return {};
}

// One case, prepared: its environment and the values of its variables.
class Case {
 public:
  explicit Case(Json json) : json_(json), env_(Dialect::kStrict) {}

  base::Status prepare() {
    env_.set_container(text_of(json_, "container"));
    env_.enable_macros(!flag_of(json_, "disable_macros"));
    simdjson::dom::array declarations;
    if (json_["type_env"].get(declarations) == SUCCESS) {
      for (Json d : declarations) {
        if (text_of(d, "kind") == "function") {
          TAMIS_CHECK(declare_function(env_, d));
          continue;
        }
        TAMIS_TRY(type, event::parse_type(text_of(d, "type")));
        declare(text_of(d, "name"), type);
      }
    }
    simdjson::dom::object bindings;
    if (json_["bindings"].get(bindings) != SUCCESS) return {};
    for (simdjson::dom::key_value_pair binding : bindings) {
      TAMIS_TRY(value, read_tagged(binding.value, arena_));
      std::string name(binding.key);
      const Variable* known = env_.find_variable(name);
      if (known == nullptr || known->slot < 0) declare(name, Type::dyn());
      slots_[env_.find_variable(name)->slot] = value;
    }
    return {};
  }

  Answer run() {
    std::string_view source;
    if (json_["expr"].get(source) != SUCCESS) return failed("a case needs a text `expr`");
    bool check = !flag_of(json_, "disable_check");
    Compiled compiled = compile(env_, source, check);
    if (!compiled.ok()) return failed(compiled.issues.empty() ? "no expression" : compiled.issues.front().message);
    Answer answer;
    if (check) answer.type = event::to_string(compiled.type());
    if (flag_of(json_, "check_only")) {
      answer.what = Answer::What::kType;
      return answer;
    }
    PlanBuilder builder;
    NodeId root = builder.add(compiled);
    plan_ = builder.build();
    Frame frame(plan_);
    frame.begin(slots_.data(), arena_, nullptr);
    answer.value = plan_.eval(root, frame);
    answer.what = answer.value.is_error() ? Answer::What::kError : Answer::What::kValue;
    if (answer.value.is_error()) answer.text = answer.value.error_data->message;
    return answer;
  }

  base::Arena& arena() { return arena_; }

 private:
  void declare(std::string name, Type type) {
    Variable v;
    v.name = std::move(name);
    v.type = std::move(type);
    v.slot = static_cast<int32_t>(slots_.size());
    slots_.push_back(Value::absent());
    env_.add_variable(std::move(v));
  }

  Json json_;
  Env env_;
  base::Arena arena_;
  std::vector<Value> slots_;
  Plan plan_;  // keeps the constants that the answer may point to
};

std::string name_of(Json json) {
  return text_of(json, "file") + "/" + text_of(json, "section") + "/" + text_of(json, "name");
}

std::string describe(const Answer& answer) {
  switch (answer.what) {
    case Answer::What::kError:
      return "the error `" + answer.text + "`";
    case Answer::What::kType:
      return "the type " + answer.type;
    case Answer::What::kValue:
      break;
  }
  std::string text;
  write_tagged(text, answer.value);
  return text;
}

// Empty if the answer is what the case expects, else both in words.
base::Result<std::string> mismatch(Json expect, const Answer& answer, base::Arena& arena) {
  if (has(expect, "type") && text_of(expect, "type") != answer.type) {
    return "expected the type " + text_of(expect, "type") + ", got " +
           (answer.type.empty() ? describe(answer) : "the type " + answer.type);
  }
  if (has(expect, "error") || has(expect, "any_error")) {
    if (answer.what == Answer::What::kError) return std::string();
    return "expected an error, got " + describe(answer);
  }
  Json value;
  if (expect["value"].get(value) != SUCCESS) {
    if (has(expect, "type")) return std::string();
    return base::invalid("`expect` holds neither value, error, any_error nor type");
  }
  TAMIS_TRY(wanted, read_tagged(value, arena));
  if (answer.what == Answer::What::kValue && same_value(answer.value, wanted)) return std::string();
  std::string text = "expected ";
  write_tagged(text, wanted);
  return text + ", got " + describe(answer);
}

std::string excuse(Json json) {
  simdjson::dom::array needs;
  if (json["needs"].get(needs) != SUCCESS) return {};
  for (Json need : needs) {
    std::string_view text;
    if (need.get(text) == SUCCESS && (text == "wkt" || text == "block_ext")) return std::string(text);
  }
  return {};
}

base::Result<CaseReport> run_json_case(Json json) {
  CaseReport report;
  report.name = name_of(json);
  Json expect;
  if (json["expect"].get(expect) != SUCCESS) return base::invalid("a case needs `expect`");
  Case c(json);
  TAMIS_CHECK(c.prepare());
  TAMIS_TRY(text, mismatch(expect, c.run(), c.arena()));
  report.outcome = text.empty() ? CaseOutcome::kPass : CaseOutcome::kFail;
  report.text = text;
  std::string need = excuse(json);
  if (!text.empty() && !need.empty()) {
    report.outcome = CaseOutcome::kSkip;
    report.text = "needs " + need;
  }
  return report;
}

base::Result<Json> parse_json(simdjson::dom::parser& parser, std::string_view text) {
  Json json;
  if (auto problem = parser.parse(text.data(), text.size()).get(json); problem != SUCCESS) {
    return base::invalid(std::string("not JSON: ") + simdjson::error_message(problem));
  }
  return json;
}

}  // namespace

std::string to_line(const CaseReport& report) {
  constexpr std::string_view kWords[] = {"pass ", "fail ", "skip "};
  std::string line(kWords[static_cast<size_t>(report.outcome)]);
  line += report.name;
  if (!report.text.empty()) line += " " + report.text;
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

base::Result<CaseReport> run_case(std::string_view text) {
  simdjson::dom::parser parser;
  TAMIS_TRY(json, parse_json(parser, text));
  return run_json_case(json);
}

base::Result<ConformanceTotals> run_conformance(std::string_view text,
                                                const std::function<void(const CaseReport&)>& report) {
  simdjson::dom::parser parser;
  TAMIS_TRY(json, parse_json(parser, text));
  simdjson::dom::array tests;
  if (json.get(tests) != SUCCESS && json["tests"].get(tests) != SUCCESS) {
    return base::invalid("a conformance file is an array of cases, or an object with the array `tests`");
  }
  ConformanceTotals totals;
  for (Json test : tests) {
    base::Result<CaseReport> result = run_json_case(test);
    CaseReport one = result ? *result : CaseReport{CaseOutcome::kFail, name_of(test), result.error().message};
    ++(one.outcome == CaseOutcome::kPass   ? totals.passed
       : one.outcome == CaseOutcome::kFail ? totals.failed
                                           : totals.skipped);
    report(one);
  }
  return totals;
}

std::string evaluate_case(std::string_view text) {
  Answer answer;
  std::string out;
  simdjson::dom::parser parser;
  base::Result<Json> json = parse_json(parser, text);
  if (!json) {
    answer = failed(json.error().message);
    write_json_text(out, answer.text);
    return "{\"error\":" + out + "}";
  }
  Case c(*json);
  base::Status ready = c.prepare();
  answer = ready ? c.run() : failed(ready.error().message);
  switch (answer.what) {
    case Answer::What::kError:
      write_json_text(out, answer.text);
      return "{\"error\":" + out + "}";
    case Answer::What::kType:
      write_json_text(out, answer.type);
      return "{\"type\":" + out + "}";
    case Answer::What::kValue:
      break;
  }
  write_tagged(out, answer.value);
  return "{\"value\":" + out + "}";
}

}  // namespace tamis::cel
