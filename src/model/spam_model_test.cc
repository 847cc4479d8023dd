#include "model/spam_model.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/hash.h"

namespace tamis::model {
namespace {

SpamOptions small_options() {
  SpamOptions options;
  options.slots_log2 = 14;
  options.examples_max = 256;
  return options;
}

// Messages of an invented world: each label has words of its own, most words are common to both, and a few messages
// carry words of the other label.
struct World {
  uint64_t seed = 1;
  uint64_t step = 0;
  uint64_t chance(uint64_t below) { return base::mix64(seed * 1'000'003 + step++) % below; }
  std::vector<FeatureId> message(bool spam, uint64_t era = 0) {
    FeatureCollector collector;
    for (int i = 0; i < 30; ++i) collector.add(Place::kBody, base::mix64(chance(300)));
    for (int i = 0; i < 6; ++i) {
      const bool own = chance(10) < 9;
      collector.add(Place::kBody, base::mix64(10'000 + era * 1'000 + (spam == own ? 500 : 0) + chance(40)));
    }
    collector.add(Place::kHeader, base::mix64(20'000 + chance(50)));
    const FeatureSpan set = collector.finish();
    return {set.begin(), set.end()};
  }
};

uint64_t errors_over(SpamModel& model, World& world, int messages, uint64_t era, bool learn) {
  SpamModel::Scratch scratch;
  uint64_t errors = 0;
  for (int i = 0; i < messages; ++i) {
    const bool spam = world.chance(2) == 1;
    const auto features = world.message(spam, era);
    errors += model.score(features, scratch).spam != spam;
    if (learn && !model.learn(0, features, spam)) ADD_FAILURE() << "not learned";
  }
  return errors;
}

TEST(SpamModel, KnowsNothingAtFirst) {
  const SpamModel model(small_options());
  SpamModel::Scratch scratch;
  World world;
  const SpamScore score = model.score(world.message(true), scratch);
  EXPECT_FLOAT_EQ(score.probability, 0.5f);
  EXPECT_FALSE(score.spam);
  EXPECT_FLOAT_EQ(model.score({}, scratch).probability, 0.5f);
}

TEST(SpamModel, LearnsTheWorldAndFollowsItsChange) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 300, 0, true);
  EXPECT_LT(errors_over(model, world, 400, 0, false), 20u);
  errors_over(model, world, 300, 1, true);  // all telling words are new
  EXPECT_LT(errors_over(model, world, 400, 1, false), 20u);
}

TEST(SpamModel, OneCorrectionIsEnoughForCopiesOfTheMessage) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 300, 0, true);
  SpamModel::Scratch scratch;
  int turned = 0;
  for (int i = 0; i < 20; ++i) {
    const auto features = world.message(true, 7);  // words that were never seen
    const float before = model.score(features, scratch).logit;
    ASSERT_TRUE(model.learn(0, features, true));
    const SpamScore after = model.score(features, scratch);
    EXPECT_GT(after.logit, before);
    turned += after.spam;
  }
  EXPECT_EQ(turned, 20);
}

TEST(SpamModel, ProbabilitiesAreCalibrated) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 500, 0, true);
  SpamModel::Scratch scratch;
  double expected = 0;
  double found = 0;
  int doubtful = 0;
  for (int i = 0; i < 2'000; ++i) {
    const bool spam = world.chance(2) == 1;
    const auto features = world.message(spam);
    const SpamScore score = model.score(features, scratch);
    if (score.probability > 0.1f && score.probability < 0.9f) {
      expected += static_cast<double>(score.probability);
      found += spam;
      ++doubtful;
    }
    ASSERT_TRUE(model.learn(0, features, spam));
  }
  ASSERT_GT(doubtful, 20);
  EXPECT_NEAR(expected / doubtful, found / doubtful, 0.2);
}

TEST(SpamModel, ExplanationsSumUpToTheLogit) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 300, 0, true);
  SpamModel::Scratch scratch;
  for (int i = 0; i < 50; ++i) {
    const auto features = world.message(i % 2 == 0);
    const SpamExplanation why = model.explain(features, scratch);
    EXPECT_EQ(why.logit, model.score(features, scratch).logit);
    float sum = why.neighbours + why.bias;
    for (const float part : why.by_place) sum += part;
    EXPECT_NEAR(sum, why.logit, 1e-3f * (1 + std::fabs(why.logit)));
  }
}

TEST(SpamModel, ExplanationsNameTheTellingFeatures) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 300, 0, true);
  SpamModel::Scratch scratch;
  const auto features = world.message(true);
  const SpamExplanation why = model.explain(features, scratch, features.size());
  ASSERT_EQ(why.strongest.size(), features.size());
  float body = 0;
  for (size_t i = 0; i < why.strongest.size(); ++i) {
    EXPECT_TRUE(std::binary_search(features.begin(), features.end(), why.strongest[i].feature));
    if (i > 0) {
      EXPECT_LE(std::fabs(why.strongest[i].logit), std::fabs(why.strongest[i - 1].logit));
    }
    if (place_of(why.strongest[i].feature) == static_cast<size_t>(Place::kBody)) body += why.strongest[i].logit;
  }
  EXPECT_NEAR(body, why.by_place[static_cast<size_t>(Place::kBody)], 1e-3f * (1 + std::fabs(body)));
  EXPECT_EQ(model.explain(features, scratch, 3).strongest.size(), 3u);
  EXPECT_EQ(model.explain({}, scratch, 3).strongest.size(), 0u);
}

TEST(SpamModel, TheSameCallsGiveTheSameBits) {
  SpamModel a(small_options());
  SpamModel b(small_options());
  World of_a;
  World of_b;
  errors_over(a, of_a, 300, 0, true);
  errors_over(b, of_b, 300, 0, true);
  EXPECT_EQ(a.save("card", true), b.save("card", true));
}

TEST(SpamModel, ACorrectionTakesBackTheWrongLabel) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 200, 0, true);
  SpamModel::Scratch scratch;
  const auto features = world.message(true, 3);
  ASSERT_TRUE(model.learn(42, features, false));
  EXPECT_FALSE(model.score(features, scratch).spam);
  const uint64_t hams = model.learned_ham();
  ASSERT_TRUE(model.learn(42, features, true));
  EXPECT_EQ(model.learned_ham(), hams - 1);
  for (int i = 0; i < 3 && !model.score(features, scratch).spam; ++i) ASSERT_TRUE(model.learn(42, features, true));
  EXPECT_TRUE(model.score(features, scratch).spam);
}

TEST(SpamModel, ForgetsAMessage) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 100, 0, true);
  ASSERT_TRUE(model.learn(42, world.message(true), true));
  const uint64_t spams = model.learned_spam();
  ASSERT_TRUE(model.forget(42));
  EXPECT_EQ(model.learned_spam(), spams - 1);
  EXPECT_EQ(model.forget(42).error().code, base::Code::kNotFound);
  EXPECT_EQ(model.forget(0).error().code, base::Code::kNotFound);
  errors_over(model, world, 300, 0, true);  // the dead example passes out of the ring
}

TEST(SpamModel, WhatIsForgottenLeavesNoTraceOfItself) {
  EXPECT_TRUE(rc::check([] {
    SpamOptions options = small_options();
    options.replays = 0;  // so that nobody learns meanwhile from a model that knew it
    // The index of neighbours keeps the place of a dead message, by which the rarity of its features is estimated.
    const bool neighbours = *rc::gen::arbitrary<bool>();
    if (!neighbours) options.learners &= (1u << static_cast<uint32_t>(Learner::kNeighbours)) - 1;
    SpamModel model(options);
    World world{*rc::gen::inRange<uint64_t>(1, 1000)};
    errors_over(model, world, 60, 0, true);
    SpamModel::Scratch scratch;
    const auto probe = world.message(true);
    const auto wrong = *rc::gen::arbitrary<bool>() ? probe : world.message(true);
    const float before = model.score(probe, scratch).logit;
    RC_ASSERT(model.learn(42, wrong, false).has_value());
    if (*rc::gen::arbitrary<bool>()) RC_ASSERT(model.learn(42, wrong, true).has_value());
    if (*rc::gen::arbitrary<bool>()) RC_ASSERT(model.learn(42, wrong, false).has_value());
    RC_ASSERT(model.forget(42).has_value());
    RC_ASSERT(std::fabs(model.score(probe, scratch).logit - before) < (neighbours ? 0.3f : 0.005f));
  }));
}

TEST(SpamModel, ForgettingOneAmongManyUndoesAWrongLabel) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 300, 0, true);
  SpamModel::Scratch scratch;
  const auto features = world.message(true);
  const float before = model.score(features, scratch).logit;
  ASSERT_GT(before, 0);
  ASSERT_TRUE(model.learn(42, features, false));
  auto loaded = SpamModel::load(model.save("", true));  // a restart keeps what is needed to take it back
  ASSERT_TRUE(loaded);
  for (SpamModel* one : {&model, &loaded->model}) {
    errors_over(*one, world, 5, 0, true);
    ASSERT_TRUE(one->forget(42));
    EXPECT_GT(one->score(features, scratch).logit, before / 2);
  }
}

// All learners were sure of it, so all of them seem to be wrong at once.
TEST(SpamModel, OneWrongLabelDoesNotTurnTheOthersRound) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 400, 0, true);
  const World later = world;
  World test = later;
  const uint64_t before = errors_over(model, test, 200, 0, false);
  for (const bool spam : {true, false}) {
    ASSERT_TRUE(model.learn(spam ? 42 : 43, world.message(spam), !spam));
    test = later;
    EXPECT_LE(errors_over(model, test, 200, 0, false), before + 10);
  }
}

TEST(SpamModel, OldExamplesAreForgottenByTheirIds) {
  SpamModel model(small_options());
  World world;
  ASSERT_TRUE(model.learn(42, world.message(true), true));
  errors_over(model, world, 256, 0, true);
  EXPECT_FALSE(model.forget(42));
}

TEST(SpamModel, RefusesWhatIsNoFeatureSet) {
  SpamModel model(small_options());
  const FeatureId unsorted[] = {2, 1};
  EXPECT_EQ(model.learn(1, unsorted, true).error().code, base::Code::kInvalid);
  EXPECT_EQ(model.learned_spam(), 0u);
}

TEST(SpamModelFile, GoesOnWhereItWasSaved) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 400, 0, true);
  ASSERT_TRUE(model.learn(42, world.message(true), true));
  ASSERT_TRUE(model.forget(42));
  const std::string bytes = model.save("title: test", true);
  auto loaded = SpamModel::load(bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->card, "title: test");
  World again = world;
  EXPECT_EQ(errors_over(model, world, 200, 1, true), errors_over(loaded->model, again, 200, 1, true));
  EXPECT_EQ(model.save("", true), loaded->model.save("", true));
}

TEST(SpamModelFile, AShippedModelHasNoExamples) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 400, 0, true);
  const std::string bytes = model.save("", false);
  EXPECT_LT(bytes.size(), model.save("", true).size());
  auto loaded = SpamModel::load(bytes);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->model.learned_spam(), model.learned_spam());
  EXPECT_LT(errors_over(loaded->model, world, 400, 0, false), 30u);
}

TEST(SpamModelFile, APrunedModelIsSmallAndScoresTheSameAfterPacking) {
  SpamModel model(small_options());
  World world;
  errors_over(model, world, 400, 0, true);
  model.prune(2);
  const std::string bytes = model.save_packed("card", 64, 5);
  EXPECT_LT(bytes.size(), model.save("card", false).size() / 2);
  auto loaded = SpamModel::load(bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->card, "card");
  EXPECT_EQ(loaded->model.options().examples_max, 64u);
  EXPECT_EQ(loaded->model.options().replays, 5u);
  SpamModel::Scratch scratch;
  for (int i = 0; i < 20; ++i) {
    const auto features = world.message(i % 2 == 0);
    SpamScore score = loaded->model.score(features, scratch);
    // The pruned one still has its neighbours, which a file without examples has not.
    const auto at = static_cast<size_t>(Learner::kNeighbours);
    EXPECT_EQ(score.opinions[at], 0);
    const SpamScore before = model.score(features, scratch);
    for (size_t l = 0; l < at; ++l) EXPECT_EQ(score.opinions[l], before.opinions[l]) << l;
  }
  EXPECT_LT(errors_over(loaded->model, world, 400, 0, false), 30u);
}

// All mail of a new time shares headers that a model which ships has never seen. What it is told of one message is not
// what all others with these headers are.
TEST(SpamModel, one_correction_of_a_shipped_model_is_of_one_message) {
  SpamModel trained(small_options());
  World world;
  errors_over(trained, world, 400, 0, true);
  trained.prune(2);
  trained.set_evidence(2, -1);
  const std::string bytes = trained.save_packed("card", 256, 12);
  const auto of_a_new_time = [&](bool spam) {
    FeatureCollector collector;
    const auto words = world.message(spam);
    for (uint64_t i = 0; i < 20; ++i) collector.add(Place::kGram, base::mix64(90'000 + i));
    for (uint64_t i = 0; i < 10; ++i) collector.add(Place::kHeader, base::mix64(95'000 + i));
    const FeatureSpan headers = collector.finish();
    std::vector<FeatureId> all;
    std::set_union(words.begin(), words.end(), headers.begin(), headers.end(), std::back_inserter(all));
    return all;
  };
  std::vector<std::vector<FeatureId>> messages[2];
  for (int i = 0; i < 200; ++i) messages[i % 2].push_back(of_a_new_time(i % 2 == 1));
  for (const bool told : {false, true}) {
    SpamModel model = SpamModel::load(bytes)->model;
    SpamModel::Scratch scratch;
    const auto errors = [&] {
      std::array<int, 2> wrong{};
      for (const bool spam : {false, true}) {
        for (const auto& features : messages[spam]) wrong[spam] += model.score(features, scratch).spam != spam;
      }
      return wrong;
    };
    const auto before = errors();
    EXPECT_LT(before[0] + before[1], 40);
    // The message that is told of was judged wrongly: it has words of the other label.
    const auto odd = of_a_new_time(!told);
    ASSERT_TRUE(model.learn(7, odd, told));
    EXPECT_EQ(model.score(odd, scratch).spam, told) << "it is believed";
    EXPECT_LT(errors()[!told], before[!told] + 45) << told;
  }
}

// A model that ships is drawn to a prior where it knows little of the headers, and less so as it learns.
TEST(SpamModel, LittleEvidenceDrawsAShippedModelToItsPrior) {
  SpamModel trained(small_options());
  World world;
  errors_over(trained, world, 400, 0, true);
  trained.prune(2);
  const std::string plain = trained.save_packed("card", 256, 12);
  trained.set_evidence(2, -3);
  const std::string bytes = trained.save_packed("card", 256, 12);
  EXPECT_EQ(bytes.size(), plain.size() + 8);
  auto as_is = SpamModel::load(plain), drawn = SpamModel::load(bytes);
  ASSERT_TRUE(as_is);
  ASSERT_TRUE(drawn) << drawn.error().message;
  EXPECT_EQ(drawn->model.options().evidence_half, 2);
  EXPECT_EQ(drawn->model.options().evidence_prior, -3);
  SpamModel::Scratch scratch;
  const auto spam = world.message(true);  // with one header feature, known or not
  auto bare = spam;
  std::erase_if(bare, [](FeatureId id) { return place_of(id) == static_cast<size_t>(Place::kHeader); });
  EXPECT_FLOAT_EQ(drawn->model.score(bare, scratch).logit, -3) << "nothing is known of its headers";
  const float said = as_is->model.score(spam, scratch).logit;
  EXPECT_NEAR(drawn->model.score(spam, scratch).logit, said / 3 - 2, 1e-4f) << "one of one and two";
  const SpamExplanation why = drawn->model.explain(spam, scratch);
  float sum = why.neighbours + why.bias;
  for (const float part : why.by_place) sum += part;
  EXPECT_NEAR(sum, why.logit, 1e-3f);
  EXPECT_FLOAT_EQ(why.logit, drawn->model.score(spam, scratch).logit);
  // It learns nearly the same as the other, but for its first steps, and with what it learned the prior goes.
  for (int i = 0; i < 1'000; ++i) {
    const auto features = world.message(i % 2 == 0);
    ASSERT_TRUE(as_is->model.learn(0, features, i % 2 == 0));
    ASSERT_TRUE(drawn->model.learn(0, features, i % 2 == 0));
  }
  const float later = as_is->model.score(bare, scratch).logit;
  const float share = 64.0f / 1'064;
  EXPECT_NEAR(drawn->model.score(bare, scratch).logit, (1 - share) * later - 3 * share, 1);
  auto again = SpamModel::load(drawn->model.save("", true));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->model.score(bare, scratch).logit, drawn->model.score(bare, scratch).logit);
}

TEST(SpamModelFile, RefusesEveryDamage) {
  SpamOptions options = small_options();
  options.slots_log2 = 8;
  options.examples_max = 16;
  SpamModel model(options);
  World world;
  errors_over(model, world, 20, 0, true);
  const std::string bytes = model.save("card", false);
  ASSERT_TRUE(SpamModel::load(bytes));
  for (size_t i = 0; i < bytes.size(); i += 7) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(SpamModel::load(damaged)) << i;
  }
  for (const size_t length : {size_t{0}, size_t{7}, size_t{12}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_FALSE(SpamModel::load(bytes.substr(0, length))) << length;
  }
  EXPECT_FALSE(SpamModel::load(bytes + "x"));
}

// Damage that has a right checksum: what a hand with bad intent would write.
TEST(SpamModelFile, RefusesValuesThatNoModelHolds) {
  SpamOptions options = small_options();
  options.slots_log2 = 8;
  options.examples_max = 16;
  const std::string bytes = SpamModel(options).save("", false);
  const auto with = [&](size_t at, uint32_t value) {
    std::string changed = bytes.substr(0, bytes.size() - 8);
    std::memcpy(changed.data() + at, &value, 4);
    const uint64_t sum = base::hash64(changed);
    changed.append(reinterpret_cast<const char*>(&sum), 8);
    return SpamModel::load(changed);
  };
  constexpr size_t kOptions = 16;  // after magic, version and the length of an empty card
  EXPECT_TRUE(with(kOptions, 8));
  EXPECT_FALSE(with(8, 1)) << "version";
  EXPECT_FALSE(with(8, 3)) << "version with two numbers that are not there";
  EXPECT_FALSE(with(12, 0xffffffff)) << "card";
  EXPECT_FALSE(with(kOptions, 31)) << "slots";
  EXPECT_FALSE(with(kOptions + 4, 0xffffffff)) << "examples";
  EXPECT_FALSE(with(kOptions + 8, 0xffffffff)) << "replays";
  EXPECT_FALSE(with(kOptions + 12, 0x7fc00000)) << "rate is not a number";
  EXPECT_FALSE(with(kOptions + 48, 0x7f800000)) << "an infinite weight of the mixer";
}

}  // namespace
}  // namespace tamis::model
