// Any bytes as pieces of a snapshot, valid ones among them: refused, or taken and then good for going on.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "detect/login_risk.h"
#include "detect/signup_clusters.h"

namespace {

using namespace tamis::detect;

SignupClusterOptions tiny() {
  SignupClusterOptions o;
  o.accounts_max = 64, o.keys_max = 600, o.single_slots_log2 = 8, o.values_max = 600, o.clusters_max = 4;
  o.shared_max = 100;
  return o;
}
LoginRiskOptions tiny_logins() {
  LoginRiskOptions o;
  o.accounts_max = 64, o.values_max = 600, o.campaign_keys_max = 200;
  return o;
}

void step(SignupClusters& c, LoginRisk& l, uint64_t i) {
  const std::string account = "a" + std::to_string(i % 90), device = "d" + std::to_string(i % 3);
  Signup s;
  s.t_ms = 1'700'000'000'000 + int64_t(i) * 600'000;
  s.account = account, s.local = device, s.client.device = device, s.client.language = "de", s.fill_ms = 5000;
  s.client.country = "DE", s.client.cookie = account;
  c.signup(s);
  l.signup(s);
  Login login;
  login.t_ms = s.t_ms, login.account = account, login.client = s.client;
  l.login(login);
  c.account(account);
  Send send;
  send.t_ms = s.t_ms, send.account = account, send.recipients = send.new_recipients = 9, send.body_simhash = 77;
  const std::string_view link[] = {"x.example"};
  send.link_domains = link;
  c.send(send);
}

struct Frame {
  uint32_t kind;
  std::string body;
};
template <class Detector>
std::vector<Frame> frames_of(Detector& d) {
  tamis::state::PieceWriter out;
  d.begin_snapshot(out, 1);
  while (d.snapshot_piece()) {
  }
  d.end_snapshot();
  std::string bytes;
  while (out.bytes() > 0) out.take(bytes, 1 << 20);
  tamis::state::PieceReader reader;
  reader.feed(bytes);
  std::vector<Frame> frames;
  for (tamis::state::Piece p; reader.next(p).value_or(false);) frames.push_back({p.kind, std::string(p.body)});
  return frames;
}

struct Valid {
  std::vector<Frame> signups, logins;
  Valid() {
    auto c = SignupClusters::make(tiny());
    auto l = LoginRisk::make(tiny_logins());
    for (uint64_t i = 0; i < 150; ++i) step(*c, *l, i);
    signups = frames_of(*c);
    logins = frames_of(*l);
  }
};

// Each three bytes change one byte of a valid snapshot.
template <class Detector>
bool restore(Detector& d, std::vector<Frame> frames, const uint8_t* data, size_t bytes) {
  for (size_t i = 0; i + 3 <= bytes; i += 3) {
    std::string& body = frames[data[i] % frames.size()].body;
    if (!body.empty()) body[(size_t{data[i + 1]} * 37 + data[i] / 16) % body.size()] = static_cast<char>(data[i + 2]);
  }
  for (const Frame& f : frames)
    if (!d.restore_piece(f.kind, f.body)) return false;
  return d.finish_restore().has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  static const Valid valid;
  auto c = SignupClusters::make(tiny());
  auto l = LoginRisk::make(tiny_logins());
  (void)SignupClusters::make(tiny())->restore_piece(bytes > 0 ? data[0] : 1,
                                                    {reinterpret_cast<const char*>(data), bytes});
  const bool both = restore(*c, valid.signups, data, bytes) && restore(*l, valid.logins, data, bytes);
  for (uint64_t i = 150; both && i < 170; ++i) step(*c, *l, i);
  if (both) {
    c->visit_clusters([&](const ClusterFacts& f) {
      c->cluster(f.id);
      c->members(f.id);
    });
  }
  return 0;
}
