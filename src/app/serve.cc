#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <climits>
#include <cstdio>
#include <fstream>
#include <thread>

#include "action/outbox.h"
#include "app/command.h"
#include "app/mail_doors.h"
#include "app/mail_setup.h"
#include "app/progress.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "door/http_api.h"
#include "door/mail_auth.h"
#include "door/refinement.h"
#include "net/auth.h"
#include "net/http_server.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "policy/channels.h"
#include "replay/data_folder.h"

namespace tamis::app {
namespace {

struct Options {
  std::string policy, data, listen = "127.0.0.1:8080", tokens, certificate, key, port_file, channels;
  std::vector<std::string> intel;
  int threads = 1;
  int drain_ms = 5'000;
  int refine_seconds = 300;
  bool insecure = false, quiet = false;
  door::ServiceOptions service;
  MailServerOptions mail;
  int mail_threads = 2;
  std::string dns = "off";
  std::vector<std::string> dns_lists;
  door::MailAuthSettings mail_auth;
  door::MailDoorOptions doors;
};

int64_t wall_clock_ms() {
  using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::system_clock;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

bool is_local(const std::string& address) {
  return address.rfind("127.", 0) == 0 || address.rfind("[::1]:", 0) == 0 || address.rfind("localhost:", 0) == 0 ||
         address.rfind("unix:", 0) == 0;
}

// Where a network is crossed there are TLS and tokens, or the operator says that he knows.
base::Status check_exposure(const Options& options) {
  if (options.listen.find(':') == std::string::npos) {
    return base::invalid("--listen " + options.listen + ": expected HOST:PORT or unix:PATH");
  }
  if (options.insecure || is_local(options.listen)) return {};
  std::string missing;
  if (options.certificate.empty()) missing = "--tls-cert and --tls-key";
  if (options.tokens.empty()) missing += std::string(missing.empty() ? "" : " and ") + "--tokens";
  if (missing.empty()) return {};
  return base::invalid("--listen " + options.listen + " can be reached from a network: it needs " + missing +
                       ", or --insecure if something else protects it");
}

class Server {
 public:
  explicit Server(const Options& options) : options_(options) {}

  base::Result<int> run() {
    TAMIS_CHECK(check_exposure(options_));
    Interrupt::install();
    base::give_back_large_memory();
    if (!options_.data.empty()) {
      TAMIS_TRY(opened, replay::DataFolder::open(options_.data));
      data_ = std::move(opened);
      TAMIS_CHECK(open_outbox());
    }
    service_ = std::make_unique<door::Service>(options_.service, wall_clock_ms, data_.get(), outbox_.get());
    if (data_ != nullptr) TAMIS_CHECK(recover());
    TAMIS_CHECK(service_->use_intel(options_.intel));
    if (!options_.intel.empty()) print_faults(service_->intel()->faults(), "--intel");
    if (!reload()) return kFailed;
    if (decides_mail(*service_)) TAMIS_CHECK(start_mail());
    TAMIS_CHECK(open());
    if (outbox_ != nullptr) outbox_->start();
    if (data_ != nullptr && options_.refine_seconds > 0) {
      refinement_ = std::make_unique<door::Refinement>(*service_, int64_t{1000} * options_.refine_seconds);
    }
    wait();
    std::fprintf(stderr, "tamis: stopping\n");
    refinement_.reset();
    server_->stop(options_.drain_ms);
    if (doors_ != nullptr) doors_->stop(options_.drain_ms);
    if (mail_ != nullptr) mail_->stop();
    if (outbox_ != nullptr) outbox_->stop();
    TAMIS_CHECK(service_->sync());
    TAMIS_CHECK(service_->checkpoint());
    return kGood;
  }

 private:
  // Where notices go. A folder that had an outbox before keeps what waits there, and shows it, without channels too.
  base::Status open_outbox() {
    bool was_there = ::access(door::outbox_folder(options_.data).c_str(), F_OK) == 0;
    if (options_.channels.empty() && !was_there) return {};
    std::vector<action::ChannelOptions> channels;
    if (!options_.channels.empty()) {
      policy::LoadedChannels loaded = policy::load_channels(options_.channels);
      for (const policy::Diagnostic& d : loaded.diagnostics) {
        std::fprintf(stderr, "%s\n", policy::to_string(d).c_str());
      }
      if (loaded.channels.empty()) return base::invalid("the channels in " + options_.channels + " have errors");
      for (const policy::Channel& channel : loaded.channels) channels.push_back(options_of(channel));
    }
    TAMIS_TRY(opened, action::Outbox::open(door::outbox_folder(options_.data), std::move(channels), clock_));
    outbox_ = std::move(opened);
    for (const action::ChannelStats& channel : outbox_->stats().channels) {
      if (channel.configured || channel.queued == 0) continue;
      std::fprintf(stderr, "tamis: %llu notices wait for the channel %s, which is not among --channels\n",
                   static_cast<unsigned long long>(channel.queued), channel.name.c_str());
    }
    return {};
  }

  static action::ChannelOptions options_of(const policy::Channel& channel) {
    action::ChannelOptions options;
    options.name = channel.name;
    options.url = channel.url;
    options.secret_file = channel.secret_file;
    options.ca_file = channel.ca_file;
    options.topics = channel.topics;
    options.allow_private = channel.allow_private;
    auto set = [](auto& to, const std::optional<int64_t>& from) {
      if (from) to = static_cast<std::remove_reference_t<decltype(to)>>(*from);
    };
    set(options.concurrency, channel.concurrency);
    set(options.connect_timeout_ms, channel.connect_timeout_ms);
    set(options.timeout_ms, channel.timeout_ms);
    set(options.backoff_first_ms, channel.backoff_first_ms);
    set(options.backoff_max_ms, channel.backoff_max_ms);
    set(options.give_up_ms, channel.give_up_ms);
    return options;
  }

  // Brings the engine to where the data folder ends, so that the server goes on where it stopped.
  base::Status recover() {
    Progress progress("recover", 0, options_.quiet);
    auto keep_going = [&](uint64_t records) {
      progress.step(records, records);
      return !Interrupt::requested();
    };
    TAMIS_TRY(result, service_->recover(keep_going));
    print_recovery(result, options_.data);
    return {};
  }

  base::Status start_mail() {
    MailServerOptions mail = options_.mail;
    mail.setup.policy = options_.policy;  // whose folder has the model that ships with it
    if (options_.dns != "off") {
      door::MailAuthSettings settings = options_.mail_auth;
      for (const std::string& text : options_.dns_lists) {
        TAMIS_TRY(list, mail::parse_dns_list(text));
        settings.checks.dns_lists.push_back(std::move(list));
      }
      TAMIS_TRY(resolver, net::open_resolver(options_.dns, {}, clock_));
      resolver_ = std::move(resolver);
      authenticator_ = std::make_unique<door::MailAuthenticator>(std::move(settings), *resolver_, clock_);
      mail.authenticate = [this](const mail::Analysis& analysis, const door::MailRequest& request, uint64_t chance,
                                 door::MailServiceOptions::Authenticated done) {
        authenticator_->authenticate(analysis, door::auth_envelope_of(request, clock_.now_ms() / 1000, chance),
                                     std::move(done));
      };
    }
    TAMIS_TRY(opened, open_mail(*service_, mail, options_.data, options_.mail_threads));
    mail_ = std::move(opened);
    return {};
  }

  base::Status open_doors() {
    door::MailDoorOptions doors = options_.doors;
    doors.tokens = tokens_.get();
    doors.own_name = options_.mail.host;
    TAMIS_TRY(opened, open_mail_doors(mail_.get(), doors, options_.insecure));
    doors_ = std::move(opened);
    if (doors_ != nullptr) doors_->register_metrics(metrics_);
    return {};
  }

  bool reload() {
    policy::Loaded loaded = service_->activate_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) {
      std::fprintf(stderr, "tamis: the policy in %s has errors%s\n", options_.policy.c_str(),
                   service_->policy() == nullptr ? "" : "; the one before goes on");
    } else {
      std::fprintf(stderr, "tamis: policy %s decides\n", loaded.policy->version.c_str());
    }
    return loaded.policy != nullptr;
  }

  base::Status open() {
    net::HttpServerOptions http;
    http.threads = options_.threads;
    http.listen[0].address = options_.listen;
    if (!options_.certificate.empty()) {
      net::TlsServerOptions tls;
      tls.certificate_file = options_.certificate;
      tls.key_file = options_.key;
      TAMIS_TRY(context, net::TlsServerContext::load(tls));
      http.listen[0].tls = std::move(context);
    }
    // Commands that name the data folder come in here; who may open the socket may open the folder.
    if (data_ != nullptr) http.listen.push_back({"unix:" + data_->socket_path(), nullptr, 0600});
    server_ = std::make_unique<net::HttpServer>(http);
    service_->set_latency(
        &metrics_.histogram("tamis_decision_seconds", "Time of a decision inside the server, from JSON to JSON."));
    door::HttpApiOptions api;
    api.policy_folder = options_.policy;
    api.mail = mail_.get();
    if (!options_.tokens.empty()) {
      TAMIS_TRY(tokens, net::TokenStore::load(options_.tokens));
      tokens_ = std::move(tokens);
      api.tokens = tokens_.get();
      api.trust_unix = options_.listen.rfind("unix:", 0) != 0;
    }
    TAMIS_TRY(routes, door::HttpApi::open(*server_, *service_, metrics_, std::move(api)));
    api_ = std::move(routes);
    server_->register_metrics(metrics_);
    if (mail_ != nullptr) mail_->register_metrics(metrics_);
    TAMIS_CHECK(server_->start());
    TAMIS_CHECK(open_doors());
    return announce();
  }

  base::Status announce() {
    const std::string& address = server_->addresses()[0];
    const char* scheme = options_.certificate.empty() ? "http" : "https";
    bool is_unix = address.rfind("unix:", 0) == 0;
    std::fprintf(stderr, "tamis: listening on %s%s%s\n", is_unix ? "" : scheme, is_unix ? "" : "://", address.c_str());
    if (options_.port_file.empty()) return {};
    std::ofstream file(options_.port_file);
    file << server_->port() << "\n";
    file.close();
    if (!file) return base::fail(base::Code::kUnavailable, "cannot write " + options_.port_file);
    return {};
  }

  void wait() {
    while (!Interrupt::requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      watch_data();
      if (!Interrupt::reload_requested()) continue;
      reload();
      if (tokens_ == nullptr) continue;
      base::Status again = tokens_->reload();
      if (!again) std::fprintf(stderr, "tamis: %s; the tokens before go on\n", again.error().message.c_str());
    }
  }

  // Says once when the data folder begins to fail, and once when it is well again.
  void watch_data() {
    std::string failure = service_->failure();
    if (failure.empty() == failure_.empty()) return;
    if (failure.empty()) {
      std::fprintf(stderr, "tamis: the data folder is written again\n");
    } else {
      std::fprintf(stderr, "tamis: %s; records wait in memory\n", failure.c_str());
    }
    failure_ = failure;
  }

  const Options& options_;
  std::string failure_;
  base::MetricRegistry metrics_;
  base::SystemClock clock_;
  std::unique_ptr<replay::DataFolder> data_;
  std::unique_ptr<action::Outbox> outbox_;
  std::unique_ptr<door::Service> service_;
  std::unique_ptr<door::MailAuthenticator> authenticator_;
  std::unique_ptr<net::Resolver> resolver_;  // ends before who asks it
  std::unique_ptr<door::MailService> mail_;  // null: the policy decides no mail
  std::unique_ptr<net::TokenStore> tokens_;
  std::unique_ptr<door::MailDoors> doors_;  // end before the scanner and the tokens
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<door::HttpApi> api_;
  std::unique_ptr<door::Refinement> refinement_;
};

}  // namespace

Command add_serve(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--policy", options->policy, "Folder of the policy; SIGHUP and POST /v1/policy/reload read it again")
      ->required();
  app.add_option("--data", options->data, "Folder for what the server keeps: journal, archive, snapshots");
  app.add_option("--channels", options->channels,
                 "File of the channels to which notices go as webhooks (docs/ACTIONS.md)")
      ->needs("--data");
  app.add_option("--listen", options->listen, "HOST:PORT or unix:PATH; port 0 takes a free one")->capture_default_str();
  app.add_option("--tokens", options->tokens, "File of bearer tokens; without it every local caller may do everything");
  auto* certificate = app.add_option("--tls-cert", options->certificate, "Certificate chain, PEM");
  auto* key = app.add_option("--tls-key", options->key, "Private key, PEM")->needs(certificate);
  certificate->needs(key);
  app.add_option("--intel", options->intel, "CSV files of network facts: prefix, asn, country, tag");
  app.add_option("--threads", options->threads, "Event loops")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--deadline-ms", options->service.deadline_ms, "Wait for the engine, then answer as overload declares")
      ->capture_default_str();
  add_mail_door_flags(app, options->doors);
  app.add_option("--mail-model", options->mail.setup.model,
                 "File of the spam model to start from; without it the one that ships");
  app.add_option("--mail-remember-days", options->mail.remember_days,
                 "Features of messages are kept so long for corrections")
      ->check(CLI::Range(1, 365))
      ->capture_default_str();
  app.add_flag("--mail-weigh-reports", options->mail.weigh_reports,
               "Corrections teach by how often their reporter agreed with confirmed truth; without it all do");
  app.add_option("--mail-threads", options->mail_threads, "Messages looked at at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--dns", options->dns,
                 "Ask DNS who sent a message: system, or ADDRESS[:PORT],... of servers; off asks nobody")
      ->capture_default_str();
  app.add_option("--dns-list", options->dns_lists,
                 "Ask a DNS list: \"NAME ip|domain ZONE [CODE=MEANING]...\"; may be repeated");
  app.add_option("--dns-budget-ms", options->mail_auth.budget_ms, "Time for all questions about a message")
      ->check(CLI::Range(1, 60'000))
      ->capture_default_str();
  app.add_option("--mail-host", options->mail.host, "Our name in Authentication-Results; without it this machine's");
  app.add_option("--rate-max", options->service.rate_max_per_s, "Decisions a second; beyond, overload. 0: no bound")
      ->capture_default_str();
  app.add_option("--intake-bytes", options->service.intake_bytes_max, "Events accepted and not yet decided")
      ->capture_default_str();
  app.add_option("--checkpoint-records", options->service.checkpoint_records, "Write a snapshot after so many records")
      ->check(CLI::Range(1, INT_MAX))
      ->capture_default_str();
  app.add_option("--checkpoint-ms", options->service.checkpoint_ms, "Or when the last one is so old")
      ->check(CLI::Range(100, INT_MAX))
      ->capture_default_str();
  app.add_option("--refine-seconds", options->refine_seconds,
                 "Look so often whether campaigns met in one cluster; 0: only when its page is opened")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  app.add_option("--drain-ms", options->drain_ms, "Time for requests in progress when stopping")->capture_default_str();
  app.add_option("--port-file", options->port_file, "Write the port here once listening");
  app.add_flag("--insecure", options->insecure, "Listen on a network without TLS or tokens");
  return [options] {
    base::Result<int> code = Server(*options).run();
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
