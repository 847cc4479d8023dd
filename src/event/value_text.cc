// debug_string() of value.h: CEL literal syntax, cut where the reader has seen enough.
#include <charconv>
#include <cmath>

#include "event/ip.h"
#include "event/time_text.h"
#include "event/value.h"

namespace tamis::event {

namespace {

class Printer {
 public:
  explicit Printer(size_t bytes_max) : bytes_max_(bytes_max) {}

  void print(Value v);
  std::string finish() {
    if (out_.size() <= bytes_max_) return std::move(out_);
    size_t cut = bytes_max_;
    while (cut > 0 && (static_cast<unsigned char>(out_[cut]) & 0xc0) == 0x80) --cut;  // between code points
    out_.resize(cut);
    out_ += "...";
    return std::move(out_);
  }

 private:
  bool full() const { return out_.size() > bytes_max_; }
  template <class T>
  void number(T value) {
    char text[32];
    out_.append(text, std::to_chars(text, text + sizeof text, value).ptr);
  }
  void real(double value);
  void quoted(std::string_view text, bool bytes);
  void items(std::span<const Value> values);
  void map(const MapData& data);
  void time(Value v);
  void address(Value v);

  size_t bytes_max_;
  std::string out_;
};

void Printer::real(double value) {
  if (!std::isfinite(value)) {
    out_ += std::isnan(value) ? "double(\"NaN\")" : value > 0 ? "double(\"Infinity\")" : "double(\"-Infinity\")";
    return;
  }
  size_t from = out_.size();
  number(value);
  if (out_.find_first_of(".e", from) == out_.npos) out_ += ".0";
}

void Printer::quoted(std::string_view text, bool bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  out_ += bytes ? "b\"" : "\"";
  for (char c : text) {
    if (full()) return;
    unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out_ += '\\';
      out_ += c;
    } else if (c == '\n') {
      out_ += "\\n";
    } else if (c == '\t') {
      out_ += "\\t";
    } else if (c == '\r') {
      out_ += "\\r";
    } else if (byte < 0x20 || byte == 0x7f || (bytes && byte >= 0x80)) {
      out_ += "\\x";
      out_ += kHex[byte >> 4];
      out_ += kHex[byte & 15];
    } else {
      out_ += c;
    }
  }
  out_ += '"';
}

void Printer::items(std::span<const Value> values) {
  bool first = true;
  for (Value item : values) {
    if (full()) return;
    if (!first) out_ += ", ";
    first = false;
    print(item);
  }
}

void Printer::map(const MapData& data) {
  out_ += '{';
  for (uint32_t i = 0; i < data.size && !full(); ++i) {
    if (i > 0) out_ += ", ";
    print(data.entries[i].key);
    out_ += ": ";
    print(data.entries[i].value);
  }
  out_ += '}';
}

void Printer::time(Value v) {
  char text[kTimeTextBytesMax];
  bool instant = v.kind == Kind::kTimestamp;
  out_ += instant ? "timestamp(\"" : "duration(\"";
  out_ += instant ? format_timestamp(v.i, v.size, text) : format_duration(v.i, text);
  out_ += "\")";
}

void Printer::address(Value v) {
  char text[kIpTextBytesMax];
  bool single = v.kind == Kind::kIp;
  out_ += single ? "ip(\"" : "cidr(\"";
  out_ += single ? format_ip(*v.ip, text) : format_cidr(*v.ip, text);
  out_ += "\")";
}

void Printer::print(Value v) {
  switch (v.kind) {
    case Kind::kAbsent:
      out_ += "absent";
      break;
    case Kind::kError:
      out_ += "error(";
      out_ += v.error_data->message;
      out_ += ')';
      break;
    case Kind::kNull:
      out_ += "null";
      break;
    case Kind::kBool:
      out_ += v.b ? "true" : "false";
      break;
    case Kind::kInt:
      number(v.i);
      break;
    case Kind::kUint:
      number(v.u);
      out_ += 'u';
      break;
    case Kind::kDouble:
      real(v.d);
      break;
    case Kind::kString:
      quoted(v.str(), false);
      break;
    case Kind::kBytes:
      quoted(v.str(), true);
      break;
    case Kind::kTimestamp:
    case Kind::kDuration:
      time(v);
      break;
    case Kind::kList:
      out_ += '[';
      items(v.list_items());
      out_ += ']';
      break;
    case Kind::kMap:
      map(*v.map);
      break;
    case Kind::kType:
      out_ += v.str();
      break;
    case Kind::kOptional:
      out_ += v.optional == nullptr ? "optional.none()" : "optional.of(";
      if (v.optional == nullptr) break;
      print(*v.optional);
      out_ += ')';
      break;
    case Kind::kIp:
    case Kind::kCidr:
      address(v);
      break;
    case Kind::kHandle:
      out_ += "handle(";
      number(v.i);
      out_ += ')';
      break;
    case Kind::kOpaque:
      out_ += v.opaque->type_name;
      out_ += '(';
      items(v.opaque->values);
      out_ += ')';
      break;
  }
}

}  // namespace

std::string debug_string(Value v, size_t max_bytes) {
  Printer printer(max_bytes);
  printer.print(v);
  return printer.finish();
}

}  // namespace tamis::event
