// For operators: whether what a data folder holds is still what was written.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/command.h"
#include "app/progress.h"
#include "base/text.h"
#include "event/json_writer.h"
#include "replay/verify.h"

namespace tamis::app {
namespace {

struct Options {
  std::string data;
  bool json = false, quiet = false;
};

std::string json_of(const replay::VerifyReport& report) {
  std::string text;
  event::JsonWriter json(text);
  auto part = [&](const char* name, const replay::VerifyReport::Part& of) {
    return json.key(name).begin_object().key("files").uinteger(of.files).key("bytes").uinteger(of.bytes);
  };
  json.begin_object().key("whole").boolean(report.damaged == 0);
  part("journal", report.journal).key("records").uinteger(report.records);
  json.key("cut_off_bytes").uinteger(report.cut_off_bytes).end_object();
  part("snapshots", report.snapshots).end_object();
  part("archive", report.archive).key("unverified").uinteger(report.unverified).end_object();
  part("policies", report.policies).end_object();
  part("intel", report.intel).end_object();
  json.key("audit").begin_object().key("lines").uinteger(report.audit_lines).end_object();
  json.key("damaged").uinteger(report.damaged).key("damage").begin_array();
  for (const std::string& one : report.damage) json.string(one);
  json.end_array().end_object();
  return text;
}

void print(const replay::VerifyReport& report) {
  auto number = [](uint64_t count) { return base::format_thousands(static_cast<int64_t>(count)); };
  auto line = [&](const char* what, const replay::VerifyReport::Part& part, const std::string& more) {
    std::printf("%-10s %s files, %s bytes%s\n", what, number(part.files).c_str(), number(part.bytes).c_str(),
                more.c_str());
  };
  line("journal", report.journal, ", " + number(report.records) + " records");
  if (report.cut_off_bytes > 0) {
    std::printf(
        "           its last %s bytes are a record that is not whole: a server is writing it, or a crash cut it "
        "off\n",
        number(report.cut_off_bytes).c_str());
  }
  line("snapshots", report.snapshots, "");
  line("archive", report.archive,
       report.unverified == 0 ? ""
                              : "; " + number(report.unverified) +
                                    " files are from before there were hashes, and "
                                    "could not be verified");
  line("policies", report.policies, "");
  if (report.intel.files > 0) line("intel", report.intel, "");
  std::printf("%-10s %s lines\n", "audit", number(report.audit_lines).c_str());
  for (const std::string& one : report.damage) std::printf("damaged    %s\n", one.c_str());
  if (report.damage.size() < report.damaged)
    std::printf("damaged    and %s places more\n", number(report.damaged - report.damage.size()).c_str());
  std::printf("%s\n", report.damaged == 0 ? "all is as it was written"
                                          : "put copies of damaged files in their places, from a backup");
}

base::Result<int> verify(const Options& options) {
  Interrupt::install();
  Progress progress("verify", 100, options.quiet || options.json);
  auto keep_going = [&](uint64_t done, uint64_t total) {
    progress.step(total == 0 ? 0 : done * 100 / total, done);
    return !Interrupt::requested();
  };
  auto report = replay::verify_data(options.data, keep_going);
  if (Interrupt::requested()) return kInterrupted;
  if (!report) return tl::unexpected(report.error());
  if (options.json) {
    std::printf("%s\n", json_of(*report).c_str());
  } else {
    print(*report);
  }
  return report->damaged == 0 ? kGood : kNo;
}

}  // namespace

Command add_verify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--data", options->data, "The data folder")->required();
  app.add_flag("--json", options->json, "As JSON");
  app.add_flag("-q,--quiet", options->quiet, "No progress");
  app.footer(
      "Reads all of the journal, the snapshots, the archive, the policies, the network facts and the audit trail, and\n"
      "compares them with their hashes. Nothing is changed; a server may hold the folder meanwhile. Exit code 1:\n"
      "something is damaged.");
  return [options] {
    base::Result<int> code = verify(*options);
    return code ? *code : complain(code.error().message);
  };
}

}  // namespace tamis::app
