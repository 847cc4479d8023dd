// People with accounts, made up, and snapshots taken apart, for the tests of detectors.
#pragma once

#include <string>
#include <vector>

#include "base/hash.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"
#include "event/ip.h"
#include "state/pieces.h"

namespace tamis::detect {

inline constexpr int64_t kStart = 1'700'000'000'000, kHourMs = 3'600'000;

// A signup with its own texts. Honest ones differ in all that people differ in, by a hash of their number.
struct Person {
  std::string account, ip, device, agent, cookie, local, gpu, recovery, zone = "Europe/Berlin", language = "de-DE",
                                                                        country = "DE";
  NetClass net = NetClass::kResidential;
  uint32_t asn = 3320, fill_ms = 0, captcha_ms = 0;
  int64_t t_ms = 0;

  Signup signup() const {
    Signup s;
    s.t_ms = t_ms;
    s.account = account;
    s.client.has_ip = event::parse_ip(ip, s.client.ip);
    s.client.asn = asn, s.client.country = country, s.client.net = net;
    s.client.user_agent = agent, s.client.device = device, s.client.tls = "t13";
    s.client.language = language, s.client.time_zone = zone, s.client.cookie = cookie, s.client.rtt_ms = 40;
    s.local = local, s.domain = "mail.example", s.gpu = gpu, s.screen = "1920x1080", s.cores = 8;
    s.recovery = recovery, s.captcha = "img", s.captcha_tries = 1, s.captcha_ms = captcha_ms, s.fill_ms = fill_ms;
    return s;
  }
};

inline uint64_t draw(uint64_t number, uint64_t what) { return base::combine64(number, what); }
inline std::string word(uint64_t h, size_t letters) {
  std::string out;
  for (size_t i = 0; i < letters; ++i) out += static_cast<char>('a' + (h >> (5 * i)) % 26);
  return out;
}

inline Person honest(uint64_t n, int64_t t_ms) {
  Person p;
  p.t_ms = t_ms;
  p.account = "h" + std::to_string(n);
  p.ip = "10." + std::to_string(draw(n, 1) % 200) + "." + std::to_string(draw(n, 2) % 250) + "." +
         std::to_string(1 + draw(n, 3) % 250);
  p.asn = 3000 + static_cast<uint32_t>(draw(n, 4) % 8);
  p.device = "d" + std::to_string(draw(n, 5) % 3000);
  p.gpu = "g" + std::to_string(draw(n, 5) % 300);
  p.agent = "Mozilla/5.0 (Windows NT 10.0) Chrome/" + std::to_string(130 + draw(n, 6) % 12) + ".0.0.0";
  p.cookie = "c" + std::to_string(n);
  const uint64_t kind = draw(n, 7) % 4;
  p.local = word(draw(n, 8), 3 + draw(n, 9) % 6);
  if (kind == 1) p.local += "." + word(draw(n, 10), 5);
  if (kind >= 2) p.local += std::to_string(draw(n, 11) % (kind == 2 ? 100 : 10000));
  if (draw(n, 12) % 2) p.recovery = word(draw(n, 13), 6) + "@gmail.example";
  p.fill_ms = static_cast<uint32_t>(8000 + draw(n, 14) % 80'000);
  p.captcha_ms = static_cast<uint32_t>(4000 + draw(n, 15) % 50'000);
  if (draw(n, 16) % 3 == 0) p.zone = "Europe/Paris", p.language = "fr-FR", p.country = "FR";
  return p;
}

// One campaign: addresses and cookies never repeat; names, devices and times come from the same machine.
inline Person farmed(uint64_t n, int64_t t_ms) {
  Person p = honest(1'000'000 + n, t_ms);
  p.account = "f" + std::to_string(n);
  p.local = word(draw(n, 20), 5) + "." + word(draw(n, 21), 6) + std::to_string(10 + draw(n, 22) % 90);
  p.device = "farm" + std::to_string(n % 4);
  p.gpu = "farm" + std::to_string(n % 4);
  p.fill_ms = static_cast<uint32_t>(5000 + draw(n, 23) % 900);
  p.captcha_ms = static_cast<uint32_t>(9000 + draw(n, 24) % 1500);
  p.zone = "Asia/Kolkata", p.language = "en-US";
  return p;
}

// An office registers its people within an hour: one address, otherwise people.
inline Person employed(uint64_t n, int64_t t_ms) {
  Person p = honest(2'000'000 + n, t_ms);
  p.account = "o" + std::to_string(n);
  p.ip = "192.0.2.7", p.asn = 64500, p.net = NetClass::kBusiness;
  p.local = word(draw(n, 30), 5) + word(draw(n, 31), 6);
  return p;
}

struct OwnPiece {
  uint32_t kind;
  std::string body;
};
// Takes the snapshot apart that is under way; `between` runs after each piece.
template <class Detector, class Between>
std::vector<OwnPiece> pieces_of(Detector& d, const Between& between) {
  state::PieceWriter out;
  d.begin_snapshot(out, 3);
  while (d.snapshot_piece()) between();
  d.end_snapshot();
  std::string bytes;
  while (out.bytes() > 0) out.take(bytes, 1 << 20);
  state::PieceReader reader;
  reader.feed(bytes);
  std::vector<OwnPiece> pieces;
  for (state::Piece p; reader.next(p).value_or(false);) pieces.push_back({p.kind, std::string(p.body)});
  return pieces;
}
template <class Detector>
std::vector<OwnPiece> pieces_of(Detector& d) {
  return pieces_of(d, [] {});
}
template <class Detector>
bool restore(Detector& d, const std::vector<OwnPiece>& pieces) {
  for (const OwnPiece& p : pieces)
    if (!d.restore_piece(p.kind, p.body)) return false;
  return d.finish_restore().has_value();
}

}  // namespace tamis::detect
