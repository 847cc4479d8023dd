#include "net/http_message.h"

#include <algorithm>

#include "base/assert.h"
#include "net/http_parser.h"
#include "net/http_router.h"

namespace tamis::net {
namespace {

void append_json_text(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  for (char c : text) {
    auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte == 0x7f) {
      out.append("\\u00");
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

}  // namespace

std::string_view method_name(Method method) {
  constexpr std::string_view kNames[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  return kNames[static_cast<size_t>(method)];
}

std::optional<std::string> Request::query_value(std::string_view name) const {
  std::vector<std::string> first = query_values(name, 1);
  return first.empty() ? std::nullopt : std::optional(std::move(first[0]));
}

std::vector<std::string> Request::query_values(std::string_view name, size_t max) const {
  std::vector<std::string> values;
  std::string_view left = query_;
  while (!left.empty() && values.size() < max) {
    size_t ampersand = left.find('&');
    std::string_view pair = left.substr(0, ampersand);
    left = ampersand == std::string_view::npos ? std::string_view() : left.substr(ampersand + 1);
    size_t equals = pair.find('=');
    std::string key;
    if (!append_percent_decoded(pair.substr(0, equals), true, key) || key != name) continue;
    std::string value;
    if (equals != std::string_view::npos && !append_percent_decoded(pair.substr(equals + 1), true, value)) break;
    values.push_back(std::move(value));
  }
  return values;
}

std::optional<std::string> Request::query_name_besides(std::span<const std::string> names) const {
  std::string_view left = query_;
  while (!left.empty()) {
    const size_t ampersand = left.find('&');
    const std::string_view pair = left.substr(0, ampersand);
    left = ampersand == std::string_view::npos ? std::string_view() : left.substr(ampersand + 1);
    if (pair.empty()) continue;
    const std::string_view sent = pair.substr(0, pair.find('='));
    std::string name;
    if (!append_percent_decoded(sent, true, name)) return std::string(sent);
    if (std::find(names.begin(), names.end(), name) == names.end()) return name;
  }
  return std::nullopt;
}

std::string_view Request::header(std::string_view name) const {
  for (const Header& header : headers_)
    if (equals_ignoring_case(header.name, name)) return header.value;
  return {};
}

bool Request::has_header(std::string_view name) const {
  for (const Header& header : headers_)
    if (equals_ignoring_case(header.name, name)) return true;
  return false;
}

std::string_view Request::bearer_token() const {
  constexpr std::string_view kScheme = "Bearer ";
  if (authorization_.size() <= kScheme.size()) return {};
  if (!equals_ignoring_case(authorization_.substr(0, kScheme.size()), kScheme)) return {};
  return trim_blanks(authorization_.substr(kScheme.size()));
}

void Request::clear() {
  method_ = Method::kGet;
  http_1_0_ = false;
  param_count_ = 0;
  path_ = query_ = host_ = authorization_ = content_type_ = body_ = {};
  headers_.clear();
  context_ = nullptr;
}

void Request::rebase(const char* old_base, size_t old_bytes, const char* new_base) {
  auto from = reinterpret_cast<uintptr_t>(old_base);
  auto move = [&](std::string_view& text) {
    auto at = reinterpret_cast<uintptr_t>(text.data());
    if (at >= from && at < from + old_bytes) text = {new_base + (at - from), text.size()};
  };
  for (std::string_view* text : {&path_, &query_, &host_, &authorization_, &content_type_, &body_}) move(*text);
  for (size_t i = 0; i < param_count_; ++i) move(params_[i]);
  for (Header& header : headers_) {
    move(header.name);
    move(header.value);
  }
}

void Response::set_content_type(std::string_view type) {
  content_type_.assign(is_field_value(type) ? type : std::string_view("application/octet-stream"));
}

void Response::add_header(std::string_view name, std::string_view value) {
  TAMIS_ASSERT(is_token(name));
  for (std::string_view reserved : {"content-length", "content-type", "connection", "date", "transfer-encoding"})
    TAMIS_ASSERT(!equals_ignoring_case(name, reserved));
  headers_.append(name).append(": ");
  for (char c : value) {
    auto byte = static_cast<uint8_t>(c);
    headers_.push_back((byte < 0x20 && c != '\t') || byte == 0x7f ? '?' : c);
  }
  headers_.append("\r\n");
}

void Response::set_error(int status, std::string_view code, std::string_view message) {
  status_ = status;
  content_type_.assign("application/json");
  body_.assign("{\"error\":");
  append_json_text(body_, code);
  body_.append(",\"message\":");
  append_json_text(body_, message);
  body_.append("}\n");
}

std::shared_ptr<DeferredReply> Response::defer() {
  TAMIS_ASSERT(make_deferred_ != nullptr && deferred_ == nullptr);
  deferred_ = (*make_deferred_)();
  return deferred_;
}

void Response::clear() {
  status_ = 200;
  close_ = finished_ = call_again_ = false;
  room_bytes_ = 0;
  content_type_.assign("application/json");
  headers_.clear();
  body_.clear();
  make_deferred_ = nullptr;
  deferred_.reset();
}

std::string_view status_text(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 207:
      return "Multi-Status";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

}  // namespace tamis::net
