#include "app/class_table.h"

#include <cstdio>

#include "base/text.h"

namespace tamis::app {
namespace {

std::string thousands(uint64_t n) { return base::format_thousands(static_cast<int64_t>(n)); }

}  // namespace

void print_class_head(const ClassHeadings& headings) {
  std::printf("%-12s %-12s %10s %10s  %-36s %10s %10s\n", "type", headings.class_field.c_str(), headings.good,
              headings.hit, "false positives", "bad", headings.hit);
}

void print_class_row(const std::string& type, const std::string& name, const replay::ClassCell& cell) {
  const replay::Share share = cell.false_positives();
  char text[96] = "-";
  if (share.known()) {
    const auto [low, high] = share.interval();
    std::snprintf(text, sizeof text, "%.3f %%   (95 %%: %.3f to %.3f)", share.value() * 100, low * 100, high * 100);
  }
  std::printf("%-12s %-12s %10s %10s  %-36s %10s %10s", type.c_str(), name.c_str(), thousands(cell.good).c_str(),
              thousands(cell.hit_good).c_str(), text, thousands(cell.bad).c_str(), thousands(cell.hit_bad).c_str());
}

}  // namespace tamis::app
