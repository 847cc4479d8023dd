// How much a report counts. Attackers vote too: whoever may say "this is spam" may lie, with many accounts, from many
// networks. So a reporter's weight follows how often he agreed with confirmed truth (a moderator, a trap, the agreement
// of many), a report of one who never proved himself counts little, and what reporters, networks and campaigns can
// teach within a day is capped.
//
//   Reporters reporters;
//   float weight = reporters.weight_of({reporter, network, campaign, spam, now_ms});   // 0: does not count
//   if (chance(id) < weight) ... learn ...                       // or learn once the weights of a message reach 1
//   reporters.confirm(reporter, agreed);                         // later, when the truth is known
//
// A pure fold: no clock, no chance; the same calls give the same weights. Identifiers are hashes that the caller makes
// with its key. Bounded: of each table, who was met longest ago makes room. Calls are not for several threads at once.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace tamis::learn {

struct ReporterOptions {
  // A reporter of whom nothing is known is taken to have agreed `agreed_before` times of `judged_before`.
  float agreed_before = 2.5f;
  float judged_before = 4;
  // One who is trusted this much is believed whole: dropping every tenth report of an honest one would cost more than
  // what it keeps out.
  float proven_trust = 0.75f;
  // Reports that count within a day, by weight, of one reporter, of one network, and on one campaign.
  float reporter_day_max = 20;
  float network_day_max = 40;
  float campaign_day_max = 10;
  // One who is trusted less than `overturn_trust_min` does not teach what the model contradicts by more than
  // `overturn_logit_max`: who never proved himself overturns no confident verdict for others.
  float overturn_trust_min = 0.5f;
  float overturn_logit_max = 2;
  uint32_t tracked_max = 100'000;  // of each kind; 1 to 10 million
};

struct Report {
  uint64_t reporter = 0;
  uint64_t network = 0;   // 0: unknown, not capped
  uint64_t campaign = 0;  // near-duplicates of one message; 0: unknown, not capped
  int64_t now_ms = 0;
  // The log-odds by which the model contradicts the report; 0 or below if it agrees.
  float contradicted = 0;
};

class Reporters {
 public:
  explicit Reporters(const ReporterOptions& options = {});
  Reporters(Reporters&&) = default;
  Reporters& operator=(Reporters&&) = default;
  Reporters(const Reporters&) = delete;  // the tables point into themselves
  Reporters& operator=(const Reporters&) = delete;

  // How much a reporter is believed, 0 to 1: one who agreed as often as chance would is not believed at all.
  float trust_of(uint64_t reporter) const;
  // What this report counts now, 0 to 1, and takes it from the caps of its day.
  float weight_of(const Report& report);
  // What the reporter said once turned out right, or wrong.
  void confirm(uint64_t reporter, bool agreed);
  // Forgets what is known of a reporter, who starts anew.
  void forget(uint64_t reporter);

  size_t reporters() const { return judged_.known.size(); }
  // All of it as bytes, and back; the same bytes for the same calls. kInvalid for other bytes.
  std::string save() const;
  static base::Result<Reporters> load(std::string_view bytes, const ReporterOptions& options = {});

 private:
  struct Known {
    uint64_t who = 0;
    float first = 0;   // times agreed; weight spent on the day
    float second = 0;  // times judged; unused
    int64_t day = 0;
  };
  // A map of bounded size whose least recently used entry makes room.
  struct Table {
    std::list<Known> order;  // newest first
    std::unordered_map<uint64_t, std::list<Known>::iterator> known;
    Known& at(uint64_t who, uint32_t tracked_max);
    const Known* find(uint64_t who) const;
  };
  float left_of(Table& table, uint64_t who, int64_t day, float most);

  ReporterOptions options_;
  Table judged_;
  Table by_reporter_;
  Table by_network_;
  Table by_campaign_;
};

}  // namespace tamis::learn
