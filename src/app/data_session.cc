#include "app/data_session.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "app/command.h"
#include "app/mail_setup.h"
#include "app/progress.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::app {
namespace {

using event::Kind;
using event::Value;

constexpr int kPollMs = 50;
constexpr size_t kAnswerBytesMax = size_t{1} << 30;

int64_t wall_clock_ms() {
  using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::system_clock;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// A member of a JSON object as text, or empty.
std::string member(std::string_view json, std::string_view key, base::Arena& arena) {
  event::JsonLimits limits;
  limits.bytes_max = json.size() + 1;
  auto value = event::JsonReader::to_value(json, arena, limits);
  if (!value || !value->is(Kind::kMap)) return {};
  const Value* found = event::map_find(*value->map, Value::string(key));
  if (found == nullptr) return {};
  if (found->is(Kind::kString)) return std::string(found->str());
  std::string out;
  event::JsonWriter(out).value(*found);
  return out;
}

std::string message_of(const net::HttpAnswer& answer) {
  base::Arena arena;
  std::string message = member(answer.body, "message", arena);
  return message.empty() ? "the server answered " + std::to_string(answer.status) : message;
}

base::Code code_of(int status) {
  if (status == 404) return base::Code::kNotFound;
  if (status == 403 || status == 401) return base::Code::kDenied;
  return status >= 500 ? base::Code::kUnavailable : base::Code::kInvalid;
}

}  // namespace

std::string url_escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    }
  }
  return out;
}

std::string json_text(std::string_view text) {
  std::string out;
  event::append_json_string(out, text);
  return out;
}

base::Result<std::string> policy_files_json(const std::string& folder) {
  policy::Loaded loaded = policy::load_folder(folder);
  print_diagnostics(loaded, folder);
  if (loaded.policy == nullptr) return base::invalid("the policy in " + folder + " has errors");
  std::string out;
  event::JsonWriter json(out);
  json.begin_object();
  for (const policy::SourceFile& file : loaded.files) json.key(file.name).string(file.text);
  json.end_object();
  return out;
}

void print_recovery(const replay::Recovered& recovered, const std::string& data) {
  for (const std::string& note : recovered.notes) std::fprintf(stderr, "tamis: %s\n", note.c_str());
  if (recovered.dropped_bytes > 0) {
    std::fprintf(stderr, "tamis: the journal ended in a record that a crash cut off; %llu bytes were dropped\n",
                 static_cast<unsigned long long>(recovered.dropped_bytes));
  }
  if (recovered.snapshot == 0 && recovered.records == 0) return;
  std::fprintf(stderr, "tamis: %s: snapshot of record %llu and %llu records behind it recovered\n", data.c_str(),
               static_cast<unsigned long long>(recovered.snapshot), static_cast<unsigned long long>(recovered.records));
}

base::Result<std::unique_ptr<DataSession>> DataSession::open(const DataSessionOptions& options) {
  std::error_code ignored;
  if (options.must_exist && !std::filesystem::is_directory(options.data + "/journal", ignored)) {
    return base::fail(base::Code::kNotFound,
                      options.data + " is no data folder; `tamis serve --data` or `tamis import` makes one");
  }
  std::unique_ptr<DataSession> session(new DataSession(options));
  net::HttpClientOptions client;
  client.body_bytes_max = kAnswerBytesMax;
  client.io_timeout_ms = 600'000;
  auto folder = options.reads && ReadOnlyFolder::is_needed(options.data) ? session->open_read_only()
                                                                         : replay::DataFolder::open(options.data);
  if (folder) {
    session->folder_ = std::move(*folder);
    TAMIS_CHECK(session->serve());
  } else if (folder.error().code != base::Code::kUnavailable) {
    return tl::unexpected(folder.error());
  }
  TAMIS_TRY(opened, net::HttpClient::open("unix:" + session->options_.data + "/socket", client));
  session->client_ = std::make_unique<net::HttpClient>(std::move(opened));
  if (session->folder_ == nullptr) {
    // Held by another process: it must be a server that answers.
    if (!session->client_->get("/healthz")) return tl::unexpected(folder.error());
  }
  return session;
}

base::Result<std::unique_ptr<replay::DataFolder>> DataSession::open_read_only() {
  TAMIS_TRY(beside, ReadOnlyFolder::open(options_.data));
  if (!options_.quiet) {
    std::fprintf(stderr, "tamis: %s may only be read: it is asked as it is%s, and no audit trail tells of it\n",
                 options_.data.c_str(), beside->is_locked() ? "" : ", without a lock");
  }
  read_only_ = std::move(beside);
  options_.data = read_only_->path();
  return replay::DataFolder::open(options_.data);
}

base::Status DataSession::serve() {
  door::ServiceOptions service;
  service.checkpoint_records = UINT64_MAX;  // commands are short, or make checkpoints themselves
  service.checkpoint_ms = INT64_MAX;
  if (std::filesystem::is_directory(door::outbox_folder(options_.data))) {
    // Without channels: it can be looked at, and takes nothing new.
    TAMIS_TRY(outbox, action::Outbox::open(door::outbox_folder(options_.data), {}, clock_));
    outbox_ = std::move(outbox);
  }
  service_ = std::make_unique<door::Service>(service, wall_clock_ms, folder_.get(), outbox_.get());
  bool whole = folder_->archive().stats().upto >= folder_->last_number();
  if (options_.state || !whole) TAMIS_CHECK(recover());
  TAMIS_CHECK(service_->use_intel(options_.intel));
  if (!options_.intel.empty()) print_faults(service_->intel()->faults(), "--intel");
  if (!options_.policy.empty()) {
    policy::Loaded loaded = service_->activate_folder(options_.policy);
    print_diagnostics(loaded, options_.policy);
    if (loaded.policy == nullptr) return base::invalid("the policy in " + options_.policy + " has errors");
  }
  net::HttpServerOptions http;
  http.listen[0] = {"unix:" + folder_->socket_path(), nullptr, 0600};
  metrics_ = std::make_unique<base::MetricRegistry>();
  server_ = std::make_unique<net::HttpServer>(http);
  door::HttpApiOptions routes;
  if (options_.mail && decides_mail(*service_)) {
    TAMIS_TRY(mail, open_mail(*service_, {}, options_.data, 1));
    mail_ = std::move(mail);
    routes.mail = mail_.get();
  }
  TAMIS_TRY(api, door::HttpApi::open(*server_, *service_, *metrics_, std::move(routes)));
  api_ = std::move(api);
  return server_->start();
}

base::Status DataSession::recover() {
  Progress progress("recover", 0, options_.quiet);
  auto keep_going = [&](uint64_t records) {
    progress.step(records, records);
    return !Interrupt::requested();
  };
  TAMIS_TRY(recovered, service_->recover(keep_going));
  tail_untold_ = recovered.records > 0;
  if (!options_.quiet && (!recovered.notes.empty() || recovered.dropped_bytes > 0)) {
    print_recovery(recovered, options_.data);
  }
  return {};
}

DataSession::~DataSession() {
  client_.reset();
  if (server_ != nullptr) server_->stop(0);
  if (mail_ != nullptr) mail_->stop();
  api_.reset();
  mail_.reset();
  server_.reset();
  service_.reset();
}

base::Result<std::string> DataSession::call(const net::HttpCall& call) {
  TAMIS_TRY(answer, client_->call(call));
  if (answer.status / 100 == 2) return std::move(answer.body);
  return base::fail(code_of(answer.status), message_of(answer));
}

base::Result<std::string> DataSession::get(const std::string& path) {
  net::HttpCall get;
  get.path = path;
  return call(get);
}

base::Result<std::string> DataSession::post(const std::string& path, std::string body,
                                            const std::string& content_type) {
  net::HttpCall post;
  post.method = "POST";
  post.path = path;
  post.body = std::move(body);
  post.content_type = content_type;
  return call(post);
}

base::Result<std::string> DataSession::run_job(const std::string& what, const std::string& path, std::string body) {
  TAMIS_TRY(started, post(path, std::move(body)));
  base::Arena arena;
  std::string id = member(started, "job", arena);
  Progress progress(what, 0, options_.quiet);
  bool stopping = false;
  while (true) {
    TAMIS_TRY(answer, get("/v1/jobs/" + id));
    std::string state = member(answer, "state", arena);
    if (state == "done") return member(answer, "result", arena);
    if (state != "running") return base::fail(base::Code::kUnavailable, member(answer, "error", arena));
    if (Interrupt::requested() && !stopping) {
      stopping = true;
      TAMIS_CHECK(post("/v1/jobs/" + id + "/stop", "{}"));
    }
    uint64_t done = std::strtoull(member(answer, "done", arena).c_str(), nullptr, 10);
    progress.step(done, done);
    arena.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
  }
}

base::Status DataSession::checkpoint(bool tells_nothing) {
  if (service_ == nullptr) return {};
  if (outbox_ != nullptr && (!tells_nothing || tail_untold_)) return service_->sync();
  TAMIS_CHECK(service_->sync());
  return service_->checkpoint();
}

}  // namespace tamis::app
