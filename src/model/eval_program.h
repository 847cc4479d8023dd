// The command line around evaluate_online, for programs that differ in how they find features. Returns the exit code.
#pragma once

#include "model/online_eval.h"

namespace tamis::model {

int run_eval_program(int count, char** words, const FindFeatures& find);

}  // namespace tamis::model
