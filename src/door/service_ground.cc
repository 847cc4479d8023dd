#include "door/service_ground.h"

#include "archive/layout.h"
#include "event/json_event.h"
#include "replay/keys.h"
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

std::string ServiceGround::token(int64_t time_ms, std::string_view value) {
  const std::string day = event::format_time_ms(time_ms).substr(0, 10);
  std::lock_guard lock(token_mutex_);
  if (day != token_day_) {
    token_key_ = service_.data() == nullptr ? std::string() : replay::key_of_day(service_.data()->path(), day);
    token_day_ = day;
  }
  return token_key_.empty() ? std::string() : archive::token_of(token_key_, value);
}

void ServiceGround::visit(const std::function<void(const action::Place&)>& use) {
  constexpr size_t kPage = 1'000;
  std::vector<action::Place> page;
  auto all = [&](const std::function<uint64_t(engine::Engine&, uint64_t)>& next) {
    for (uint64_t after = 0;;) {
      page.clear();
      service_.with_engine([&](engine::Engine& engine) { after = next(engine, after); });
      for (const action::Place& place : page) use(place);
      if (after == 0) return;
    }
  };
  all([&](engine::Engine& engine, uint64_t after) {
    return engine.visit_labels(
        after, kPage, [&](std::string_view kind, std::string_view value, const state::Label& label) {
          const bool is_revision = kind.starts_with("event:");
          page.push_back({is_revision ? action::Place::Kind::kRevision : action::Place::Kind::kLabel,
                          std::string(is_revision ? kind.substr(6) : kind), std::string(value), label.name});
        });
  });
  const std::shared_ptr<const policy::Policy> policy = service_.policy();
  if (policy == nullptr) return;
  for (const policy::ListDecl& list : policy->lists) {
    all([&](engine::Engine& engine, uint64_t after) {
      auto next = engine.visit_list(list.name, after, kPage, [&](const state::ListEntry& entry) {
        page.push_back({action::Place::Kind::kList, list.name, entry.value, {}});
      });
      return next.value_or(0);  // a list that a new policy does not have any more
    });
  }
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
