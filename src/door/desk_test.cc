// What the desk writes into the audit trail of changes and look-ups, and what it says where it cannot.
#include "door/desk.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

namespace tamis::door {
namespace {

namespace fs = std::filesystem;

class DeskTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("tamis-desk-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    auto data = replay::DataFolder::open(folder_.string());
    ASSERT_TRUE(data) << data.error().message;
    data_ = std::move(*data);
    service_ = std::make_unique<Service>(
        ServiceOptions{}, [] { return int64_t{1'780'000'000'000}; }, data_.get());
    desk_ = std::make_unique<Desk>(*service_);
  }
  void TearDown() override {
    desk_.reset();
    service_.reset();
    data_.reset();
    fs::remove_all(folder_);
  }

  std::vector<action::AuditLine> lines(action::AuditFilter filter = {}) {
    auto page = data_->audit().read(filter);
    EXPECT_TRUE(page) << page.error().message;
    return page ? page->lines : std::vector<action::AuditLine>();
  }

  const Desk::Caller ann_{"ann", net::Role::kSupport, "ticket 7"};
  fs::path folder_;
  std::unique_ptr<replay::DataFolder> data_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Desk> desk_;
};

TEST_F(DeskTest, LooksAreNotedWithWhoAndWhy) {
  ASSERT_TRUE(desk_->note_look(ann_, "why.look", "account", "anna", "{\"events\":3}"));
  auto found = lines();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].who, "ann");
  EXPECT_EQ(found[0].what, "why.look");
  EXPECT_EQ(found[0].on, "account");
  EXPECT_EQ(found[0].value, "anna");
  EXPECT_EQ(found[0].why, "ticket 7");
  EXPECT_EQ(found[0].detail, "{\"events\":3}");
}

TEST_F(DeskTest, TheCallerIsWhoItIsAndAReasonOfItsOwnWins) {
  action::AuditEntry entry;
  entry.who = "somebody else";
  entry.what = "label.set";
  entry.why = "ticket 8";
  ASSERT_TRUE(desk_->note_change(ann_, entry));
  ASSERT_TRUE(desk_->note_soon(ann_, entry));
  ASSERT_TRUE(desk_->sync_notes());
  for (const action::AuditLine& line : lines()) {
    EXPECT_EQ(line.who, "ann");
    EXPECT_EQ(line.why, "ticket 8");
  }
  EXPECT_EQ(lines().size(), 2u);
}

TEST_F(DeskTest, WhateverIsLookedAtIsOneLine) {
  const std::string bad[] = {"a\nb", std::string("\0\xff\xc0", 3), std::string(100'000, 'x'), "\"}{", ""};
  for (const std::string& value : bad) ASSERT_TRUE(desk_->note_look(ann_, "why.look", "account", value));
  EXPECT_EQ(lines().size(), std::size(bad));
  auto verdict = action::verify_audit(data_->audit_folder());
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->good) << verdict->where << ": " << verdict->what;
  action::AuditFilter filter;
  filter.what = "why.*";
  filter.who = "ann";
  EXPECT_EQ(lines(filter).size(), std::size(bad));
  filter.who = "eve";
  EXPECT_TRUE(lines(filter).empty());
}

TEST_F(DeskTest, NothingIsShownThatCannotBeNoted) {
  ASSERT_TRUE(desk_->note_look(ann_, "why.look", "account", "anna"));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {}, full = {};
  getrlimit(RLIMIT_FSIZE, &before);
  full = before;
  full.rlim_cur = 0;
  setrlimit(RLIMIT_FSIZE, &full);
  base::Status look = desk_->note_look(ann_, "why.look", "account", "berta");
  base::Status change = desk_->note_change(ann_, {});
  setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(look);
  EXPECT_EQ(look.error().code, base::Code::kUnavailable);
  EXPECT_EQ(look.error().message.find("nothing is shown that is not in the audit trail"), 0u) << look.error().message;
  ASSERT_FALSE(change);
  EXPECT_EQ(change.error().message.find("done, but not in the audit trail"), 0u) << change.error().message;
}

TEST(DeskWithoutData, SaysSo) {
  Service service(
      {}, [] { return int64_t{0}; }, nullptr);
  Desk desk(service);
  EXPECT_TRUE(desk.note_look({}, "why.look", "account", "anna")) << "there is no trail";
  EXPECT_TRUE(desk.sync_notes());
  EXPECT_EQ(desk.data().error().code, base::Code::kNotFound);
  EXPECT_EQ(desk.policy().error().code, base::Code::kUnavailable);
}

}  // namespace
}  // namespace tamis::door
