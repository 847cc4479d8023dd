#include "mail/punycode.h"

#include <gtest/gtest.h>

namespace tamis::mail {
namespace {

// RFC 3492, section 7.1 (A, B, D, I, L and S), and names as they occur.
TEST(Punycode, labels_are_shown_as_people_see_them) {
  const std::pair<std::string_view, std::string_view> kNames[] = {
      {"xn--egbpdaj6bu4bxfgehfvwxn", "ليهمابتكلموشعربي؟"},
      {"xn--ihqwcrb4cv8a8dqg056pqjye", "他们为什么不说中文"},
      {"xn--Proprostnemluvesky-uyb24dma41a", "Pročprostěnemluvíčesky"},
      {"xn--3B-ww4c5e180e575a65lsy2b", "3年B組金八先生"},
      {"xn--mnchen-3ya.example", "münchen.example"},
      {"www.xn--bcher-kva.xn--p1ai", "www.bücher.рф"},
      {"xn--pypal-4ve.com", "pаypal.com"},  // the second letter is Cyrillic
      {"XN--MNCHEN-3YA.example", "MüNCHEN.example"},
      {"example.com", "example.com"},
      {"", ""},
      {".", "."},
  };
  for (const auto& [name, shown] : kNames) {
    EXPECT_EQ(shown_domain(name), shown) << name;
  }
}

TEST(Punycode, what_is_no_such_label_stays) {
  for (const char* name :
       {"xn--", "xn---", "xn--a", "xn--99999999999", "xn--zzzzzzzzzzz", "xn--ab_c", "xn--\xc3\xbc-abc", "a.xn--.b"}) {
    const std::string shown = shown_domain(name);
    EXPECT_TRUE(shown == name || shown.find("xn--") == std::string::npos) << name << " is " << shown;
  }
  const std::string all_zeros = "xn--" + std::string(200, '0'), all_nines = "xn--" + std::string(59, '9');
  EXPECT_EQ(shown_domain(all_nines), all_nines);
  EXPECT_EQ(shown_domain(all_zeros), all_zeros);
  EXPECT_EQ(shown_domain(std::string(300, 'a')), std::string(300, 'a'));
}

}  // namespace
}  // namespace tamis::mail
