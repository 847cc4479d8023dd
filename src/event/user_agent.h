// What a User-Agent text says of its sender. Nothing in it is proven: a bot may claim to be Chrome. What it claims is
// still useful, for it must fit the rest, and what calls itself a bot is one.
//
// Words of the text are looked up in one table; brands outrank the engines and browsers that they name for
// compatibility (Edge says Chrome and Safari, too). Only the first 1 KiB is read. Cost: about half a microsecond.
#pragma once

#include <cstdint>
#include <string_view>

namespace tamis::event {

struct UserAgent {
  // "Chrome", "Firefox", "Safari", "Edge", "Opera", "Samsung Internet", "Internet Explorer", "Chrome WebView" (a page
  // inside an Android app), "Facebook", "Thunderbird", "curl", "python-requests", "Googlebot", ...; for software that
  // the table does not know, its own first word. Empty if nothing can be said.
  std::string_view family;
  int32_t major = -1;      // -1: none
  std::string_view os;     // "Windows", "Android", "iOS", "macOS", "Linux", "Chrome OS", ...; empty: not said
  bool is_mobile = false;  // phones and tablets
  bool is_bot = false;     // says that it is no browser: crawlers, monitors, HTTP libraries, automated browsers
};

// Views point into `text` or to constants.
UserAgent parse_user_agent(std::string_view text);

}  // namespace tamis::event
