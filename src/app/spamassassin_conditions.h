// What stands behind `if` and `ifplugin` in SpamAssassin's configuration: which of it holds for the installation whose
// folder is read, as far as the folder tells.
//
//   version           from the names of its v*.pre files (a release that brings a new one is known by it) and from
//                     `require_version`; without either 3.4.0 or newer, the oldest that is still met
//   plugins           loaded are those that a `loadplugin` names. Where the folder has no .pre file, those are taken as
//                     loaded that every 3.4 and 4.0 loads as it ships, and of others nothing is known
//   can(...), has(..) features of SpamAssassin itself by the version that brought them, compat_* by `enable_compat`;
//                     those of a plugin only so far as it is not loaded
//
// Read all files (note_file, note_line) before the first decide().
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace tamis::app {

class SpamAssassinConditions {
 public:
  enum class Truth : uint8_t { kNo, kYes, kUnknown };
  struct Decided {
    Truth truth = Truth::kUnknown;
    std::string why;  // of anything but kYes
  };

  // `name` as in the folder.
  void note_file(std::string_view name);
  // A directive of any file, outside comments; `rest` is what stands behind its word.
  void note_line(std::string_view word, std::string_view rest);
  // The expression of an `if`, or `plugin(NAME)` for an `ifplugin`. Never fails: what it does not understand is
  // unknown.
  Decided decide(std::string_view expression) const;

 private:
  class Parser;
  Truth is_loaded(std::string_view plugin) const;
  Truth can(std::string_view name) const;

  // Versions are times a million: 3.004002 is 3'004'002.
  struct Versions {
    int64_t min = 0, end = 0;  // end is above the highest
  };
  Versions version() const;

  bool has_pre_ = false;
  std::set<std::string, std::less<>> plugins_, compat_;
  Versions of_pre_;  // by the newest v*.pre; 0: there is none
  int64_t required_ = 0;
};

}  // namespace tamis::app
