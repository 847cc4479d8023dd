#include "net/auth.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "net/http_session_driver.h"

namespace tamis::net {
namespace {

TEST(Roles, ParseAndText) {
  auto set = RoleSet::parse("metrics,decide");
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->has(Role::kDecide));
  EXPECT_FALSE(set->has(Role::kIngest));
  EXPECT_EQ(set->text(), "decide,metrics");
  EXPECT_TRUE(RoleSet(Role::kAdmin).has(Role::kIngest));
  EXPECT_TRUE(RoleSet(Role::kAdmin).has_any(Role::kIngest | Role::kSupport));
  EXPECT_FALSE(RoleSet(Role::kSupport).has(Role::kAdmin));
  auto bad = RoleSet::parse("decide,root");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("`root`"), std::string::npos);
  EXPECT_FALSE(RoleSet::parse(""));
}

TEST(Tokens, GeneratedTokensAreAcceptedAndNothingElse) {
  auto first = TokenStore::generate("billing", Role::kDecide);
  auto second = TokenStore::generate("ops.1", Role::kAdmin | Role::kMetrics);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->token.size(), 56u);
  EXPECT_EQ(first->token.substr(0, 4), "tok_");
  EXPECT_EQ(first->line.find(first->token.substr(13)), std::string::npos);  // the secret is not in the file
  EXPECT_NE(first->token, TokenStore::generate("billing", Role::kDecide)->token);
  auto store = TokenStore::parse("# ours\n\n" + first->line + "\r\n" + second->line, "tokens");
  ASSERT_TRUE(store) << store.error().message;
  for (int i = 0; i < 3; ++i) {  // the second time from the cache
    const Caller* caller = (*store)->check(first->token);
    ASSERT_NE(caller, nullptr);
    EXPECT_EQ(caller->name, "billing");
    EXPECT_EQ(caller->id, first->token.substr(4, 8));
    EXPECT_FALSE(caller->roles.has(Role::kMetrics));
    EXPECT_EQ((*store)->check(second->token)->name, "ops.1");
    for (size_t at : {4u, 12u, 13u, 55u}) {
      std::string wrong = first->token;
      wrong[at] = wrong[at] == 'a' ? 'b' : 'a';
      EXPECT_EQ((*store)->check(wrong), nullptr) << wrong;
    }
    std::string mixed = first->token.substr(0, 13) + second->token.substr(13);
    EXPECT_EQ((*store)->check(mixed), nullptr);
    for (std::string_view wrong : {"", "tok_", "Bearer", "tok_00000000_0000000000000000000000000000000000000000000"})
      EXPECT_EQ((*store)->check(wrong), nullptr);
  }
}

TEST(Tokens, ErrorsNameTheLine) {
  std::string good = TokenStore::generate("a", Role::kDecide)->line;
  std::string hash = good.substr(good.rfind(':') + 1);
  auto error = [](const std::string& text) {
    auto store = TokenStore::parse(text, "tokens");
    return store ? std::string("accepted") : store.error().message;
  };
  EXPECT_NE(error(good + "\n\nb:nobody:" + hash).find("tokens:3: `nobody` is no role"), std::string::npos);
  EXPECT_NE(error("a b:decide:" + hash).find("tokens:1: "), std::string::npos);
  EXPECT_NE(error("a:decide").find("malformed"), std::string::npos);
  EXPECT_NE(error("a:decide:v2" + hash.substr(2)).find("malformed"), std::string::npos);
  EXPECT_NE(error("a:decide:" + hash + "0").find("malformed"), std::string::npos);
  EXPECT_NE(error(good + "\n" + good).find("occurs twice"), std::string::npos);
  EXPECT_FALSE(TokenStore::generate("a:b", Role::kDecide));
  EXPECT_FALSE(TokenStore::generate("a", RoleSet()));
  EXPECT_FALSE(TokenStore::load("/nonexistent/tokens"));
}

TEST(Tokens, ReloadRevokesAndABadFileChangesNothing) {
  std::string path = testing::TempDir() + "tamis_tokens_" + std::to_string(getpid());
  auto first = TokenStore::generate("one", Role::kDecide), second = TokenStore::generate("two", Role::kDecide);
  auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write(first->line);
  auto store = TokenStore::load(path);
  ASSERT_TRUE(store) << store.error().message;
  const Caller* caller = (*store)->check(first->token);
  ASSERT_NE(caller, nullptr);
  write("garbage");
  EXPECT_FALSE((*store)->reload());
  EXPECT_EQ((*store)->check(first->token), caller);
  write(second->line);
  EXPECT_TRUE((*store)->reload());
  EXPECT_EQ((*store)->check(first->token), nullptr);
  EXPECT_NE((*store)->check(second->token), nullptr);
  EXPECT_EQ(caller->name, "one");  // still valid for requests in progress
  EXPECT_EQ((*store)->size(), 1u);
  unlink(path.c_str());
}

TEST(Tokens, ManyThreads) {
  auto token = TokenStore::generate("one", Role::kDecide);
  std::string path = testing::TempDir() + "tamis_tokens_t_" + std::to_string(getpid());
  std::ofstream(path) << token->line;
  auto store = TokenStore::load(path);
  ASSERT_TRUE(store);
  std::vector<std::thread> threads;
  std::atomic<int> found{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        if ((*store)->check(token->token) != nullptr) ++found;
        if (i % 100 == 0 && !(*store)->reload()) return;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(found.load(), 2000);
  unlink(path.c_str());
}

TEST(RateLimiter, BurstThenRate) {
  RateLimiter limiter({.per_s = 10, .burst = 5});
  uint64_t now_ms = 1'000;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.take(7, now_ms), 0u);
  uint64_t wait_ms = limiter.take(7, now_ms);
  EXPECT_GT(wait_ms, 90u);
  EXPECT_LE(wait_ms, 101u);
  EXPECT_EQ(limiter.take(8, now_ms), 0u);  // others are not affected
  EXPECT_NE(limiter.take(7, now_ms + 99), 0u);
  EXPECT_EQ(limiter.take(7, now_ms + wait_ms), 0u);
  int passed = 0;
  for (uint64_t t = 2'000; t < 12'000; t += 10) passed += limiter.take(7, t) == 0;
  EXPECT_GE(passed, 100);
  EXPECT_LE(passed, 106);
  EXPECT_EQ(limiter.take(9, now_ms, 50), 0u);  // larger than the burst, from a full allowance
  EXPECT_NE(limiter.take(9, now_ms + 4'000), 0u);
  RateLimiter off({});
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(off.take(1, 1), 0u);
}

TEST(RateLimiter, AFloodOfKeysFreesNobody) {
  RateLimiter limiter({.per_s = 1, .burst = 100}, 64);
  while (limiter.take(42, 1'000) == 0) {
  }
  for (uint64_t key = 100; key < 10'000; ++key) EXPECT_EQ(limiter.take(key, 1'000), 0u);
  EXPECT_NE(limiter.take(42, 1'000), 0u);
}

TEST(Gate, AsksForTokenRoleAndRate) {
  auto decide = TokenStore::generate("d", Role::kDecide), metrics = TokenStore::generate("m", Role::kMetrics);
  auto store = TokenStore::parse(decide->line + "\n" + metrics->line, "tokens");
  ASSERT_TRUE(store);
  RateLimiter per_caller({.per_s = 1, .burst = 2}), per_address({.per_s = 1, .burst = 6});
  SessionDriver driver;
  std::string called;
  driver.router.add(
      Method::kGet, "/secret",
      {[&](const Request& in, Response&) { called = caller_of(in).name; },
       nullptr,
       {.gate = require_role(store->get(), Role::kDecide | Role::kSupport, {&per_caller, &per_address})}});
  driver.router.add(Method::kGet, "/open",
                    {[&](const Request& in, Response&) { called = caller_of(in).name; },
                     nullptr,
                     {.gate = require_role(nullptr, Role::kDecide)}});
  auto get = [&](const std::string& token) {
    driver.output.clear();
    driver.feed("GET /secret HTTP/1.1\r\nHost: x\r\n" +
                (token.empty() ? "" : "Authorization: Bearer " + token + "\r\n") + "\r\n");
    return statuses(driver.output).at(0);
  };
  EXPECT_EQ(get(""), 401);
  EXPECT_NE(driver.output.find("WWW-Authenticate: Bearer\r\n"), std::string::npos);
  EXPECT_EQ(get("tok_wrong"), 401);
  EXPECT_EQ(get(metrics->token), 403);
  EXPECT_EQ(called, "");
  EXPECT_EQ(get(decide->token), 200);
  EXPECT_EQ(called, "d");
  EXPECT_EQ(get(decide->token), 200);
  EXPECT_EQ(get(decide->token), 429);
  EXPECT_NE(driver.output.find("of this token"), std::string::npos);
  EXPECT_NE(driver.output.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_EQ(get(decide->token), 429);
  EXPECT_NE(driver.output.find("of this address"), std::string::npos);
  driver.feed("GET /open HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(called, "anonymous");
}

}  // namespace
}  // namespace tamis::net
