// Cost of facts and features: messages of a folder (TAMIS_MAIL, or ones written here), and how it grows with size.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mail/features.h"

namespace tamis::mail {
namespace {

std::string sample(size_t body_bytes) {
  std::string text =
      "Received: from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.com with ESMTPS; Mon, 1 Jan 2024 "
      "10:00:00 +0000\r\nFrom: Ann <ann@example.org>\r\nTo: bob@example.com\r\nSubject: The minutes of our meeting\r\n"
      "Message-ID: <1@example.org>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
      "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n";
  const char* const words[] = {"the ", "meeting ", "begins ", "at ",
                               "ten ", "please ",  "bring ",  "https://example.org/x "};
  std::string plain, html = "<html><body>";
  for (size_t i = 0; plain.size() < body_bytes / 3; ++i) {
    plain += words[i * 7 % 8];
    html += std::string("<p style=\"color:#333\">") + words[i * 5 % 8] + "</p>";
  }
  return text + plain + "\r\n--b\r\nContent-Type: text/html\r\n\r\n" + html.substr(0, body_bytes * 2 / 3) +
         "\r\n--b--\r\n";
}

std::vector<std::string> load() {
  std::vector<std::string> messages;
  const char* folder = std::getenv("TAMIS_MAIL");
  if (folder == nullptr) return {sample(3500)};
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".eml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    messages.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return messages;
}

void run(benchmark::State& state, const std::vector<std::string>& messages, bool features) {
  Analyser analyser;
  size_t i = 0, bytes = 0, given = 0;
  std::vector<Feature> out;
  for (auto _ : state) {
    const std::string& raw = messages[i++ % messages.size()];
    const Analysis& a = analyser.analyse(raw);
    if (features) {
      out.clear();
      collect_features(a, {}, out);
      given += out.size();
    }
    bytes += raw.size();
    benchmark::DoNotOptimize(a.facts.text_digest);
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  const double count = static_cast<double>(state.iterations());
  state.counters["message_bytes"] = static_cast<double>(bytes) / count;
  state.counters["features"] = static_cast<double>(given) / count;
}

void facts(benchmark::State& state) { run(state, load(), false); }
BENCHMARK(facts)->Unit(benchmark::kMicrosecond);

void facts_and_features(benchmark::State& state) { run(state, load(), true); }
BENCHMARK(facts_and_features)->Unit(benchmark::kMicrosecond);

void growth(benchmark::State& state) { run(state, {sample(static_cast<size_t>(state.range(0)))}, true); }
BENCHMARK(growth)->Arg(1 << 12)->Arg(1 << 14)->Arg(1 << 16)->Arg(1 << 18)->Arg(1 << 20)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tamis::mail
