// The bytes of a spam model, little-endian throughout. docs/MAIL_MODEL.md describes the same layout for readers in
// other languages.
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/hash.h"
#include "model/packed_slots.h"
#include "model/spam_model.h"

namespace tamis::model {
namespace {

constexpr std::string_view kMagic = "TAMISPAM";
constexpr uint32_t kVersion = 2;
constexpr uint32_t kVersionWithEvidence = 3;  // the same with two numbers more
constexpr size_t kCardBytesMax = 1 << 20;
constexpr uint32_t kSlotsLog2Min = 8;
constexpr uint32_t kSlotsLog2Max = 22;
constexpr uint32_t kExamplesMin = 16;
constexpr uint32_t kExamplesMax = 32'768;
constexpr uint32_t kReplaysMax = 256;
constexpr float kWeightMax = 1e6f;
constexpr float kCountMax = 1e9f;

template <class T>
void put(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T> && std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Reads forward; once the bytes are too short, everything reads as zero and `good` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T get() {
    T value{};
    if (bytes_.size() < sizeof(T)) {
      good = false;
      bytes_ = {};
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  float number(float least, float most) {
    const auto value = get<float>();
    if (!(value >= least && value <= most)) good = false;  // not a number fails both
    return good ? value : 0.0f;
  }
  std::string_view text(size_t bytes) {
    if (bytes > bytes_.size()) {
      good = false;
      return {};
    }
    const auto found = bytes_.substr(0, bytes);
    bytes_.remove_prefix(bytes);
    return found;
  }
  size_t left() const { return bytes_.size(); }
  bool good = true;

 private:
  std::string_view bytes_;
};

base::Error broken(std::string_view what) {
  return {base::Code::kInvalid, "this is no usable spam model: " + std::string(what)};
}

void put_slots(std::string& out, const TableOf<Slot>& slots) {
  const Slot empty;
  uint32_t used = 0;
  for (const Slot& slot : slots) used += !(slot == empty);
  put(out, used);
  for (size_t i = 0; i < slots.size(); ++i) {
    if (slots[i] == empty) continue;
    put(out, static_cast<uint32_t>(i));
    put(out, slots[i]);
  }
}

bool get_slots(Reader& in, TableOf<Slot>& slots) {
  const auto used = in.get<uint32_t>();
  if (used > slots.size()) return false;
  uint64_t least = 0;
  for (uint32_t i = 0; i < used && in.good; ++i) {
    const auto at = in.get<uint32_t>();
    if (at < least || at >= slots.size()) return false;
    least = uint64_t{at} + 1;
    for (float& weight : slots[at].weight) weight = in.number(-kWeightMax, kWeightMax);
    slots[at].ham = in.number(0, kCountMax);
    slots[at].spam = in.number(0, kCountMax);
  }
  return in.good;
}

void put_mixer(std::string& out, const Mixer::Weights& weights) {
  for (size_t i = 0; i < kLearners; ++i) put(out, weights.weights[i]);
  put(out, weights.bias);
}

void get_mixer(Reader& in, Mixer::Weights& weights) {
  for (size_t i = 0; i < kLearners; ++i) weights.weights[i] = in.number(-kWeightMax, kWeightMax);
  weights.bias = in.number(-kWeightMax, kWeightMax);
}

void put_examples(std::string& out, const ExampleStore& examples) {
  put(out, examples.end());
  for (uint64_t sequence = examples.begin(); sequence < examples.end(); ++sequence) {
    const Example& example = examples.at(sequence);
    put(out, example.id);
    put(out, static_cast<uint8_t>((example.spam ? 1 : 0) | (example.alive ? 2 : 0)));
    put(out, example.doubt);
    for (const float sum : example.taught.linear) put(out, sum);
    for (const float said : example.taught.opinions) put(out, said);
    put(out, example.taught.mixer);
    put(out, example.taught.context);
    put(out, static_cast<uint16_t>(example.features.size()));
    for (const FeatureId id : example.features) put(out, id);
  }
}

bool get_taught(Reader& in, Taught& taught) {
  for (float& sum : taught.linear) sum = in.number(-kWeightMax, kWeightMax);
  for (float& said : taught.opinions) said = in.number(-Mixer::kInputMax, Mixer::kInputMax);
  taught.mixer = in.number(-1, 1);
  taught.context = in.get<uint8_t>();
  return in.good && taught.context < Mixer::kContexts;
}

bool get_examples(Reader& in, bool with_taught, uint32_t examples_max, ExampleStore& examples, Neighbours& neighbours) {
  const auto end = in.get<uint64_t>();
  if (!in.good || end > (uint64_t{1} << 62)) return false;
  const uint64_t begin = end > examples_max ? end - examples_max : 0;
  examples.start_at(begin);
  std::vector<FeatureId> features;
  for (uint64_t sequence = begin; sequence < end; ++sequence) {
    const auto id = in.get<uint64_t>();
    const auto flags = in.get<uint8_t>();
    const float doubt = in.number(0, 1);
    Taught taught;
    if (with_taught && !get_taught(in, taught)) return false;
    const auto count = in.get<uint16_t>();
    if (!in.good || flags > 3 || count > kFeaturesMax || count * sizeof(FeatureId) > in.left()) return false;
    features.clear();
    for (uint16_t i = 0; i < count; ++i) features.push_back(in.get<FeatureId>());
    if (!is_feature_set(features)) return false;
    const uint64_t got = examples.append(id, features, (flags & 1) != 0);
    neighbours.set_sizes(got, features);
    examples.at(got).doubt = doubt;
    examples.at(got).taught = taught;
    if ((flags & 2) == 0) examples.kill(examples.at(got));
  }
  return in.good;
}

}  // namespace

std::string SpamModel::save(std::string_view card, bool with_examples) const {
  return save_as(card, with_examples, SlotForm::kExact, options_);
}

std::string SpamModel::save_packed(std::string_view card, uint32_t examples_max, uint32_t replays) const {
  SpamOptions options = options_;
  options.examples_max = examples_max;
  options.replays = replays;
  return save_as(card, false, SlotForm::kPacked, options);
}

std::string SpamModel::save_as(std::string_view card, bool with_examples, SlotForm form,
                               const SpamOptions& options) const {
  std::string out(kMagic);
  const bool has_evidence = options.evidence_half > 0;
  put(out, has_evidence ? kVersionWithEvidence : kVersion);
  card = card.substr(0, kCardBytesMax);
  put(out, static_cast<uint32_t>(card.size()));
  out += card;
  put(out, options.slots_log2);
  put(out, options.examples_max);
  put(out, options.replays);
  put(out, options.rate);
  put(out, options.threshold);
  put(out, options.learners);
  if (has_evidence) {
    put(out, options.evidence_half);
    put(out, options.evidence_prior);
  }
  for (const uint64_t learned : learned_) put(out, learned);
  put(out, steps_);
  put_mixer(out, mixer_.state().common);
  for (const Mixer::Weights& own : mixer_.state().own) put_mixer(out, own);
  for (const float bias : weights_.bias()) put(out, bias);
  put(out, form);
  if (form == SlotForm::kPacked) {
    const std::string packed = pack_slots(weights_.slots());
    put(out, static_cast<uint32_t>(packed.size()));
    out += packed;
  } else {
    put_slots(out, weights_.slots());
  }
  put(out, static_cast<uint8_t>(with_examples ? 2 : 0));
  if (with_examples) {
    put_examples(out, examples_);
    neighbours_.save(out);
  }
  put(out, base::hash64(out));
  return out;
}

base::Result<SpamModel::Loaded> SpamModel::load(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 2 * sizeof(uint64_t) || bytes.substr(0, kMagic.size()) != kMagic) {
    return tl::unexpected(broken("it does not begin with TAMISPAM"));
  }
  const std::string_view content = bytes.substr(0, bytes.size() - sizeof(uint64_t));
  if (Reader(bytes.substr(content.size())).get<uint64_t>() != base::hash64(content)) {
    return tl::unexpected(broken("its checksum does not match, it is damaged or cut short"));
  }
  Reader in(content.substr(kMagic.size()));
  const auto version = in.get<uint32_t>();
  if (version != kVersion && version != kVersionWithEvidence) {
    return tl::unexpected(broken("its version is " + std::to_string(version) + ", expected 2 or 3"));
  }
  const auto card_bytes = in.get<uint32_t>();
  if (card_bytes > kCardBytesMax) return tl::unexpected(broken("its card is longer than 1 MiB"));
  const std::string card(in.text(card_bytes));
  SpamOptions options;
  options.slots_log2 = in.get<uint32_t>();
  options.examples_max = in.get<uint32_t>();
  options.replays = in.get<uint32_t>();
  options.rate = in.number(0, 1000);
  options.threshold = in.number(0, 1);
  options.learners = in.get<uint32_t>();
  if (version == kVersionWithEvidence) {
    options.evidence_half = in.number(0, 1000);
    options.evidence_prior = in.number(-100, 100);
  }
  if (!in.good || options.slots_log2 < kSlotsLog2Min || options.slots_log2 > kSlotsLog2Max ||
      options.examples_max < kExamplesMin || options.examples_max > kExamplesMax || options.replays > kReplaysMax) {
    return tl::unexpected(broken("its options are out of range"));
  }
  Loaded loaded{SpamModel(options), card};
  SpamModel& model = loaded.model;
  for (uint64_t& learned : model.learned_) learned = in.get<uint64_t>();
  model.steps_ = in.get<uint64_t>();
  Mixer::State mixer;
  get_mixer(in, mixer.common);
  for (Mixer::Weights& own : mixer.own) get_mixer(in, own);
  model.mixer_.set_state(mixer);
  for (float& bias : model.weights_.bias()) bias = in.number(-kWeightMax, kWeightMax);
  const auto form = in.get<SlotForm>();
  const bool got = form == SlotForm::kExact    ? get_slots(in, model.weights_.slots())
                   : form == SlotForm::kPacked ? unpack_slots(in.text(in.get<uint32_t>()), model.weights_.slots())
                                               : false;
  if (!in.good || !got) return tl::unexpected(broken("its weights are out of range"));
  const auto has_examples = in.get<uint8_t>();
  if (has_examples == 1 || has_examples == 2) {
    if (!get_examples(in, has_examples == 2, options.examples_max, model.examples_, model.neighbours_)) {
      return tl::unexpected(broken("its examples are no feature sets"));
    }
    if (!model.neighbours_.load(in.text(model.neighbours_.saved_bytes()))) {
      return tl::unexpected(broken("its index of neighbours is cut short"));
    }
  } else if (has_examples != 0) {
    return tl::unexpected(broken("it does not say whether examples follow"));
  }
  if (!in.good || in.left() != 0) return tl::unexpected(broken("bytes are missing or left over"));
  return loaded;
}

}  // namespace tamis::model
