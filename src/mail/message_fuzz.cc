// Any bytes as a message: facts and features come out, every view is valid UTF-8 where it says so, the limits hold, and
// the same bytes give the same facts.
#include "base/assert.h"
#include "mail/features.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tamis::mail;
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  static Analyser analyser;
  static Limits small_limits = [] {
    Limits limits;
    limits.parts_max = 8;
    limits.headers_max = 16;
    limits.depth_max = 3;
    limits.text_bytes_max = 256;
    limits.attachment_bytes_max = 64;
    limits.decoded_bytes_max = 512;
    limits.links_max = 4;
    limits.archive_members_max = 3;
    limits.words_max = 20;
    limits.features_max = 200;
    limits.html_depth_max = 4;
    limits.html_tags_max = 16;
    return limits;
  }();
  static Analyser small(small_limits);
  const Analysis& a = analyser.analyse(raw);
  for (const Part& part : a.message.parts) TAMIS_ASSERT(valid_utf8_bytes(part.text) == part.text.size());
  for (const ReadText& text : a.texts) TAMIS_ASSERT(valid_utf8_bytes(text.folded) == text.folded.size());
  TAMIS_ASSERT(valid_utf8_bytes(a.facts.subject) == a.facts.subject.size());
  TAMIS_ASSERT(valid_utf8_bytes(a.facts.from.name) == a.facts.from.name.size());
  for (const Attachment& file : a.facts.attachments) TAMIS_ASSERT(valid_utf8_bytes(file.name) == file.name.size());
  for (const Member& member : a.message.members) TAMIS_ASSERT(valid_utf8_bytes(member.name) == member.name.size());
  std::vector<Feature> features, again;
  std::vector<std::string> texts;
  collect_features(a, {}, features);
  collect_features(a, {}, again, &texts);
  TAMIS_ASSERT(features.size() == again.size() && texts.size() == again.size());
  TAMIS_ASSERT(features.size() <= Limits{}.features_max);
  for (size_t i = 0; i < features.size(); ++i) TAMIS_ASSERT(features[i].hash == again[i].hash);
  const Analysis& b = small.analyse(raw);
  TAMIS_ASSERT(b.message.parts.size() <= small_limits.parts_max);
  TAMIS_ASSERT(b.message.headers.size() <= small_limits.headers_max);
  TAMIS_ASSERT(b.links.size() <= small_limits.links_max);
  TAMIS_ASSERT(b.message.members.size() <= small_limits.archive_members_max);
  features.clear();
  collect_features(b, {}, features);
  TAMIS_ASSERT(features.size() <= small_limits.features_max);
  return 0;
}
