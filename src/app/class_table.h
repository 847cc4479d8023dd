// The table of whom a rule or a policy hits, by event type and class, as `tamis backtest` and `tamis eval` print it.
#pragma once

#include <string>

#include "replay/class_rates.h"

namespace tamis::app {

// What stands over the columns. `class_field` is cut to its column.
struct ClassHeadings {
  std::string class_field;
  const char* good = "honest";
  const char* hit = "matched";  // of the good and of the bad
};

void print_class_head(const ClassHeadings& headings);
// Ends without a line break.
void print_class_row(const std::string& type, const std::string& name, const replay::ClassCell& cell);

}  // namespace tamis::app
