// The encoders extension: base64 (RFC 4648 section 4). Decoding takes text with all its padding or with none.
#include <array>

#include "cel/lib.h"

namespace tamis::cel {

namespace lib {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  return values;
}();

Value encode(Call& call, const Value* v) {
  std::string_view in = v[0].str();
  size_t size = (in.size() + 2) / 3 * 4;
  if (size > kOutputBytesMax || !charge_bytes(call, in.size() + size)) return event::error_limit();
  char* out = static_cast<char*>(call.arena.allocate(size + 1, 1));
  char* to = out;
  for (size_t at = 0; at < in.size(); at += 3) {
    uint32_t word = 0;
    for (size_t i = 0; i < 3; ++i) word = word << 8 | (at + i < in.size() ? static_cast<unsigned char>(in[at + i]) : 0);
    for (size_t i = 0; i < 4; ++i) *to++ = at + i > in.size() ? '=' : kAlphabet[word >> (18 - 6 * i) & 63];
  }
  return Value::string({out, size});
}

Value decode(Call& call, const Value* v) {
  std::string_view in = v[0].str();
  if (!charge_bytes(call, in.size()) || in.size() / 4 * 3 > kOutputBytesMax) return event::error_limit();
  if (in.size() % 4 == 0) {
    for (int i = 0; i < 2 && in.ends_with('='); ++i) in.remove_suffix(1);
  }
  const size_t rest = in.size() % 4;
  if (rest == 1) return invalid(call, {"text of this length is not base64"});
  char* out = static_cast<char*>(call.arena.allocate(in.size() / 4 * 3 + 3, 1));
  char* to = out;
  uint32_t word = 0;
  for (size_t at = 0; at < in.size(); ++at) {
    int value = kValues[static_cast<unsigned char>(in[at])];
    if (value < 0) return invalid(call, {"not base64: a foreign character at byte ", std::to_string(at)});
    word = word << 6 | static_cast<uint32_t>(value);
    if (at % 4 == 3) {
      *to++ = static_cast<char>(word >> 16);
      *to++ = static_cast<char>(word >> 8);
      *to++ = static_cast<char>(word);
    }
  }
  if (rest >= 2) *to++ = static_cast<char>(word >> (rest == 2 ? 4 : 10));
  if (rest == 3) *to++ = static_cast<char>(word >> 2);
  return Value::bytes({out, static_cast<size_t>(to - out)});
}

std::vector<Overload> make_encoders() {
  Table table;
  table.global("base64_decode_string", "base64.decode", {Type::string()}, Type::bytes(), decode);
  table.global("base64_encode_bytes", "base64.encode", {Type::bytes()}, Type::string(), encode);
  return table.take();
}

}  // namespace

}  // namespace lib

const std::vector<Overload>& encoder_library() {
  static const std::vector<Overload> table = lib::make_encoders();
  return table;
}

}  // namespace tamis::cel
