#include "state/latest.h"

#include <cmath>

#include "state/exp2.h"
#include "state/scalar.h"

namespace tamis::state {

bool Last::sample(Value of, bool, Sample& sample) const {
  sample.of = of;
  uint8_t bytes[kScalarBytesMax];
  return put_scalar(of, bytes) != 0;
}

size_t Last::bytes_max() const { return kHeadBytes + kScalarBytesMax; }

size_t Last::bytes(const uint8_t* record) const { return kHeadBytes + known_scalar_bytes(record + kHeadBytes); }

bool Last::add_in_place(uint8_t* record, size_t, const Sample& sample) const {
  return sample.t_ms < newest_ms(record);  // then nothing changes
}

size_t Last::add(const uint8_t*, const Sample& sample, uint8_t* out) const {
  std::memcpy(out, &sample.t_ms, kHeadBytes);
  return kHeadBytes + put_scalar(sample.of, out + kHeadBytes);
}

Value Last::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena& arena) const {
  if (record == nullptr) return Value::absent();
  int64_t age_ms = t_ms - newest_ms(record);
  if (age_ms < 0 || age_ms >= windows_ms_[window]) return Value::absent();
  return get_scalar(record + kHeadBytes, arena);
}

bool Last::valid(const uint8_t* record, size_t bytes) const {
  if (bytes <= kHeadBytes) return false;
  size_t rest = bytes - kHeadBytes;
  return scalar_bytes({reinterpret_cast<const char*>(record + kHeadBytes), rest}) == rest;
}

bool Rate::sample(Value of, bool, Sample& sample) const {
  switch (of.kind) {
    case event::Kind::kDouble:
      sample.d = of.d;
      break;
    case event::Kind::kInt:
      sample.d = static_cast<double>(of.i);
      break;
    case event::Kind::kUint:
      sample.d = static_cast<double>(of.u);
      break;
    default:
      sample.d = 1;
      break;  // events are counted
  }
  return std::isfinite(sample.d);
}

bool Rate::add_in_place(uint8_t* record, size_t, const Sample& sample) const {
  int64_t newest = newest_ms(record);
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    uint8_t* at = record + kHeadBytes + w * 8;
    double sum;
    std::memcpy(&sum, at, 8);
    double apart = static_cast<double>(std::abs(sample.t_ms - newest)) / static_cast<double>(windows_ms_[w]);
    double fade = apart < 1 ? exp_minus(apart) : 0;
    double added = sample.d;
    (sample.t_ms >= newest ? sum : added) *= fade;
    sum += added;
    if (!std::isfinite(sum)) sum = std::copysign(1.7976931348623157e308, sum);  // saturates
    std::memcpy(at, &sum, 8);
  }
  if (sample.t_ms > newest) std::memcpy(record, &sample.t_ms, kHeadBytes);
  return true;
}

size_t Rate::add(const uint8_t*, const Sample& sample, uint8_t* out) const {
  std::memcpy(out, &sample.t_ms, kHeadBytes);
  for (size_t w = 0; w < windows_ms_.size(); ++w) std::memcpy(out + kHeadBytes + w * 8, &sample.d, 8);
  return bytes(out);
}

Value Rate::read(const uint8_t* record, int64_t t_ms, size_t window, base::Arena&) const {
  if (record == nullptr) return Value::real(0);
  int64_t age_ms = std::max<int64_t>(t_ms - newest_ms(record), 0), window_ms = windows_ms_[window];
  if (age_ms >= window_ms) return Value::real(0);
  double sum;
  std::memcpy(&sum, record + kHeadBytes + window * 8, 8);
  double fade = exp_minus(static_cast<double>(age_ms) / static_cast<double>(window_ms));
  double faded = sum * fade;
  return Value::real(faded / (static_cast<double>(window_ms) / 1000.0));
}

bool Rate::valid(const uint8_t* record, size_t bytes_given) const {
  if (bytes_given != bytes(record)) return false;
  for (size_t w = 0; w < windows_ms_.size(); ++w) {
    double sum;
    std::memcpy(&sum, record + kHeadBytes + w * 8, 8);
    if (!std::isfinite(sum)) return false;
  }
  return true;
}

}  // namespace tamis::state
