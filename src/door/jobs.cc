#include "door/jobs.h"

#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::door {

using event::JsonWriter;

Jobs::~Jobs() {
  std::map<uint64_t, std::unique_ptr<Job>> jobs;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, job] : jobs_) job->handle.stop_ = true;
    jobs.swap(jobs_);
  }
  for (auto& [id, job] : jobs) {
    if (job->thread.joinable()) job->thread.join();
  }
}

// Under the mutex. Joins what has finished; the oldest of them go when there are too many.
void Jobs::forget_old() {
  for (auto& [id, job] : jobs_) {
    if (job->finished && job->thread.joinable()) job->thread.join();
  }
  for (auto it = jobs_.begin(); it != jobs_.end() && jobs_.size() >= kept_max_;) {
    it = it->second->finished ? jobs_.erase(it) : std::next(it);
  }
}

base::Result<uint64_t> Jobs::start(std::string_view kind, std::string_view author, int64_t now_ms, Work work) {
  std::lock_guard lock(mutex_);
  forget_old();
  size_t running = 0;
  for (const auto& [id, job] : jobs_) running += !job->finished;
  if (running >= running_max_) {
    return base::fail(base::Code::kUnavailable,
                      std::to_string(running) + " jobs are running already; stop one or wait");
  }
  auto job = std::make_unique<Job>();
  Job& j = *job;
  j.id = ++last_id_;
  j.kind = kind;
  j.author = author;
  j.started_ms = now_ms;
  jobs_.emplace(j.id, std::move(job));
  j.thread = std::thread([this, &j, work = std::move(work)] {
    base::Result<std::string> result = work(j.handle);
    std::lock_guard done(mutex_);
    j.result = std::move(result);
    j.finished = true;
  });
  return j.id;
}

void Jobs::write(const Job& job, bool with_result, std::string& out) const {
  JsonWriter json(out);
  json.begin_object().key("job").uinteger(job.id).key("kind").string(job.kind).key("author").string(job.author);
  json.key("started").string(event::format_time_ms(job.started_ms)).key("state");
  if (!job.finished) {
    json.string("running");
  } else if (job.result) {
    json.string("done");
  } else {
    json.string(job.handle.stop_ ? "stopped" : "failed");
  }
  json.key("done").uinteger(job.handle.done_).key("total").uinteger(job.handle.total_);
  if (job.finished && with_result && job.result) json.key("result").raw(*job.result);
  if (job.finished && !job.result) json.key("error").string(job.result.error().message);
  json.end_object();
}

base::Status Jobs::write(uint64_t id, std::string& out) const {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(id);
  if (found == jobs_.end()) return base::fail(base::Code::kNotFound, "no job " + std::to_string(id));
  write(*found->second, true, out);
  return {};
}

void Jobs::write_all(std::string& out) const {
  std::lock_guard lock(mutex_);
  out += "{\"jobs\":[";
  for (auto it = jobs_.rbegin(); it != jobs_.rend(); ++it) {
    if (it != jobs_.rbegin()) out += ',';
    write(*it->second, false, out);
  }
  out += "]}";
}

base::Status Jobs::stop(uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(id);
  if (found == jobs_.end()) return base::fail(base::Code::kNotFound, "no job " + std::to_string(id));
  found->second->handle.stop_ = true;
  return {};
}

}  // namespace tamis::door
