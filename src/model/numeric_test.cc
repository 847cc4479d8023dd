#include "model/numeric.h"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <cmath>

namespace tamis::model {
namespace {

RC_GTEST_PROP(PlainNumbers, LogarithmIsNearTheLibrarys, (uint32_t bits)) {
  const float x = std::bit_cast<float>((bits & 0x007fffffu) | (1 + (bits >> 23) % 254) << 23);
  RC_ASSERT(std::fabs(plain_log(x) - std::log(static_cast<double>(x))) < 2e-5);
}

RC_GTEST_PROP(PlainNumbers, ExponentialIsNearTheLibrarys, (int32_t number)) {
  const double x = static_cast<double>(number) / (1u << 26);  // -32..32
  RC_ASSERT(std::fabs(plain_exp(x) / std::exp(x) - 1) < 1e-6);
}

TEST(PlainNumbers, LogisticSaturates) {
  EXPECT_DOUBLE_EQ(logistic(0), 0.5);
  EXPECT_GT(logistic(1e300), 0.999999);
  EXPECT_LT(logistic(-1e300), 0.000001);
}

}  // namespace
}  // namespace tamis::model
