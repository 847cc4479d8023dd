#include "mail/digest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "mail/charset.h"
#include "mail/digest_texts.h"
#include "mail/facts.h"
#include "mail/features.h"

namespace tamis::mail {
namespace {

struct Language {
  const char* name;
  std::span<const std::string_view> texts;
  std::vector<std::string> names;  // of people, in this language and in letters
};
const std::vector<Language>& languages() {
  static const std::vector<Language> all = {
      {"en", kEnglishTexts, {"Ann", "Bartholomew Featherstone", "Li", "Jean-Luc", "Mary"}},
      {"zh", kChineseTexts, {"王伟", "欧阳小明", "李", "Anna Schmidt", "陈美玲"}},
      {"ja", kJapaneseTexts, {"佐藤", "長谷川健太郎", "鈴木花子", "Smith", "アレクサンドラ"}},
      {"th", kThaiTexts, {"สมชาย", "กนกวรรณ ศรีสุวรรณ", "มานี", "John", "ประเสริฐ"}},
      {"lo", kLaoTexts, {"ສົມສັກ", "ບຸນມີ", "ຄຳຫຼ້າ", "Mary", "ວິໄລ"}},
      {"km", kKhmerTexts, {"សុខា", "ចាន់ដារា", "វិចិត្រ", "Peter", "សុភា"}},
      {"my", kBurmeseTexts, {"အောင်အောင်", "မြမြ", "ကျော်စွာ", "David", "သီတာ"}},
  };
  return all;
}

std::string filled(std::string_view text, const Language& language, size_t variant) {
  constexpr const char* numbers[] = {"7", "88120-33", "4400921887", "52 881", "A17-9"};
  constexpr const char* links[] = {"https://a.example/x", "http://quite-another.example/login?id=77120&s=abcdefgh",
                                   "www.third.example", "https://xn--p1ai.example/p/Kj3nd81Lq", "fourth.example/a/b/c"};
  std::string out(text);
  const auto put = [&](std::string_view mark, std::string_view value) {
    const size_t at = out.find(mark);
    if (at != std::string::npos) out.replace(at, mark.size(), value);
  };
  put("{name}", language.names.at(variant));
  put("{number}", numbers[variant]);
  put("{link}", links[variant]);
  return out;
}
constexpr size_t kVariants = 5;

std::string plain_message(std::string_view text) {
  return "From: a@example.com\nContent-Type: text/plain; charset=utf-8\n\n" + std::string(text) + "\n";
}

struct Distances {
  std::vector<int> found;
  int least() const { return *std::min_element(found.begin(), found.end()); }
  int most() const { return *std::max_element(found.begin(), found.end()); }
};

// Of all variants of a text to each other, and of all texts of a language to each other, each in another variant.
struct Measured {
  Distances campaign, others;
  size_t without = 0;      // texts too short to have a digest
  size_t share_third = 0;  // pairs of a campaign that share a third, as events name campaigns (learn/mail_filter.cc)
};
// Each message is of `texts` texts, one after the other.
Measured measure(const Language& language, size_t texts) {
  Analyser analyser;
  std::vector<std::vector<uint64_t>> digests;
  Measured result;
  for (size_t begin = 0; begin + texts <= language.texts.size(); begin += texts) {
    digests.emplace_back();
    for (size_t i = 0; i < kVariants; ++i) {
      std::string text;
      for (size_t k = 0; k < texts; ++k) text += filled(language.texts[begin + k], language, i) + "\n";
      digests.back().push_back(analyser.analyse(plain_message(text)).facts.text_digest);
      result.without += digests.back().back() == 0;
    }
  }
  for (size_t a = 0; a < digests.size(); ++a) {
    for (size_t i = 0; i < kVariants; ++i) {
      for (size_t j = i + 1; j < kVariants; ++j) {
        const uint64_t differ = digests[a][i] ^ digests[a][j];
        result.campaign.found.push_back(__builtin_popcountll(differ));
        result.share_third += (differ & 0x1fffff) == 0 || (differ >> 21 & 0x1fffff) == 0 || differ >> 42 == 0;
      }
      for (size_t b = a + 1; b < digests.size(); ++b) {
        result.others.found.push_back(digest_distance(digests[a][i], digests[b][i]));
        result.others.found.push_back(digest_distance(digests[a][i], digests[b][(i + b) % kVariants]));
      }
    }
  }
  return result;
}

// A text without marks to fill in, as `TextDigest` of its folded form.
uint64_t digest_of(std::string_view text, size_t words_max = 4000) {
  base::Arena arena;
  TextCounts counts;
  return text_digest(WordCursor(fold_text(text, arena, counts)), words_max).value;
}

TEST(Digest, campaigns_in_scripts_without_spaces_are_recognised) {
  for (const Language& language : languages()) {
    for (size_t texts = 1; texts <= 2 && language.texts.size() >= 2 * texts; ++texts) {
      const Measured found = measure(language, texts);
      const auto& campaign = found.campaign.found;
      const auto near = std::count_if(campaign.begin(), campaign.end(), [](int d) { return d <= kNearBits; });
      EXPECT_EQ(found.without, 0u) << language.name;
      EXPECT_GE(static_cast<double>(near), 0.8 * static_cast<double>(campaign.size())) << language.name;
      EXPECT_GE(found.others.least(), kNearBits + 3) << language.name;
      EXPECT_GE(static_cast<double>(found.share_third), 0.15 * static_cast<double>(campaign.size())) << language.name;
    }
  }
}

// A name for a name, a number for a number, a host for a host: near but for one letter in twenty, which is short.
TEST(Digest, letters_to_two_people_are_near) {
  Analyser analyser;
  size_t near = 0, all = 0;
  for (const Language& language : languages()) {
    for (const std::string_view text : language.texts) {
      const uint64_t one = analyser.analyse(plain_message(filled(text, language, 0))).facts.text_digest;
      const uint64_t two = analyser.analyse(plain_message(filled(text, language, 2))).facts.text_digest;
      EXPECT_NE(one, 0u);
      EXPECT_LE(digest_distance(one, two), kNearBits + 3) << language.name << ": " << text;
      near += digests_near(one, two);
      ++all;
    }
  }
  EXPECT_GE(near * 20, all * 19) << near << " of " << all;
}

// Where a program wraps lines, and how a writer punctuates, makes no difference; links that touch the text neither.
TEST(Digest, runs_go_on_over_lines_and_marks) {
  const std::string_view chinese = "我们注意到您的账户存在异常登录行为为了保障您的资金安全账户已被暂时限制使用";
  for (const size_t width : {1, 7, 10}) {
    std::string wrapped, marked;
    for (size_t i = 0; i < chinese.size(); i += 3) {
      wrapped += chinese.substr(i, 3);
      marked += chinese.substr(i, 3);
      if (i / 3 % width == width - 1) wrapped += "\n", marked += i % 2 ? "。" : "，";
    }
    EXPECT_EQ(digest_of(wrapped), digest_of(chinese)) << width;
    EXPECT_EQ(digest_of(marked), digest_of(chinese)) << width;
  }
  const std::string head(chinese.substr(0, 60)), tail(chinese.substr(60));
  EXPECT_EQ(digest_of(head + "www.one.example" + tail), digest_of(head + "www.quite-another.example" + tail));
  EXPECT_EQ(digest_of(head + "bob_1@one.example" + tail), digest_of(head + "x@another.example" + tail));
  EXPECT_EQ(digest_of(head + "2026" + tail), digest_of(head + "1987" + tail));
  EXPECT_NE(digest_of(head + "paypal" + tail), digest_of(head + "amazon" + tail));
}

TEST(Digest, short_texts_have_none_and_long_ones_are_read_to_the_limit) {
  for (const char* text : {"", "你好", "请看附件", "ありがとう", "สวัสดีครับ", "🎉🎉🎉🎉🎉🎉", "。。。。。。。。。。。。"}) {
    EXPECT_EQ(digest_of(text), 0u) << text;
  }
  EXPECT_NE(digest_of("您的账户已被暂时限制使用"), 0u);
  EXPECT_NE(digest_of("บัญชีของท่านถูกระงับชั่วคราว"), 0u);
  std::string text;
  for (uint32_t i = 0; text.size() < 3000 * 3; ++i) {
    std::array<char, 4> bytes{};
    text.append(bytes.data(), put_code_point(0x4e00 + base::mix64(i) % 20000, bytes.data()));
  }
  EXPECT_EQ(digest_of(text, 100), digest_of(std::string_view(text).substr(0, 200 * 3), 100));
  EXPECT_NE(digest_of(text, 100), digest_of(text, 200));
}

// Digests of all other texts are stored in events: they stay what they were. So do the features of every text.
TEST(Digest, other_texts_and_what_models_see_stay_as_they_were) {
  const std::pair<const char*, uint64_t> others[] = {
      {"Dear customer, your account was limited until you confirm your details within 24 hours.", 0x86ae74ab8d1dd06fu},
      {"Уважаемый клиент, ваш счёт ограничен, подтвердите данные до 24 часов.", 0x97e02cb46d9ce0f9u},
      {"عزيزي العميل، تم تقييد حسابك حتى تؤكد بياناتك خلال 24 ساعة، شكرا لتفهمكم.", 0xa2f828892c9acecbu},
      {"고객님의 계정이 제한되었습니다. 24시간 이내에 본인 확인을 완료해 주세요. 감사합니다.", 0xae739f9e8b7f495du},
      {"प्रिय ग्राहक, आपका खाता सीमित कर दिया गया है, कृपया 24 घंटे के भीतर अपने विवरण की पुष्टि करें।", 0x872b8dd3c76c50d1u},
      {"“Smart” quotes – dashes… and emoji 🎉 are no script: don’t split words at them, café, naïve, €100 off!",
       0x894ddad493e5a958u}};
  Analyser analyser;
  for (const auto& [text, digest] : others) {
    EXPECT_EQ(analyser.analyse(plain_message(text)).facts.text_digest, digest) << text;
  }
  const std::pair<std::span<const std::string_view>, uint64_t> unspaced[] = {
      {kChineseTexts, 0xac4d09c95b079abcu}, {kJapaneseTexts, 0x176780832d3aa2a5u},
      {kThaiTexts, 0xf7818807b1a72769u},    {kLaoTexts, 0x641a2bff9f3f89a8u},
      {kKhmerTexts, 0x6154242113966cbcu},   {kBurmeseTexts, 0xffe1a62d1eace572u}};
  for (const auto& [texts, hash] : unspaced) {
    uint64_t all = 0;
    for (const std::string_view text : texts) {
      const std::string head = "Content-Type: text/", tail = "; charset=utf-8\n\n";
      const std::string raw = "From: a@example.com\nContent-Type: multipart/alternative; boundary=b\n\n--b\n" + head +
                              "plain" + tail + std::string(text) + "\n--b\n" + head + "html" + tail + "<p>" +
                              std::string(text) + "</p>" + "\n--b--\n";
      std::vector<Feature> features;
      collect_features(analyser.analyse(raw), {}, features);
      for (const Feature& f : features) {
        all = base::combine64(all, base::combine64(f.hash, static_cast<uint64_t>(f.place)));
      }
    }
    EXPECT_EQ(all, hash) << texts.front();
  }
}

}  // namespace
}  // namespace tamis::mail
