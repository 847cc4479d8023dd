#include "app/journal_sink.h"

#include <cstdio>

#include "journal/journal.h"
#include "replay/records.h"

namespace tamis::app {
namespace {

class JournalSink final : public door::RecordSink {
 public:
  JournalSink(std::string data, std::unique_ptr<journal::JournalWriter> writer)
      : data_(std::move(data)), writer_(std::move(writer)) {}

  base::Status event(int64_t receive_ms, std::string_view type, std::string_view json) override {
    line_.clear();
    replay::write_event(writer_->next_number(), receive_ms, type, json, line_);
    return writer_->append(line_);
  }

  base::Status policy(int64_t receive_ms, const std::string& version,
                      const std::vector<policy::SourceFile>& files) override {
    TAMIS_CHECK(replay::keep_policy(data_, version, files));
    line_.clear();
    replay::write_policy(writer_->next_number(), receive_ms, version, line_);
    return writer_->append(line_);
  }

  base::Status act(int64_t receive_ms, std::string_view json) override {
    line_.clear();
    replay::write_act(writer_->next_number(), receive_ms, json, line_);
    return writer_->append(line_);
  }

  base::Status sync() override { return writer_->sync(); }

  Health health() const override { return {writer_->pending_bytes(), writer_->failure()}; }

 private:
  std::string data_;
  std::unique_ptr<journal::JournalWriter> writer_;
  std::string line_;
};

}  // namespace

base::Result<std::unique_ptr<door::RecordSink>> open_journal_sink(const std::string& data) {
  TAMIS_TRY(writer, journal::JournalWriter::open(replay::journal_folder(data)));
  if (writer->dropped_bytes() > 0) {
    std::fprintf(stderr, "tamis: the journal ended in a record that a crash cut off; %llu bytes were dropped\n",
                 static_cast<unsigned long long>(writer->dropped_bytes()));
  }
  return std::make_unique<JournalSink>(data, std::move(writer));
}

}  // namespace tamis::app
