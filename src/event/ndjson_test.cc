#include "event/ndjson.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

namespace tamis::event {
namespace {

// A line with its number; no text stands for one that was too long.
struct Line {
  uint64_t number;
  std::optional<std::string> text;
  bool operator==(const Line&) const = default;
};

std::vector<Line> split(const std::vector<std::string>& chunks, size_t line_bytes_max) {
  NdjsonSplitter splitter(line_bytes_max);
  std::vector<Line> lines;
  std::string_view line;
  size_t next_chunk = 0;
  for (;;) {
    switch (splitter.next(line)) {
      case NdjsonSplitter::Step::kLine:
        lines.push_back({splitter.line_number(), std::string(line)});
        break;
      case NdjsonSplitter::Step::kTooLong:
        lines.push_back({splitter.line_number(), std::nullopt});
        break;
      case NdjsonSplitter::Step::kEnd:
        return lines;
      case NdjsonSplitter::Step::kMore:
        if (next_chunk == chunks.size()) {
          splitter.finish();
        } else {
          splitter.feed(chunks[next_chunk++]);
        }
    }
  }
}

// The same by the plainest means.
std::vector<Line> expected_lines(const std::string& text, size_t line_bytes_max) {
  std::vector<Line> lines;
  uint64_t number = 0;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.size() > line_bytes_max) {
      lines.push_back({number, std::nullopt});
    } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
      lines.push_back({number, line});
    }
  }
  return lines;
}

TEST(NdjsonSplitter, SplitsSkipsAndCounts) {
  EXPECT_EQ(split({"{1}\n\n{2}\r\n{3}"}, 100), (std::vector<Line>{{1, "{1}"}, {3, "{2}"}, {4, "{3}"}}));
  EXPECT_EQ(split({"ab", "c", "\n", "d", ""}, 100), (std::vector<Line>{{1, "abc"}, {2, "d"}}));
  EXPECT_EQ(split({"123456\n1\n12345\r\n", "1234", "56", "78\nx\n"}, 5),
            (std::vector<Line>{{1, std::nullopt}, {2, "1"}, {3, "12345"}, {4, std::nullopt}, {5, "x"}}));
  EXPECT_TRUE(split({}, 5).empty());
  const std::string mark = "\xEF\xBB\xBF";
  EXPECT_EQ(split({mark + "12345\n" + mark + "1\n"}, 5), (std::vector<Line>{{1, "12345"}, {2, mark + "1"}}));
  EXPECT_EQ(split({"\xEF", "\xBB", "\xBF", "12345", "\r\nx"}, 5), (std::vector<Line>{{1, "12345"}, {2, "x"}}));
  EXPECT_EQ(split({mark + "1", "23456\nx"}, 5), (std::vector<Line>{{1, std::nullopt}, {2, "x"}}));
  EXPECT_EQ(split({mark, "\nx"}, 5), (std::vector<Line>{{2, "x"}}));
  EXPECT_TRUE(split({"\n\r\n"}, 5).empty());
  EXPECT_EQ(split({" \t\n  \r\n", " x\n", "  "}, 5), (std::vector<Line>{{3, " x"}}));
}

RC_GTEST_PROP(NdjsonSplitter, ChunksDoNotMatter, ()) {
  const auto letters = rc::gen::element('a', 'b', 'c', 'd', '\n', '\n', '\r');
  const auto chunks = *rc::gen::container<std::vector<std::string>>(rc::gen::container<std::string>(letters));
  const size_t line_bytes_max = *rc::gen::inRange<size_t>(1, 12);
  std::string whole;
  for (const std::string& chunk : chunks) whole += chunk;
  RC_ASSERT(split(chunks, line_bytes_max) == expected_lines(whole, line_bytes_max));
}

TEST(NdjsonFile, ReadsLinesAcrossBuffers) {
  const auto path = std::filesystem::temp_directory_path() / ("tamis_ndjson_" + std::to_string(::getpid()));
  {
    std::ofstream out(path, std::ios::binary);
    for (int i = 0; i < 20'000; ++i) out << "{\"n\":" << i << ",\"pad\":\"" << std::string(50, 'x') << "\"}\n";
    out << std::string(3000, 'y') << "\nlast";
  }
  auto file = NdjsonFile::open(path.string(), 2000);
  ASSERT_TRUE(file);
  std::string_view line;
  for (int i = 0; i < 20'000; ++i) {
    const auto got = file->next(line);
    ASSERT_TRUE(got && *got);
    ASSERT_TRUE(line.starts_with("{\"n\":" + std::to_string(i) + ",")) << line;
  }
  const auto too_long = file->next(line);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().message, path.string() + ":20001: the line is too long");
  EXPECT_TRUE(file->next(line).value());
  EXPECT_EQ(line, "last");
  EXPECT_EQ(file->line_number(), 20'002u);
  EXPECT_FALSE(file->next(line).value());
  EXPECT_FALSE(file->next(line).value());
  EXPECT_EQ(file->bytes_read(), file->bytes_total());
  std::filesystem::remove(path);
  const auto missing = NdjsonFile::open(path.string());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "cannot open " + path.string() + ": No such file or directory");
}

}  // namespace
}  // namespace tamis::event
