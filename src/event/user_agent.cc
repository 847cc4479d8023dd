#include "event/user_agent.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "event/user_agent_words.h"

namespace tamis::event {
namespace {

using ua::kBotParts;
using ua::kIphone;
using ua::kWords;
using ua::Says;
using ua::Word;

constexpr size_t kReadBytesMax = 1024;
constexpr size_t kWordBytesMax = 24;
constexpr size_t kFamilyBytesMax = 48;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
constexpr bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '_' || c == '-'; }

// The table is hashed once, at compile time. The hash is FNV-1a, which can be folded in while a word is read.
constexpr uint32_t kHashStart = 2166136261u;
constexpr uint32_t hash_step(uint32_t hash, char c) { return (hash ^ static_cast<uint8_t>(c)) * 16777619u; }
constexpr size_t kSlots = 1024;
static_assert(std::size(kWords) * 2 < kSlots);

constexpr std::array<uint16_t, kSlots> make_slots() {
  std::array<uint16_t, kSlots> slots{};
  for (size_t i = 0; i < std::size(kWords); ++i) {
    uint32_t hash = kHashStart;
    for (const char c : kWords[i].text) hash = hash_step(hash, c);
    size_t slot = (hash ^ hash >> 15) % kSlots;
    while (slots[slot] != 0) slot = (slot + 1) % kSlots;
    slots[slot] = static_cast<uint16_t>(i + 1);
  }
  return slots;
}
constexpr std::array<uint16_t, kSlots> kSlotTable = make_slots();

bool same_text(std::string_view lower_text, std::string_view other) {
  if (lower_text.size() != other.size()) return false;
  for (size_t i = 0; i < other.size(); ++i) {
    if (lower_text[i] != lower(other[i])) return false;
  }
  return true;
}

const Word* find_word(std::string_view text, uint32_t hash) {
  for (size_t slot = (hash ^ hash >> 15) % kSlots; kSlotTable[slot] != 0; slot = (slot + 1) % kSlots) {
    const Word& word = kWords[kSlotTable[slot] - 1];
    if (same_text(word.text, text)) return &word;
  }
  return nullptr;
}

// Where a part may begin is seen from two bytes; candidates are then compared. "@" is looked for apart.
constexpr size_t kPairs = 1024;
constexpr size_t pair_of(char first, char second) {
  return (static_cast<uint8_t>(first) * 37u + static_cast<uint8_t>(second)) % kPairs;
}
// Chains of the parts with the same pair: the number + 1 of the first, and of the next; 0 ends.
struct PairTable {
  std::array<uint8_t, kPairs> first{};
  std::array<uint8_t, std::size(kBotParts)> next{};
};
static_assert(std::size(kBotParts) < 255);
constexpr PairTable make_pairs() {
  PairTable table;
  for (size_t i = std::size(kBotParts); i-- > 0;) {
    const std::string_view part = kBotParts[i];
    if (part.size() < 2) continue;
    uint8_t& first = table.first[pair_of(part[0], part[1])];
    table.next[i] = first;
    first = static_cast<uint8_t>(i + 1);
  }
  return table;
}
constexpr PairTable kPairTable = make_pairs();

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text.substr(0, kReadBytesMax)) {
    std::transform(text_.begin(), text_.end(), lowered_.begin(), lower);
    lower_ = std::string_view(lowered_.data(), text_.size());
  }

  UserAgent read() {
    if (text_.empty()) return {};
    size_t at = 0;
    while (at < text_.size()) at = is_word(text_[at]) ? read_word(at) : at + 1;
    UserAgent agent;
    agent.os = os_ == nullptr ? std::string_view{} : os_name();
    agent.is_mobile = is_mobile();
    agent.is_bot = is_bot();
    name_family(agent);
    return agent;
  }

 private:
  size_t read_word(size_t begin) {
    uint32_t hash = kHashStart;
    size_t at = begin;
    while (at < text_.size() && is_word(text_[at])) hash = hash_step(hash, lower_[at++]);
    const std::string_view text = text_.substr(begin, at - begin);
    if (text.size() > kWordBytesMax) return at;
    const Word* word = find_word(text, hash);
    if (word == nullptr) {
      if (text.size() > 4) take_model(lower_.substr(begin, at - begin), text);
      return at;
    }
    // "like iPhone" and "like Gecko" say what it is not.
    const bool is_like = begin >= 5 && lower_.substr(begin - 5, 5) == "like ";
    if (!is_like) take(*word, at);
    return at;
  }

  // The number behind a name: "/12", " 12"; -1 if there is none.
  int32_t number_at(size_t at) const {
    if (at >= text_.size() || (text_[at] != '/' && text_[at] != ' ' && text_[at] != ':')) return -1;
    ++at;
    if (at < text_.size() && lower_[at] == 'v') ++at;
    int32_t number = -1;
    while (at < text_.size() && is_digit(text_[at]) && number < 100'000'000) {
      number = (number < 0 ? 0 : number) * 10 + (text_[at++] - '0');
    }
    return number;
  }

  void take(const Word& word, size_t end) {
    const bool has_slash = end < text_.size() && text_[end] == '/';
    switch (word.says) {
      case Says::kBrowser:
        // Opera of old writes its version behind a space.
        if (!has_slash && !(word.text == "opera" && end < text_.size())) return;
        [[fallthrough]];
      case Says::kBrowserAnyhow:
      case Says::kTool:
        // Tools with everyday names ("Java", "Hyper") also occur as models of phones.
        if (word.says == Says::kTool && word.rank < 79 && !has_slash) return;
        if (browser_ == nullptr || word.rank > browser_->rank) {
          browser_ = &word;
          browser_number_ = number_at(end);
        }
        if (word.text == "trident") trident_number_ = number_at(end);
        return;
      case Says::kMobileOs:
      case Says::kDesktopOs:
      case Says::kOs:
        if (os_ == nullptr || word.rank > os_->rank) os_ = &word;
        return;
      case Says::kMobile:
        says_mobile_ = true;
        return;
      case Says::kTv:
        says_tv_ = true;
        return;
      case Says::kVersion:
        if (has_slash && version_number_ < 0) version_number_ = number_at(end);
        return;
    }
  }

  // Words that begin with a name and go on with a model: "iPhone14,2", "AFTMM" (Fire TV).
  void take_model(std::string_view lower_word, std::string_view word) {
    const bool is_apple = (lower_word.starts_with("iphone") && is_digit(word[6])) ||
                          (lower_word.starts_with("ipad") && is_digit(word[4]));
    if (is_apple && (os_ == nullptr || os_->rank < kIphone.rank)) os_ = &kIphone;
    if (word.starts_with("AFT") || word.ends_with("TV")) says_tv_ = true;
  }

  bool has(std::string_view lower_part) const { return lower_.find(lower_part) != std::string_view::npos; }

  bool is_windows_phone() const { return has("windows phone") || has("windows mobile") || has("windows ce"); }

  // An app on CFNetwork runs on a phone unless it names a Mac.
  bool is_cfnetwork_phone() const {
    return os_ != nullptr && os_->text == "darwin" && has("cfnetwork/") && !has("x86_64") && !has("mac");
  }

  std::string_view os_name() const {
    if (is_cfnetwork_phone()) return kIphone.name;
    if (is_windows_phone()) return has("windows phone") ? "Windows Phone" : "Windows CE";
    return os_->name;
  }

  bool is_mobile() const {
    if (says_tv_) return false;
    if (is_windows_phone() || is_cfnetwork_phone() || has("opera mini") || has("up.browser")) return true;
    if (os_ != nullptr && os_->says == Says::kMobileOs) return true;
    const bool is_desktop = os_ != nullptr && os_->says == Says::kDesktopOs;
    return says_mobile_ && !is_desktop;
  }

  // Finds the first part, and where it stands. A contact gives no name; the name may come later or stand elsewhere.
  bool find_bot_part() const {
    bool found_contact = false;
    for (size_t at = 0; at < lower_.size(); ++at) {
      const char first = lower_[at];
      if (first == '@') found_contact = true;
      if (at + 1 == lower_.size()) break;
      for (size_t i = kPairTable.first[pair_of(first, lower_[at + 1])]; i != 0; i = kPairTable.next[i - 1]) {
        const std::string_view part = kBotParts[i - 1];
        if (lower_.compare(at, part.size(), part) != 0 || (part == "bot" && !is_bot_word(at))) continue;
        if (part.find_first_of(":.+") == std::string_view::npos) {
          bot_at_ = at;
          return true;
        }
        found_contact = true;
      }
    }
    return found_contact;
  }

  // "bot" at the end of a word or of a part of it: Googlebot, robot.html, bots, YandexBotCollector; but not Cubot,
  // which makes phones, nor "bottle".
  bool is_bot_word(size_t at) const {
    const char next = at + 3 < text_.size() ? text_[at + 3] : ' ';
    const bool ends = !is_letter(next) || next == 's' || (next >= 'A' && next <= 'Z');
    return ends && !(at >= 2 && lower_.substr(at - 2, 2) == "cu");
  }

  bool is_bot() const {
    if (browser_ != nullptr && browser_->says == Says::kTool && browser_->rank >= 78) return true;
    const bool is_compatible = is_lone_compatible();
    if (find_bot_part() || is_compatible) return true;
    // Old HTTP libraries; and software without a system that does not even pretend to be a browser.
    if (browser_ != nullptr && browser_->says == Says::kTool) return true;
    return browser_ == nullptr && os_ == nullptr && !says_mobile_ && !says_tv_;
  }

  // "Mozilla/5.0 (compatible; X/1.0)": the form of crawlers. Internet Explorer and Konqueror have it, too.
  bool is_lone_compatible() const {
    const size_t at = lower_.find("(compatible;");
    if (at == std::string_view::npos) return false;
    size_t name = at + 12;
    while (name < lower_.size() && lower_[name] == ' ') ++name;
    const std::string_view rest = lower_.substr(name);
    if (rest.starts_with("msie") || rest.starts_with("konqueror") || rest.empty()) return false;
    bot_at_ = name;
    return browser_ == nullptr || os_ == nullptr;
  }

  void name_family(UserAgent& agent) const {
    agent.major = browser_number_;
    if (browser_ != nullptr && (!agent.is_bot || browser_->says == Says::kTool)) {
      agent.family = browser_->name;
      refine(agent);
      return;
    }
    if (agent.is_bot && bot_at_ != std::string_view::npos) {
      name_by_word_at(agent, bot_at_);
    } else if (!lower_.starts_with("mozilla/")) {
      name_by_first_product(agent);
    } else if (browser_ != nullptr) {
      agent.family = browser_->name;
      refine(agent);
    } else {
      name_engine(agent);
    }
  }

  // WebKit without a browser's name: pages inside apps, and old systems' own browsers.
  void name_engine(UserAgent& agent) const {
    agent.major = version_number_;
    if (agent.os == "Android") {
      agent.family = "Android Browser";
    } else if (agent.os == "iOS") {
      agent.family = "Safari";
    } else if (agent.os == "macOS" && has("applewebkit/")) {
      agent.family = "Apple Mail";  // the one program of every Mac that shows pages and names no browser
    } else {
      agent.family = {};
      agent.major = -1;
    }
  }

  // Browsers whose version stands elsewhere, or which are told apart by more than their word.
  void refine(UserAgent& agent) const {
    const std::string_view word = browser_->text;
    if (word == "safari") {
      agent.major = version_number_;
      if (agent.os == "Android") agent.family = "Android Browser";
    } else if (word == "trident" || word == "msie") {
      const size_t rv = lower_.find("rv:");
      if (word == "trident") agent.major = rv == std::string_view::npos ? -1 : number_at(rv + 2);
      // Compatibility view claims an older version than the engine's.
      if (trident_number_ > 0 && trident_number_ < 20) agent.major = std::max(agent.major, trident_number_ + 4);
    } else if (word == "chrome") {
      const bool is_page = has("; wv)") || has("version/4.0 chrome/");
      if (agent.os == "Android" && is_page) agent.family = "Chrome WebView";
    } else if (word == "opera") {
      const size_t mini = lower_.find("opera mini");
      if (mini != std::string_view::npos) {
        agent.family = "Opera Mini";
        agent.major = number_at(mini + 10);
      } else if (version_number_ > 0) {
        agent.major = version_number_;
      }
    }
  }

  // The whole word around a place, with its version: "Googlebot/2.1".
  void name_by_word_at(UserAgent& agent, size_t at) const {
    size_t begin = at;
    const auto is_name = [&](size_t i) { return is_word(text_[i]) || text_[i] == '.' || text_[i] == '!'; };
    while (begin > 0 && is_name(begin - 1)) --begin;
    size_t end = at;
    while (end < text_.size() && is_name(end)) ++end;
    if (end - begin > kFamilyBytesMax) end = begin + kFamilyBytesMax;
    agent.family = text_.substr(begin, end - begin);
    agent.major = number_at(end);
  }

  // "Microsoft Office Word/16.43", "LinkChain", "Datadog Agent/5.10".
  void name_by_first_product(UserAgent& agent) const {
    size_t end = 0;
    while (end < text_.size() && end < kFamilyBytesMax && text_[end] != '/' && text_[end] != '(' && text_[end] != ';' &&
           text_[end] != ',') {
      ++end;
    }
    const bool has_slash = end < text_.size() && text_[end] == '/';
    std::string_view name = text_.substr(0, end);
    if (!has_slash) name = name.substr(0, name.find(' '));
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    agent.family = cut_in_character(name);
    agent.major = has_slash ? number_at(end) : -1;
  }

  // A view must not end inside a character of several bytes.
  std::string_view cut_in_character(std::string_view name) const {
    size_t size = name.size();
    while (size > 0 && size < text_.size() && (static_cast<uint8_t>(text_[size]) & 0xC0) == 0x80) --size;
    return name.substr(0, size);
  }

  std::string_view text_;
  std::array<char, kReadBytesMax> lowered_;
  std::string_view lower_;
  const Word* browser_ = nullptr;
  int32_t browser_number_ = -1;
  const Word* os_ = nullptr;
  int32_t version_number_ = -1;
  int32_t trident_number_ = -1;
  bool says_mobile_ = false;
  bool says_tv_ = false;
  mutable size_t bot_at_ = std::string_view::npos;
};

}  // namespace

UserAgent parse_user_agent(std::string_view text) { return Reader(text).read(); }

}  // namespace tamis::event
