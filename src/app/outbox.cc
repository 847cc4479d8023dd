#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/command.h"
#include "app/data_session.h"
#include "app/json_view.h"

namespace tamis::app {
namespace {

struct Options {
  DataSessionOptions session;
  std::string what, channel;
  std::vector<uint64_t> ids;
  bool dead = false, all = false, bodies = false, json = false;
  int limit = 100;
};

void print_channels(const JsonView& stats) {
  for (event::Value v : stats["channels"].items()) {
    JsonView channel = stats.item(v);
    std::printf("%s: %s waiting, %s dead", channel["name"].text().c_str(), channel["queued"].text().c_str(),
                channel["dead"].text().c_str());
    if (channel["oldest"].has()) std::printf(", the oldest since %s", channel["oldest"].text().c_str());
    if (channel["paused_until"].has()) std::printf(", paused until %s", channel["paused_until"].text().c_str());
    if (!channel["configured"].truth()) std::printf(", not delivered: no server runs with this channel");
    std::string error = channel["last_error"].text();
    std::printf("%s%s\n", error.empty() ? "" : "\n  last error: ", error.c_str());
  }
  if (stats["channels"].items().empty()) std::printf("no channels, and nothing waits\n");
  if (stats["lost"].count() > 0) {
    std::printf("%s notices were lost: the outbox was full, or they were too large\n", stats["lost"].text().c_str());
  }
  if (!stats["failure"].text().empty()) {
    std::printf("the outbox cannot be written: %s\n", stats["failure"].text().c_str());
  }
}

void print_items(const JsonView& page) {
  for (event::Value v : page["items"].items()) {
    JsonView item = page.item(v);
    std::printf("%-8s %-6s %s  %s  %s", item["id"].text().c_str(), item["state"].text().c_str(),
                item["enqueued"].text().c_str(), item["channel"].text().c_str(), item["topic"].text().c_str());
    if (!item["order"].text().empty()) std::printf("  %s", item["order"].text().c_str());
    std::printf("\n");
    if (item["attempts"].count() > 0) {
      std::printf("         %s attempts; last: %s\n", item["attempts"].text().c_str(),
                  item["last_error"].text("delivered").c_str());
    }
    if (item["next"].has()) std::printf("         next attempt %s\n", item["next"].text().c_str());
    if (item["body"].has()) std::printf("         %s\n", item["body"].text().c_str());
  }
}

base::Result<int> list(DataSession& session, const Options& options) {
  std::string path = "/v1/outbox/items?limit=" + std::to_string(options.limit);
  if (options.dead) path += "&dead=1";
  if (options.bodies) path += "&bodies=1";
  if (!options.channel.empty()) path += "&channel=" + url_escape(options.channel);
  TAMIS_TRY(stats_text, session.get("/v1/outbox"));
  TAMIS_TRY(page_text, session.get(path));
  TAMIS_TRY(stats, JsonView::parse(stats_text));
  TAMIS_TRY(page, JsonView::parse(page_text));
  if (options.json) {
    while (!stats_text.empty() && stats_text.back() == '\n') stats_text.pop_back();
    while (!page_text.empty() && page_text.back() == '\n') page_text.pop_back();
    std::printf("{\"outbox\":%s,\"page\":%s}\n", stats_text.c_str(), page_text.c_str());
    return kGood;
  }
  print_channels(stats);
  print_items(page);
  if (page["next"].count() > 0) std::fprintf(stderr, "there are more; --limit shows more of them\n");
  return kGood;
}

base::Result<int> change(DataSession& session, const Options& options) {
  int ways = int{!options.ids.empty()} + int{!options.channel.empty()} + int{options.all};
  if (ways != 1) {
    return base::invalid(
        "`outbox " + options.what +
        "` needs ids as `tamis outbox ls` shows them, or --channel NAME or --all for all dead letters");
  }
  std::string body = "{\"all\":true}";
  if (!options.channel.empty()) body = "{\"channel\":" + json_text(options.channel) + "}";
  if (!options.ids.empty()) {
    body = "{\"ids\":[";
    for (size_t i = 0; i < options.ids.size(); ++i) body += (i == 0 ? "" : ",") + std::to_string(options.ids[i]);
    body += "]}";
  }
  TAMIS_TRY(text, session.post("/v1/outbox/" + options.what, std::move(body)));
  if (options.json) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return kGood;
  }
  TAMIS_TRY(result, JsonView::parse(text));
  bool retry = options.what == "retry";
  std::printf("%s %s\n", result["count"].text().c_str(), retry ? "will be tried again" : "dropped");
  if (retry && session.service() != nullptr && result["count"].count() > 0) {
    std::fprintf(stderr, "they leave when a server runs with `serve --channels`\n");
  }
  return result["count"].count() > 0 ? kGood : kNo;
}

base::Result<int> outbox(Options options) {
  Interrupt::install();
  options.session.state = false;
  TAMIS_TRY(session, DataSession::open(options.session));
  return options.what == "ls" ? list(*session, options) : change(*session, options);
}

}  // namespace

Command add_outbox(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->session.data, "The data folder")->required();
  app.add_flag("--dead", options->dead, "ls: show dead letters instead of what waits");
  app.add_option("--channel", options->channel, "ls: of one channel; retry, drop: all its dead letters");
  app.add_flag("--all", options->all, "retry, drop: the dead letters of all channels");
  app.add_option("--limit", options->limit, "ls: at most so many")->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--bodies", options->bodies, "ls: with what is sent");
  app.add_flag("--json", options->json, "As JSON");
  app.add_option("WHAT", options->what, "ls, retry or drop")
      ->required()
      ->check(CLI::IsMember({"ls", "retry", "drop"}))
      ->type_name("");
  app.add_option("ID", options->ids, "retry: dead letters to try again; drop: items to forget");
  app.footer(
      "What leaves as webhooks, and waits for it: `ls` shows the channels and what waits in them. A delivery that was\n"
      "given up is a dead letter, which `retry` sends again from the first attempt on, and `drop` forgets.");
  return [options] {
    base::Result<int> code = outbox(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
