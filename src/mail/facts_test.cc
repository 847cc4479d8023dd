#include "mail/facts.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <deque>
#include <set>

#include "base/base64.h"
#include "base/hash.h"
#include "mail/features.h"

namespace tamis::mail {
namespace {

std::string le(uint32_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += i < 4 ? static_cast<char>(value >> (8 * i)) : '\0';
  return out;
}

// A stored zip with empty members of these names.
std::string zip(const std::vector<std::string>& names, uint32_t flags = 0) {
  std::string out, directory;
  for (const std::string& name : names) {
    const auto offset = static_cast<uint32_t>(out.size());
    const std::string common = le(10, 2) + le(flags, 2) + le(0, 2) + le(0, 4) + le(0, 12) +
                               le(static_cast<uint32_t>(name.size()), 2) + le(0, 2);
    out += "PK\x03\x04" + common + name;
    directory += "PK\x01\x02" + le(10, 2) + common + le(0, 2) + le(0, 2) + le(0, 2) + le(0, 4) + le(offset, 4) + name;
  }
  const auto count = static_cast<uint32_t>(names.size());
  return out + directory + "PK\x05\x06" + le(0, 4) + le(count, 2) + le(count, 2) +
         le(static_cast<uint32_t>(directory.size()), 4) + le(static_cast<uint32_t>(out.size()), 4) + le(0, 2);
}

std::string attachment(const std::string& name, const std::string& bytes) {
  std::string text = "From: a@example.com\nContent-Type: application/octet-stream; name=\"" + name +
                     "\"\nContent-Transfer-Encoding: base64\n\n";
  base::append_base64(text, bytes);
  return text;
}

std::string html_message(const std::string& html) { return "From: a@example.com\nContent-Type: text/html\n\n" + html; }

TEST(Facts, HeadersOfAForger) {
  Analyser analyser;
  const std::string raw =
      "Received: from evil.example (unknown [203.0.113.9]) by mx.example.com with ESMTPS id x; Mon, 1 Jan 2024 "
      "10:00:00 "
      "+0000\nAuthentication-Results: mx.example.com; spf=fail smtp.mailfrom=x@evil.example; dkim=pass (ok; really) "
      "header.d=evil.example; dmarc=none header.from=evil.example\nDKIM-Signature: v=1; d=evil.example; s=a; b=AA==\n"
      "Return-Path: <x@evil.example>\nFrom: \"service@bank.example\" <x@mail.evil.example>\nReply-To: "
      "<y@other.example>\nTo: bob@example.com, ann@example.org\nSubject: RE: YOUR ACCOUNT IS LOCKED\nDate: Mon, 1 Jan "
      "2024 "
      "09:59:00 +0000\nMessage-ID: <1@mail.evil.example>\n\nHello\n";
  const MessageFacts& f = analyser.analyse(raw).facts;
  EXPECT_EQ(f.from.email, "x@mail.evil.example");
  EXPECT_EQ(f.from_domain, "evil.example");
  EXPECT_TRUE(f.from_name_is_address);
  EXPECT_TRUE(f.from_name_is_other_address);
  EXPECT_TRUE(f.reply_to_differs);
  EXPECT_TRUE(f.subject_is_reply);
  EXPECT_FALSE(f.has_thread_headers);
  EXPECT_TRUE(f.subject_all_upper);
  EXPECT_EQ(f.recipients, 2u);
  EXPECT_EQ(f.recipient_domains, 2u);
  EXPECT_EQ(f.message_id_domain, "evil.example");
  EXPECT_TRUE(f.dkim_aligned);
  EXPECT_EQ(f.date_s, 1704103140);
  ASSERT_EQ(f.received.size(), 1u);
  EXPECT_EQ(f.received[0].helo, "evil.example");
  EXPECT_EQ(f.received[0].ip, "203.0.113.9");
  EXPECT_EQ(f.received[0].by, "mx.example.com");
  EXPECT_TRUE(f.received[0].tls);
  EXPECT_EQ(f.received_date_s, 1704103200);
  ASSERT_EQ(f.auth_results.size(), 3u);
  EXPECT_EQ(f.auth_results[1].method, "dkim");
  EXPECT_EQ(f.auth_results[1].result, "pass");
  EXPECT_EQ(f.auth_results[1].domain, "evil.example");
  EXPECT_TRUE(f.anomalies.empty());
}

TEST(Facts, LinksThatDeceive) {
  const struct {
    const char* html;
    LinkTrick trick;
  } cases[] = {
      {"<a href='https://evil.example/x'>https://www.bank.com/login</a>", LinkTrick::kShownDiffers},
      {"<a href='http://203.0.113.9/'>x</a>", LinkTrick::kHostIsAddress},
      {"<a href='http://0xcb.0.113.9/'>x</a>", LinkTrick::kHostObfuscated},
      {"<a href='http://%65vil.example/'>x</a>", LinkTrick::kHostObfuscated},
      {"<a href='https://bank.com@evil.example/'>x</a>", LinkTrick::kUserInfo},
      {"<a href='https://xn--bnk-5cd.example/'>x</a>", LinkTrick::kPunycode},
      {"<a href='https://b\u0430nk.example/'>x</a>", LinkTrick::kHostMixedScript},
      {"<a href='https://evil.example:8443/'>x</a>", LinkTrick::kPortOdd},
      {"<a href='https://r.example/?u=https%3A%2F%2Fevil.example'>x</a>", LinkTrick::kUrlInUrl},
      {"<a href='https://evil.example/#bob@example.com'>x</a>", LinkTrick::kEmailInUrl},
      {"<a href='javascript:x()'>x</a>", LinkTrick::kSchemeOdd},
      {"<a href='https://www.bank.com.evil.example/'>x</a>", LinkTrick::kDomainInSubdomain},
      {"<div style='display:none'><a href='https://a.example/'>x</a></div>", LinkTrick::kHidden},
  };
  Analyser analyser;
  for (const auto& c : cases) {
    const std::string raw = html_message(c.html);
    const Analysis& a = analyser.analyse(raw);
    ASSERT_EQ(a.links.size(), 1u) << c.html;
    EXPECT_TRUE(a.links[0].has(c.trick)) << c.html;
  }
  const std::string honest = html_message("<a href='https://www.bank.com/login?a=1'>www.bank.com</a>");
  EXPECT_EQ(analyser.analyse(honest).links[0].tricks, static_cast<uint16_t>(LinkTrick::kShownIsUrl));
}

TEST(Facts, LinksAndAddressesInText) {
  Analyser analyser;
  const std::string raw =
      "From: a@example.com\n\nSee https://www.shop.example.co.uk/a?b=c). Or (www.other.com), hxxp://bad.example/x, "
      "write to bob.b@mail.example.org! Not: file.txt, 3.5, e.g. this...\n";
  const Analysis& a = analyser.analyse(raw);
  ASSERT_EQ(a.facts.link_domains.size(), 3u);
  EXPECT_EQ(a.facts.link_domains[0], "example.co.uk");
  EXPECT_EQ(a.facts.link_domains[1], "other.com");
  EXPECT_EQ(a.facts.link_domains[2], "bad.example");
  ASSERT_EQ(a.facts.email_domains.size(), 1u);
  EXPECT_EQ(a.facts.email_domains[0], "example.org");
  EXPECT_EQ(a.links[0].target, "https://www.shop.example.co.uk/a?b=c");
}

TEST(Facts, Attachments) {
  Analyser analyser;
  const auto first = [&](const std::string& raw) {
    const MessageFacts& f = analyser.analyse(raw).facts;
    EXPECT_EQ(f.attachments.size(), 1u);
    return f.attachments.at(0);
  };
  const std::string exe = attachment("invoice.pdf.exe", std::string("MZ\x90\0\3\0\0\0", 8));
  EXPECT_TRUE(first(exe).dangerous);
  EXPECT_TRUE(first(exe).double_extension);
  EXPECT_EQ(first(exe).content, Content::kExecutable);
  const std::string hidden = attachment("holiday.jpg", std::string("MZ\x90\0\3\0\0\0", 8));
  EXPECT_TRUE(first(hidden).disguised);
  const std::string packed = attachment("a.zip", zip({"readme.txt", "run.js"}));
  EXPECT_TRUE(first(packed).dangerous);
  ASSERT_EQ(analyser.analyse(packed).message.members.size(), 2u);
  EXPECT_EQ(analyser.analyse(packed).message.members[1].name, "run.js");
  const std::string locked = attachment("a.zip", zip({"readme.txt"}, 1));
  EXPECT_TRUE(first(locked).encrypted);
  const std::string macro = attachment("a.docx", zip({"[Content_Types].xml", "word/vbaProject.bin"}));
  EXPECT_EQ(first(macro).content, Content::kOfficeMacro);
  const std::string cut = attachment("a.zip", zip({"one.txt", "two.exe"}).substr(0, 80));
  EXPECT_TRUE(first(cut).dangerous);  // from the local headers
  EXPECT_TRUE(analyser.analyse(cut).facts.anomalies.has(Anomaly::kArchiveBroken));
  std::string tar(1024, '\0');
  tar.replace(0, 5, "x.exe");
  tar.replace(257, 5, "ustar");
  const std::string tarred = attachment("a.tar", tar);
  EXPECT_TRUE(first(tarred).dangerous);
  const std::string gz =
      attachment("a.gz", std::string("\x1f\x8b\x08\x08\0\0\0\0\0\0", 10) + "doc.scr" + std::string(12, '\0'));
  EXPECT_TRUE(first(gz).dangerous);
  const std::string title("setup.exe\0", 10);
  const std::string tnef = attachment(
      "winmail.dat", "\x78\x9f\x3e\x22" + le(1, 2) + "\x02" + le(0x00018010, 4) + le(10, 4) + title + le(0, 2));
  EXPECT_EQ(first(tnef).content, Content::kTnef);
  EXPECT_EQ(analyser.analyse(tnef).message.members.at(0).name, "setup.exe");
  EXPECT_TRUE(first(tnef).dangerous);
  EXPECT_FALSE(first(tnef).double_extension);
  const std::string inside = attachment("a.zip", zip({"readme.txt", "invoice.pdf.exe"}));
  EXPECT_TRUE(first(inside).dangerous);
  EXPECT_TRUE(first(inside).double_extension);
  EXPECT_FALSE(first(attachment("a.zip", zip({"a.doc.pdf"}))).double_extension);
}

// Endings that cannot be seen, archives under other endings, and files whose archive names none.
TEST(Facts, DisguisedAttachments) {
  Analyser analyser;
  const auto first = [&](const std::string& name, const std::string& bytes) {
    const std::string raw = attachment(name, bytes);
    const MessageFacts& f = analyser.analyse(raw).facts;
    EXPECT_EQ(f.attachments.size(), 1u);
    Attachment file = f.attachments.at(0);
    file.name = {};  // points into `raw`
    return file;
  };
  const std::string exe("MZ\x90\0\3\0\0\0", 8), script = "WScript.Echo(1)\n", pdf = "%PDF-1.4\n";
  const std::string gzip = std::string("\x1f\x8b\x08\0\0\0\0\0\0\3", 10) + std::string(20, 'x');
  std::string iso(0x9000, '\0');
  iso.replace(0x8001, 5, "CD001");
  for (const char* name : {"invoice\u202efdp.exe", "invoice\u202efdp.exe\u202c", "\u2067invoice.exe\u2069",
                           "=?utf-8?B?aW52b2ljZeKArmZkcC5leGU=?="}) {
    const Attachment turned = first(name, exe);
    EXPECT_TRUE(turned.dangerous && turned.disguised) << name;
    EXPECT_EQ(turned.extension, "exe") << name;
    EXPECT_TRUE(first(name, script).disguised) << name;
  }
  EXPECT_TRUE(first("photo\u202egpj.pdf", pdf).disguised);
  EXPECT_FALSE(first("photo\u202egpj.pdf", pdf).dangerous);
  // Names in scripts that run from right to left, with the marks that they have.
  for (const char* name : {"\u05d7\u05e9\u05d1\u05d5\u05e0\u05d9\u05ea.pdf", "\u200f\u05d7\u05e9 12.pdf\u200f",
                           "\u2068\u0641\u0627\u062a\u0648\u0631\u0629\u2069.pdf"}) {
    EXPECT_FALSE(first(name, pdf).disguised || first(name, pdf).dangerous) << name;
    EXPECT_EQ(first(name, pdf).extension, "pdf") << name;
  }
  EXPECT_FALSE(first("invoice.exe", exe).disguised);
  EXPECT_TRUE(first("a.zip", zip({"readme.txt",
                                  "invoice\xe2\x80\xae"
                                  "fdp.exe"},
                                 0x800))
                  .disguised);

  EXPECT_TRUE(first("report.pdf", iso).disguised && first("report.pdf", iso).dangerous);
  EXPECT_TRUE(first("image.iso", iso).dangerous);
  EXPECT_FALSE(first("image.iso", iso).disguised);
  for (const std::string& archive :
       {gzip, zip({"a.txt"}), std::string("Rar!\x1a\x07\0", 7), std::string("BZh91AY&SY\0\1", 12),
        std::string("\xfd"
                    "7zXZ\0\0",
                    7),
        std::string("\x28\xb5\x2f\xfd\0\1", 6), std::string("MSCF\0\0\0\0", 8)}) {
    for (const char* name : {"scan.pdf", "photo.jpg", "photo.JPEG", "table.xls"}) {
      EXPECT_TRUE(first(name, archive).disguised) << name << " " << name_of(first(name, archive).content);
    }
    for (const char* name : {"a.gz", "a.zip", "a", "a.tar.xz", "a.svgz", "a.dat"}) {
      EXPECT_FALSE(first(name, archive).disguised) << name << " " << name_of(first(name, archive).content);
    }
  }
  EXPECT_TRUE(first("letter.docx", gzip).disguised);
  EXPECT_FALSE(first("letter.docx", zip({"[Content_Types].xml", "word/document.xml"})).disguised);

  EXPECT_TRUE(first("run.exe.gz", gzip).dangerous);
  EXPECT_FALSE(first("run.exe.gz", gzip).double_extension);
  EXPECT_TRUE(first("invoice.pdf.exe.gz", gzip).double_extension);
  EXPECT_TRUE(first("run\u202efdp.exe.gz", gzip).disguised);
  EXPECT_TRUE(first("run.js.xz", std::string("\xfd"
                                             "7zXZ\0\0",
                                             7))
                  .dangerous);
  for (const char* name : {"report.xml.gz", "source.tar.gz", "gz", ".gz", "exe.gz", "thesis.ps.gz"}) {
    EXPECT_FALSE(first(name, gzip).dangerous || first(name, gzip).disguised) << name;
  }
}

TEST(Facts, TricksOfText) {
  Analyser analyser;
  const std::string raw =
      "From: a@example.com\nSubject: Fr\u200bee\n\nCh\u0435ap v\u0456agra \uff26\uff32\uff25\uff25 b u y n o w\n";
  const Analysis& a = analyser.analyse(raw);
  EXPECT_EQ(a.subject_folded, "free");
  EXPECT_EQ(a.facts.subject_zero_width, 1u);
  EXPECT_EQ(a.facts.text.mixed_script_words, 2u);
  EXPECT_EQ(a.facts.text.styled_letters, 4u);
  EXPECT_EQ(a.facts.text.spaced_words, 1u);
  EXPECT_EQ(a.texts[0].folded.substr(0, 17), "cheap viagra free");
  const std::string russian =
      "From: a@example.com\n\n\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?\n";
  EXPECT_EQ(analyser.analyse(russian).facts.language, "ru");
  EXPECT_EQ(analyser.analyse(russian).facts.text.mixed_script_words, 0u);
  const std::string german =
      "From: a@example.com\n\nDas ist nicht der Brief, den wir f\u00fcr dich und sie schreiben.\n";
  EXPECT_EQ(analyser.analyse(german).facts.language, "de");
}

std::string template_message(const std::string& name, const std::string& code, const std::string& host) {
  return html_message(
      "<html><body><table><tr><td><h1>Dear " + name +
      "</h1></td></tr><tr><td><p>We have noticed unusual activity on your account and it was limited until you "
      "confirm your details. Please use the button below to restore your access within 24 hours, or your "
      "account will be closed for good. Your reference is " +
      code + ".</p><p><a href='https://" + host + "/" + code +
      "'>Confirm now</a></p><p>Thank you for your patience while we keep everybody "
      "safe.</p></td></tr></table></body></html>");
}

// However many words were found before, a cursor gives the words of next_word(), and what it says of them is so.
TEST(Words, FoundOnceAreTheSame) {
  const std::string_view texts[] = {"",
                                    "v.i.a.g.r.a free!! $100% off... it's user@host.example, _x_ end.",
                                    "...",
                                    "one",
                                    "\u00e9t\u00e9 \u65e5\u672c\u8a9e 12-34 a-! b!",
                                    "word$ word% -lead trail- - 'q' a@b.c!"};
  for (const std::string_view text : texts) {
    for (size_t words_max = 0; words_max < 20; ++words_max) {
      std::vector<Word> found;
      size_t end = 0, at = 0;
      find_words(text, words_max, found, end);
      EXPECT_LE(found.size(), words_max);
      WordCursor cursor(found, text, end);
      for (;;) {
        const std::string_view expected = next_word(text, at);
        const Word word = cursor.next();
        ASSERT_EQ(word.text, expected) << text << ", of which " << words_max << " were found before";
        if (expected.empty()) break;
        EXPECT_EQ(word.hash, base::hash64(expected));
        EXPECT_EQ(word.address, expected.find_first_of("@._") != std::string_view::npos) << expected;
        EXPECT_EQ(word.digit, expected.find_first_of("0123456789") != std::string_view::npos) << expected;
        EXPECT_EQ(word.inner, expected.find_first_of(".-'_@$%!") != std::string_view::npos) << expected;
      }
    }
  }
}

TEST(Digest, CampaignsAreRecognised) {
  Analyser analyser;
  const auto digests = [&](const std::string& raw) {
    const MessageFacts& f = analyser.analyse(raw).facts;
    return std::pair(f.text_digest, f.structure_digest);
  };
  const auto one = digests(template_message("Ann", "8812-33", "a.example"));
  const auto two = digests(template_message("Bartholomew", "120-9", "quite-another.example"));
  const auto other = digests(html_message(
      "<p>Hello all,</p><p>the minutes of the last meeting of the garden club are attached, thanks to everybody who "
      "came in "
      "spite of the rain; the next one is in March and somebody should bring the projector and the old slides.</p>"));
  EXPECT_TRUE(digests_near(one.first, two.first)) << digest_distance(one.first, two.first);
  EXPECT_TRUE(digests_near(one.second, two.second));
  EXPECT_FALSE(digests_near(one.first, other.first)) << digest_distance(one.first, other.first);
  EXPECT_FALSE(digests_near(one.second, other.second));
  EXPECT_EQ(digests("From: a@example.com\n\nhi\n").first, 0u);
}

TEST(Features, StableBoundedAndNamed) {
  Analyser analyser;
  const std::string raw = template_message("Ann", "8812-33", "a.example");
  const Analysis& a = analyser.analyse(raw);
  std::vector<Feature> features;
  std::vector<std::string> texts;
  collect_features(a, {}, features, &texts);
  ASSERT_EQ(features.size(), texts.size());
  std::set<Place> places;
  for (const Feature& f : features) places.insert(f.place);
  EXPECT_TRUE(places.count(Place::kBody) && places.count(Place::kRaw4) && places.count(Place::kLink));
  EXPECT_NE(std::find(texts.begin(), texts.end(), "body: unusual"), texts.end());
  EXPECT_NE(std::find(texts.begin(), texts.end(), "body_pair: unusual * on"), texts.end());
  size_t visited = 0;
  FeatureOptions words;
  words.places = bit(Place::kBody);
  for_each_feature(a, words, [&](uint64_t, Place place) {
    ++visited;
    EXPECT_EQ(place, Place::kBody);
  });
  EXPECT_GT(visited, 20u);
  // The hash of a word in its place is part of the format of models.
  const auto at = std::find(texts.begin(), texts.end(), "body: account") - texts.begin();
  const auto again = std::find(texts.begin() + at + 1, texts.end(), "body: account") - texts.begin();
  EXPECT_EQ(features.at(static_cast<size_t>(at)).hash, features.at(static_cast<size_t>(again)).hash);
}

TEST(Features, MaskedHeadersLeaveNoTrace) {
  Analyser analyser;
  const std::string with = "X-Corpus: unique1\nFrom: a@example.com\nSubject: x\n\nbody text\n";
  const std::string other = "X-Corpus: something else\nFrom: a@example.com\nSubject: x\n\nbody text\n";
  const std::string_view masks[] = {"x-corp*"};
  FeatureOptions options;
  options.masked_headers = masks;
  const auto of = [&](const std::string& raw) {
    std::vector<uint64_t> hashes;
    for_each_feature(analyser.analyse(raw), options, [&](uint64_t hash, Place place) {
      if (place != Place::kStructure) hashes.push_back(hash);
    });
    return hashes;
  };
  EXPECT_EQ(of(with), of(other));
}

// Absurd messages: in bounded time and memory, and linear.
TEST(Absurd, EverythingIsBounded) {
  std::string many_parts = "Content-Type: multipart/mixed; boundary=b\n\n";
  for (int i = 0; i < 10000; ++i)
    many_parts += "--b\nContent-Type: text/html\n\n<a href=http://a" + std::to_string(i) + ".example/>x</a>\n";
  std::string many_headers;
  for (int i = 0; i < 100000; ++i)
    many_headers += "X-H" + std::to_string(i) + ": =?utf-8?B?w6k=?=\nTo: a@b.example, c@d.example\n";
  std::string deep;
  for (int i = 0; i < 5000; ++i)
    deep += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\n\n--b" + std::to_string(i) + "\n";
  std::string rfc822;
  for (int i = 0; i < 50000; ++i) rfc822 += "Content-Type: message/rfc822\n\n";
  std::string big =
      "From: a@example.com\nContent-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\n";
  while (big.size() < (50u << 20))
    big += "UEsDBAoAAAAAAAAAIQAAAAAAAAAAAAAAAAAFAAAAYS5leGVQSwMEUEsDBFBLAwRQSwMEUEsDBA==\n";
  std::string text(50u << 20, 'a');
  for (size_t i = 0; i < text.size(); i += 7) text[i] = i % 3 ? ' ' : '\n';
  std::string begins = "\n";
  for (int i = 0; i < 100000; ++i) begins += "begin 644 x\n#35J0\n";
  std::string angles(1u << 20, '<');
  std::string comments = "Content-Type: text/html\n\n";
  for (int i = 0; i < 100000; ++i) comments += "<!--<a href=\"";
  std::string copied = "Content-Type: multipart/mixed; boundary=b\n\n";  // each part is read in another charset
  const std::string page = "<html>" + std::string(170 * 1024, '\xe4');
  while (copied.size() < (50u << 20)) {
    copied += "--b\nContent-Type: text/html; charset=gb2312\n\n" + page + "\n";
    copied += "--b\nContent-Type: application/octet-stream; name=a.html\n\n" + page + "\n";
  }
  Analyser analyser;
  for (const std::string& raw :
       {many_parts, many_headers, deep, rfc822, big, "\n" + text, begins, html_message(angles), comments, copied}) {
    const auto start = std::chrono::steady_clock::now();
    const Analysis& a = analyser.analyse(raw);
    std::vector<Feature> features;
    collect_features(a, {}, features);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took.count(), 5.0) << raw.substr(0, 60);
    EXPECT_LT(a.arena->used_bytes(), 64u << 20) << raw.substr(0, 60);
    EXPECT_LE(features.size(), Limits{}.features_max);
    EXPECT_FALSE(a.message.parts.empty());
  }
}

// The charset of a body says nothing of headers that are ASCII, or hold a byte that is not.
TEST(Facts, no_charset_of_a_body_takes_the_sender_away) {
  Analyser analyser;
  for (const char* charset : {"utf-8", "utf-16", "UTF-16LE", "utf_16be", "\"utf-32\"", "UCS-2", "ISO-10646-UCS-4",
                              "csUnicode", "utf-7", "IBM037"}) {
    for (const char* name : {"Ann", "\xc4nn"}) {
      const std::string text = std::string("From: ") + name +
                               " <ann@sender.example>\nSubject: hello\nContent-Type: text/plain; charset=" + charset +
                               "\n\nhello\n";
      EXPECT_EQ(analyser.analyse(text).facts.from.email, "ann@sender.example") << charset;
    }
  }
}

std::string base64(std::string_view bytes) {
  std::string text;
  base::append_base64(text, bytes);
  return text;
}

// ASCII in UTF-16 or UTF-32, most significant byte first or last.
std::string widen(std::string_view text, size_t bytes, bool big) {
  std::string out;
  for (const char c : text) {
    std::string one(bytes, '\0');
    one[big ? bytes - 1 : 0] = c;
    out += one;
  }
  return out;
}

const std::string kOffer =
    "Dear customer, your account was locked today. Please confirm your password at http://evil.example/login within "
    "two days or it will be closed for ever.\n";

// Facts are views into the message, which stays.
class Keeper {
 public:
  const Analysis& analyse(std::string raw) {
    kept_.push_back(std::move(raw));
    return analyser_.analyse(kept_.back());
  }

 private:
  Analyser analyser_;
  std::deque<std::string> kept_;
};

// What a reader is shown is read, in whatever bytes it came.
TEST(Facts, text_is_read_in_every_form_it_is_shown_in) {
  Keeper analyser;
  const auto message = [](const std::string& type, const std::string& body) {
    return "From: a@example.com\nMIME-Version: 1.0\nContent-Type: " + type + "\nContent-Transfer-Encoding: base64\n\n" +
           base64(body);
  };
  using namespace std::string_literals;
  const MessageFacts& plain = analyser.analyse(message("text/plain", kOffer)).facts;
  const uint64_t digest = plain.text_digest;
  const size_t words = plain.text.words;
  ASSERT_GT(words, 20u);
  ASSERT_NE(digest, 0u);
  const std::vector<std::pair<std::string, std::string>> same = {
      {"text/plain; charset=utf-16", "\xff\xfe" + widen(kOffer, 2, false)},
      {"text/plain; charset=utf-16", "\xfe\xff" + widen(kOffer, 2, true)},
      {"text/plain; charset=UTF-16LE", widen(kOffer, 2, false)},
      {"text/plain; charset=utf-16be", widen(kOffer, 2, true)},
      {"text/plain; charset=utf-32le", widen(kOffer, 4, false)},
      {"text/plain; charset=utf-32", "\0\0\xfe\xff"s + widen(kOffer, 4, true)},
      {"text/plain", "\xff\xfe" + widen(kOffer, 2, false)},                 // the mark goes before what is declared
      {"text/plain; charset=utf-8", "\xff\xfe" + widen(kOffer, 2, false)},  //
      {"text/plain; charset=iso-2022-kr", "\x1b$)C" + kOffer},
  };
  for (const auto& [type, body] : same) {
    const MessageFacts& f = analyser.analyse(message(type, body)).facts;
    EXPECT_EQ(f.text.words, words) << type;
    EXPECT_EQ(f.text_digest, digest) << type;
    EXPECT_EQ(f.links, 1u) << type;
    EXPECT_EQ(f.text.zero_width, 0u) << type;
    EXPECT_TRUE(f.attachments.empty()) << type;
  }
  // Behind what begins another format there stands the same text.
  for (const char* front : {"GIF89a ", "#!/bin/sh\n", "{\\rtf1 ", "ID3 ", "%PDF-1.4\n", "PK\x03\x04 ", "OggS", "MSCF ",
                            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n", "BEGIN:VCALENDAR\n",
                            "\x01\x02\x03\x04\x05\x06\x07\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\n"}) {
    const MessageFacts& f = analyser.analyse(message("text/plain", front + kOffer)).facts;
    EXPECT_GE(f.text.words, words) << front;
    EXPECT_EQ(f.links, 1u) << front;
    const MessageFacts& html =
        analyser.analyse(message("text/html", front + ("<form><input type=password></form>" + kOffer))).facts;
    EXPECT_EQ(html.html_counts.password_inputs, 1u) << front;
  }
}

// A page beside the text is opened by a browser, whatever its declared type.
TEST(Facts, attached_pages_are_read) {
  Keeper analyser;
  const std::string page =
      "<html><body><form action='http://evil.example/p'><input type=password name=p></form><a "
      "href='http://evil.example/a'>open</a></body></html>";
  const auto with = [](const std::string& type, const std::string& name, const std::string& bytes) {
    return "From: a@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n" + kOffer +
           "\n--b\nContent-Type: " + type + "; name=\"" + name + "\"\nContent-Disposition: attachment; filename=\"" +
           name + "\"\nContent-Transfer-Encoding: base64\n\n" + base64(bytes) + "\n--b--\n";
  };
  const uint64_t digest = analyser.analyse(with("text/plain", "a.txt", "hello")).facts.text_digest;
  for (const auto& [type, name, bytes] : std::vector<std::array<std::string, 3>>{
           {"application/octet-stream", "a.html", page},
           {"application/octet-stream", "a.bin", page},
           {"application/octet-stream", "a.htm", "Please log in: " + page},
           {"application/pdf", "a.pdf", page},
           {"text/html", "a.html", page},
           {"text/html; charset=utf-16le", "a.html", widen(page, 2, false)},
           {"application/octet-stream", "a.html", "\xff\xfe" + widen(page, 2, false)},
           {"application/xhtml+xml", "a.xhtml", "<?xml version='1.0'?>" + page}}) {
    const Analysis& a = analyser.analyse(with(type, name, bytes));
    EXPECT_EQ(a.facts.html_counts.password_inputs, 1u) << type << " " << name;
    EXPECT_EQ(a.facts.link_domains, (std::vector<std::string_view>{"evil.example"})) << type;
    EXPECT_EQ(a.facts.text_digest, digest) << "a page beside the text is no alternative of it";
    ASSERT_EQ(a.facts.attachments.size(), 1u);
    EXPECT_EQ(a.facts.attachments[0].content, Content::kHtml) << type << " " << name;
  }
  const Analysis& drawing = analyser.analyse(
      with("image/svg+xml", "a.svg", "<svg xmlns='x'><a href='http://draw.example/a'><text>open</text></a></svg>"));
  EXPECT_EQ(drawing.facts.links, 2u);
  // Other files are not read as text, and a text that is attached is none that is shown.
  EXPECT_EQ(analyser.analyse(with("application/octet-stream", "a.txt", kOffer)).facts.links, 1u);
  EXPECT_EQ(
      analyser.analyse(with("application/octet-stream", "a.mp3", "\xff\xfe\x90\x64 see http://a.example/")).facts.links,
      1u);
}

TEST(Facts, a_page_without_a_declared_charset_is_read_in_its_own) {
  Keeper analyser;
  const auto shown = [&](const std::string& page) {
    const Analysis& a = analyser.analyse("From: a@example.com\nContent-Type: text/html\n\n" + page);
    return std::string(a.texts.at(0).visible);
  };
  const std::string bytes = "\xcf\xf0\xe8\xe2\xe5\xf2";
  const std::string word = "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82";
  for (const char* meta : {"<meta charset=windows-1251>", "<META CHARSET = 'Windows-1251' >",
                           "<?xml version='1.0' encoding=\"windows-1251\"?>",
                           "<meta http-equiv=content-type content='text/html; charset=windows-1251'>"}) {
    EXPECT_NE(shown(std::string("<html><head>") + meta + "</head><body>" + bytes).find(word), std::string::npos)
        << meta;
  }
  // What it says of two bytes a letter cannot be, and what nobody knows is no charset.
  EXPECT_NE(shown("<meta charset=utf-16><p>hello</p>").find("hello"), std::string::npos);
  EXPECT_NE(shown("<meta charset=><p>hello</p>").find("hello"), std::string::npos);
  EXPECT_NE(shown("<meta charset=klingon><p>hello</p>").find("hello"), std::string::npos);
}

}  // namespace
}  // namespace tamis::mail
