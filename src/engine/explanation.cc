#include "engine/explanation.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tamis::engine {
namespace {

using event::JsonWriter;
using event::Kind;
using event::Value;
using policy::DetectorOutput;
using policy::DetectorRead;
using policy::DetectorTerm;

// The outputs of one detector, with their values.
class Said {
 public:
  Said(const policy::DetectorKindInfo& info, const policy::EventType& type, uint32_t detector,
       std::span<const Value> slots) {
    for (const DetectorRead& read : type.detector_reads) {
      if (read.detector != detector) continue;
      const Value value = slots[static_cast<size_t>(read.slot)];
      const bool is_there = !value.is(Kind::kAbsent) && !value.is(Kind::kNull) && !value.is_error();
      if (is_there) outputs_.push_back({&info.outputs[read.output], value});
    }
  }

  const Value* one(DetectorTerm term) const {
    for (const Output& output : outputs_) {
      if (output.info->term == term) return output.value.is(Kind::kDouble) ? &output.value : nullptr;
    }
    return nullptr;
  }

  void factors(DetectorTerm term, JsonWriter& json) const {
    std::vector<Output> factors;
    for (const Output& output : outputs_) {
      if (output.info->term == term && output.value.is(Kind::kDouble)) factors.push_back(output);
    }
    std::stable_sort(factors.begin(), factors.end(), [](const Output& a, const Output& b) {
      return std::abs(a.value.d) != std::abs(b.value.d) ? std::abs(a.value.d) > std::abs(b.value.d)
                                                        : a.info->name < b.info->name;
    });
    json.key("factors").begin_array();
    for (const Output& factor : factors) {
      json.begin_object().key("factor").string(factor.info->name).key("words").string(factor.info->words);
      json.key("log_odds").real(factor.value.d).end_object();
    }
    json.end_array();
  }

  void about(JsonWriter& json) const {
    json.key("about").begin_object();
    for (const Output& output : outputs_) {
      if (output.info->term == DetectorTerm::kAbout) json.key(output.info->name).value(output.value);
    }
    json.end_object();
  }

 private:
  struct Output {
    const DetectorOutput* info;
    Value value;
  };
  std::vector<Output> outputs_;
};

}  // namespace

void write_explanation(const policy::Policy& policy, const policy::EventType& type, std::span<const Value> slots,
                       JsonWriter& json) {
  bool open = false;
  for (const policy::DetectorFeed& feed : type.feeds) {
    const policy::DetectorDecl& decl = policy.detectors[feed.detector];
    const policy::DetectorKindInfo& info = policy::info_of(decl.kind);
    const Said said(info, type, feed.detector, slots);
    const Value* score = said.one(DetectorTerm::kScore);
    const Value* sum = said.one(DetectorTerm::kSum);
    if (score == nullptr || sum == nullptr) continue;
    if (!open) json.key("explanation").begin_array();
    open = true;
    json.begin_object().key("detector").string(decl.name).key("says").string(info.says);
    json.key("score").real(score->d).key("log_odds").real(sum->d).key("score_of").real(info.score_of);
    said.factors(DetectorTerm::kFactor, json);
    if (const Value* likeness = said.one(DetectorTerm::kLikenessSum); likeness != nullptr) {
      json.key("likeness").begin_object().key("log_odds").real(likeness->d);
      said.factors(DetectorTerm::kLikenessFactor, json);
      json.end_object();
    }
    said.about(json);
    json.end_object();
  }
  if (open) json.end_array();
}

}  // namespace tamis::engine
