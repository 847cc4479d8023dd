// What the two halves of MailLearner share, for them alone: mail_learner.cc learns and scores, mail_learner_files.cc
// keeps it on disk.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "learn/mail_learner.h"

namespace tamis::learn {

inline constexpr size_t kReporterBytesMax = 256;

inline void put(uint64_t value, size_t bytes, std::string& out) {
  for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// Reads little-endian numbers and texts from the front of bytes; `good` turns false at their end.
struct Taker {
  std::string_view bytes;
  bool good = true;
  uint64_t number(size_t count) {
    if (bytes.size() < count) {
      good = false;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    bytes.remove_prefix(count);
    return value;
  }
  std::string_view text(size_t count) {
    if (bytes.size() < count) {
      good = false;
      return {};
    }
    std::string_view out = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return out;
  }
};

// One line of the log: a vote, or all votes of a reporter taken back.
struct MailLearner::Record {
  // What its kind may have, as bits.
  static constexpr uint64_t kTakesBack = 1, kIsTruth = 2, kHasRecipient = 4;

  uint64_t sequence = 0;
  bool takes_back = false;
  bool is_truth = false;
  uint64_t recipient = 0;  // by hash; 0: not known
  MailLabel label = MailLabel::kForget;
  float weight = 1;
  int64_t time_ms = 0;
  uint64_t key = 0, id_hash = 0;
  std::string reporter;
  std::vector<model::FeatureId> features;

  void write(std::string& out) const {
    put(sequence, 8, out);
    put((takes_back ? kTakesBack : 0) | (is_truth ? kIsTruth : 0) | (recipient != 0 ? kHasRecipient : 0), 1, out);
    put(static_cast<uint64_t>(label), 1, out);
    put(std::bit_cast<uint32_t>(weight), 4, out);
    put(static_cast<uint64_t>(time_ms), 8, out);
    put(key, 8, out);
    put(id_hash, 8, out);
    if (recipient != 0) put(recipient, 8, out);
    put(reporter.size(), 2, out);
    out += reporter;
    append_features(features, out);
  }
  bool read(std::string_view bytes) {
    Taker taker{bytes};
    sequence = taker.number(8);
    const uint64_t kind = taker.number(1);
    takes_back = (kind & kTakesBack) != 0;
    is_truth = (kind & kIsTruth) != 0;
    const uint64_t of_label = taker.number(1);
    label = static_cast<MailLabel>(of_label);
    weight = std::bit_cast<float>(static_cast<uint32_t>(taker.number(4)));
    time_ms = static_cast<int64_t>(taker.number(8));
    key = taker.number(8);
    id_hash = taker.number(8);
    recipient = (kind & kHasRecipient) != 0 ? taker.number(8) : 0;
    reporter = taker.text(taker.number(2));
    return taker.good && kind < 8 && of_label <= 2 && weight >= 0 && weight <= 1 &&
           read_features(taker.bytes, features);
  }
};

}  // namespace tamis::learn
