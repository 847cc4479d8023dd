// RuleSwap: the verdict of a stored event, had one rule been another. The other rules stay as they acted then. Private
// to this room; one object a thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/policy.h"

namespace tamis::replay {

// The policies that decided, by version; shared by threads.
class PastPolicies {
 public:
  using Find = std::function<std::shared_ptr<const policy::Policy>(std::string_view version)>;
  PastPolicies(std::shared_ptr<const policy::Policy> current, Find find);
  // Null where it is gone.
  const policy::Policy* of(std::string_view version);

 private:
  std::mutex mutex_;
  std::shared_ptr<const policy::Policy> current_;
  Find find_;
  std::map<std::string, std::shared_ptr<const policy::Policy>, std::less<>> known_;
};

class RuleSwap {
 public:
  // `rule` is a place in the rules of `type`. `askable`: the other rules whose points depend on the event and can be
  // asked for; null: all.
  RuleSwap(const policy::EventType& type, uint32_t rule, PastPolicies& past, const std::vector<uint32_t>* askable);

  // An event as stored.
  struct Stored {
    std::string_view verdict;  // empty: it was only imported
    double points = 0;
    std::string_view policy;
    std::string_view rules;  // that acted, each followed by a line feed
  };
  // Points of an askable rule on this event.
  using PointsOf = std::function<double(uint32_t rule)>;
  struct Outcome {
    std::string_view verdict;  // text of a policy
    int8_t change = 0;
  };
  // The rule as it is now, live: whether it matches, and its points.
  Outcome outcome(const Stored& stored, bool matches, double points, const PointsOf& points_of);

  // Whether the tested rule is among ids that are each followed by a line feed.
  bool names_rule(std::string_view ids) const;

 private:
  // What a rule that acted is worth.
  struct Worth {
    uint32_t place = 0;  // in the rules of the base
    int32_t verdict = -1;
    double points = 0;
    int32_t ask = -1;      // place in the rules of `type` whose points are to be asked for
    bool unknown = false;  // its points are what the others leave of the stored ones
  };
  // What decided, for one version and one set of rules that acted.
  struct Acted {
    const policy::EventType* base = nullptr;  // whose ladder, thresholds and override hold
    uint32_t place = 0;                       // of the tested rule in the base
    int32_t verdict = -1;                     // of the tested rule, in the base's ladder
    std::vector<Worth> others;                // by place, without the tested rule
    bool unknown = false;                     // one of them is
    double tested_points = 0;                 // of the tested rule as it acted then
  };
  // What there is to know of a version.
  struct Version {
    const policy::EventType* base = nullptr;
    std::unordered_map<std::string_view, uint32_t> places;  // of the base's rules by id
    std::vector<Worth> worths;                              // by place
    uint32_t place = 0;
    int32_t verdict = -1;
  };

  Version make_version(std::string_view version);
  Worth worth_of(const policy::EventType& base, uint32_t place) const;
  bool same_but_for_rule(const policy::EventType& other) const;
  const Acted& acted(std::string_view version, std::string_view rules);
  Acted make_acted(const Version& version, std::string_view rules) const;

  const policy::EventType& type_;
  const policy::Rule& rule_;
  PastPolicies& past_;
  std::vector<Worth> own_;  // of the rules of `type`
  std::map<std::string, Version, std::less<>> versions_;
  std::unordered_map<std::string, Acted> acted_;  // by version, NUL, rules
  std::string key_;
  // The last one asked for, for events come in runs.
  const Acted* last_ = nullptr;
  std::string last_key_;
};

}  // namespace tamis::replay
