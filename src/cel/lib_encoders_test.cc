#include <rapidcheck.h>

#include "cel/lib_test.h"

namespace tamis::cel::lib {
namespace {

TEST(LibEncoders, Base64) {
  Lab lab;
  check_all(lab, {
                     {"base64.encode", {B("hello")}, "\"aGVsbG8=\""},
                     {"base64.encode", {B("")}, "\"\""},
                     {"base64.encode", {B("\xff\xfe\xfd\xfc")}, "\"//79/A==\""},
                     {"base64.decode", {S("aGVsbG8=")}, "b\"hello\""},
                     {"base64.decode", {S("aGVsbG8")}, "b\"hello\""},
                     {"base64.decode", {S("//79/A")}, "b\"\\xff\\xfe\\xfd\\xfc\""},
                     {"base64.decode", {S("")}, "b\"\""},
                     {"base64.decode", {S("a")}, "!invalid"},
                     {"base64.decode", {S("aGVsbG8==")}, "!invalid"},
                     {"base64.decode", {S("aGVs=G8=")}, "!invalid"},
                     {"base64.decode", {S("a===")}, "!invalid"},
                     {"base64.decode", {S("aGVs bG8")}, "!invalid"},
                     {"base64.decode", {S("-_-_")}, "!invalid"},
                     {"base64.decode", {S("\u00e9\u00e9")}, "!invalid"},
                 });
  EXPECT_EQ(lab.run("base64.encode", {B(std::string(900'000, 'x'))}), "!limit");
}

TEST(LibEncoders, DecodesWhatItEncodes) {
  Lab lab;
  EXPECT_TRUE(rc::check([&](const std::string& bytes) {
    Value encoded = lab.call("base64.encode", {B(bytes)});
    RC_ASSERT(lab.call("base64.decode", {encoded}).str() == bytes);
    std::string bare(encoded.str().substr(0, encoded.str().find('=')));
    RC_ASSERT(lab.call("base64.decode", {S(bare)}).str() == bytes);
    lab.arena.reset();
  }));
}

}  // namespace
}  // namespace tamis::cel::lib
