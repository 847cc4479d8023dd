#include "door/mail_api.h"

#include <algorithm>
#include <array>

#include "door/http_answer.h"
#include "door/mail_text.h"
#include "event/ip.h"
#include "event/json_writer.h"
#include "event/time_text.h"
#include "mail/ascii.h"

namespace tamis::door {

using event::JsonWriter;
using net::Request;
using net::Response;
using net::Role;

namespace {

constexpr size_t kRecipientsMax = 1000;

std::string value_of(const Request& in, std::string_view name) { return in.query_value(name).value_or(""); }

std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty() && parts.size() < kRecipientsMax) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

// A form, as `curl -F` sends it, would be judged as the message.
bool is_form(const Request& in) { return mail::starts_lower(in.content_type(), "multipart/form-data"); }
base::Error not_a_form() {
  return {base::Code::kInvalid, "expected the message itself as body, not a form: curl --data-binary @FILE"};
}

void send_error(net::DeferredReply& reply, const base::Error& error) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("error").string(word_of(error)).key("message").string(error.message).end_object();
  reply.send(status_of(error), "application/json", body + "\n");
}

std::string batch_name(const Desk::Caller& caller, const std::string& name) { return caller.name + '\n' + name; }

void write_golden_result(const learn::GoldenResult& result, JsonWriter& json) {
  json.begin_object().key("ham").uinteger(result.ham).key("ham_as_spam").uinteger(result.ham_as_spam);
  json.key("spam").uinteger(result.spam).key("spam_as_ham").uinteger(result.spam_as_ham).end_object();
}

base::Result<MailCorrection::Label> label_of(std::string_view text) {
  if (text == "spam") return MailCorrection::Label::kSpam;
  if (text == "ham") return MailCorrection::Label::kHam;
  if (text == "forget") return MailCorrection::Label::kForget;
  return base::invalid("?label=: expected spam, ham or forget");
}

// The label, and which message it is for: one that was scanned, or the one in the body.
base::Result<MailCorrection> read_correction(const Request& in) {
  MailCorrection correction;
  TAMIS_TRY(label, label_of(value_of(in, "label")));
  correction.label = label;
  correction.id = value_of(in, "id");
  if (is_form(in)) return tl::unexpected(not_a_form());
  if (correction.id.empty()) correction.message = in.body();
  if (correction.id.empty() == correction.message.empty())
    return base::invalid("expected ?id= of a message that was scanned, or its text as body");
  return correction;
}

}  // namespace

std::string_view name_of(MailAction action) {
  constexpr std::array<std::string_view, kMailActions> kNames = {"accept",     "greylist", "tag",
                                                                 "quarantine", "defer",    "reject"};
  return kNames[static_cast<size_t>(action)];
}

void write_json(const MailVerdict& verdict, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("id").string(verdict.id).key("verdict").string(verdict.verdict);
  json.key("action").string(name_of(verdict.action)).key("spam").boolean(is_spam(verdict));
  json.key("points").real(verdict.points).key("required").real(verdict.points_required);
  json.key("probability").real(verdict.probability).key("symbols").begin_array();
  for (const MailSymbol& symbol : verdict.symbols) {
    json.begin_object().key("name").string(symbol.name).key("points").real(symbol.score);
    json.key("reason").string(symbol.description).end_object();
  }
  json.end_array();
  if (!verdict.reply.empty()) json.key("reply").string(verdict.reply);
  json.key("headers").begin_array();
  for (const MailHeader& header : verdict.add_headers) {
    json.begin_object().key("name").string(header.name).key("value").string(header.value).end_object();
  }
  json.end_array().key("remove_headers").begin_array();
  for (const std::string& name : verdict.remove_headers) json.string(name);
  json.end_array();
  if (!verdict.recipients_refused.empty()) {
    json.key("recipients_refused").begin_array();
    for (const std::string& recipient : verdict.recipients_refused) json.string(recipient);
    json.end_array();
  }
  if (!verdict.explanation_json.empty()) json.key("explanation").raw(verdict.explanation_json);
  json.end_object();
}

MailApi::MailApi(net::HttpServer& server, Desk& desk, MailService& mail, const MakeRoute& route)
    : desk_(desk), mail_(mail) {
  server.post(
      "/v1/mail", [this](const Request& in, Response& out) { scan(in, out); },
      route(Role::kDecide, mail.message_bytes_max()));
  server.post(
      "/v1/mail/learn", [this](const Request& in, Response& out) { learn(in, out); },
      route(Role::kDecide | Role::kAnalyst | Role::kSupport, mail.message_bytes_max()));
  server.post(
      "/v1/mail/take-back", [this](const Request& in, Response& out) { take_back(in, out); }, route(Role::kAnalyst, 0));
  server.post(
      "/v1/mail/batch", [this](const Request& in, Response& out) { finish_batch(in, out); },
      route(Role::kDecide | Role::kAnalyst | Role::kSupport, 0));
  server.post(
      "/v1/mail/golden", [this](const Request& in, Response& out) { put_golden(in, out); },
      route(Role::kAnalyst, mail.message_bytes_max()));
  server.get(
      "/v1/mail/golden",
      [this](const Request&, Response& out) {
        desk_.soon(out, [this](std::string& body) -> base::Status {
          write_golden(body);
          return {};
        });
      },
      route(Role::kAnalyst, 0));
  server.get(
      "/v1/mail/stats",
      [this](const Request&, Response& out) {
        desk_.soon(out, [this](std::string& body) -> base::Status {
          write_stats(body);
          return {};
        });
      },
      route(Role::kAnalyst | Role::kSupport, 0));
}

void MailApi::scan(const Request& in, Response& out) {
  MailRequest request;
  request.message = in.body();
  const std::string direction = value_of(in, "direction");
  if (!direction.empty() && direction != "in" && direction != "out") {
    return answer(base::Error{base::Code::kInvalid, "?direction=: expected in or out"}, out);
  }
  if (request.message.empty()) return answer(base::Error{base::Code::kInvalid, "expected a message as body"}, out);
  if (is_form(in)) return answer(not_a_form(), out);
  request.direction = direction == "out" ? MailDirection::kOut : MailDirection::kIn;
  request.client_ip = value_of(in, "ip");
  if (event::IpData ip; !request.client_ip.empty() && !event::parse_ip(request.client_ip, ip)) {
    return answer(base::Error{base::Code::kInvalid, "?ip=: expected an IPv4 or IPv6 address"}, out);
  }
  const std::string depth = value_of(in, "explain");
  if (!depth.empty() && depth != "0" && depth != "1")
    return answer(base::Error{base::Code::kInvalid, "?explain=: expected 1 or 0"}, out);
  request.client_name = value_of(in, "hostname");
  request.helo = value_of(in, "helo");
  const auto sender = in.query_value("sender");
  request.has_sender = sender.has_value();
  request.sender = without_brackets(sender.value_or(""));  // "<>" is the null sender
  for (const std::string& list : in.query_values("recipient", kRecipientsMax)) {
    for (const std::string& recipient : parts_of(list)) request.recipients.emplace_back(without_brackets(recipient));
  }
  request.recipients.resize(std::min(request.recipients.size(), kRecipientsMax));
  request.user = value_of(in, "user");
  request.queue_id = value_of(in, "queue_id");
  request.tls_version = value_of(in, "tls");
  request.received_by = value_of(in, "host");
  const bool explain = depth == "1";
  auto reply = out.defer();
  mail_.scan(std::move(request), explain, [reply](base::Result<MailVerdict> verdict) {
    if (!verdict) return send_error(*reply, verdict.error());
    std::string body;
    write_json(*verdict, body);
    reply->send(200, "application/json", body + "\n");
  });
}

void MailApi::learn(const Request& in, Response& out) {
  const Desk::Caller caller = Desk::caller_of(in);
  auto read = read_correction(in);
  if (!read) return answer(read.error(), out);
  MailCorrection& correction = *read;
  // Who brings the reports of many people says whose each is.
  correction.reporter = value_of(in, "reporter");
  if (correction.reporter.empty()) correction.reporter = caller.name;
  correction.recipient = value_of(in, "recipient");
  correction.network = value_of(in, "ip");
  const std::string batch = value_of(in, "batch");
  if (!batch.empty()) {
    // Of this caller alone. It is noted when it is finished.
    correction.batch = batch_name(caller, batch);
    auto reply = out.defer();
    mail_.learn(std::move(correction), [reply](base::Status done) {
      if (!done) return send_error(*reply, done.error());
      reply->send(200, "application/json", "{\"ok\":true}\n");
    });
    return;
  }
  action::AuditEntry entry;
  entry.what = "mail.learn";
  entry.on = "event:mail";
  entry.value = correction.id;
  JsonWriter(entry.detail)
      .begin_object()
      .key("label")
      .string(value_of(in, "label"))
      .key("reporter")
      .string(correction.reporter)
      .end_object();
  auto reply = out.defer();
  mail_.learn(std::move(correction), [this, reply, caller, entry](base::Status learned) {
    if (learned) learned = desk_.note_soon(caller, entry);
    if (!learned) return send_error(*reply, learned.error());
    reply->send(200, "application/json", "{\"ok\":true}\n");
  });
}

void MailApi::take_back(const Request& in, Response& out) {
  desk_.soon_slow(
      out,
      [this, caller = Desk::caller_of(in), reporter = value_of(in, "reporter")](std::string& body) -> base::Status {
        if (reporter.empty()) return base::invalid("?reporter=: expected whose corrections to take back");
        TAMIS_TRY(taken, mail_.take_back(reporter));
        action::AuditEntry entry;
        entry.what = "mail.take-back";
        entry.on = "reporter";
        entry.value = reporter;
        TAMIS_CHECK(desk_.note_change(caller, std::move(entry)));
        JsonWriter json(body);
        json.begin_object().key("ok").boolean(true).key("votes").uinteger(taken.votes);
        json.key("corrected").uinteger(taken.corrected).key("out_of_reach").uinteger(taken.out_of_reach).end_object();
        body += '\n';
        return {};
      });
}

void MailApi::finish_batch(const Request& in, Response& out) {
  desk_.soon_slow(out,
                  [this, caller = Desk::caller_of(in), name = value_of(in, "name")](std::string& body) -> base::Status {
                    if (name.empty())
                      return base::invalid("?name=: expected the name that the corrections were brought under");
                    TAMIS_TRY(done, mail_.finish_batch(batch_name(caller, name)));
                    JsonWriter json(body);
                    json.begin_object().key("ok").boolean(done.result.verdict.accepted);
                    json.key("messages").uinteger(done.messages).key("learned").uinteger(done.result.learned);
                    json.key("judged").boolean(done.result.judged);
                    if (done.result.judged) {
                      json.key("before");
                      write_golden_result(done.result.before, json);
                      json.key("after");
                      write_golden_result(done.result.after, json);
                    }
                    if (!done.result.verdict.accepted) json.key("why").string(done.result.verdict.why);
                    json.end_object();
                    action::AuditEntry entry;
                    entry.what = done.result.verdict.accepted ? "mail.learn-batch" : "mail.refuse-batch";
                    entry.on = "reporter";
                    entry.value = done.reporter;
                    entry.detail = body;
                    body += '\n';
                    return desk_.note_change(caller, std::move(entry));
                  });
}

void MailApi::put_golden(const Request& in, Response& out) {
  auto read = read_correction(in);
  if (!read) return answer(read.error(), out);
  MailCorrection& correction = *read;
  desk_.soon(out,
             [this, caller = Desk::caller_of(in), correction = std::move(correction),
              name = value_of(in, "label")](std::string& body) -> base::Status {
               MailService::Work work;
               TAMIS_CHECK(mail_.put_golden(work, correction));
               action::AuditEntry entry;
               entry.what = "mail.golden";
               entry.on = "event:mail";
               entry.value = correction.id;
               entry.detail = name;
               TAMIS_CHECK(desk_.note_change(caller, std::move(entry)));
               body += "{\"ok\":true}\n";
               return {};
             });
}

void MailApi::write_golden(std::string& out) {
  const learn::MailLearner::GoldenState state = mail_.learner().golden();
  JsonWriter json(out);
  json.begin_object().key("now");
  write_golden_result(state.result, json);
  json.key("refused").begin_array();
  for (auto refusal = state.refusals.rbegin(); refusal != state.refusals.rend(); ++refusal) {
    json.begin_object()
        .key("time")
        .string(event::format_time_ms(refusal->time_ms))
        .key("reporter")
        .string(refusal->reporter);
    json.key("messages").uinteger(refusal->messages).key("was_learned").boolean(refusal->was_learned);
    json.key("why").string(refusal->why).end_object();
  }
  json.end_array().end_object();
  out += '\n';
}

void MailApi::write_stats(std::string& out) {
  const MailStats stats = mail_.stats();
  const learn::MailLearner::Stats model = mail_.learner().stats();
  JsonWriter json(out);
  json.begin_object().key("scanned").uinteger(stats.scanned).key("actions").begin_object();
  json.key("accept").uinteger(stats.accepted).key("greylist").uinteger(stats.greylisted);
  json.key("tag").uinteger(stats.tagged).key("quarantine").uinteger(stats.quarantined);
  json.key("defer").uinteger(stats.deferred).key("reject").uinteger(stats.rejected).end_object();
  json.key("ham_learned").uinteger(model.ham_learned).key("spam_learned").uinteger(model.spam_learned);
  json.key("corrections").uinteger(model.corrections).key("remembered").uinteger(model.remembered);
  json.key("remembered_bytes").uinteger(model.remembered_bytes).key("model_bytes").uinteger(model.model_bytes);
  json.end_object();
  out += '\n';
}

}  // namespace tamis::door
