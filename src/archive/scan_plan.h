// What a scan reads from each file: which of its columns, what is derived on reading, and what is not there. Private.
#pragma once

#include <string>
#include <vector>

#include "archive/archive.h"
#include "archive/manifest.h"

namespace tamis::archive {

struct SlotSource {
  enum class From : uint8_t { kColumn, kDerived, kTime, kPoints, kMissing };
  int32_t slot = 0;
  std::string name;
  From from = From::kMissing;
  std::string column;  // kColumn: of the file
  ColumnType type = ColumnType::kString;
  event::Type slot_type;
  event::Derived derived = {};  // kDerived
};

// How the slots of a request are had from files of one layout.
struct LayoutPlan {
  const Layout* layout = nullptr;
  std::vector<SlotSource> slots;  // as in the request
};
base::Result<LayoutPlan> plan_layout(const Layout& layout, const TypeLayout& wanted, const ScanRequest& request);

// The files that a request touches, by first record.
std::vector<FilePointer> files_in_window(const Manifest& manifest, const ScanRequest& request);

std::string time_sql(int64_t time_ms);

}  // namespace tamis::archive
