// The cost of one event: 28 fields, about 650 bytes, as a service would send it. TAMIS_EVENTS may name an NDJSON file
// of such events to be used instead of the generated ones.
#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::event {
namespace {

std::vector<std::string> make_events() {
  std::vector<std::string> events;
  if (const char* path = std::getenv("TAMIS_EVENTS")) {
    std::ifstream file(path);
    for (std::string line; events.size() < 5000 && std::getline(file, line);) events.push_back(line);
    return events;
  }
  std::mt19937_64 random(1);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  for (int i = 0; i < 2000; ++i) {
    std::string out;
    JsonWriter w(out);
    w.begin_object().key("event_id").string("e" + std::to_string(10'000'000 + i));
    w.key("event_type").string(i % 2 == 0 ? "signup" : "mail_out").key("ts").integer(1'790'000'000'000 + i * 37);
    w.key("user_id").string("u" + std::to_string(100'000 + below(200'000)));
    w.key("ip").string(std::to_string(1 + below(223)) + "." + std::to_string(below(256)) + ".7.9");
    w.key("asn")
        .integer(1000 + below(60'000))
        .key("country")
        .string("DE")
        .key("account_age_s")
        .integer(below(94'608'000));
    w.key("is_paid")
        .boolean(below(10) == 0)
        .key("email")
        .string("invoice" + std::to_string(below(100'000)) + "@mail7.example");
    w.key("email_domain").string("mail7.example");
    w.key("user_agent")
        .string("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0");
    w.key("device_id")
        .string("a32edabf5585bd75")
        .key("subject")
        .string("limited offer urgent payment notes free payment");
    w.key("body_len")
        .integer(below(200'000))
        .key("url_count")
        .integer(below(30))
        .key("recipients")
        .integer(1 + below(200));
    w.key("new_recipient_ratio").real(static_cast<double>(below(10'000)) / 10'000);
    w.key("spam_score").real(static_cast<double>(below(10'000)) / 10'000).key("path").string("/api/v1/mail/send");
    w.key("method").string("POST").key("status").integer(200).key("amount").real(static_cast<double>(below(500'000)) /
                                                                                 100);
    w.key("failed_logins_1h").integer(below(60)).key("signups_subnet_1h").integer(below(80));
    w.key("sends_10m").integer(below(400)).key("distinct_ips_24h").integer(1 + below(25));
    w.key("labels").begin_array().string("trusted").string("new").end_array().end_object();
    events.push_back(out);
  }
  return events;
}

const std::vector<std::string>& events() {
  static const std::vector<std::string> made = make_events();
  return made;
}

EventSchema make_schema() {
  EventSchema schema;
  schema.name = "bench";
  const auto add = [&](const char* name, Type type, Semantic semantic = Semantic::kNone) {
    schema.fields.emplace_back();
    schema.fields.back().name = name;
    schema.fields.back().type = std::move(type);
    schema.fields.back().semantic = semantic;
  };
  for (const char* name : {"event_id", "event_type", "user_id", "country", "device_id", "subject", "path", "method"}) {
    add(name, Type::string());
  }
  add("ip", Type::string(), Semantic::kIp);
  add("email", Type::string(), Semantic::kEmail);
  add("email_domain", Type::string(), Semantic::kDomain);
  add("user_agent", Type::string(), Semantic::kUserAgent);
  add("is_paid", Type::boolean());
  for (const char* name : {"ts", "asn", "account_age_s", "body_len", "url_count", "recipients", "status",
                           "failed_logins_1h", "signups_subnet_1h", "sends_10m", "distinct_ips_24h"}) {
    add(name, Type::integer());
  }
  for (const char* name : {"new_recipient_ratio", "spam_score", "amount"}) add(name, Type::real());
  add("labels", Type::list(Type::string()));
  schema.id_path = {"event_id"};
  schema.time_path = {"ts"};
  schema.time_format = TimeFormat::kMillis;
  schema.seal();
  return schema;
}

void simdjson_parse_alone(benchmark::State& state) {
  simdjson::dom::parser parser;
  std::vector<simdjson::padded_string> padded;
  for (const std::string& event : events()) padded.emplace_back(event);
  size_t i = 0;
  for (auto _ : state) {
    simdjson::dom::element root;
    if (parser.parse(padded[i]).get(root) != simdjson::SUCCESS) state.SkipWithError("parse");
    benchmark::DoNotOptimize(root);
    if (++i == padded.size()) i = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(simdjson_parse_alone);

void json_reader(benchmark::State& state) {
  EventSchema schema = make_schema();
  if (state.range(0) == 0) schema.fingerprint = 0;
  JsonReader reader;
  base::Arena arena;
  std::vector<Value> slots(schema.fields.size());
  Event event;
  event.schema = &schema;
  event.slots = slots;
  size_t i = 0;
  for (auto _ : state) {
    arena.reset();
    if (!reader.parse(events()[i]) || !reader.read(event, arena)) state.SkipWithError("read");
    benchmark::DoNotOptimize(slots.data());
    benchmark::ClobberMemory();
    if (++i == events().size()) i = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(json_reader)->ArgName("sealed")->Arg(1)->Arg(0);

void json_writer(benchmark::State& state) {
  base::Arena arena;
  std::vector<Value> values;
  for (size_t i = 0; i < 200; ++i) values.push_back(JsonReader::to_value(events()[i], arena).value());
  std::string out;
  size_t i = 0, bytes = 0;
  for (auto _ : state) {
    out.clear();
    JsonWriter(out).value(values[i]);
    bytes += out.size();
    if (++i == values.size()) i = 0;
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(json_writer);

}  // namespace
}  // namespace tamis::event
