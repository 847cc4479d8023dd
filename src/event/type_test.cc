#include "event/type.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace tamis::event {
namespace {

TEST(Type, WritesTheNotationOfTheConformanceSuite) {
  EXPECT_EQ(to_string(Type::integer()), "int");
  EXPECT_EQ(to_string(Type::null()), "null");
  EXPECT_EQ(to_string(Type::list(Type::list(Type::dyn()))), "list(list(dyn))");
  EXPECT_EQ(to_string(Type::map(Type::string(), Type::dyn())), "map(string, dyn)");
  EXPECT_EQ(to_string(Type::wrapper(Type::integer())), "wrapper(int)");
  EXPECT_EQ(to_string(Type::optional(Type::integer())), "optional_type(int)");
  EXPECT_EQ(to_string(Type::type(Type::integer())), "type(int)");
  EXPECT_EQ(to_string(Type{Type::Kind::kType, {}, {}}), "type");
  EXPECT_EQ(to_string(Type::opaque("tuple", {Type::param("T"), Type::param("U")})), "tuple(~T, ~U)");
  EXPECT_EQ(to_string(Type::opaque("net.IP")), "net.IP");
}

TEST(Type, ReadsNamesOfWellKnownMessages) {
  EXPECT_EQ(*parse_type("google.protobuf.Timestamp"), Type::timestamp());
  EXPECT_EQ(*parse_type("google.protobuf.Duration"), Type::duration());
  EXPECT_EQ(*parse_type("google.protobuf.Struct"), Type::map(Type::string(), Type::dyn()));
  EXPECT_EQ(*parse_type("google.protobuf.UInt32Value"), Type::wrapper(Type::uinteger()));
  EXPECT_EQ(*parse_type("null_type"), Type::null());
  EXPECT_EQ(*parse_type(" map( string ,list(int) ) "), Type::map(Type::string(), Type::list(Type::integer())));
  EXPECT_EQ(*parse_type("list"), Type::list(Type::dyn()));
}

TEST(Type, RefusesWhatIsNoType) {
  for (const char* text : {"", "list(", "list(int", "list()", "list(int,int)", "map(int)", "int(string)", "wrapper",
                           "wrapper(list(int))", "~", "int int", "9a", "list(int))", "a(,)"}) {
    auto type = parse_type(text);
    ASSERT_FALSE(type) << text;
    EXPECT_EQ(type.error().code, base::Code::kInvalid) << text;
  }
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "list(";
  EXPECT_EQ(parse_type(deep).error().code, base::Code::kLimit);
}

Type arbitrary_type(int depth) {
  int choice = *rc::gen::inRange(0, depth > 3 ? 10 : 17);
  switch (choice) {
    case 0:
      return Type::dyn();
    case 1:
      return Type::null();
    case 2:
      return Type::boolean();
    case 3:
      return Type::integer();
    case 4:
      return Type::uinteger();
    case 5:
      return Type::real();
    case 6:
      return Type::bytes();
    case 7:
      return Type::timestamp();
    case 8:
      return Type::param("T");
    case 9:
      return Type::opaque("net.IP");
    case 10:
      return Type::list(arbitrary_type(depth + 1));
    case 11:
      return Type::map(arbitrary_type(depth + 1), arbitrary_type(depth + 1));
    case 12:
      return Type::type(arbitrary_type(depth + 1));
    case 13:
      return Type::optional(arbitrary_type(depth + 1));
    case 14:
      return Type::wrapper(Type::string());
    case 15:
      return Type::opaque("tuple", {arbitrary_type(depth + 1), arbitrary_type(depth + 1)});
    default:
      return Type::duration();
  }
}

TEST(Type, ParseIsTheInverseOfToString) {
  EXPECT_TRUE(rc::check([] {
    Type type = arbitrary_type(0);
    auto back = parse_type(to_string(type));
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == type);
  }));
}

}  // namespace
}  // namespace tamis::event
