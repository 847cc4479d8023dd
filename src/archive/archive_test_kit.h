// Folders, policies and a small world of events for the tests of the archive.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/layout.h"
#include "archive/parquet.h"
#include "engine/engine.h"
#include "policy/policy.h"

namespace tamis::archive {

// DuckDB is not instrumented, so ThreadSanitizer takes its locks for none and reports races that are none.
#if defined(__SANITIZE_THREAD__)
#define TAMIS_NEEDS_DUCKDB() GTEST_SKIP() << "DuckDB is not instrumented for ThreadSanitizer"
#else
#define TAMIS_NEEDS_DUCKDB() static_cast<void>(0)
#endif

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tamis-archive-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no folder " << name;
    root_ = std::filesystem::canonical(name).string();
  }
  ~TestFolder() { std::filesystem::remove_all(root_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string path() const { return root_ + "/archive"; }
  const std::string& root() const { return root_; }
  std::vector<std::string> parquet_files() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path())) {
      if (entry.path().extension() == ".parquet") out.push_back(entry.path().string());
    }
    return out;
  }

 private:
  std::string root_;
};

// For instances of DuckDB that read and write in the folder.
inline DatabaseOptions database_options(const TestFolder& folder) {
  DatabaseOptions options;
  options.folder = folder.root();
  options.temporary_folder = folder.root() + "/tmp";
  return options;
}

inline std::unique_ptr<ParquetWriter> open_writer(const TestFolder& folder) {
  auto writer = ParquetWriter::open(database_options(folder));
  if (writer) return *std::move(writer);
  ADD_FAILURE() << writer.error().message;
  return nullptr;
}

inline std::shared_ptr<const policy::Policy> compile_policy(const std::string& yaml) {
  policy::Loaded loaded = policy::load_files({{"policy.yaml", yaml}});
  for (const policy::Diagnostic& diagnostic : loaded.diagnostics) {
    if (diagnostic.severity == policy::Diagnostic::Severity::kError) ADD_FAILURE() << to_string(diagnostic);
  }
  return loaded.policy;
}

inline constexpr int64_t kDay0 = 1'790'035'200'000;  // 2026-09-22T00:00:00Z

inline constexpr const char* kHead = R"y(
policy: test
type: {at: type}
id: {at: id}
time: {at: t, format: ms}
verdicts: [accept, challenge, reject]
thresholds: {challenge: 10, reject: 20}
---
)y";
inline constexpr const char* kLogin = R"y(
event: login
fields:
  account: {type: string, entity: account, private: no}
  ip: ip
  email: email
  amount: int
  share: double
  success: {type: bool, default: true}
  urls: list(string)
  device: {type: string, keep: 30d}
---
features:
  logins_per_ip: {count: login, by: ip, over: 1h}
rules:
  - {id: many, on: login, when: 'logins_per_ip > 2', then: {points: 15}, reason: '{logins_per_ip} logins from {ip}', mode: live}
  - {id: net, on: login, when: 'ip.net24 == "10.0.0.0/24"', mode: shadow, then: {points: 1}}
  - {id: dear, on: login, when: 'amount > 100', then: {verdict: reject}, value: amount, mode: live}
  - {id: mailbox, on: login, when: 'email.base_local == "bob" && email.domain == "mail.example"', mode: live, then: {points: 1}}
)y";

// Decides events and archives them.
class World {
 public:
  explicit World(const std::string& folder, const std::string& yaml = std::string(kHead) + kLogin,
                 ArchiveOptions options = {})
      : folder_(folder), options_(options) {
    use(yaml);
    reopen();
  }
  void use(const std::string& yaml) {
    policy = compile_policy(yaml);
    engine.activate(policy);
  }
  void reopen() {
    archive.reset();
    auto opened = Archive::open(folder_, options_);
    ASSERT_TRUE(opened) << opened.error().message;
    archive = std::move(*opened);
  }
  // Type, id, time and the rest of the event's members.
  void feed(const std::string& type, int64_t time_ms, const std::string& members) {
    ++record;
    const std::string json = "{\"id\":\"e" + std::to_string(record) + "\",\"t\":" + std::to_string(time_ms) +
                             (members.empty() ? "" : ",") + members + "}";
    base::Status ready = event.prepare(policy, type, json, nullptr);
    ASSERT_TRUE(ready) << ready.error().message;
    const engine::Decision& decision = engine.decide(event, engine::Engine::kNoReceiveTime);
    base::Status added = archive->add(event, &decision, record, time_ms);
    ASSERT_TRUE(added) << added.error().message;
  }
  void flush() {
    base::Status flushed = archive->flush(record);
    ASSERT_TRUE(flushed) << flushed.error().message;
  }
  base::Result<Table> ask(const std::string& sql, QueryLimits limits = {}) const {
    return archive->query(sql, limits, {});
  }
  // The answer as text: cells by "|", rows by line feeds; "error: ..." otherwise.
  std::string text(const std::string& sql) const {
    auto table = ask(sql);
    if (!table) return "error: " + table.error().message;
    std::string out;
    for (size_t row = 0; row < table->rows.size(); ++row) {
      for (size_t i = 0; i < table->columns.size(); ++i) {
        if (i > 0) out += '|';
        out += table->nulls[row][i] ? "NULL" : table->rows[row][i];
      }
      out += '\n';
    }
    return out;
  }
  const policy::EventType& type(const std::string& name) const { return *policy->find_type(name); }
  int32_t slot(const std::string& type_name, const std::string& name) const {
    const TypeLayout layout = layout_of(*policy, type(type_name));
    for (size_t i = 0; i < layout.slots.size(); ++i) {
      if (layout.layout.columns[kSystemColumns + i].name == name) return layout.slots[i];
    }
    ADD_FAILURE() << "no slot " << name;
    return -1;
  }
  ScanRequest request(const std::string& type_name, const std::vector<std::string>& names) const {
    ScanRequest request;
    request.type = &type(type_name);
    request.policy = policy.get();
    for (const std::string& name : names) request.slots.push_back(slot(type_name, name));
    return request;
  }

  std::shared_ptr<const policy::Policy> policy;
  engine::Engine engine;
  engine::PreparedEvent event;
  std::unique_ptr<Archive> archive;
  uint64_t record = 0;

 private:
  std::string folder_;
  ArchiveOptions options_;
};

// All rows of a scan as text: n, the slots, then what `with` asks for.
inline std::string scan_text(const Archive& archive, const ScanRequest& request, bool decisions = false) {
  auto scan = archive.scan(request);
  if (!scan) return "error: " + scan.error().message;
  std::string out;
  while (true) {
    auto batch = (*scan)->next();
    if (!batch) return out + "error: " + batch.error().message;
    const Batch& b = **batch;
    if (b.rows == 0) return out;
    for (uint32_t row = 0; row < b.rows; ++row) {
      out += std::to_string(b.n[row]);
      for (const int32_t slot : request.slots)
        out += "|" + event::debug_string(b.columns[static_cast<size_t>(slot)].at(row));
      if (decisions) {
        std::string rules(b.rules[row]);
        for (char& c : rules) c = c == '\n' ? ',' : c;
        out += "|" + std::string(b.verdict[row]) + "|" + rules;
      }
      out += '\n';
    }
  }
}

}  // namespace tamis::archive
