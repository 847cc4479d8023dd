#include "door/outbox_api.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "action/outbox.h"
#include "door/http_answer.h"
#include "door/json_body.h"
#include "door/soon.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door {
namespace {

using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

constexpr size_t kBodyBytes = 1 << 20;
constexpr size_t kIdsMax = 100'000;
constexpr size_t kItemsMax = 1'000;
constexpr size_t kItemsUsual = 100;

base::Result<action::Outbox*> outbox_of(Service& service) {
  if (service.outbox() != nullptr) return service.outbox();
  return base::fail(base::Code::kNotFound, "nothing leaves: the server was started without --channels");
}

void write_time(std::string_view key, int64_t ms, JsonWriter& json) {
  json.key(key);
  ms == 0 ? json.null() : json.string(event::format_time_ms(ms));
}

void write_outbox_stats(const action::OutboxStats& stats, uint64_t lost, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("channels").begin_array();
  for (const action::ChannelStats& channel : stats.channels) {
    json.begin_object().key("name").string(channel.name).key("configured").boolean(channel.configured);
    json.key("queued").uinteger(channel.queued).key("dead").uinteger(channel.dead);
    json.key("delivered").uinteger(channel.delivered).key("failed").uinteger(channel.failed);
    write_time("oldest", channel.oldest_ms, json);
    write_time("paused_until", channel.paused_until_ms, json);
    json.key("last_error").string(channel.last_error).end_object();
  }
  json.end_array().key("lost").uinteger(lost).key("refused").uinteger(stats.refused);
  json.key("repeated").uinteger(stats.repeated).key("dropped").uinteger(stats.dropped);
  json.key("failure").string(stats.failure).end_object();
  out += '\n';
}

void write_item(const action::OutboxItem& item, const std::string* body, JsonWriter& json) {
  constexpr std::string_view kStates[] = {"queued", "dead", "behind"};
  json.begin_object().key("id").uinteger(item.id).key("channel").string(item.channel);
  json.key("topic").string(item.topic).key("key").string(item.key).key("order").string(item.order);
  json.key("state").string(kStates[static_cast<size_t>(item.state)]).key("attempts").uinteger(item.attempts);
  write_time("enqueued", item.enqueued_ms, json);
  write_time("next", item.state == action::OutboxItem::State::kQueued ? item.next_ms : 0, json);
  json.key("last_status").integer(item.last_status).key("last_error").string(item.last_error);
  json.key("bytes").uinteger(item.body_bytes);
  if (body != nullptr) json.key("body").raw(*body);
  json.end_object();
}

// Whole, from 0.
base::Result<uint64_t> number(const Request& in, std::string_view key, uint64_t fallback, uint64_t most) {
  auto text = in.query_value(key);
  if (!text) return fallback;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc() && end == text->data() + text->size() && value <= most) return value;
  return base::invalid("\"" + std::string(key) + "\" is a whole number of at most " + std::to_string(most));
}

bool wanted(const Request& in, std::string_view key) {
  auto text = in.query_value(key);
  return text && *text != "0" && *text != "false";
}

base::Result<action::OutboxFilter> filter_of(const Request& in) {
  action::OutboxFilter filter;
  filter.dead = wanted(in, "dead");
  if (auto channel = in.query_value("channel")) filter.channel = std::string(*channel);
  TAMIS_TRY(after, number(in, "after", 0, UINT64_MAX));
  TAMIS_TRY(limit, number(in, "limit", kItemsUsual, kItemsMax));
  filter.after_id = after;
  filter.limit = limit;
  return filter;
}

base::Status write_items(const action::Outbox& outbox, const action::OutboxFilter& filter, bool bodies,
                         std::string& out) {
  TAMIS_TRY(items, outbox.list(filter));
  JsonWriter json(out);
  json.begin_object().key("items").begin_array();
  for (const action::OutboxItem& item : items) {
    auto body = bodies ? outbox.body(item.id) : base::Result<std::string>();
    write_item(item, bodies && body ? &*body : nullptr, json);  // delivered meanwhile: no body
  }
  // To be given as `after` for the next page; 0: there is none.
  bool more = !items.empty() && items.size() == filter.limit;
  json.end_array().key("next").uinteger(more ? items.back().id : 0).end_object();
  out += '\n';
  return {};
}

// {"ids": [1, 2]}, or {"channel": NAME} for all dead letters of a channel, or {"all": true}.
struct Chosen {
  std::vector<uint64_t> ids;
  std::string channel;
  bool all = false;
};

base::Result<Chosen> read_chosen(std::string_view text) {
  static constexpr std::array<std::string_view, 3> kKeys = {"ids", "channel", "all"};
  TAMIS_TRY(body, JsonBody::read(text, kKeys));
  Chosen chosen;
  TAMIS_TRY(channel, body.text("channel"));
  TAMIS_TRY(all, body.flag("all", false));
  TAMIS_TRY(ids, body.wholes("ids"));
  chosen.channel = std::move(channel);
  chosen.all = all;
  for (int64_t id : ids) chosen.ids.push_back(static_cast<uint64_t>(std::max<int64_t>(id, 0)));
  if (int{body.has("ids")} + int{!chosen.channel.empty()} + int{all} != 1) {
    return base::invalid("expected one of \"ids\" (a list of numbers), \"channel\" (a name) and \"all\" (true)");
  }
  return chosen;
}

base::Result<std::vector<uint64_t>> ids_of(const action::Outbox& outbox, Chosen chosen) {
  if (!chosen.all && chosen.channel.empty()) return std::move(chosen.ids);
  action::OutboxFilter filter{.channel = chosen.channel, .dead = true, .after_id = 0, .limit = kItemsMax};
  std::vector<uint64_t> ids;
  while (ids.size() < kIdsMax) {
    TAMIS_TRY(items, outbox.list(filter));
    for (const action::OutboxItem& item : items) ids.push_back(item.id);
    if (items.size() < filter.limit) break;
    filter.after_id = items.back().id;
  }
  return ids;
}

}  // namespace

void add_outbox_routes(net::HttpServer& server, Service& service, Background& background,
                       const PastApi::MakeRoute& route) {
  server.get(
      "/v1/outbox",
      [&service](const Request&, Response& out) {
        auto outbox = outbox_of(service);
        if (!outbox) return answer(outbox.error(), out);
        write_outbox_stats((*outbox)->stats(), service.notices_lost(), out.body());
      },
      route(Role::kAnalyst, 0));
  server.get(
      "/v1/outbox/items",
      [&service, &background](const Request& in, Response& out) {
        auto outbox = outbox_of(service);
        if (!outbox) return answer(outbox.error(), out);
        auto filter = filter_of(in);
        if (!filter) return answer(filter.error(), out);
        answer_soon(background, out, [box = *outbox, f = *filter, bodies = wanted(in, "bodies")](std::string& text) {
          return write_items(*box, f, bodies, text);
        });
      },
      route(Role::kAnalyst, 0));
  auto on_chosen = [&](const char* path, auto act) {
    server.post(
        path,
        [&service, &background, act](const Request& in, Response& out) {
          auto outbox = outbox_of(service);
          if (!outbox) return answer(outbox.error(), out);
          auto chosen = read_chosen(in.body());
          if (!chosen) return answer(chosen.error(), out);
          answer_soon(background, out, [box = *outbox, c = *chosen, act](std::string& text) -> base::Status {
            TAMIS_TRY(ids, ids_of(*box, c));
            TAMIS_TRY(count, act(*box, ids));
            JsonWriter(text).begin_object().key("count").uinteger(count).end_object();
            text += '\n';
            return {};
          });
        },
        route(Role::kAdmin, kBodyBytes));
  };
  on_chosen("/v1/outbox/retry", [](action::Outbox& box, const auto& ids) { return box.retry(ids); });
  on_chosen("/v1/outbox/drop", [](action::Outbox& box, const auto& ids) { return box.drop(ids); });
}

}  // namespace tamis::door
