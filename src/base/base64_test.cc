#include "base/base64.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace tamis::base {
namespace {

std::string decoded(std::string_view text) {
  std::string out(base64_decoded_bytes_max(text), '?');
  const size_t bytes = decode_base64(text, out.data());
  return bytes == kNotBase64 ? "not base64" : out.substr(0, bytes);
}

TEST(Base64, KnownTexts) {
  const char* const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
  const char* const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t i = 0; i < 7; ++i) {
    std::string out = ">";
    append_base64(out, plain[i]);
    EXPECT_EQ(out, std::string(">") + coded[i]);
    EXPECT_EQ(decoded(coded[i]), plain[i]);
  }
  EXPECT_EQ(decoded("Zm9vYg"), "foob");
  EXPECT_EQ(decoded("-_-_"), decoded("+/+/"));
}

TEST(Base64, RefusesWhatIsNot) {
  for (const char* text : {"Z", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Z m8", "Zm8*", "Zg==Zg==", "Zm9vY"}) {
    EXPECT_EQ(decoded(text), "not base64") << text;
  }
}

RC_GTEST_PROP(Base64, RoundTrip, (const std::string& bytes)) {
  std::string out;
  append_base64(out, bytes);
  RC_ASSERT(out.size() == (bytes.size() + 2) / 3 * 4);
  RC_ASSERT(decoded(out) == bytes);
}

}  // namespace
}  // namespace tamis::base
