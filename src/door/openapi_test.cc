// Every route of the server is in docs/openapi.json, and the other way round.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "door/http_api.h"
#include "door/mail_service.h"
#include "door/record_api.h"
#include "event/json_event.h"

namespace tamis::door {
namespace {

using event::Kind;
using event::Value;

Value at(Value map, std::string_view key) {
  const Value* found = map.is(Kind::kMap) ? event::map_find(*map.map, Value::string(key)) : nullptr;
  return found == nullptr ? Value::absent() : *found;
}

std::vector<std::string> documented(Value document) {
  std::vector<std::string> routes;
  const Value paths = at(document, "paths");
  for (uint32_t i = 0; paths.is(Kind::kMap) && i < paths.map->size; ++i) {
    const event::MapEntry& path = paths.map->entries[i];
    for (uint32_t k = 0; k < path.value.map->size; ++k) {
      const event::MapEntry& operation = path.value.map->entries[k];
      std::string method(operation.key.str());
      for (char& c : method) c = static_cast<char>(c - 32);
      // A parameter that takes the rest of the path cannot be said in OpenAPI.
      const Value own = at(operation.value, "x-tamis-path");
      routes.push_back(method + " " + std::string(own.is(Kind::kString) ? own.str() : path.key.str()));
    }
  }
  std::sort(routes.begin(), routes.end());
  return routes;
}

TEST(OpenApi, HasEveryRouteAndNoOther) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("tamis-openapi-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  {
    auto data = replay::DataFolder::open(folder.string());
    ASSERT_TRUE(data) << data.error().message;
    Service service(
        {}, [] { return int64_t{0}; }, data->get());
    base::MetricRegistry metrics;
    net::HttpServer server;
    MailServiceOptions mail_options;
    mail_options.threads = 0;
    auto mail = MailService::open(service, mail_options);
    ASSERT_TRUE(mail) << mail.error().message;
    HttpApiOptions options;
    options.mail = mail->get();
    auto api = HttpApi::open(server, service, metrics, options);
    ASSERT_TRUE(api) << api.error().message;
    std::vector<std::string> routes = server.routes();
    std::sort(routes.begin(), routes.end());
    base::Arena arena;
    event::JsonLimits limits;
    limits.bytes_max = openapi_json().size() + 1;
    auto document = event::JsonReader::to_value(openapi_json(), arena, limits);
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_EQ(documented(*document), routes);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace tamis::door
