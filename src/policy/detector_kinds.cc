#include "policy/detector_kinds.h"

#include <array>

#include "base/assert.h"

namespace tamis::policy {

using event::Type;
using In = DetectorInput;
using Part = DetectorPart;

namespace {

constexpr std::string_view kPartNames[kDetectorParts] = {"signup", "login",     "session", "change", "send",
                                                         "bounce", "complaint", "payment", "confirm"};

const std::array<DetectorInputInfo, kDetectorInputs>& inputs() {
  static const std::array<DetectorInputInfo, kDetectorInputs> kInputs = {{
      {In::kAccount, "account", Type::string(), "", "the account that the event is about"},
      {In::kIp, "ip", Type::string(), "", "address of the client"},
      {In::kAsn, "asn", Type::integer(), "ip.asn", "number of the provider's network"},
      {In::kCountry, "country", Type::string(), "ip.country", "country of the address"},
      {In::kNet, "net", Type::string(), "ip.tag",
       "class of the network: res, mob, biz, dc, vpn or tor. It only selects among whom to compare"},
      {In::kUserAgent, "user_agent", Type::string(), "", ""},
      {In::kDevice, "device", Type::string(), "", "fingerprint of the device"},
      {In::kTls, "tls", Type::string(), "", "fingerprint of the TLS client"},
      {In::kLanguage, "language", Type::string(), "", ""},
      {In::kTimeZone, "time_zone", Type::string(), "", ""},
      {In::kCookie, "cookie", Type::string(), "", "device cookie"},
      {In::kRttMs, "rtt_ms", Type::integer(), "", "round trip of the application"},
      {In::kLocal, "local", Type::string(), "", "the chosen local part"},
      {In::kDomain, "domain", Type::string(), "", "the chosen domain, one of the service's own"},
      {In::kScreen, "screen", Type::string(), "", ""},
      {In::kGpu, "gpu", Type::string(), "", ""},
      {In::kCanvas, "canvas", Type::string(), "", ""},
      {In::kCores, "cores", Type::integer(), "", ""},
      {In::kRecovery, "recovery", Type::string(), "", "address for recovery"},
      {In::kCaptcha, "captcha", Type::string(), "", "kind of the challenge that was solved"},
      {In::kCaptchaTries, "captcha_tries", Type::integer(), "", ""},
      {In::kCaptchaMs, "captcha_ms", Type::integer(), "", ""},
      {In::kFillMs, "fill_ms", Type::integer(), "", "time to fill the form"},
      {In::kPasted, "pasted", Type::boolean(), "", ""},
      {In::kSuccess, "success", Type::boolean(), "", "the password was right, or the card was accepted"},
      {In::kAccountExists, "account_exists", Type::boolean(), "",
       "false: there is no such account (true if not given)"},
      {In::kSecondFactor, "second_factor", Type::boolean(), "", "a second factor was given"},
      {In::kSecondFactorFailed, "second_factor_failed", Type::boolean(), "", ""},
      {In::kWhat, "what", Type::string(), "",
       "what was changed: recovery, password, password_reset, forwarding, filter or second_factor"},
      {In::kRecipients, "recipients", Type::integer(), "", ""},
      {In::kNewRecipients, "new_recipients", Type::integer(), "", "recipients that the account never wrote to before"},
      {In::kSubjectHash, "subject_hash", Type::dyn(), "",
       "64-bit simhash of the subject: hexadecimal text, or a number"},
      {In::kBodyHash, "body_hash", Type::dyn(), "", "64-bit simhash of the text: hexadecimal text, or a number"},
      {In::kLinkDomains, "link_domains", Type::list(Type::string()), "", "domains that the message links to"},
      {In::kHard, "hard", Type::boolean(), "", "the bounce is permanent"},
      {In::kBin, "bin", Type::integer(), "", "first digits of the card"},
      {In::kCard, "card", Type::string(), "", "a hash that stands for the card"},
      {In::kCardCountry, "card_country", Type::string(), "", ""},
      {In::kCents, "cents", Type::integer(), "", ""},
      {In::kWasOwner, "was_owner", Type::boolean(), "", "whether the owner stands behind what was not confirmed yet"},
  }};
  return kInputs;
}

constexpr In kClient[] = {In::kAccount, In::kIp,  In::kAsn,      In::kCountry,  In::kNet,    In::kUserAgent,
                          In::kDevice,  In::kTls, In::kLanguage, In::kTimeZone, In::kCookie, In::kRttMs};

template <size_t N>
constexpr std::array<In, std::size(kClient) + N> with_client(const In (&more)[N]) {
  std::array<In, std::size(kClient) + N> all{};
  for (size_t i = 0; i < std::size(kClient); ++i) all[i] = kClient[i];
  for (size_t i = 0; i < N; ++i) all[std::size(kClient) + i] = more[i];
  return all;
}

constexpr auto kSignup =
    with_client({In::kLocal, In::kDomain, In::kScreen, In::kGpu, In::kCanvas, In::kCores, In::kRecovery, In::kCaptcha,
                 In::kCaptchaTries, In::kCaptchaMs, In::kFillMs, In::kPasted});
constexpr auto kLogin = with_client({In::kSuccess, In::kAccountExists, In::kSecondFactor, In::kSecondFactorFailed});
constexpr auto kChange = with_client({In::kWhat});
constexpr auto kSend =
    with_client({In::kRecipients, In::kNewRecipients, In::kSubjectHash, In::kBodyHash, In::kLinkDomains});
constexpr auto kPayment = with_client({In::kBin, In::kCard, In::kCardCountry, In::kCents, In::kSuccess});
constexpr In kBounce[] = {In::kAccount, In::kHard};
constexpr In kComplaint[] = {In::kAccount};
constexpr In kConfirm[] = {In::kAccount, In::kWasOwner};

constexpr uint32_t bits(std::initializer_list<Part> parts) {
  uint32_t all = 0;
  for (Part part : parts) all |= 1U << static_cast<uint32_t>(part);
  return all;
}

constexpr uint32_t kOfSignup = bits({Part::kSignup});
constexpr uint32_t kOfAccount =
    bits({Part::kSignup, Part::kLogin, Part::kSession, Part::kSend, Part::kBounce, Part::kComplaint, Part::kPayment});
constexpr uint32_t kOfLogin = bits({Part::kLogin, Part::kSession, Part::kChange});

std::span<const DetectorOutput> signup_outputs() {
  static const DetectorOutput kOutputs[] = {
      {"score", Type::real(), kOfAccount, "",
       "0..1, how likely a bulk registration: of a signup as it came, elsewhere of the account with all that is known"},
      {"cluster", Type::integer(), kOfAccount, "cluster", "the cluster that it belongs to; absent: none"},
      {"log_odds", Type::real(), kOfSignup, "", "the same as log-odds: the sum of the parts"},
      {"parts.base", Type::real(), kOfSignup, "", "log-odds of anyone"},
      {"parts.membership", Type::real(), kOfSignup, "", "how much likelier it is as the cluster's next member"},
      {"parts.evidence", Type::real(), kOfSignup, "", "how well the cluster has predicted its members so far"},
      {"parts.aftermath", Type::real(), kOfSignup, "", "what the cluster's members did later"},
      {"parts.surprise", Type::real(), kOfSignup, "", "a combination of attributes that returns too often"},
      {"parts.head", Type::real(), kOfSignup, "", "what a trained head adds; never below zero"},
      {"views.name", Type::real(), kOfSignup, "", "what the way of making names adds to the log-odds"},
      {"views.device", Type::real(), kOfSignup, "", "what the device adds"},
      {"views.network", Type::real(), kOfSignup, "", "what the network adds"},
      {"views.locale", Type::real(), kOfSignup, "", "what language and time zone add"},
      {"views.recovery", Type::real(), kOfSignup, "", "what the recovery domain adds"},
      {"views.behaviour", Type::real(), kOfSignup, "", "what typing, times and captcha add"},
      {"views.reuse", Type::real(), kOfSignup, "", "what a cookie or recovery mailbox seen before adds"},
      {"cluster_score", Type::real(), kOfAccount, "", "0..1, of the cluster as such; absent: no cluster"},
      {"cluster_size", Type::real(), kOfAccount, "", "members, older ones counting less; absent: no cluster"},
      {"cluster_views", Type::integer(), kOfAccount, "", "views of which the cluster's members share something"},
      {"cluster_since", Type::timestamp(), kOfAccount, "", "when its first member signed up"},
      {"cluster_actionable", Type::boolean(), kOfAccount, "", "whether the cluster has proven itself in two views"},
      {"cluster_confirmed", Type::boolean(), kOfAccount, "", "whether people have confirmed it"},
      {"cluster_cleared", Type::boolean(), kOfAccount, "", "whether people have cleared it, and that still holds"},
  };
  return kOutputs;
}

std::span<const DetectorOutput> login_outputs() {
  static const DetectorOutput kOutputs[] = {
      {"score", Type::real(), kOfLogin, "", "0..1, how much likelier an intruder's than the owner's"},
      {"log_odds", Type::real(), kOfLogin, "", "the same as log-odds: the sum of the factors"},
      {"factors.network", Type::real(), kOfLogin, "", "address, network, provider, country against the account's own"},
      {"factors.client", Type::real(), kOfLogin, "", "device, user agent, browser and system"},
      {"factors.locale", Type::real(), kOfLogin, "", "language and time zone"},
      {"factors.cookie", Type::real(), kOfLogin, "", "an unknown device cookie, or a known one on another device"},
      {"factors.tls", Type::real(), kOfLogin, "", "a TLS client that does not go with the browser that it says it is"},
      {"factors.campaign", Type::real(), kOfLogin, "", "what it shares with unfamiliar attempts on other accounts"},
      {"factors.origin", Type::real(), kOfLogin, "", "goes on from a login that was told of already"},
      {"factors.change", Type::real(), kOfLogin, "", "a change that keeps the owner out, after an unconfirmed login"},
  };
  return kOutputs;
}

}  // namespace

std::string_view name_of(DetectorPart part) { return kPartNames[static_cast<size_t>(part)]; }

const DetectorInputInfo& info_of(DetectorInput input) {
  const DetectorInputInfo& info = inputs()[static_cast<size_t>(input)];
  TAMIS_ASSERT(info.input == input);
  return info;
}

std::span<const DetectorInput> inputs_of(DetectorPart part) {
  switch (part) {
    case Part::kSignup:
      return kSignup;
    case Part::kLogin:
      return kLogin;
    case Part::kSession:
      return kClient;
    case Part::kChange:
      return kChange;
    case Part::kSend:
      return kSend;
    case Part::kBounce:
      return kBounce;
    case Part::kComplaint:
      return kComplaint;
    case Part::kPayment:
      return kPayment;
    case Part::kConfirm:
      return kConfirm;
  }
  return {};
}

std::span<const DetectorKindInfo> detector_kinds() {
  static const DetectorLimit kSignupLimits[] = {
      {"accounts_max", 2'000'000, 1'000, 100'000'000, "live signups"},
      {"keys_max", 8'000'000, 1'000, 1'000'000'000, "combinations seen twice or more"},
      {"values_max", 4'000'000, 1'000, 1'000'000'000, "attribute values of the background"},
      {"clusters_max", 16'384, 16, 1'000'000, "live clusters"},
  };
  static const DetectorLimit kLoginLimits[] = {
      {"accounts_max", 1'000'000, 1'000, 100'000'000, "profiles"},
      {"values_max", 2'000'000, 1'000, 1'000'000'000, "attribute values of the background"},
      {"campaign_keys_max", 1'000'000, 1'000, 100'000'000, "what unfamiliar attempts share"},
  };
  static constexpr std::string_view kSignupFeatures[] = {
      "log_odds",     "prior",       "name",          "device",         "network",    "locale",
      "recovery",     "behaviour",   "reuse",         "cluster_size",   "mean_name",  "mean_device",
      "mean_network", "mean_locale", "mean_recovery", "mean_behaviour", "mean_reuse", "key_surprise",
      "rare_fill",    "rare_form",   "rare_device",   "rare_locale",    "rare_name",  "aftermath"};
  static const DetectorKindInfo kKinds[] = {
      {DetectorKind::kSignupClusters, "signup_clusters", "bulk registrations found as clusters", kOfAccount,
       signup_outputs(), kSignupLimits, kSignupFeatures, 3},
      {DetectorKind::kLoginRisk,
       "login_risk",
       "how much likelier a login is an intruder's than the owner's",
       bits({Part::kSignup, Part::kLogin, Part::kSession, Part::kChange, Part::kConfirm}),
       login_outputs(),
       kLoginLimits,
       {},
       3},
  };
  return kKinds;
}

const DetectorKindInfo& info_of(DetectorKind kind) {
  const DetectorKindInfo& info = detector_kinds()[static_cast<size_t>(kind)];
  TAMIS_ASSERT(info.kind == kind);
  return info;
}

std::span<const FindingField> finding_fields() {
  static const FindingField kFields[] = {
      {"detector", Type::string(), "name of the detector"},
      {"finding", Type::string(), "found, grown or actionable"},
      {"cluster", Type::integer(), "the cluster"},
      {"score", Type::real(), "0..1, of the cluster"},
      {"size", Type::real(), "its members, older ones counting less"},
      {"views", Type::integer(), "views of which its members share something"},
      {"actionable", Type::boolean(), "whether it has proven itself in two views"},
      {"first", Type::timestamp(), "when its first member signed up"},
      {"account", Type::string(), "the account of the event that it follows from"},
      {"cause", Type::string(), "id of that event"},
      {"cause_type", Type::string(), "its type"},
      {"depth", Type::integer(), "1 for what follows from an event of outside, at most 4"},
  };
  return kFields;
}

}  // namespace tamis::policy
