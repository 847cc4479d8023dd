// Splicing: Parquet files put one behind the other as they are. Row groups keep their bytes, and only the footer is
// made anew, with what it says of places moved; so joining large files costs reading and writing them once, and no
// memory. (Parquet's format, parquet.thrift: all places in a footer count from the start of the file.) Private.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tamis::archive {

// What a splice needs of a file's footer.
struct FooterParts {
  std::string_view schema;  // as it is
  uint64_t rows = 0;        // of all row groups
  uint64_t group_count = 0;
  std::string groups;       // one behind the other, their places moved
  std::string_view hashes;  // of the pieces of the body (hashes.h); empty: there are none
};

// Reads a footer, which must outlive the result. Its places move by `shift` bytes, its groups are numbered from
// `first_group`. kNotFound: it has what this does not know to move (encryption, columns in other files). kUnavailable:
// damage.
base::Result<FooterParts> read_footer_parts(std::string_view footer, int64_t shift, uint64_t first_group);
// The first file's footer, with the row groups of all, and `hashes` of all pieces. `parts` are read without a failure,
// the first from `footer`.
base::Result<std::string> joined_footer(std::string_view footer, const std::vector<FooterParts>& parts,
                                        std::string_view hashes);

struct SplicePart {
  std::string path;
  std::optional<uint64_t> footer_hash;  // what the manifest says
};
// Writes and syncs `to`, which holds the row groups of the files in this order, and gives the number of rows. What is
// copied is compared with its hashes; files that have none get them.
// kNotFound: the files are not of one schema, or have row groups of fewer than `group_rows_least` rows on average: join
// them by reading their rows. kUnavailable: one is damaged. On any failure there is no `to`.
base::Result<uint64_t> splice_files(const std::vector<SplicePart>& files, const std::string& to,
                                    uint64_t group_rows_least);

}  // namespace tamis::archive
