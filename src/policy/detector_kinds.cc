#include "policy/detector_kinds.h"

#include <array>

#include "base/assert.h"

namespace tamis::policy {

using event::Type;
using In = DetectorInput;
using Part = DetectorPart;
using Term = DetectorTerm;

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
      {In::kWasOwner, "was_owner", Type::boolean(), "",
       "whether the owner stands behind what this client did and nobody has confirmed; without a client, what any did"},
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
constexpr auto kConfirm = with_client({In::kWasOwner});

constexpr uint32_t bits(std::initializer_list<Part> parts) {
  uint32_t all = 0;
  for (Part part : parts) all |= 1U << static_cast<uint32_t>(part);
  return all;
}

constexpr uint32_t kOfAccount =
    bits({Part::kSignup, Part::kLogin, Part::kSession, Part::kSend, Part::kBounce, Part::kComplaint, Part::kPayment});
constexpr uint32_t kOfLogin = bits({Part::kLogin, Part::kSession, Part::kChange});

std::span<const DetectorOutput> signup_outputs() {
  static const DetectorOutput kOutputs[] = {
      {"score", Type::real(), kOfAccount, "",
       "0..1, how likely a bulk registration: of a signup as it came, elsewhere of the account with all that is known",
       Term::kScore},
      {"cluster", Type::integer(), kOfAccount, "cluster", "the cluster that it belongs to; absent: none", Term::kAbout},
      {"log_odds", Type::real(), kOfAccount, "", "the same as log-odds: the sum of the parts", Term::kSum},
      {"parts.base", Type::real(), kOfAccount, "", "log-odds of anyone", Term::kFactor,
       "so few of all signups are of a bulk registration"},
      {"parts.membership", Type::real(), kOfAccount, "", "how much likelier it is as the cluster's next member",
       Term::kFactor, "looks like the next member of its cluster"},
      {"parts.evidence", Type::real(), kOfAccount, "", "how well the cluster has predicted its members so far",
       Term::kFactor, "the cluster's members share what honest people do not"},
      {"parts.aftermath", Type::real(), kOfAccount, "", "what the cluster's members did later", Term::kFactor,
       "what members of the cluster did later, or people said of them"},
      {"parts.surprise", Type::real(), kOfAccount, "", "a combination of attributes that returns too often",
       Term::kFactor, "a combination of what it shows came back too often"},
      {"parts.head", Type::real(), kOfAccount, "", "what a trained head adds; never below zero", Term::kFactor,
       "the trained model knows signups like it"},
      {"parts.earlier", Type::real(), kOfAccount, "", "of later events: what its signup looked like, beyond now",
       Term::kFactor, "looked more like one when it signed up"},
      {"parts.deeds", Type::real(), kOfAccount, "",
       "of later events: complaints, bounces, mail to strangers, declined cards", Term::kFactor,
       "complaints, bounces, mail to strangers or declined cards of its own"},
      {"parts.together", Type::real(), kOfAccount, "", "of later events: does what a cluster of accounts does",
       Term::kFactor, "sends what other young accounts send at the same time"},
      {"parts.truth", Type::real(), kOfAccount, "", "of later events: what people have found out; nothing else counts",
       Term::kFactor, "people have found out what the account is; nothing else counts"},
      {"views.name", Type::real(), kOfAccount, "", "what the way of making names adds to the likeness",
       Term::kLikenessFactor, "how the name is made"},
      {"views.device", Type::real(), kOfAccount, "", "what the device adds", Term::kLikenessFactor,
       "fingerprint, hardware, browser"},
      {"views.network", Type::real(), kOfAccount, "", "what the network adds", Term::kLikenessFactor,
       "address, provider, round trip"},
      {"views.locale", Type::real(), kOfAccount, "", "what language and time zone add", Term::kLikenessFactor,
       "language and time zone"},
      {"views.recovery", Type::real(), kOfAccount, "", "what the recovery domain adds", Term::kLikenessFactor,
       "domain of the recovery address"},
      {"views.behaviour", Type::real(), kOfAccount, "", "what typing, times and captcha add", Term::kLikenessFactor,
       "typing, times, captcha"},
      {"views.reuse", Type::real(), kOfAccount, "", "what a cookie or recovery mailbox seen before adds",
       Term::kLikenessFactor, "a cookie or recovery mailbox seen before"},
      {"likeness.log_odds", Type::real(), kOfAccount, "",
       "that it is the cluster's next member: views, pace and doubt together; absent: nothing to compare with",
       Term::kLikenessSum},
      {"likeness.pace", Type::real(), kOfAccount, "", "the cluster's share of what arrives now, and of such networks",
       Term::kLikenessFactor, "the cluster's share of what comes at that time through such networks"},
      {"likeness.doubt", Type::real(), kOfAccount, "",
       "what is taken off: views beyond what members are known to share, one view alone, bounds", Term::kLikenessFactor,
       "taken off: beyond what its members are known to share, one view alone, bounds"},
      {"cluster_score", Type::real(), kOfAccount, "", "0..1, of the cluster as such; absent: no cluster", Term::kAbout},
      {"cluster_size", Type::real(), kOfAccount, "", "members, older ones counting less; absent: no cluster",
       Term::kAbout},
      {"cluster_views", Type::integer(), kOfAccount, "", "views of which the cluster's members share something",
       Term::kAbout},
      {"cluster_since", Type::timestamp(), kOfAccount, "", "when its first member signed up", Term::kAbout},
      {"cluster_actionable", Type::boolean(), kOfAccount, "", "whether the cluster has proven itself in two views",
       Term::kAbout},
      {"cluster_confirmed", Type::boolean(), kOfAccount, "", "whether people have confirmed it", Term::kAbout},
      {"known_good", Type::boolean(), kOfAccount, "",
       "whether people have found out that the account is good; false where nobody has", Term::kAbout},
      {"cluster_cleared", Type::boolean(), kOfAccount, "", "whether people have cleared it, and that still holds",
       Term::kAbout},
  };
  return kOutputs;
}

std::span<const DetectorOutput> login_outputs() {
  static const DetectorOutput kOutputs[] = {
      {"score", Type::real(), kOfLogin, "", "0..1, how much likelier an intruder's than the owner's", Term::kScore},
      {"log_odds", Type::real(), kOfLogin, "", "the same as log-odds: the sum of the factors", Term::kSum},
      {"factors.base", Type::real(), kOfLogin, "", "log-odds of anyone", Term::kFactor,
       "so few of all are an intruder's"},
      {"factors.network", Type::real(), kOfLogin, "", "address, network, provider, country against the account's own",
       Term::kFactor, "address, network, provider and country, against those of the account"},
      {"factors.client", Type::real(), kOfLogin, "", "device, user agent, browser and system", Term::kFactor,
       "device, browser and system, against those of the account"},
      {"factors.locale", Type::real(), kOfLogin, "", "language and time zone", Term::kFactor,
       "language and time zone, against those of the account"},
      {"factors.cookie", Type::real(), kOfLogin, "", "an unknown device cookie, or a known one on another device",
       Term::kFactor, "the device cookie: unknown, or on another machine than before"},
      {"factors.tls", Type::real(), kOfLogin, "", "a TLS client that does not go with the browser that it says it is",
       Term::kFactor, "a TLS client that hardly ever goes with such a browser"},
      {"factors.campaign", Type::real(), kOfLogin, "", "what it shares with unfamiliar attempts on other accounts",
       Term::kFactor, "shares something with unfamiliar attempts on other accounts"},
      {"factors.origin", Type::real(), kOfLogin, "", "goes on from a login that was told of already", Term::kFactor,
       "goes on from an unconfirmed login, which was judged already"},
      {"factors.change", Type::real(), kOfLogin, "", "a change that keeps the owner out, after an unconfirmed login",
       Term::kFactor, "a change that can keep the owner out, soon after an unconfirmed login"},
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
      "log_odds",      "prior",          "name",         "device",       "network",     "locale",       "recovery",
      "behaviour",     "reuse",          "cluster_size", "mean_name",    "mean_device", "mean_network", "mean_locale",
      "mean_recovery", "mean_behaviour", "mean_reuse",   "key_surprise", "rare_fill",   "rare_form",    "rare_device",
      "rare_locale",   "rare_name",      "aftermath",    "two_views",    "unexplained"};
  static const DetectorKindInfo kKinds[] = {
      {DetectorKind::kSignupClusters, "signup_clusters", "bulk registrations found as clusters", "a bulk registration",
       1, kOfAccount, signup_outputs(), kSignupLimits, kSignupFeatures, 5},
      {DetectorKind::kLoginRisk,
       "login_risk",
       "how much likelier a login is an intruder's than the owner's",
       "an intruder, not the owner",
       3,
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

std::span<const ClusterFactor> cluster_factors() {
  static constexpr ClusterFactor kFactors[] = {
      {"base", "what members of honest clusters share by chance"},
      {"two_views", "what members share in the two views that tell most"},
      {"unexplained", "what members share beyond what one place or one device explains"},
      {"few", "few members were foretold so far"},
      {"aftermath", "what members did later"},
      {"truth", "members that people have found to be good"},
      {"confirmed", "people have confirmed it"},
  };
  return kFactors;
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
