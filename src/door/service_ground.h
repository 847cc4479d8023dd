// ServiceGround: lets action batches work on the state of a Service.
#pragma once

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
  // From the acts in the archive.
  std::optional<action::LastChange> last_change(const action::Place& place) override;

 protected:
  base::Status act(const engine::Act& act) override { return service_.act_held(act); }
  std::vector<state::Label> labels(std::string_view entity_kind, std::string_view value) override;
  std::optional<state::ListEntry> list_entry(std::string_view list, std::string_view value) override;

 private:
  Service& service_;
};

}  // namespace tamis::door
