// Feature tables on foreign bytes: the first four bytes choose an aggregate and windows, the rest is taken first as a
// saved table (with its checksum, magic and spec put right, so that the structure behind them is reached), then as a
// stream of events.
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/hash.h"
#include "state/feature.h"

namespace tamis::state {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

FeatureSpec spec_of(const uint8_t* choice) {
  FeatureSpec spec;
  spec.name = "f";
  spec.aggregate = static_cast<Aggregate>(choice[0] % 13);
  spec.windows_ms = {1000};
  if (choice[1] & 1) spec.windows_ms.push_back(3'600'000);
  if (choice[1] & 2) spec.windows_ms.push_back(int64_t{90} * 86'400'000);
  spec.lateness_ms = choice[1] & 4 ? 3'600'000 : 0;
  spec.keys_max = choice[1] & 8 ? 4 : 1000;
  spec.k = 1 + choice[2] % 40;
  if (choice[3] & 1) spec.value_kind = event::Kind::kDouble;
  return spec;
}

Value value_of(const uint8_t* bytes, uint8_t kind) {
  double d;
  int64_t i;
  std::memcpy(&d, bytes, 8);
  std::memcpy(&i, bytes, 8);
  switch (kind % 5) {
    case 0:
      return Value::integer(bytes[0]);
    case 1:
      return Value::integer(i);
    case 2:
      return Value::real(d);
    case 3:
      return Value::timestamp(i % 60'000'000'000, static_cast<uint32_t>(i & 0xffff));  // years an event can have
    default:
      return Value::string(std::string_view("abcdefgh").substr(bytes[0] % 8));
  }
}

void use(FeatureTable& table, const uint8_t* data, size_t size) {
  base::Arena arena;
  int64_t now_ms = kStart;
  for (; size >= 14; data += 14, size -= 14) {
    uint32_t step;
    std::memcpy(&step, data, 4);
    now_ms += data[4] & 1 ? step : step % 1000;
    int64_t t_ms = now_ms - (data[4] & 2 ? step % 4'000'000 : 0);
    Value of = value_of(data + 6, data[4] >> 4);
    Cursor cursor = table.find(data[5] % 8);
    for (size_t w = 0; w < table.spec().windows_ms.size(); ++w) {
      table.read(cursor, t_ms, w, arena);
      table.read_with(cursor, t_ms, w, of, (data[4] & 4) != 0, arena);
    }
    table.update(cursor, t_ms, now_ms, of, (data[4] & 4) != 0);
    table.advance(now_ms);
  }
}

}  // namespace

void fuzz(const uint8_t* data, size_t size) {
  if (size < 4) return;
  FeatureSpec spec = spec_of(data);
  auto table = FeatureTable::make(spec);
  data += 4;
  size -= 4;

  std::string header, bytes(reinterpret_cast<const char*>(data), size);
  table->save(header);
  if (bytes.size() >= 24) {
    std::memcpy(bytes.data(), header.data(), 16);  // magic and digest of the spec
    uint64_t sum = base::hash64(bytes.data(), bytes.size() - 8);
    std::memcpy(bytes.data() + bytes.size() - 8, &sum, 8);
    if (table->load(bytes)) {
      std::string again;
      table->save(again);
      TAMIS_ASSERT(again == bytes);
    }
  }
  use(*table, data, size);
  std::string saved, again;
  table->save(saved);
  auto copy = FeatureTable::make(spec);
  TAMIS_ASSERT(copy->load(saved).has_value());
  copy->save(again);
  TAMIS_ASSERT(saved == again && table->digest() == copy->digest());
}

}  // namespace tamis::state

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tamis::state::fuzz(data, size);
  return 0;
}
