// What an operator of another filter has of his own, maps, lists and static rules, as a policy for mail: the ready one
// with lists and rules added. What does not translate is told with its place and why. Nothing is fetched and no program
// is run: only files below the folder are read.
//
// Points: what tags a message over there (SpamAssassin's required_score, rspamd's add_header) is 6 points here, and
// scores are scaled with it. An event holds no text of a message, so expressions over subject, body and most headers
// stay behind; the spam model reads these.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/policy.h"

namespace tamis::app {

struct ImportNote {
  std::string where;  // FILE:LINE, relative to the folder
  std::string what, why;
};

struct ImportedRule {
  std::string id;
  std::string name;     // as it was called there
  std::string where;    // FILE:LINE
  std::string when;     // CEL
  std::string verdict;  // empty: points
  double score = 1;     // on the scale of the other filter
  std::string doc;
  std::string say;  // to the sender, where the verdict is one that he hears of
};

struct ImportedFilter {
  std::string from;      // spamassassin, rspamd
  double threshold = 5;  // from which on it tags
  double reject = 0;     // from which on it rejects; 0: not said
  struct List {
    std::string kind;  // string, domain, network
    std::string doc;
    std::vector<std::string> entries;
  };
  std::map<std::string, List> own_lists;                    // new ones, read by the rules
  std::map<std::string, std::vector<std::string>> entries;  // for lists of the ready policy
  std::vector<ImportedRule> rules;
  std::vector<ImportNote> left_behind;
};

base::Result<ImportedFilter> read_spamassassin(const std::string& folder);
base::Result<ImportedFilter> read_rspamd(const std::string& folder);

// The files of the policy, which `tamis check` accepts: rules that it refuses move to `left_behind`.
base::Result<std::vector<policy::SourceFile>> policy_of(ImportedFilter& imported);

// The parts that both readers share.
namespace filter_import {
// A Perl expression (what stands between the delimiters, and its modifiers) for RE2, as a CEL string literal. Errors
// say what RE2 does not know.
base::Result<std::string> cel_pattern(std::string_view pattern, std::string_view modifiers);
std::string cel_string(std::string_view text);
// "a*@b.?om" as an expression over a whole text.
std::string pattern_of_glob(std::string_view glob);
// Names joined by &&, ||, ! (or &, |) and brackets, with each name replaced by what it stands for in brackets. Errors
// name what is missing or not understood.
base::Result<std::string> cel_of_names(std::string_view expression, const std::map<std::string, std::string>& known);
std::string id_of(std::string_view prefix, std::string_view name);
}  // namespace filter_import

}  // namespace tamis::app
