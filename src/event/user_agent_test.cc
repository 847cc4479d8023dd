#include "event/user_agent.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "event/json_fault.h"

namespace tamis::event {
namespace {

struct Case {
  const char* text;
  const char* family;
  int major;
  const char* os;
  bool is_mobile;
  bool is_bot;
};

const Case kCases[] = {
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
     "Chrome", 120, "Windows", false, false},
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 "
     "Edg/120.0.2210.61",
     "Edge", 120, "Windows", false, false},
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 "
     "OPR/105.0.0.0",
     "Opera", 105, "Windows", false, false},
    {"Mozilla/5.0 (X11; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox", 121, "Linux", false, false},
    {"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
     "Chrome", 120, "Chrome OS", false, false},
    {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
     "Safari/605.1.15",
     "Safari", 17, "macOS", false, false},
    {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 "
     "Mobile/15E148 Safari/604.1",
     "Safari", 17, "iOS", true, false},
    {"Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "CriOS/120.0.6099.101 Mobile/15E148 Safari/604.1",
     "Chrome", 120, "iOS", true, false},
    {"Mozilla/5.0 (iPad; CPU OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/121.0 "
     "Mobile/15E148 Safari/605.1.15",
     "Firefox", 121, "iOS", true, false},
    {"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
     "Chrome", 120, "Android", true, false},
    {"Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 "
     "Chrome/115.0.0.0 Mobile Safari/537.36",
     "Samsung Internet", 23, "Android", true, false},
    {"Mozilla/5.0 (Linux; Android 12; Pixel 6 Build/SP2A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
     "Chrome/108.0.5359.128 Mobile Safari/537.36",
     "Chrome WebView", 108, "Android", true, false},
    {"Mozilla/5.0 (Linux; U; Android 4.2.2; en-us) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile "
     "Safari/534.30",
     "Android Browser", 4, "Android", true, false},
    {"Mozilla/5.0 (Linux; Android 8.1; CUBOT_P20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0.4664.45 Mobile "
     "Safari/537.36",
     "Chrome", 96, "Android", true, false},
    {"Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
     "[FBAN/FBIOS;FBAV/340.0.0.27.113]",
     "Facebook", -1, "iOS", true, false},
    {"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", 11, "Windows", false,
     false},
    {"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/4.0)", "Internet Explorer", 8, "Windows", false,
     false},
    {"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063",
     "Edge", 15, "Windows Phone", true, false},
    {"Opera/9.80 (Windows NT 6.1; U; en) Presto/2.12.388 Version/12.16", "Opera", 12, "Windows", false, false},
    {"Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10", "Opera Mini", 7, "",
     true, false},
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0", "Thunderbird", 115,
     "Windows", false, false},
    {"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.14326; Pro)", "Outlook", 16, "Windows", false,
     false},
    {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", "Apple Mail", -1,
     "macOS", false, false},
    {"Mail/3774 CFNetwork/1410.0.3 Darwin/22.6.0", "Mail", 3774, "iOS", true, false},
    {"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/76.0.3809.146 TV "
     "Safari/537.36",
     "Chrome", 76, "Tizen", false, false},
    {"curl/7.88.1", "curl", 7, "", false, true},
    {"Wget/1.21.3", "Wget", 1, "", false, true},
    {"python-requests/2.31.0", "python-requests", 2, "", false, true},
    {"Go-http-client/1.1", "Go-http-client", 1, "", false, true},
    {"okhttp/4.9.3", "okhttp", 4, "", false, true},
    {"Java/17.0.1", "Java", 17, "", false, true},
    {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.6099.71 "
     "Safari/537.36",
     "HeadlessChrome", 120, "Linux", false, true},
    {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", 2, "", false, true},
    {"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot", 2, "", false, true},
    {"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile "
     "Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
     "Googlebot", 2, "Android", true, true},
    {"Mozilla/5.0 (compatible; SomeAgentX/6.92; +https://agentx.example/)", "SomeAgentX", 6, "", false, true},
    {"SomeUnknownThing/1.5", "SomeUnknownThing", 1, "", false, true},
    {"Some Program/2.7 (Windows NT 10.0)", "Some Program", 2, "Windows", false, false},
    {"", "", -1, "", false, false},
};

TEST(UserAgent, KnownOnes) {
  for (const Case& c : kCases) {
    const UserAgent agent = parse_user_agent(c.text);
    EXPECT_EQ(agent.family, c.family) << c.text;
    EXPECT_EQ(agent.major, c.major) << c.text;
    EXPECT_EQ(agent.os, c.os) << c.text;
    EXPECT_EQ(agent.is_mobile, c.is_mobile) << c.text;
    EXPECT_EQ(agent.is_bot, c.is_bot) << c.text;
  }
}

// Any text of such pieces: names stay valid UTF-8 and within bounds.
RC_GTEST_PROP(UserAgent, AnyTextIsTakenApart, ()) {
  const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "Mozilla/5.0", " ", "(", ")", ";", "compatible;", "bot", "Chrome/", "99999999999", "\u00e9\u00e9", "\U0001F600",
      "/", "MSIE ", "rv:", "Opera", "iPhone", "http://", "x", "Version/4.0", "Safari/1", "curl/"));
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  const UserAgent agent = parse_user_agent(text);
  RC_ASSERT(agent.major >= -1);
  RC_ASSERT(find_invalid_utf8(agent.family) == std::string_view::npos);
  RC_ASSERT(agent.family.size() <= 64u);
}

// Against a labelled collection, where it is at hand: a TSV of device, os, client and text, "?" for bots in all three.
TEST(UserAgent, TellsBotsFromBrowsersOnALargeCollection) {
  const char* path = std::getenv("TAMIS_USER_AGENTS");
  if (path == nullptr) GTEST_SKIP() << "TAMIS_USER_AGENTS does not name a collection";
  std::ifstream file(path);
  size_t bots = 0, bots_found = 0, others = 0, others_found = 0;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    const bool is_bot = line.starts_with("?\t?\t?\t");
    size_t tab = 0;
    for (int i = 0; i < 3; ++i) tab = line.find('\t', tab) + 1;
    const bool found = parse_user_agent(std::string_view(line).substr(tab)).is_bot;
    (is_bot ? bots : others) += 1;
    (is_bot ? bots_found : others_found) += found;
  }
  ASSERT_GT(bots, 100u);
  EXPECT_GT(static_cast<double>(bots_found) / static_cast<double>(bots), 0.97);
  EXPECT_LT(static_cast<double>(others_found) / static_cast<double>(others), 0.015);
}

}  // namespace
}  // namespace tamis::event
