#include "door/service_ground.h"

#include "replay/stored.h"

namespace tamis::door {

namespace {

// The engine, while this thread holds it.
thread_local engine::Engine* held = nullptr;

}  // namespace

void ServiceGround::hold(const std::function<void()>& use) {
  service_.with_engine([&](engine::Engine& engine) {
    held = &engine;
    use();
    held = nullptr;
  });
}

int64_t ServiceGround::now_ms() {
  if (held != nullptr) return held->now_ms();
  int64_t now = 0;
  service_.with_engine([&](engine::Engine& engine) { now = engine.now_ms(); });
  return now == INT64_MIN ? service_.now_ms() : now;
}

std::vector<state::Label> ServiceGround::labels(std::string_view entity_kind, std::string_view value) {
  return held->labels(entity_kind, value);
}

std::optional<state::ListEntry> ServiceGround::list_entry(std::string_view list, std::string_view value) {
  return held->list_entry(list, value);
}

std::optional<action::LastChange> ServiceGround::last_change(const action::Place& place) {
  if (!service_.flush()) return std::nullopt;
  using replay::sql_text;
  bool list = place.kind == action::Place::Kind::kList;
  std::string sql =
      "SELECT author, epoch_ms(time) FROM acts WHERE value = " + sql_text(place.value) + " AND " +
      (list ? "list = " + sql_text(place.on)
            : "kind = " + sql_text(action::entity_kind_of(place)) + " AND name = " + sql_text(place.name)) +
      " ORDER BY n DESC LIMIT 1";
  auto found = service_.data()->archive().query(sql, {}, [] { return true; });
  if (!found || found->rows.empty()) return std::nullopt;
  return action::LastChange{found->rows[0][0], std::strtoll(found->rows[0][1].c_str(), nullptr, 10)};
}

}  // namespace tamis::door
