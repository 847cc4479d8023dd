#include "model/plain_features.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tamis::model {
namespace {

std::vector<FeatureId> features_of(const std::string& message) {
  FeatureCollector collector;
  find_plain_features(message, collector);
  const FeatureSpan set = collector.finish();
  return {set.begin(), set.end()};
}

std::vector<FeatureId> words_of(const std::string& message, Place place = Place::kBody) {
  std::vector<FeatureId> words;
  for (const FeatureId id : features_of(message)) {
    if (place_of(id) == static_cast<size_t>(place)) words.push_back(id);
  }
  return words;
}

const char* const kHeaders = "From: a@example.org\nTo: b@example.net\nMIME-Version: 1.0\n";

TEST(PlainFeatures, ReadThroughTransferEncodings) {
  const auto plain = words_of(std::string(kHeaders) + "\nbuy cheap watches today");
  EXPECT_EQ(plain.size(), 4u);
  EXPECT_EQ(plain, words_of(std::string(kHeaders) + "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"
                                                    "YnV5IGNoZWFwIHdhdGNoZXMgdG9kYXk="));
  EXPECT_EQ(plain, words_of(std::string(kHeaders) + "Content-Type: text/plain\nContent-Transfer-Encoding: "
                                                    "quoted-printable\n\nbuy=20cheap wat=\nches =74oday"));
}

TEST(PlainFeatures, ReadHtmlAndParts) {
  const auto plain = words_of(std::string(kHeaders) + "\nbuy cheap watches today");
  EXPECT_EQ(plain, words_of(std::string(kHeaders) + "Content-Type: text/html\n\n<html><style>p {x}</style><p "
                                                    "class=a>buy che<b>ap</b>&nbsp;watches<br>today</html>"));
  EXPECT_EQ(plain, words_of(std::string(kHeaders) +
                            "Content-Type: multipart/mixed; boundary=\"xx\"\n\nnot read\n--xx\n\nbuy cheap\n--xx\n"
                            "Content-Type: text/plain\n\nwatches today\n--xx--\nnot read either\n"));
}

TEST(PlainFeatures, HeadersAndLinksCount) {
  const auto with = [](const std::string& subject, const std::string& link) {
    return features_of(std::string(kHeaders) + "Subject: " + subject + "\n\nsee http://" + link + "/a now");
  };
  EXPECT_NE(with("hello there", "example.com"), with("goodbye there", "example.com"));
  EXPECT_NE(with("hello there", "example.com"), with("hello there", "example.org"));
  const auto subject = words_of("Subject: hello\n\n", Place::kSubject);
  EXPECT_EQ(subject.size(), 1u);
  EXPECT_EQ(subject, words_of("Subject: =?utf-8?b?aGVsbG8=?=\n\n", Place::kSubject));
  EXPECT_EQ(subject, words_of("Subject: =?utf-8?q?hell=6F?=\n\n", Place::kSubject));
}

TEST(PlainFeatures, BrokenMessagesHaveFeaturesToo) {
  for (const std::string& message :
       {std::string(), std::string("\n"), std::string("no header at all"), std::string(100'000, '='),
        std::string("Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n--a"),
        std::string("Content-Type: text/html\n\n<a href=\"http://x"), std::string("A: b\n\n&#99999999999999999;"),
        std::string(kHeaders) + "Subject: =?utf-8?q?=\n\n", std::string(3'000, '\n')}) {
    EXPECT_TRUE(is_feature_set(features_of(message)));
  }
  std::string nested;
  for (int i = 0; i < 1'000; ++i) nested += "Content-Type: message/rfc822\n\n";
  EXPECT_TRUE(is_feature_set(features_of(nested)));
}

}  // namespace
}  // namespace tamis::model
