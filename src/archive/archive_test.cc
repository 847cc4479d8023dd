#include "archive/archive.h"

#include <gtest/gtest.h>

#include "archive/archive_test_kit.h"

namespace tamis::archive {
namespace {

TEST(Archive, whatWasAddedIsFoundAfterAFlush) {
  TAMIS_NEEDS_DUCKDB();
  TestFolder folder;
  World world(folder.path());
  for (int i = 0; i < 5; ++i)
    world.feed("login", kDay0 + i * 1'000,
               R"("account":"anna","ip":"10.0.0.7","email":"bo.b@Mail.example","amount":7)");
  world.feed("login", kDay0 + 9'000, R"("account":"carl","ip":"10.0.1.7","amount":700,"urls":["a","b"])");
  EXPECT_EQ(world.text("SELECT count(*) FROM events"), "0\n");
  EXPECT_EQ(world.archive->stats().pending_rows, 6u);
  world.flush();
  EXPECT_EQ(world.archive->stats().pending_rows, 0u);
  EXPECT_EQ(world.archive->stats().rows, 6u);
  EXPECT_EQ(world.archive->stats().upto, 6u);
  EXPECT_EQ(
      world.text("SELECT n, account, ip, \"ip.net24\", \"email.base_local\", amount, verdict, points, rules, shadow, "
                 "logins_per_ip, urls, reasons FROM login WHERE n IN (1, 4, 6) ORDER BY n"),
      "1|anna|10.0.0.7|10.0.0.0/24|bob|7|accept|1.0|[mailbox]|[net]|0|NULL|NULL\n"
      "4|anna|10.0.0.7|10.0.0.0/24|bob|7|challenge|16.0|[many, mailbox]|[net]|3|NULL|[3 logins from 10.0.0.7]\n"
      "6|carl|10.0.1.7|10.0.1.0/24|NULL|700|reject|0.0|[dear]|[]|0|[\"a\",\"b\"]|NULL\n");
  EXPECT_EQ(scan_text(*world.archive,
                      world.request("login", {"account", "ip.net24", "amount", "urls", "logins_per_ip"}), true),
            R"(1|"anna"|"10.0.0.0/24"|7|absent|0|accept|mailbox,
2|"anna"|"10.0.0.0/24"|7|absent|1|accept|mailbox,
3|"anna"|"10.0.0.0/24"|7|absent|2|accept|mailbox,
4|"anna"|"10.0.0.0/24"|7|absent|3|challenge|many,mailbox,
5|"anna"|"10.0.0.0/24"|7|absent|4|challenge|many,mailbox,
6|"carl"|"10.0.1.0/24"|700|["a", "b"]|0|reject|dear,
)");
}

}  // namespace
}  // namespace tamis::archive
