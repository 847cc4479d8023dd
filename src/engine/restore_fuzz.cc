// Restoring from foreign bytes. The input is taken as it stands, and then as a list of edits to the pieces of a real
// snapshot, whose frames are made anew with good checksums, so that what lies behind them is reached. Whatever is
// accepted must be a state that works.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "state/pieces.h"

namespace tamis::engine {
namespace {

constexpr const char* kPolicy = R"y(
policy: fuzz
time: {at: t, format: ms}
---
event: e
fields: {a: {type: string, entity: account}, n: {type: int, default: 0}, ip: ip}
---
features:
  c: {count: e, by: a, over: [1m, 1h]}
  s: {sum: n, of: e, by: a, over: 1h}
  d: {distinct: n, of: e, by: a, over: 1h}
  l: {last: a, of: e, by: ip, over: 1h}
  q: {quantile: n, q: 0.5, of: e, over: 1h}
  t: {top_k: a, of: e, over: 1h}
  v: {set: n, of: e, by: ip, over: 1h}
  r: {rate: e, by: ip, over: 1h}
lists:
  words: {kind: string, managed: true}
  nets: {kind: network, managed: true}
  names: {kind: regex, managed: true}
rules:
  - {id: x, on: e, when: c_1m > 0 && c_1h > 0 && s > 0 && d > 0 && l == 'a' && q > 0.0 && size(t) + size(v) > 0 && r > 0.0,
     then: {label: {on: a, name: m, for: 1h}}, mode: live}
  - {id: y, on: e, when: a in list.words || ip in list.nets || a in list.names, then: {points: 1}, mode: live}
)y";

std::shared_ptr<const policy::Policy> policy() {
  static const auto policy = policy::load_files({{"p.yaml", kPolicy}}).policy;
  TAMIS_ASSERT(policy != nullptr);
  return policy;
}

void use(Engine& engine, uint64_t from, uint64_t to) {
  PreparedEvent event;
  for (uint64_t i = from; i < to; ++i) {
    uint64_t r = base::mix64(i);
    std::string n = std::to_string(r % 7);
    std::string json = "{\"id\":\"" + std::to_string(i) + "\",\"t\":" + std::to_string(1'700'000'000'000 + i * 999) +
                       ",\"a\":\"" + n + "\",\"n\":" + std::to_string(r % 100) + ",\"ip\":\"10.0.0." + n + "\"}";
    TAMIS_ASSERT(event.prepare(policy(), "e", json, nullptr).has_value());
    if (engine.repeat_of(event) == 0) engine.decide(event, Engine::kNoReceiveTime);
    if (r % 5 != 0) continue;
    (void)engine.add_list_entry("words", {n, static_cast<int64_t>(1'700'000'050'000 + r % 100'000), "w", "ann", 1});
    (void)engine.add_list_entry("nets", {"192.0.2." + n});
    (void)engine.add_list_entry("names", {"^" + n + "x"});
    (void)engine.remove_list_entry("words", std::to_string(r % 9));
    (void)engine.set_label("account", n, {"l" + n, "ann", "why", 1, INT64_MAX});
  }
}

std::string snapshot_of(Engine& engine) {
  std::string bytes;
  engine.begin_snapshot();
  while (engine.snapshot_piece(bytes)) {
  }
  return bytes;
}

struct Owned {
  uint32_t kind, part;
  std::string body;
};

const std::vector<Owned>& pieces() {
  static const std::vector<Owned> all = [] {
    Engine engine;
    engine.activate(policy());
    use(engine, 0, 120);
    state::PieceReader reader;
    reader.feed(snapshot_of(engine));
    std::vector<Owned> owned;
    state::Piece piece;
    while (*reader.next(piece)) owned.push_back({piece.kind, piece.part, std::string(piece.body)});
    return owned;
  }();
  return all;
}

base::Status restore(Engine& engine, const std::string& bytes) {
  bool given = false;
  return engine.restore([&](std::string& piece) -> base::Result<bool> {
    if (std::exchange(given, true)) return false;
    piece = bytes;
    return true;
  });
}

void try_bytes(const std::string& bytes) {
  Engine engine;
  engine.activate(policy());
  if (!restore(engine, bytes)) return;
  std::string again = snapshot_of(engine);
  Engine other;
  other.activate(policy());
  TAMIS_ASSERT(restore(other, again).has_value());
  TAMIS_ASSERT(other.digest() == engine.digest());
  use(engine, 100, 160);
  (void)engine.digest();
}

// Six bytes an edit: what is done to which piece, where and with what.
std::string edited(const uint8_t* data, size_t size) {
  std::vector<Owned> all = pieces();
  for (; size >= 6 && !all.empty(); data += 6, size -= 6) {
    Owned& piece = all[data[1] % all.size()];
    uint16_t at;
    std::memcpy(&at, data + 2, 2);
    size_t place = piece.body.empty() ? 0 : at % piece.body.size();
    switch (data[0] % 8) {
      case 0:
        all.erase(all.begin() + data[1] % static_cast<int>(all.size()));
        break;
      case 1: {
        Owned twin = piece;
        all.push_back(std::move(twin));
        break;
      }
      case 2:
        piece.body.resize(place);
        break;
      case 3:
        piece.body.insert(place, 1 + data[4] % 16, static_cast<char>(data[5]));
        break;
      case 4:
        std::swap(piece.body, all[data[4] % all.size()].body);
        break;
      case 5:
        piece.kind = data[4] % 4;
        break;
      default:
        if (!piece.body.empty()) piece.body[place] = static_cast<char>(piece.body[place] ^ data[5]);
    }
  }
  state::PieceWriter out;
  for (const Owned& piece : all) {
    out.begin(piece.kind, piece.part) += piece.body;
    out.end();
  }
  std::string bytes;
  out.take(bytes, SIZE_MAX);
  return bytes;
}

}  // namespace

void fuzz(const uint8_t* data, size_t size) {
  try_bytes(std::string(reinterpret_cast<const char*>(data), size));
  try_bytes(edited(data, size));
}

}  // namespace tamis::engine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tamis::engine::fuzz(data, size);
  return 0;
}
