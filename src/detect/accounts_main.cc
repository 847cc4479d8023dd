// detect_accounts: runs the account detectors over a file of events, without a policy: for measuring them.
//
//   detect_accounts [--intel IP_INTEL.csv] [--accounts SEED.jsonl] [--out DECISIONS.ndjson] [--retro RETRO.ndjson]
//                   [--signups SCORES.ndjson] [--features FEATURES.csv] [--clusters CLUSTERS.txt] [--head TREES]
//                   EVENTS.jsonl
// --accounts is taken for the form of the command only: the detectors need nothing of what it tells (age, paid).
// DECISIONS: one line per event; RETRO: one per account at the end; SCORES: the causal scores of signups, by account;
// CLUSTERS: why each is held for a campaign or not, at the end.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "detect/account_json.h"
#include "detect/login_risk.h"
#include "detect/signup_clusters.h"

namespace tamis::detect {
namespace {

struct Arguments {
  std::string intel, accounts, out, retro, signups, features, clusters, head, events;
};

bool read_arguments(int argc, char** argv, Arguments& a) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    std::string* to = name == "--intel"      ? &a.intel
                      : name == "--accounts" ? &a.accounts
                      : name == "--out"      ? &a.out
                      : name == "--retro"    ? &a.retro
                      : name == "--signups"  ? &a.signups
                      : name == "--features" ? &a.features
                      : name == "--clusters" ? &a.clusters
                      : name == "--head"     ? &a.head
                                             : nullptr;
    if (to == nullptr) {
      if (!a.events.empty()) return false;
      a.events = name;
    } else if (++i < argc) {
      *to = argv[i];
    } else {
      return false;
    }
  }
  return !a.events.empty();
}

using File = std::unique_ptr<FILE, int (*)(FILE*)>;
File open_file(const std::string& path) {
  return File(path.empty() ? nullptr : std::fopen(path.c_str(), "w"), [](FILE* f) { return f ? std::fclose(f) : 0; });
}

// Of this thread: other programs on the machine do not count.
double cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

// The line without its end. The verdict is a mere reading of the score: rules decide, not this program.
void write_decision(FILE* out, int64_t id, std::string_view type, std::string_view account, double score,
                    uint64_t cluster) {
  std::fprintf(out, "{\"id\":%lld,\"type\":\"%.*s\",\"verdict\":\"%s\",\"score\":%.9g,\"acct\":\"%.*s\"",
               static_cast<long long>(id), int(type.size()), type.data(), score >= 0.5 ? "challenge" : "allow", score,
               int(account.size()), account.data());
  if (cluster != 0) std::fprintf(out, ",\"cluster\":%llu", static_cast<unsigned long long>(cluster));
}

void write_cluster(FILE* out, const ClusterPage& page) {
  constexpr const char* kParts[kClusterParts] = {"base",      "two_views", "unexplained", "few",
                                                 "aftermath", "truth",     "confirmed"};
  const ClusterFacts& f = page.facts;
  std::fprintf(out, "cluster %llu: %.0f members, log-odds %.2f =", static_cast<unsigned long long>(f.id), f.members,
               f.log_odds);
  for (int p = 0; p < kClusterParts; ++p)
    std::fprintf(out, " %s %.2f", kParts[p], static_cast<double>(f.part[size_t(p)]));
  std::fprintf(out, "\n  views:");
  for (int v = 0; v < kViews; ++v)
    std::fprintf(out, " %.*s %.2f", int(view_name(View(v)).size()), view_name(View(v)).data(),
                 static_cast<double>(f.view[size_t(v)]));
  std::fprintf(out, "\n  shared:");
  for (const ClusterShare& s : page.shared)
    std::fprintf(out, " %.*s %.0f of %.0f (%.2g)", int(s.attribute.size()), s.attribute.data(), s.observed, s.of,
                 s.expected);
  std::fprintf(out, "\n  times:");
  for (const ClusterTime& t : page.times)
    std::fprintf(out, " %.*s %.0f ms +- %.2f", int(t.measure.size()), t.measure.data(), t.typical_ms, t.spread);
  std::fprintf(out, "\n");
}

}  // namespace

int run(int argc, char** argv) {
  Arguments a;
  if (!read_arguments(argc, argv, a)) {
    std::fprintf(stderr,
                 "usage: detect_accounts [--intel CSV] [--accounts JSONL] [--out NDJSON] [--retro NDJSON] "
                 "[--signups NDJSON] [--features CSV] [--clusters TXT] [--head TREES] EVENTS.jsonl\n");
    return 2;
  }
  AccountJsonReader reader;
  if (!a.intel.empty()) {
    std::ifstream in(a.intel);
    const std::string csv((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (auto loaded = reader.load_intel(csv); !loaded) {
      std::fprintf(stderr, "%s: %s\n", a.intel.c_str(), loaded.error().message.c_str());
      return 1;
    }
  }
  std::ifstream events(a.events);
  if (!events) {
    std::fprintf(stderr, "%s: cannot be read\n", a.events.c_str());
    return 1;
  }
  File out = open_file(a.out), retro = open_file(a.retro), signups = open_file(a.signups),
       features = open_file(a.features);
  if (features) {
    std::fprintf(features.get(), "acct");
    for (int f = 0; f < kSignupFeatures; ++f)
      std::fprintf(features.get(), ",%.*s", int(signup_feature_name(SignupFeature(f)).size()),
                   signup_feature_name(SignupFeature(f)).data());
    std::fprintf(features.get(), "\n");
  }
  auto clusters = SignupClusters::make();
  if (!a.head.empty()) {
    std::ifstream in(a.head);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    auto trees = model::Trees::parse(text);
    const base::Status used = trees ? clusters->use_head(std::make_shared<const model::Trees>(std::move(*trees)))
                                    : base::invalid(trees.error().message);
    if (!used) {
      std::fprintf(stderr, "%s: %s\n", a.head.c_str(), used.error().message.c_str());
      return 1;
    }
  }
  auto logins = LoginRisk::make();
  double login_ns = 0;
  size_t login_count = 0;
  std::vector<std::string> accounts;
  double signup_ns = 0;
  size_t count = 0, number = 0;
  for (std::string line; std::getline(events, line);) {
    ++number;
    auto read = reader.read(line);
    if (!read) {
      std::fprintf(stderr, "%s:%zu: %s\n", a.events.c_str(), number, read.error().message.c_str());
      return 1;
    }
    if (const auto* s = std::get_if<Signup>(&read->event)) {
      const double before = cpu_ns();
      const SignupScore score = clusters->signup(*s);
      signup_ns += cpu_ns() - before;
      ++count;
      logins->signup(*s);
      if (out) {
        write_decision(out.get(), read->id, read->type, s->account, score.score, score.cluster);
        std::fprintf(out.get(), "}\n");
      }
      accounts.emplace_back(s->account);
      if (signups)
        std::fprintf(signups.get(), "{\"id\":\"%s\",\"score\":%.9g,\"cluster\":%s,\"at\":%lld}\n",
                     accounts.back().c_str(), score.score,
                     score.cluster ? std::to_string(score.cluster).c_str() : "null", (long long)s->t_ms);
      if (features) {
        std::fprintf(features.get(), "%s", accounts.back().c_str());
        for (float f : score.feature) std::fprintf(features.get(), ",%.5g", static_cast<double>(f));
        std::fprintf(features.get(), "\n");
      }
    } else if (const auto* m = std::get_if<Send>(&read->event)) {
      clusters->send(*m);
    } else if (const auto* b = std::get_if<Feedback>(&read->event)) {
      clusters->feedback(*b);
    } else if (const auto* p = std::get_if<Payment>(&read->event)) {
      clusters->payment(*p);
    } else if (const auto* l = std::get_if<Login>(&read->event)) {
      clusters->login(*l);
      const double before = cpu_ns();
      const LoginScore score = logins->login(*l);
      login_ns += cpu_ns() - before;
      ++login_count;
      if (out) {
        write_decision(out.get(), read->id, read->type, l->account, score.score, 0);
        std::fprintf(out.get(), ",\"f\":[");
        for (int f = 0; f < kLoginFactors; ++f)
          std::fprintf(out.get(), f ? ",%.3g" : "%.3g", static_cast<double>(score.factor[size_t(f)]));
        std::fprintf(out.get(), "]}\n");
      }
    }
    if (out && !std::holds_alternative<Signup>(read->event) && !std::holds_alternative<Login>(read->event)) {
      const std::string_view account = std::visit([](const auto& e) { return e.account; }, read->event);
      const AccountScore of = clusters->account(account);
      write_decision(out.get(), read->id, read->type, account, of.score, of.cluster);
      std::fprintf(out.get(), "}\n");
    }
  }
  if (const File pages = open_file(a.clusters)) {
    std::vector<uint64_t> ids;
    clusters->visit_clusters([&ids](const ClusterFacts& facts) { ids.push_back(facts.id); });
    for (uint64_t id : ids) write_cluster(pages.get(), *clusters->cluster(id));
  }
  const ClusterParts parts = retro ? clusters->parts() : ClusterParts();
  if (retro)
    for (const std::string& id : accounts) {
      AccountScore s = clusters->account(id);
      s.cluster = parts.of(account_keys({}, id).find, s.cluster);
      std::fprintf(retro.get(), "{\"id\":\"%s\",\"score\":%.9g,\"cluster\":%s,\"at\":%s}\n", id.c_str(), s.score,
                   s.cluster ? std::to_string(s.cluster).c_str() : "null",
                   s.at_ms ? std::to_string(s.at_ms).c_str() : "null");
    }
  std::fprintf(stderr, "%zu signups, %.1f us each, %.1f MiB\n", count, count ? signup_ns / 1e3 / double(count) : 0.0,
               double(clusters->bytes()) / 1048576);
  std::fprintf(stderr, "%zu logins, %.2f us each, %.1f MiB\n", login_count,
               login_count ? login_ns / 1e3 / double(login_count) : 0.0, double(logins->bytes()) / 1048576);
  return 0;
}

}  // namespace tamis::detect

int main(int argc, char** argv) { return tamis::detect::run(argc, argv); }
