// ServiceGround: lets action batches work on the state of a Service.
#pragma once

#include <mutex>
#include <string>

#include "action/ground.h"
#include "door/service.h"

namespace tamis::door {

class ServiceGround final : public action::ActGround {
 public:
  explicit ServiceGround(Service& service) : service_(service) {}

  void hold(const std::function<void()>& use) override;
  base::Status record(std::string_view json) override { return service_.record_batch(json); }
  base::Status sync() override { return service_.sync(); }
  int64_t now_ms() override;
  // Under the key of the day (replay/keys.h).
  std::string token(int64_t time_ms, std::string_view value) override;
  // A thousand at a time while the engine waits.
  void visit(const std::function<void(const action::Place&)>& use) override;
  // From the acts in the archive.
  std::optional<action::LastChange> last_change(const action::Place& place) override;

 protected:
  base::Status act(const engine::Act& act) override { return service_.act_held(act); }
  std::vector<state::Label> labels(std::string_view entity_kind, std::string_view value) override;
  std::optional<state::ListEntry> list_entry(std::string_view list, std::string_view value) override;

 private:
  Service& service_;
  std::mutex token_mutex_;
  std::string token_day_, token_key_;  // of the last token()
};

}  // namespace tamis::door
