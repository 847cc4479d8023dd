#include "archive/manifest.h"

#include <gtest/gtest.h>

#include <fstream>

#include "archive/archive_test_kit.h"
#include "base/file.h"

namespace tamis::archive {
namespace {

void write(const std::string& path, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

Manifest example() {
  Manifest manifest;
  manifest.upto = 77;
  auto layout = std::make_shared<Layout>();
  layout->columns = system_columns();
  ColumnSpec spec;
  spec.name = "ip";
  spec.column = "field.ip";
  spec.fingerprint = 0xfedcba9876543210;
  spec.secret = spec.tokened = true;
  spec.keep_days = 30;
  spec.entity = "ip";
  layout->columns.push_back(spec);
  for (uint64_t i = 0; i < 3; ++i) {
    auto file = std::make_shared<DataFile>();
    file->path = "login/2026-09-22/" + std::to_string(i) + "-5.parquet";
    file->type = "login";
    file->day = 20'000;
    file->first = i;
    file->last = 5;
    file->rows = 4;
    file->bytes = 123;
    file->from_ms = -5;
    file->to_ms = 10;
    file->layout = layout;
    manifest.files.push_back(file);
  }
  return manifest;
}

TEST(Manifest, comesBackAsItWas) {
  const Manifest manifest = example();
  auto read = parse_manifest(to_json(manifest), "/data");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->upto, 77u);
  ASSERT_EQ(read->files.size(), 3u);
  EXPECT_EQ(read->files[1]->absolute, "/data/login/2026-09-22/1-5.parquet");
  EXPECT_EQ(read->files[2]->from_ms, -5);
  EXPECT_EQ(*read->files[2]->layout, *manifest.files[2]->layout);
  EXPECT_EQ(read->files[0]->layout, read->files[2]->layout);
  EXPECT_EQ(to_json(*read), to_json(manifest));
}

TEST(Manifest, everyFlippedByteIsFound) {
  const std::string text = to_json(example());
  for (size_t i = 0; i < text.size(); i += 7) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    auto read = parse_manifest(damaged, "/data");
    // Letters before the hash are not covered, and say nothing.
    if (i > 10) {
      EXPECT_FALSE(read) << i;
    }
  }
  for (size_t i = 0; i < text.size(); i += 11) EXPECT_FALSE(parse_manifest(text.substr(0, i), "/data"));
}

TEST(Manifest, pathsStayWithinTheFolder) {
  for (const char* path : {"/etc/x.parquet", "../x.parquet", "a/../../x.parquet", "a.txt", ""}) {
    Manifest manifest = example();
    auto file = std::make_shared<DataFile>();
    file->path = path;
    file->layout = manifest.files[0]->layout;
    manifest.files = {file};
    EXPECT_FALSE(parse_manifest(to_json(manifest), "/data")) << path;
  }
}

TEST(Manifest, whatItDoesNotNameIsRemovedAtOpen) {
  TestFolder folder;
  write(folder.path() + "/login/2026-09-22/1-5.parquet", "left over");
  write(folder.path() + "/acts/2026-09-22/1-5.2.parquet", "left over");
  write(folder.path() + "/.tmp/duckdb_temp_0.tmp", "left over");
  write(folder.path() + "/notes.txt", "somebody's");
  write(folder.path() + "/manifest.json.tmp", "half a manif");
  auto archive = Archive::open(folder.path());
  ASSERT_TRUE(archive) << archive.error().message;
  EXPECT_TRUE(folder.parquet_files().empty());
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/.tmp/duckdb_temp_0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/notes.txt"));
}

TEST(Manifest, aDamagedOneIsToldAndNothingIsRemoved) {
  TestFolder folder;
  write(folder.path() + "/login/2026-09-22/1-5.parquet", "events");
  write(folder.path() + "/manifest.json", "{\"hash\": \"0\",\n\"version\": 1}\n");
  auto archive = Archive::open(folder.path());
  ASSERT_FALSE(archive);
  EXPECT_NE(archive.error().message.find("manifest.json is damaged"), std::string::npos) << archive.error().message;
  EXPECT_EQ(folder.parquet_files().size(), 1u);
}

}  // namespace
}  // namespace tamis::archive
