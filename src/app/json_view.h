// JsonView: an answer of the server as commands read it for people.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/result.h"
#include "event/value.h"

namespace tamis::app {

class JsonView {
 public:
  // Keeps what it needs of `json`.
  static base::Result<JsonView> parse(std::string_view json);

  JsonView operator[](std::string_view key) const;  // absent where there is none
  std::span<const event::Value> items() const;      // of a list
  JsonView item(event::Value v) const { return JsonView(arena_, v); }
  bool has() const;  // neither absent nor null
  // Text without quotes; numbers as they are; what is absent or null is `otherwise`.
  std::string text(std::string_view otherwise = "") const;
  double number() const;
  uint64_t count() const;
  bool truth() const;
  event::Value value() const { return value_; }

 private:
  JsonView(std::shared_ptr<base::Arena> arena, event::Value value) : arena_(std::move(arena)), value_(value) {}
  std::shared_ptr<base::Arena> arena_;
  event::Value value_;
};

}  // namespace tamis::app
