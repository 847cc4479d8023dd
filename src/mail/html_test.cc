#include "mail/html.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "mail/charset.h"
#include "mail/html_style.h"

namespace tamis::mail {
namespace {

struct Read {
  explicit Read(std::string text, const Limits& limits = {}) : html(std::move(text)) {
    reader.read(html, limits, arena, anomalies, out);
  }
  std::string html;
  base::Arena arena;
  AnomalySet anomalies;
  HtmlReader reader;
  HtmlText out;
};

TEST(Html, TextAsAReaderSeesIt) {
  const struct {
    const char *html, *visible;
  } cases[] = {
      {"<p>one</p><p>two</p>", "one\ntwo"},
      {"a<b>b</b>c", "abc"},
      {"a  \n b", "a b"},
      {"1 &lt; 2 &amp; caf&eacute; &#8364;&#x41;&unknown;", "1 < 2 & caf\u00e9 \u20acA&unknown;"},
      {"<td>a</td><td>b</td>", "a b"},
      {"<script>no()</script><style>p{}</style>yes", "yes"},
      {"<!-- no -->yes<!-->x", "yesx"},
      {"<img alt=\"picture\">", "picture"},
      {"a < b", "a < b"},
      {"<a href='x>y'>in</a>", "in"},
      {"<title>t</title>x", "x"},
      {"<div", ""},
  };
  for (const auto& c : cases) EXPECT_EQ(Read(c.html).out.visible, c.visible) << c.html;
}

TEST(Html, HiddenTextIsToldApart) {
  const char* const hidden[] = {
      "<p style='display: none'>x</p>",
      "<p style=\"visibility:hidden\">x</p>",
      "<span style='font-size:0px'>x</span>",
      "<span style='font-size:1px;line-height:1'>x</span>",
      "<font color=white>x</font>",
      "<font color='#fefefe'>x</font>",
      "<div style='background:#123456'><span style='color:rgb(18,52,86)'>x</span></div>",
      "<body bgcolor=black><font color='#000000'>x</font>",
      "<div style='max-height:0;overflow:hidden'>x</div>",
      "<div style='position:absolute;left:-9999px'>x</div>",
      "<p hidden>x</p>",
      "<style>.h{display:none} @media screen{.y{color:red}}</style><p class='a h'>x</p>",
      "<style>#z { color: #fff }</style><p id=z>x</p>",
      "<div style='opacity:0'><b><i>x</i></b></div>",
      "<template>x</template>",
  };
  for (const char* html : hidden) {
    const Read r(html);
    EXPECT_EQ(r.out.hidden, "x") << html;
    EXPECT_EQ(r.out.visible, "") << html;
  }
  const char* const visible[] = {
      "<p style='display:block'>x</p>",
      "<div style='background:url(a.png)'><font color=white>x</font></div>",
      "<td bgcolor=navy><font color=white>x</font></td>",
      "<div style='font-size:0'><span style='font-size:14px'>x</span></div>",
      "<style>@media (max-width:600px){.h{display:none}}</style><p class=h>x</p>",
      "<p style='display:none'></p>x",
      "<div style='height:0'>x</div>",
  };
  for (const char* html : visible) EXPECT_EQ(Read(html).out.visible, "x") << html;
}

TEST(Html, LinksAndCounts) {
  const Read r(
      "<a href='https://a.example/?x=1&amp;y=2'>click <b>here</b></a><form action=https://f.example><input "
      "type=password></form><img src=http://i.example/p.gif width=1 height=1><img src=cid:x><iframe src=//q.example>"
      "</iframe><a href=#top>up</a> <a href='javascript:x()' onclick=x>j</a> fr<b></b>ee");
  ASSERT_EQ(r.out.links.size(), 5u);
  EXPECT_EQ(r.out.links[0].target, "https://a.example/?x=1&y=2");
  EXPECT_EQ(r.out.links[0].shown, "click here");
  EXPECT_EQ(r.out.links[1].kind, LinkKind::kForm);
  EXPECT_EQ(r.out.links[2].kind, LinkKind::kImage);
  const HtmlCounts& c = r.out.counts;
  EXPECT_EQ(c.images, 2u);
  EXPECT_EQ(c.remote_images, 1u);
  EXPECT_EQ(c.embedded_images, 1u);
  EXPECT_EQ(c.tiny_images, 1u);
  EXPECT_EQ(c.password_inputs, 1u);
  EXPECT_EQ(c.script_links, 1u);
  EXPECT_EQ(c.event_handlers, 1u);
  EXPECT_EQ(c.words_split, 1u);
}

TEST(Html, DepthIsBounded) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "<div>";
  const Read r(deep + "x");
  EXPECT_TRUE(r.anomalies.has(Anomaly::kHtmlTooDeep));
  EXPECT_TRUE(r.anomalies.has(Anomaly::kHtmlTooManyTags));
  EXPECT_EQ(r.out.visible, "x");
}

RC_GTEST_PROP(Html, TextWithoutMarkupStays, ()) {
  std::string text = *rc::gen::container<std::string>(rc::gen::inRange<char>('a', 'z'));
  RC_ASSERT(Read("<p>" + text + "</p>").out.visible == text);
}

TEST(Colour, Forms) {
  EXPECT_EQ(parse_colour("#fff"), 0xffffffu);
  EXPECT_EQ(parse_colour(" #0080FF"), 0x0080ffu);
  EXPECT_EQ(parse_colour("rgba(1, 2, 3, 0.5)"), 0x010203u);
  EXPECT_EQ(parse_colour("White"), 0xffffffu);
  EXPECT_EQ(parse_colour("inherit"), kColourUnknown);
  EXPECT_TRUE(alike(0xffffff, 0xfafafa));
  EXPECT_FALSE(alike(0xffffff, 0xcccccc));
}

}  // namespace
}  // namespace tamis::mail
