// Snapshots against the engine that goes on: whatever happens between the pieces, the bytes are the state as of
// begin_snapshot(), and the restored engine decides what the other one does.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"
#include "engine/act.h"
#include "engine/engine.h"

namespace tamis::engine {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

constexpr const char* kPolicy = R"y(
policy: test
time: {at: t, format: ms}
---
event: login
verdicts: [accept, challenge, reject]
thresholds: {challenge: 10, reject: 20}
lateness: 10m
unique: 30m
fields:
  account: {type: string, entity: account}
  ip: ip
  amount: {type: int, default: 0}
---
event: mail
unique: 0s
fields:
  account: {type: string, entity: account}
  text: {type: string, default: ""}
---
features:
  n: {count: [login, mail], by: account, over: [1m, 1h]}
  spent: {sum: amount, of: login, by: ip, over: 10m}
  ips: {distinct: ip, of: login, by: account, over: 1h, keys_max: 8}
  newest: {last: ip, of: login, by: account, over: 1m}
  amounts: {quantile: amount, q: 0.9, of: login, over: 1h}
  top: {top_k: account, of: login, k: 3, over: 10m}
---
lists:
  blocked: {kind: string, values: [root], managed: true}
  nets: {kind: network, values: [10.0.0.0/8], managed: true}
---
rules:
  - {id: many, on: login, when: n_1m >= 3, then: {points: 11, label: {on: account, name: busy, for: 5m}}, mode: live}
  - {id: spender, on: login, when: spent > 100, then: {points: 5, list: {add: nets, value: ip, for: 10m}}, mode: live}
  - {id: spread, on: login, when: ips > 3 && amounts > 1.0 && size(top) > 0, then: {verdict: reject}, mode: live}
  - {id: seen, on: login, when: newest == ip, then: {points: 1}, mode: live}
  - {id: known, on: login, when: account in list.blocked || ip in list.nets, then: {verdict: challenge}, mode: live}
  - {id: marked, on: login, when: "'busy' in labels(account)", then: {points: 2}, mode: live}
  - {id: talk, on: mail, when: n_1h > 2, then: {verdict: challenge, label: {on: account, name: chatty, for: 1h}}}
)y";

std::shared_ptr<const policy::Policy> compile(const std::string& yaml) {
  policy::Loaded loaded = policy::load_files({{"policy.yaml", yaml}});
  for (const policy::Diagnostic& d : loaded.diagnostics) {
    if (d.severity == policy::Diagnostic::Severity::kError) ADD_FAILURE() << policy::to_string(d);
  }
  return loaded.policy;
}

const std::shared_ptr<const policy::Policy>& test_policy() {
  static const std::shared_ptr<const policy::Policy> policy = compile(kPolicy);
  return policy;
}

// One thing that happens to an engine, made of a number, and what comes of it as text.
class Driver {
 public:
  explicit Driver(Engine& engine, uint64_t accounts = 12) : engine_(engine), accounts_(accounts) {}

  std::string step(uint64_t n) {
    uint64_t r = base::mix64(n);
    now_ms_ = kStart + static_cast<int64_t>(n) * 700 + static_cast<int64_t>(r % 700);
    switch (r % 16) {
      case 0:
        return act(r >> 8);
      case 1:
        engine_.tick(now_ms_ + static_cast<int64_t>(r >> 16) % 40'000);
        return "tick";
      case 2:
        return decide("mail", r);
      default:
        return decide("login", r);
    }
  }

 private:
  std::string decide(std::string_view type, uint64_t r) {
    std::string account = "a" + std::to_string((r >> 8) % accounts_);
    std::string ip = "10." + std::to_string((r >> 16) % 9) + ".0.1";
    int64_t t_ms = now_ms_ - ((r >> 20) % 10 == 0 ? static_cast<int64_t>((r >> 24) % 900'000) : 0);
    std::string json = "{\"t\":" + std::to_string(t_ms) + ",\"account\":\"" + account + "\",\"ip\":\"" + ip +
                       "\",\"amount\":" + std::to_string((r >> 32) % 60) + ",\"id\":\"" +
                       std::to_string((r >> 40) % 500) + "\"}";
    if (type == "mail") json = "{\"t\":" + std::to_string(t_ms) + ",\"account\":\"" + account + "\"}";
    base::Status ready = event_.prepare(engine_.policy(), type, json, nullptr);
    if (!ready) return ready.error().message;
    if (uint64_t first = engine_.repeat_of(event_); first != 0) return "again " + std::to_string(first);
    std::string out;
    write_json(engine_.decide(event_, now_ms_), out);
    return out;
  }

  std::string act(uint64_t r) {
    Act act;
    act.kind = static_cast<Act::Kind>(r % 7);
    act.list = (r >> 4) % 2 == 0 ? "blocked" : "nets";
    act.entity_kind = "account";
    act.value = act.list == "nets" && act.is_on_list() ? "192.0.2." + std::to_string((r >> 8) % 20)
                                                       : "a" + std::to_string((r >> 8) % accounts_);
    act.name = (r >> 16) % 3 == 0 ? "busy" : "mark" + std::to_string((r >> 16) % 3);
    act.author = "ann";
    act.reason = (r >> 20) % 2 == 0 ? "" : "because";
    act.since_ms = now_ms_;
    if ((r >> 24) % 3 != 0) act.expires_ms = now_ms_ + static_cast<int64_t>((r >> 28) % 600'000);
    base::Status done = apply(engine_, act);
    return done ? "done" : done.error().message;
  }

  Engine& engine_;
  uint64_t accounts_;
  PreparedEvent event_;
  int64_t now_ms_ = kStart;
};

base::Status restore(Engine& engine, std::string_view bytes, size_t portion = 1000) {
  return engine.restore([&](std::string& piece) -> base::Result<bool> {
    if (bytes.empty()) return false;
    piece = bytes.substr(0, portion);
    bytes.remove_prefix(piece.size());
    return true;
  });
}

std::string snapshot_of(Engine& engine) {
  std::string bytes;
  engine.begin_snapshot();
  while (engine.snapshot_piece(bytes, 1)) {
  }
  return bytes;
}

RC_GTEST_PROP(Snapshot, IsTheStateAtItsBeginningWhateverComesBetweenItsPieces, ()) {
  auto accounts = *rc::gen::element<uint64_t>(12, 5000);
  auto before = *rc::gen::inRange<uint64_t>(0, accounts == 12 ? 1500 : 6000);
  auto every = *rc::gen::inRange<uint64_t>(1, 30);  // steps between two pieces
  auto seed = *rc::gen::inRange<uint64_t>(0, 1'000'000);
  auto piece_bytes = *rc::gen::element<size_t>(1, 300, 5000);
  bool reactivate = *rc::gen::arbitrary<bool>();

  Engine engine;
  engine.activate(test_policy());
  Driver driver(engine, accounts);
  for (uint64_t i = 0; i < before; ++i) driver.step(seed + i);
  uint64_t digest = engine.digest();
  uint64_t decided = engine.decided();
  auto stats = engine.rule_stats();
  auto verdicts = engine.verdict_counts();
  engine.begin_snapshot();
  std::string bytes;
  std::vector<std::string> live;
  uint64_t n = seed + before;
  bool more = true;
  while (more) {
    for (uint64_t i = 0; i < every; ++i) live.push_back(driver.step(n++));
    more = engine.snapshot_piece(bytes, piece_bytes);
    if (reactivate) engine.activate(test_policy());
  }
  for (uint64_t i = 0; i < 300; ++i) live.push_back(driver.step(n++));
  RC_ASSERT(!engine.is_snapshotting());

  Engine other;
  other.activate(test_policy());
  base::Status restored = restore(other, bytes, *rc::gen::element<size_t>(1, 777, 1'000'000));
  if (!restored) RC_FAIL(restored.error().message);
  RC_ASSERT(other.digest() == digest);
  RC_ASSERT(other.decided() == decided);
  RC_ASSERT(other.verdict_counts() == verdicts);
  for (size_t t = 0; t < stats.size(); ++t) {
    for (size_t r = 0; r < stats[t].size(); ++r) {
      RC_ASSERT(other.rule_stats()[t][r].matched == stats[t][r].matched);
      RC_ASSERT(other.rule_stats()[t][r].shadow == stats[t][r].shadow);
    }
  }
  Driver again(other, accounts);
  for (size_t i = 0; i < live.size(); ++i) {
    std::string got = again.step(seed + before + i);
    if (got != live[i]) RC_FAIL("step " + std::to_string(i) + ": " + got + " instead of " + live[i]);
  }
  RC_ASSERT(other.digest() == engine.digest());
}

TEST(Snapshot, AFlippedByteOrACutIsRefusedWithItsPlace) {
  Engine engine;
  engine.activate(test_policy());
  Driver driver(engine);
  for (uint64_t i = 0; i < 150; ++i) driver.step(i);
  const std::string bytes = snapshot_of(engine);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    Engine other;
    other.activate(test_policy());
    ASSERT_FALSE(restore(other, damaged, 1 << 20).has_value()) << "byte " << i;
  }
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 50) {
    Engine other;
    other.activate(test_policy());
    base::Status refused = restore(other, std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(refused.has_value()) << "cut at " << size;
    EXPECT_NE(refused.error().message.find("cut off after byte"), std::string::npos) << refused.error().message;
  }
  Engine other;
  other.activate(test_policy());
  EXPECT_FALSE(restore(other, bytes + bytes).has_value());
  Engine foreign;
  foreign.activate(test_policy());
  base::Status refused = restore(foreign, "{\"this is\": \"something else altogether\"}");
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("not the bytes of a snapshot"), std::string::npos);
}

TEST(Snapshot, AFeatureThatThePolicyHasNoMoreIsDroppedAndTheRestIsKept) {
  Engine engine;
  engine.activate(test_policy());
  Driver driver(engine);
  for (uint64_t i = 0; i < 800; ++i) driver.step(i);
  std::string bytes = snapshot_of(engine);
  std::string yaml = kPolicy;
  size_t at = yaml.find("  spent:");
  yaml.replace(yaml.find("over: 10m", at), 9, "over: 20m");  // another declaration: starts empty
  Engine other;
  other.activate(compile(yaml));
  base::Status restored = restore(other, bytes);
  ASSERT_TRUE(restored.has_value()) << restored.error().message;
  auto keys = [](const Engine& e, size_t i) { return e.feature_stats()[i].second.keys; };
  EXPECT_EQ(keys(other, 0), keys(engine, 0));
  EXPECT_GT(keys(engine, 1), 0u);
  EXPECT_EQ(keys(other, 1), 0u);
  EXPECT_EQ(other.labels("account", "a1"), engine.labels("account", "a1"));
}

TEST(Snapshot, AnAbandonedOneLeavesNoTrace) {
  Engine engine, other;
  engine.activate(test_policy());
  other.activate(test_policy());
  Driver driver(engine), same(other);
  std::string bytes;
  for (uint64_t i = 0; i < 2000; ++i) {
    if (i % 97 == 0) engine.begin_snapshot();
    if (i % 97 == 50) engine.snapshot_piece(bytes, 1);
    if (i % 194 == 60) engine.abandon_snapshot();
    ASSERT_EQ(driver.step(i), same.step(i));
  }
  EXPECT_EQ(engine.digest(), other.digest());
}

}  // namespace
}  // namespace tamis::engine
