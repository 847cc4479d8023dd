// `tamis train accounts`: a subcommand of `tamis train`.
#pragma once

#include "app/command.h"

namespace tamis::app {

// Adds the subcommand to `train`; what it returns runs it.
Command add_train_accounts(CLI::App& train);

}  // namespace tamis::app
