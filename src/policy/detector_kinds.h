// What a policy may say of detectors: their kinds, the parts that event types play for them, what they take from an
// event and what expressions can read of them. A description only: the detectors themselves live in src/detect, and the
// engine joins the two.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "event/type.h"

namespace tamis::policy {

// What an event type is to a detector.
enum class DetectorPart : uint8_t {
  kSignup,
  kLogin,
  kSession,
  kChange,
  kSend,
  kBounce,
  kComplaint,
  kPayment,
  kConfirm,
};
inline constexpr size_t kDetectorParts = 9;
std::string_view name_of(DetectorPart part);

// What a detector takes from an event. Which part takes which: inputs_of().
enum class DetectorInput : uint8_t {
  kAccount,
  kIp,
  kAsn,
  kCountry,
  kNet,
  kUserAgent,
  kDevice,
  kTls,
  kLanguage,
  kTimeZone,
  kCookie,
  kRttMs,
  kLocal,
  kDomain,
  kScreen,
  kGpu,
  kCanvas,
  kCores,
  kRecovery,
  kCaptcha,
  kCaptchaTries,
  kCaptchaMs,
  kFillMs,
  kPasted,
  kSuccess,
  kAccountExists,
  kSecondFactor,
  kSecondFactorFailed,
  kWhat,
  kRecipients,
  kNewRecipients,
  kSubjectHash,
  kBodyHash,
  kLinkDomains,
  kHard,
  kBin,
  kCard,
  kCardCountry,
  kCents,
  kWasOwner,
};
inline constexpr size_t kDetectorInputs = 40;

struct DetectorInputInfo {
  DetectorInput input;
  std::string_view name;
  event::Type type;           // dyn: text or a whole number
  std::string_view fallback;  // the name that stands for it where neither the policy maps it nor a field has its name
  std::string_view doc;
};
const DetectorInputInfo& info_of(DetectorInput input);
std::span<const DetectorInput> inputs_of(DetectorPart part);

// What an output is to the explanation of a decision (engine/explanation.h).
enum class DetectorTerm : uint8_t {
  kNone,
  kAbout,           // told beside it
  kScore,           // 0..1
  kSum,             // the score as log-odds
  kFactor,          // one of those that add up to kSum
  kLikenessSum,     // how much the event looks like its cluster's next member, as log-odds
  kLikenessFactor,  // one of those that add up to kLikenessSum
};

// What expressions can read of a detector, as NAME.OUTPUT.
struct DetectorOutput {
  std::string_view name;
  event::Type type;
  uint32_t parts;           // a bit for each part whose events have it
  std::string_view entity;  // kind of entity that the value names, or empty
  std::string_view doc;
  DetectorTerm term = DetectorTerm::kNone;
  std::string_view words = {};  // of a factor, in an explanation for analysts
};

enum class DetectorKind : uint8_t { kSignupClusters, kLoginRisk };

// Whole numbers that a policy may set.
struct DetectorLimit {
  std::string_view name;
  int64_t fallback, least, most;
  std::string_view doc;
};

struct DetectorKindInfo {
  DetectorKind kind;
  std::string_view name;
  std::string_view doc;
  std::string_view says;  // what its score is the chance of
  double score_of;        // its score is the logistic of its log-odds, divided by this
  uint32_t parts;         // a bit for each that it watches
  std::span<const DetectorOutput> outputs;
  std::span<const DetectorLimit> limits;
  // What a trained model over the detector reads, in this order; empty: it takes none.
  std::span<const std::string_view> model_features;
  uint32_t state_version;  // of what it keeps: another one begins anew
};
std::span<const DetectorKindInfo> detector_kinds();
const DetectorKindInfo& info_of(DetectorKind kind);

// What a cluster's score is the sum of, in the order of detect::ClusterPart.
struct ClusterFactor {
  std::string_view name, words;
};
std::span<const ClusterFactor> cluster_factors();
inline uint32_t bit_of(DetectorPart part) { return 1U << static_cast<uint32_t>(part); }

// Outputs by place, in the order of DetectorKindInfo::outputs.
namespace signup_output {
enum : uint32_t {
  kScore,
  kCluster,
  kLogOdds,
  kFirstPart,                    // ten of them, then
  kFirstView = kFirstPart + 10,  // seven of them, then
  kLikeness = kFirstView + 7,
  kLikenessPace,
  kLikenessDoubt,
  kClusterScore,
  kClusterSize,
  kClusterViews,
  kClusterSince,
  kClusterActionable,
  kClusterConfirmed,
  kKnownGood,
  kClusterCleared,
};
}
namespace login_output {
enum : uint32_t { kScore, kLogOdds, kBase, kFirstFactor };
}

// The event type whose events the engine makes itself: what detectors found. Its fields are filled by the names that
// finding_fields() gives; those it does not declare are left out.
inline constexpr std::string_view kFindingType = "finding";
struct FindingField {
  std::string_view name;
  event::Type type;
  std::string_view doc;
};
std::span<const FindingField> finding_fields();

}  // namespace tamis::policy
