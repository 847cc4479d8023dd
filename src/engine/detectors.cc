#include "engine/detectors.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/assert.h"
#include "base/hash.h"
#include "detect/account_event.h"
#include "detect/login_risk.h"
#include "event/ip.h"
#include "state/bytes.h"

namespace tamis::engine {

using event::Kind;
using event::Value;
using In = policy::DetectorInput;
using Part = policy::DetectorPart;

namespace {

// What a view must add to the log-odds of a cluster's members on average to count as shared.
constexpr float kViewShared = 0.7f;
constexpr uint32_t kToldPiece = 1000;  // behind the kinds that detectors use themselves
constexpr size_t kLinksMax = 64;

// Outputs lie in the order of what they are made of.
static_assert(policy::signup_output::kFirstView - policy::signup_output::kFirstPart == detect::kSignupParts);
static_assert(policy::signup_output::kLikeness - policy::signup_output::kFirstView == detect::kViews);

class Inputs {
 public:
  explicit Inputs(const DetectorInputs& values) : values_(values) {}

  std::string_view text(In input) const {
    const Value v = at(input);
    return v.is(Kind::kString) ? v.str() : std::string_view();
  }
  uint32_t count(In input) const {
    const Value v = at(input);
    double number = 0;
    if (v.is(Kind::kInt)) number = static_cast<double>(v.i);
    if (v.is(Kind::kUint)) number = static_cast<double>(v.u);
    if (v.is(Kind::kDouble)) number = v.d;
    return number > 0 ? static_cast<uint32_t>(std::min(number, 4294967295.0)) : 0;
  }
  bool flag(In input, bool fallback = false) const {
    const Value v = at(input);
    return v.is(Kind::kBool) ? v.b : fallback;
  }
  // A simhash: hexadecimal text, or a number.
  uint64_t hash(In input) const {
    const Value v = at(input);
    if (v.is(Kind::kInt)) return static_cast<uint64_t>(v.i);
    if (v.is(Kind::kUint)) return v.u;
    uint64_t n = 0;
    const std::string_view digits = text(input);
    std::from_chars(digits.data(), digits.data() + digits.size(), n, 16);
    return n;
  }
  Value at(In input) const { return values_[static_cast<size_t>(input)]; }

  detect::Client client() const {
    detect::Client c;
    c.has_ip = event::parse_ip(text(In::kIp), c.ip);
    c.asn = count(In::kAsn);
    c.country = text(In::kCountry);
    c.net = net();
    c.user_agent = text(In::kUserAgent);
    c.device = text(In::kDevice);
    c.tls = text(In::kTls);
    c.language = text(In::kLanguage);
    c.time_zone = text(In::kTimeZone);
    c.cookie = text(In::kCookie);
    c.rtt_ms = count(In::kRttMs);
    return c;
  }

 private:
  // What is no known class is taken for residential: nobody is looked at more closely for an unknown word.
  detect::NetClass net() const {
    static constexpr std::string_view kNames[] = {"res", "mob", "biz", "dc", "vpn", "tor"};
    const std::string_view name = text(In::kNet);
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if (name == kNames[i]) return static_cast<detect::NetClass>(i);
    }
    return detect::NetClass::kResidential;
  }

  const DetectorInputs& values_;
};

detect::Signup signup_of(const Inputs& in, int64_t t_ms) {
  detect::Signup s;
  s.t_ms = t_ms, s.account = in.text(In::kAccount), s.client = in.client();
  s.local = in.text(In::kLocal), s.domain = in.text(In::kDomain);
  s.screen = in.text(In::kScreen), s.gpu = in.text(In::kGpu), s.canvas = in.text(In::kCanvas);
  s.cores = in.count(In::kCores);
  s.recovery = in.text(In::kRecovery), s.captcha = in.text(In::kCaptcha);
  s.captcha_tries = in.count(In::kCaptchaTries), s.captcha_ms = in.count(In::kCaptchaMs);
  s.fill_ms = in.count(In::kFillMs), s.pasted = in.flag(In::kPasted);
  return s;
}

detect::Login login_of(const Inputs& in, Part part, int64_t t_ms) {
  detect::Login l;
  l.t_ms = t_ms, l.account = in.text(In::kAccount), l.client = in.client();
  l.is_session = part == Part::kSession;
  l.ok = l.is_session || in.flag(In::kSuccess);
  l.account_exists = in.flag(In::kAccountExists, true);
  l.has_second_factor = in.flag(In::kSecondFactor);
  l.second_factor_failed = in.flag(In::kSecondFactorFailed);
  return l;
}

class ClusterDetector final : public Detector {
 public:
  ClusterDetector(const policy::DetectorDecl& decl, const base::SipKey& state_key) {
    detect::SignupClusterOptions options;
    options.key = state_key;
    options.accounts_max = static_cast<uint64_t>(decl.limits[0]);
    options.keys_max = static_cast<uint64_t>(decl.limits[1]);
    options.values_max = static_cast<uint64_t>(decl.limits[2]);
    options.clusters_max = static_cast<uint32_t>(decl.limits[3]);
    told_max_ = size_t{4} * options.clusters_max;
    clusters_ = detect::SignupClusters::make(options);
    use_model(decl);
  }

  void use_model(const policy::DetectorDecl& decl) override {
    const base::Status used = clusters_->use_head(decl.model);
    TAMIS_ASSERT(used.has_value());  // the policy's compiler has refused other features
  }

  void feed(Part part, int64_t t_ms, const DetectorInputs& inputs, const EventName&) override {
    const Inputs in(inputs);
    part_ = part;
    account_ = in.text(In::kAccount);
    facts_ = {};
    has_facts_ = looked_up_ = is_explained_ = is_good_ = false;
    score_ = {};
    found_ = {};
    if (account_.empty()) return;
    take(in, part, t_ms);
    const bool is_activity = part != Part::kLogin && part != Part::kSession;
    if (is_activity) look_up();
    if (has_facts_) tell();
  }

  Value output(uint32_t output) override {
    namespace out = policy::signup_output;
    if (account_.empty()) return Value::absent();
    look_up();
    if (output == out::kScore) return Value::real(score_.score);
    if (output == out::kCluster) return score_.cluster == 0 ? Value::absent() : number(score_.cluster);
    if (output == out::kKnownGood) return Value::boolean(is_good_);
    if (output >= out::kClusterScore) return of_cluster(output);
    if (!is_explained_) return Value::absent();
    if (output == out::kLogOdds) return real(score_.log_odds);
    if (output < out::kFirstView) return real(score_.part[output - out::kFirstPart]);
    if (output < out::kLikeness) return real(score_.feature[detect::kViewName + (output - out::kFirstView)]);
    const detect::SignupLikeness& likeness = score_.likeness;
    if (!likeness.is_compared) return Value::absent();
    if (output == out::kLikeness) return real(likeness.log_odds);
    return real(output == out::kLikenessPace ? likeness.pace : likeness.doubt);
  }

  Found found() const override { return found_; }

  void say(uint64_t cluster, ClusterSaying saying, int64_t until_ms) override {
    // False where the cluster is gone by now: then there is nothing that could be said of it.
    (void)(saying == ClusterSaying::kConfirmed ? clusters_->confirm(cluster) : clusters_->suppress(cluster, until_ms));
  }
  const detect::SignupClusters* clusters() const override { return clusters_.get(); }
  std::optional<SeenSignup> seen_signup() const override {
    if (part_ != Part::kSignup || account_.empty()) return std::nullopt;
    return SeenSignup{&score_, net_};
  }
  std::optional<AccountHindsight> hindsight(std::string_view account) const override {
    const detect::AccountScore s = clusters_->account(account);
    return AccountHindsight{s.score, s.cluster, s.at_ms};
  }
  void erase(std::string_view account) override { (void)clusters_->erase(account); }
  void truth(std::string_view account, std::optional<bool> is_bad, int64_t t_ms) override {
    using Truth = detect::SignupClusters::Truth;
    clusters_->truth(account, !is_bad ? Truth::kNone : *is_bad ? Truth::kBad : Truth::kGood, t_ms);
  }
  uint64_t bytes() const override { return clusters_->bytes(); }
  uint64_t digest() const override {
    uint64_t digest = clusters_->digest();
    for (const auto& [id, told] : told_) {
      digest = base::combine64(digest, base::combine64(id, told.size * 2 + (told.actionable ? 1 : 0)));
    }
    return digest;
  }

  void begin_snapshot(state::PieceWriter& out, uint32_t part) override {
    std::string& body = out.begin(kToldPiece, part);
    state::put_varint(body, told_.size());
    for (const auto& [id, told] : told_) {
      state::put_varint(body, id);
      state::put_varint(body, told.size);
      state::put_number(body, static_cast<uint8_t>(told.actionable));
    }
    out.end();
    clusters_->begin_snapshot(out, part);
  }
  bool snapshot_piece() override { return clusters_->snapshot_piece(); }
  void end_snapshot() override { clusters_->end_snapshot(); }
  base::Status restore_piece(uint32_t kind, std::string_view body) override {
    if (kind != kToldPiece) return clusters_->restore_piece(kind, body);
    state::ByteReader in(body);
    const uint64_t count = in.varint();
    for (uint64_t i = 0; i < count && in.ok(); ++i) {
      const uint64_t id = in.varint();
      Told told;
      told.size = in.varint();
      told.actionable = in.number<uint8_t>() != 0;
      told_[id] = told;
      if (told_.size() > told_max_) return base::invalid("a detector has told of too many clusters");
    }
    if (!in.ok() || in.left() != 0) return base::invalid("a detector's piece is damaged");
    return {};
  }
  base::Status finish_restore() override { return clusters_->finish_restore(); }

 private:
  struct Told {
    uint64_t size = 0;
    bool actionable = false;
  };

  static Value number(uint64_t v) { return Value::integer(static_cast<int64_t>(v)); }
  static Value real(float v) { return Value::real(static_cast<double>(v)); }

  void take(const Inputs& in, Part part, int64_t t_ms) {
    switch (part) {
      case Part::kSignup: {
        const detect::Signup signup = signup_of(in, t_ms);
        net_ = signup.client.net;
        score_ = clusters_->signup(signup);
        use_facts(score_.cluster);
        looked_up_ = is_explained_ = true;
        break;
      }
      case Part::kLogin:
      case Part::kSession:
        clusters_->login(login_of(in, part, t_ms));
        break;
      case Part::kSend:
        take_send(in, t_ms);
        break;
      case Part::kBounce:
      case Part::kComplaint:
        clusters_->feedback({t_ms, account_, part == Part::kComplaint, in.flag(In::kHard)});
        break;
      case Part::kPayment: {
        detect::Payment p;
        p.t_ms = t_ms, p.account = account_, p.client = in.client();
        p.bin = in.count(In::kBin), p.card = in.text(In::kCard), p.card_country = in.text(In::kCardCountry);
        p.cents = in.count(In::kCents), p.ok = in.flag(In::kSuccess);
        clusters_->payment(p);
        break;
      }
      case Part::kChange:
      case Part::kConfirm:
        break;  // the policy's compiler lets no type play these here
    }
  }

  void take_send(const Inputs& in, int64_t t_ms) {
    detect::Send s;
    s.t_ms = t_ms, s.account = account_, s.client = in.client();
    s.recipients = in.count(In::kRecipients), s.new_recipients = in.count(In::kNewRecipients);
    s.subject_simhash = in.hash(In::kSubjectHash), s.body_simhash = in.hash(In::kBodyHash);
    links_.clear();
    if (const Value list = in.at(In::kLinkDomains); list.is(Kind::kList)) {
      for (const Value link : list.list_items()) {
        if (link.is(Kind::kString) && links_.size() < kLinksMax) links_.push_back(link.str());
      }
    }
    s.link_domains = links_;
    clusters_->send(s);
  }

  // What is known of the account, where the event itself got no score.
  void look_up() {
    if (looked_up_) return;
    looked_up_ = true;
    const detect::AccountScore s = clusters_->account(account_);
    score_.score = s.score;
    score_.cluster = s.cluster;
    is_explained_ = s.is_known;
    is_good_ = s.is_good;
    score_.log_odds = s.log_odds;
    score_.part = s.part;
    score_.likeness = s.likeness;
    std::copy(s.view.begin(), s.view.end(), score_.feature.begin() + detect::kViewName);
    use_facts(s.cluster);
  }
  void use_facts(uint64_t cluster) {
    const auto facts = cluster == 0 ? std::nullopt : clusters_->facts(cluster);
    has_facts_ = facts.has_value();
    if (has_facts_) facts_ = *facts;
  }

  // Found when it is there for the first time, grown when it has doubled since it was told of, actionable once.
  void tell() {
    const auto size = static_cast<uint64_t>(std::max(facts_.members, 0.0));
    auto [it, is_new] = told_.try_emplace(facts_.id);
    Told& told = it->second;
    const bool actionable = facts_.acted_ms != 0;
    if (actionable && !told.actionable) {
      found_.finding = "actionable";
    } else if (is_new) {
      found_.finding = "found";
    } else if (size >= 2 * told.size && size >= 4) {
      found_.finding = "grown";
    } else {
      return;
    }
    found_.cluster = facts_;
    told = {std::max(size, told.size), actionable};
    if (told_.size() > told_max_) told_.erase(told_.begin());  // numbers grow: the oldest
  }

  Value of_cluster(uint32_t output) const {
    namespace out = policy::signup_output;
    if (!has_facts_) return Value::absent();
    switch (output) {
      case out::kClusterScore:
        return Value::real(facts_.score);
      case out::kClusterSize:
        return Value::real(facts_.members);
      case out::kClusterViews:
        return Value::integer(views_of(facts_));
      case out::kClusterSince:
        return Value::timestamp(facts_.first_ms / 1000, static_cast<uint32_t>(facts_.first_ms % 1000) * 1'000'000);
      case out::kClusterActionable:
        return Value::boolean(facts_.acted_ms != 0);
      case out::kClusterConfirmed:
        return Value::boolean(facts_.is_confirmed);
      case out::kClusterCleared:
        return Value::boolean(facts_.suppressed_until_ms != 0);
      default:
        return Value::absent();
    }
  }

  std::unique_ptr<detect::SignupClusters> clusters_;
  std::map<uint64_t, Told> told_;  // by cluster
  size_t told_max_ = 0;
  // Of the event at hand.
  Part part_ = Part::kSignup;
  detect::NetClass net_ = detect::NetClass::kResidential;
  std::string_view account_;
  detect::SignupScore score_;
  detect::ClusterFacts facts_;
  bool has_facts_ = false, looked_up_ = false;
  bool is_good_ = false;
  bool is_explained_ = false;  // its parts are known, as of an account whose signup was seen
  Found found_;
  std::vector<std::string_view> links_;
};

class LoginDetector final : public Detector {
 public:
  LoginDetector(const policy::DetectorDecl& decl, const base::SipKey& state_key) {
    detect::LoginRiskOptions options;
    options.key = state_key;
    options.accounts_max = static_cast<uint64_t>(decl.limits[0]);
    options.values_max = static_cast<uint64_t>(decl.limits[1]);
    options.campaign_keys_max = static_cast<uint64_t>(decl.limits[2]);
    options.told_max = options.accounts_max;
    risk_ = detect::LoginRisk::make(options);
  }

  void feed(Part part, int64_t t_ms, const DetectorInputs& inputs, const EventName& name) override {
    const Inputs in(inputs);
    const std::string_view account = in.text(In::kAccount);
    has_score_ = false;
    found_ = {};
    if (account.empty()) return;
    if (part == Part::kChange) {
      score_ = risk_->change({t_ms, account, in.client(), change_of(in.text(In::kWhat)), one_name(name)});
      has_score_ = true;
      if (score_.is_takeover) found_.finding = "takeover", found_.cluster.score = score_.score;
    } else if (part == Part::kSignup) {
      risk_->signup(signup_of(in, t_ms));
    } else if (part == Part::kConfirm) {
      // Nothing: it says nothing of who it was, as a challenge that anybody can solve does not.
      if (in.at(In::kWasOwner).is(Kind::kBool)) risk_->confirm({t_ms, account, in.client(), in.flag(In::kWasOwner)});
    } else {
      detect::Login login = login_of(in, part, t_ms);
      login.event = one_name(name);
      score_ = risk_->login(login);
      has_score_ = true;
    }
  }
  Value output(uint32_t output) override {
    namespace out = policy::login_output;
    if (!has_score_) return Value::absent();
    if (output == out::kScore) return Value::real(score_.score);
    if (output == out::kLogOdds) return Value::real(static_cast<double>(score_.log_odds));
    if (output == out::kBase) return Value::real(static_cast<double>(score_.base));
    return Value::real(static_cast<double>(score_.factor[output - out::kFirstFactor]));
  }
  Found found() const override { return found_; }
  void erase(std::string_view account) override { (void)risk_->erase(account); }
  void truth_of_event(const EventName& name, std::optional<bool> is_bad, int64_t t_ms) override {
    using Truth = detect::LoginRisk::Truth;
    (void)risk_->truth(one_name(name), !is_bad ? Truth::kNone : *is_bad ? Truth::kBad : Truth::kGood, t_ms);
  }
  uint64_t bytes() const override { return risk_->bytes(); }
  uint64_t digest() const override { return risk_->digest(); }

  void begin_snapshot(state::PieceWriter& out, uint32_t part) override { risk_->begin_snapshot(out, part); }
  bool snapshot_piece() override { return risk_->snapshot_piece(); }
  void end_snapshot() override { risk_->end_snapshot(); }
  base::Status restore_piece(uint32_t kind, std::string_view body) override { return risk_->restore_piece(kind, body); }
  base::Status finish_restore() override { return risk_->finish_restore(); }

 private:
  static detect::ChangeKind change_of(std::string_view what) {
    static constexpr std::string_view kNames[] = {"recovery",   "password", "password_reset",
                                                  "forwarding", "filter",   "second_factor"};
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if (kNames[i] == what) return static_cast<detect::ChangeKind>(i + 1);
    }
    return detect::ChangeKind::kOther;
  }

  // "login:ID": ids are unique within their type. Valid until the next call; empty without an id.
  std::string_view one_name(const EventName& name) {
    name_.clear();
    if (!name.id.empty()) name_.append(name.type).append(":").append(name.id);
    return name_;
  }

  std::unique_ptr<detect::LoginRisk> risk_;
  std::string name_;
  detect::LoginScore score_;
  bool has_score_ = false;
  Found found_;
};

}  // namespace

std::unique_ptr<Detector> Detector::make(const policy::DetectorDecl& decl, const base::SipKey& state_key) {
  switch (decl.kind) {
    case policy::DetectorKind::kSignupClusters:
      return std::make_unique<ClusterDetector>(decl, state_key);
    case policy::DetectorKind::kLoginRisk:
      return std::make_unique<LoginDetector>(decl, state_key);
  }
  return nullptr;
}

int64_t views_of(const detect::ClusterFacts& cluster) {
  return std::count_if(cluster.view.begin(), cluster.view.end(), [](float v) { return v > kViewShared; });
}

}  // namespace tamis::engine
